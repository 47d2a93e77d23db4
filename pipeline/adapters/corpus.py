"""A corpus folder: where everything lies, the plan, the published tables and the root ledger."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.adapters.files import read_json, replacing, write_json
from pipeline.adapters.journal import FileJournal
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.plan_table import make_plan_table, read_plan_rows
from pipeline.adapters.store import ShardFolder
from pipeline.adapters.table_file import read_table, write_table
from pipeline.contracts.ledger import FileEntry, Ledger, ShardEntry, ShardLedger
from pipeline.contracts.storage import Row, Rows
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex
from pipeline.values.records import PlannedDialogue

SCHEMA_VERSION = 1
"""Version of ledger and tables; a reader refuses what it does not know."""

PUBLISHED_FOLDERS = ("dialogues", "images", "music", "speech", "rejected", "failed", "ledgers")

FORMER = ".former"
"""Ends the name of the plan's last version but one, which is kept beside it."""

TOPIC_SCREEN = "screened_topics.json"
"""Under ``work/``, and not beside the topics: there every JSON file is a stage's receipt."""


class CorpusFolder:
    """One corpus on disk. Readers open it without a lock; a run brings its own."""

    def __init__(self, root: Path, lock: CorpusLock | None = None) -> None:
        self.root = root
        self.work = root / "work"
        self._lock = lock

    def shard(self, index: int) -> ShardFolder:
        """Return a shard's folder."""
        return ShardFolder(self.work / "shards" / f"{index:05d}", self._lock)

    def topics(self) -> ShardFolder:
        """Return the folder of the generated topics, which is kept like a shard's."""
        return ShardFolder(self.work / "topics", self._lock)

    def texts(self) -> ShardFolder:
        """Return the folder of what became of the rows of instruction data, which is kept like a shard's."""
        return ShardFolder(self.work / "texts", self._lock)

    def batches(self) -> FileJournal:
        """Return the journal of the batches that were handed in."""
        return ShardFolder(self.work / "batches", self._lock).journal("batch")

    def read_topic_screen(self) -> Row | None:
        """Return what was decided about generated topics; None where nothing was, or the file is damaged.

        It can be decided anew: what is in the plan stays there.
        """
        return self.look_at_topic_screen()[0]

    def look_at_topic_screen(self) -> tuple[Row | None, str | None]:
        """Return what :meth:`read_topic_screen` does, and what is wrong with the file, or None."""
        try:
            found = read_json(self.work / TOPIC_SCREEN)
        except CorpusError as exc:
            return None, str(exc)
        is_whole = found is None or isinstance(found, dict)
        return (found, None) if is_whole else (None, f"{self.work / TOPIC_SCREEN}: holds no decisions about topics")

    def write_topic_screen(self, decisions: Row) -> None:
        """Replace what was decided about generated topics."""
        check = self._lock.check if self._lock else (lambda: None)
        write_json(self.work / TOPIC_SCREEN, decisions, check)

    def read_plan(self) -> list[PlannedDialogue]:
        """Return all rows of the plan, in order; none where nothing was planned.

        Raises:
            CorpusError: the file is damaged. The plan is derived from topics and manifest alone, but where the mix or
                the sizes changed over time it is the only record of which dialogue lives where.
        """
        path = self.work / "plan.parquet"
        if not path.exists():
            return []
        try:
            return read_plan_rows(read_table(path))
        # No checksum covers the names of columns: damage there shows as missing keys and wrong values.
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as exc:
            raise CorpusError(f"{path}: damaged ({type(exc).__name__}); {_say_how_to_restore(path)}") from exc

    def write_plan(self, rows: Sequence[PlannedDialogue]) -> None:
        """Replace the plan; the one before is kept beside it."""
        path = self.work / "plan.parquet"
        table = make_plan_table(rows)
        check = self._lock.check if self._lock else (lambda: None)
        with replacing(path, check) as partial:
            pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
            if path.exists():
                # A copy and no rename: at no moment may there be no plan, for a new one could place rows elsewhere.
                check()
                shutil.copyfile(path, path.with_name(path.name + FORMER))

    def read_ledger(self) -> Ledger | None:
        """Return the root ledger, None where the corpus was never packed.

        Raises:
            CorpusError: it is damaged or of a version that this program does not know.
        """
        path = self.root / "ledger.json"
        data = read_json(path)
        if data is None:
            return None
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise CorpusError(
                f"{path}: schema version {version!r}, and this program reads {SCHEMA_VERSION}; "
                "use the program that wrote it"
            )
        try:
            return Ledger.model_validate(data)
        except ValidationError as exc:
            raise CorpusError(f"{path}: {_say_first(exc)}; run the manifest again to write it anew") from exc

    def read_shard_ledger(self, entry: ShardEntry) -> ShardLedger:
        """Return a shard's ledger, checked against the root's hash.

        Raises:
            CorpusError: it is missing or is not what the root ledger names.
        """
        path = self.inside(entry.path)
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise CorpusError(f"{path}: cannot be read: {exc.strerror}; run the manifest again") from exc
        if sha256_hex(data) != entry.sha256:
            raise CorpusError(f"{path}: its SHA-256 is not the one in ledger.json; run the manifest again")
        try:
            return ShardLedger.model_validate_json(data)
        except ValidationError as exc:
            raise CorpusError(f"{path}: {_say_first(exc)}; run the manifest again to write it anew") from exc

    def inside(self, relative: str) -> Path:
        """Resolve a path that a ledger names; one that leaves the corpus is refused."""
        try:
            path = (self.root / relative).resolve()
            if path.is_relative_to(self.root.resolve()):
                return path
            reason = "which lies outside the corpus"
        except (OSError, RuntimeError, ValueError) as exc:  # too long, a ring of links, a NUL
            reason = f"which is no path ({exc})"
        raise CorpusError(f"{self.root / 'ledger.json'}: names {relative[:200]!r}, {reason}")

    def is_published(self, entry: ShardEntry) -> bool:
        """Tell whether a shard's ledger and all its files are there with the sizes that it names."""
        try:
            ledger = self.read_shard_ledger(entry)
            return all(self.inside(file.path).stat().st_size == file.num_bytes for file in ledger.files)
        except (CorpusError, OSError, ValidationError):
            return False

    def write_table(self, table: str, shard: int, schema: pa.Schema, rows: Rows) -> FileEntry | None:
        """Write one published file; None, and no file, where there is no row, or no table."""
        some = iter(rows)
        first = next(some, None)
        if first is None:
            return None
        path, sha256, num_rows = write_table(
            self.root / table, f"train-{shard:05d}", schema, chain([first], some), self._lock
        )
        name = f"{table}/{path.name}"
        return FileEntry(table=table, path=name, sha256=sha256, num_bytes=path.stat().st_size, num_rows=num_rows)

    def write_shard_ledger(self, ledger: ShardLedger) -> ShardEntry:
        """Write a shard's ledger under a name that carries its hash."""
        text = ledger.model_dump_json(indent=1) + "\n"
        sha256 = sha256_hex(text)
        name = f"ledgers/shard-{ledger.shard:05d}-{sha256[:12]}.json"
        with replacing(self.root / name) as partial:
            partial.write_text(text, encoding="utf-8")
        return ShardEntry(shard=ledger.shard, path=name, sha256=sha256, order_key=ledger.order_key)

    def publish(self, ledger: Ledger, card: str) -> None:
        """Write the data card and then the root ledger, and remove the published files that it no longer names."""
        check = self._lock.check if self._lock else (lambda: None)
        with replacing(self.root / "README.md", check) as partial:
            partial.write_text(card, encoding="utf-8")
        write_json(self.root / "ledger.json", ledger.model_dump(mode="json"), check)
        for path in self.find_unreferenced(ledger):
            path.unlink(missing_ok=True)

    def find_unreferenced(self, ledger: Ledger) -> list[Path]:
        """Return files in the published folders that the ledger does not name."""
        named = {self.inside(entry.path) for entry in ledger.shards}
        for entry in ledger.shards:
            named |= {self.inside(file.path) for file in self.read_shard_ledger(entry).files}
        there = [path for name in PUBLISHED_FOLDERS for path in (self.root / name).glob("*") if path.is_file()]
        return sorted(path for path in there if path.resolve() not in named)

    def shard_indices(self) -> list[int]:
        """Return the shards that have a folder."""
        return sorted(int(path.name) for path in (self.work / "shards").glob("[0-9]*") if path.name.isdigit())


def _say_first(error: ValidationError) -> str:
    """Return where and what the first of a file's errors is."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def _say_how_to_restore(plan: Path) -> str:
    former = plan.with_name(plan.name + FORMER)
    if former.is_file():
        return f"restore it from a copy, or with `cp {former} {plan}`, which is as it was before it was last added to"
    return (
        "restore it from a copy; or, where manifest and topics are as they were when it was made, remove it: the next "
        "run plans the same again"
    )
