"""`verify`: every file against its hash, every row against what the ledgers claim, and what to set aside of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.adapters.corpus import PUBLISHED_FOLDERS, TOPIC_SCREEN, CorpusFolder
from pipeline.adapters.exports.token_tables import TOKENS
from pipeline.adapters.files import PARTIAL, read_json, sha256_file
from pipeline.adapters.probes import PROBES
from pipeline.adapters.readings import FOLDER as READINGS
from pipeline.adapters.store import DAMAGED, ShardFolder
from pipeline.contracts.ledger import FileEntry, Ledger, ShardEntry, ShardLedger
from pipeline.contracts.storage import Receipt, Row
from pipeline.execution.beside import TokenFiles, check_takedowns, check_verdicts
from pipeline.execution.gathering import find_command
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex
from pipeline.values.words import say_count
from pipeline.work import scenarios
from pipeline.work.tables import PUBLISHED
from pipeline.work.verifying import Finding, IdRegister, RootCheck, ShardCheck, error, note
from pipeline.work.withdrawing import dialogue_of

ROWS_AT_A_TIME = 20
"""Rows with media held in memory at once."""

MAX_EXAMPLES = 5
"""Findings of one code in one file that are told one by one; the others are counted."""

OTHER_VERSION = (
    "whole, with the columns of another version of this program, so its rows were not checked; `run` its manifest, "
    "which packs it anew and renders nothing"
)


@dataclass
class Verification:
    """What was found.

    Attributes:
        damaged: Files that a run can rebuild once they are out of its way.
        num_alike: Findings left out since there were enough like them, by code and file.
        on_bytes: Told of each file's bytes as they are read.
    """

    folder: CorpusFolder
    on_bytes: Callable[[int], None] = lambda number: None
    findings: list[Finding] = field(default_factory=list)
    damaged: dict[Path, None] = field(default_factory=dict)
    num_files: int = 0
    num_dialogues: int = 0
    num_assets: int = 0
    num_alike: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: Counter[tuple[str, str]] = field(default_factory=Counter)
    _taken_down: Collection[str] = ()

    @property
    def is_sound(self) -> bool:
        """True where there is nothing but notes."""
        return not any(finding.severity == "error" for finding in self.findings)

    def run(self) -> None:
        """Check the whole corpus; changes nothing.

        Raises:
            CorpusError: there is no corpus, or it was written by a later version of this program.
        """
        root = self.folder.root
        if not (root / "ledger.json").exists() and not self.folder.work.is_dir():
            raise CorpusError(f"{root}: is no corpus: neither ledger.json nor work/ is there")
        self._taken_down, findings = check_takedowns(root)
        for finding in findings:
            self._add(finding)
        ledger = self._read_root()
        if ledger is not None:
            self._check_card(ledger)
            self._check_published(ledger)
        elif not (root / "ledger.json").exists():
            self._add(note("not_packed", "ledger.json", "is not there: nothing has been published yet"))
        self._check_plans()
        for folder in self._stage_folders():
            self._check_stages(folder)
        for finding, path in TokenFiles(self.folder).check(self._check_named):
            self._add(finding, path)
        for finding in check_verdicts(root):
            self._add(finding)
        self._note_leftovers()

    def _add(self, finding: Finding, path: Path | None = None) -> None:
        """Keep a finding, or count it; ``path`` is what a run rebuilds once it is set aside."""
        key = (finding.code, finding.where.partition(": ")[0])
        self._examples[key] += 1
        if self._examples[key] <= MAX_EXAMPLES:
            self.findings.append(finding)
        else:
            self.num_alike[key] += 1
        if path is not None and finding.severity == "error":
            self.damaged[path] = None

    def _read_root(self) -> Ledger | None:
        path = self.folder.root / "ledger.json"
        try:
            return self.folder.read_ledger()
        except CorpusError as exc:
            if "schema version" in str(exc):
                raise
            self._add(error("ledger_damaged", "ledger.json", str(exc)), path)
            return None

    def _check_card(self, ledger: Ledger) -> None:
        path = self.folder.root / "README.md"
        if not path.is_file():
            self._add(error("file_missing", "README.md", "the ledger names it and it is not there"))
        elif sha256_hex(path.read_bytes()) != ledger.card_sha256:
            self._add(error("hash_differs", "README.md", "its SHA-256 is not the one in ledger.json"), path)
        self.num_files += 1

    def _check_published(self, ledger: Ledger) -> None:
        root, ids = RootCheck(), IdRegister()
        is_whole = True
        for entry in ledger.shards:
            made = self._read_shard_ledger(entry)
            if made is None:
                is_whole = False
                continue
            root.add(made)
            self._check_shard(made, entry, ids)
        if is_whole:
            for finding in root.finish(ledger):
                self._add(finding, self.folder.root / "ledger.json")

    def _read_shard_ledger(self, entry: ShardEntry) -> ShardLedger | None:
        self.num_files += 1
        try:
            path = self.folder.inside(entry.path)
            made = self.folder.read_shard_ledger(entry)
        except CorpusError as exc:
            is_there = (self.folder.root / entry.path).is_file()
            finding = error("hash_differs" if is_there else "file_missing", entry.path, str(exc))
            self._add(finding, self.folder.root / entry.path if is_there else None)
            return None
        except ValidationError as exc:
            self._add(error("ledger_damaged", entry.path, exc.errors(include_url=False)[0]["msg"]), path)
            return None
        if (made.shard, made.order_key) != (entry.shard, entry.order_key):
            self._add(error("ledger_damaged", entry.path, "its shard and order key are not those in ledger.json"), path)
        return made

    def _check_shard(self, ledger: ShardLedger, entry: ShardEntry, ids: IdRegister) -> None:
        check = ShardCheck(ledger, ids)
        places = {table: place for place, table in enumerate(PUBLISHED)}
        for file in sorted(ledger.files, key=lambda file: places.get(file.table, -1)):
            if not self._check_file(file, check):
                check.skip(file.table)
        for finding in check.finish(entry.path):
            # The rows are at fault or the counts are: packing the shard again mends either.
            self._add(finding, self.folder.inside(entry.path))

    def _check_file(self, entry: FileEntry, check: ShardCheck) -> bool:
        """Check a published file and its rows; False where the rows could not all be read."""
        self.num_files += 1
        try:
            path = self.folder.inside(entry.path)
        except CorpusError as exc:
            self._add(error("path_outside", entry.path, str(exc)))
            return False
        if finding := self._check_hash(path, entry.path, entry.num_bytes, entry.sha256):
            self._add(finding, path)
            return False
        if entry.table not in PUBLISHED:
            self._add(error("table_unknown", entry.path, f"{entry.table!r:.40} is no table of a corpus"))
            return False
        num_rows = 0
        try:
            if not pq.read_schema(path).equals(PUBLISHED[entry.table]):
                # As it was written, by its hash: there is nothing to set aside.
                self._add(error("other_version", entry.path, OTHER_VERSION))
                return False
            for row in _rows(path):
                num_rows += 1
                if dialogue_of(entry.table, row) in self._taken_down:
                    self._add(error("taken_down", entry.path, f"{row['id']}: belongs to what was taken down"), path)
                for finding in check.take(entry.table, row, entry.path, PROBES.get(entry.table)):
                    self._add(finding, path)
        except (OSError, pa.ArrowException) as exc:
            self._add(error("file_unreadable", entry.path, str(exc)), path)
            return False
        if num_rows != entry.num_rows:
            message = f"has {say_count(num_rows, 'row')}, the shard's ledger says {entry.num_rows:,}"
            self._add(error("count_wrong", entry.path, message), path)
        self.num_dialogues += num_rows if entry.table == "dialogues" else 0
        self.num_assets += num_rows if entry.table in PROBES else 0
        return True

    def _check_named(self, path: Path, where: str, num_bytes: int, sha256: str) -> Finding | None:
        self.num_files += 1
        return self._check_hash(path, where, num_bytes, sha256)

    def _check_hash(self, path: Path, where: str, num_bytes: int, sha256: str) -> Finding | None:
        try:
            size = path.stat().st_size
            if size != num_bytes:
                return error("size_differs", where, f"has {size:,} bytes, shall have {num_bytes:,}")
            self.on_bytes(size)
            if sha256_file(path) != sha256:
                return error("hash_differs", where, "has the right size and other bytes than its SHA-256 says")
        except FileNotFoundError:
            return error("file_missing", where, "a ledger or receipt names it and it is not there")
        except OSError as exc:
            return error("file_unreadable", where, str(exc.strerror or exc))
        return None

    def _check_plans(self) -> None:
        """Read what was decided about the corpus as a whole: the plan, and which topics were held back."""
        try:
            self.folder.read_plan()
        except CorpusError as exc:
            self._add(error("plan_damaged", "work/plan.parquet", str(exc)))
        _, problem = self.folder.look_at_topic_screen()
        if problem is not None:
            path = self.folder.work / TOPIC_SCREEN
            self._add(error("screen_damaged", self._name(path), problem), path)

    def _stage_folders(self) -> Iterator[ShardFolder]:
        if (self.folder.work / "topics").is_dir():
            yield self.folder.topics()
        if (self.folder.work / "texts").is_dir():
            yield self.folder.texts()
        for index in self.folder.shard_indices():
            yield self.folder.shard(index)
        if (self.folder.work / "batches").is_dir():
            yield ShardFolder(self.folder.work / "batches")
        for path in sorted((self.folder.root / READINGS).glob("*")):
            if path.is_dir():
                yield ShardFolder(path)

    def _check_stages(self, store: ShardFolder) -> None:
        """Check a folder's stage files against their receipts, and count what its journals have lost."""
        named = set()
        for path in sorted(store.folder.glob("*.json")):
            where = self._name(path)
            try:
                receipt = Receipt.model_validate(read_json(path))
            except (CorpusError, ValidationError) as exc:
                self._add(error("receipt_damaged", where, str(exc).partition("\n")[0]), path)
                continue
            named.add(receipt.file)
            self._check_stage(store, receipt)
        for path in sorted(store.folder.glob("*.parquet")):
            if path.name not in named:
                self._add(note("unreferenced", self._name(path), "no receipt names it; `gc` removes it"))
        for stage in sorted({path.name.rpartition("-e")[0] for path in store.folder.glob("*-e*.jsonl")}):
            journal = store.journal(stage)
            for _ in journal.entries():
                pass
            if journal.num_damaged:
                lines = say_count(journal.num_damaged, "line")
                message = f"{lines} damaged or cut off, which counts as never written"
                self._add(note("journal_damaged", self._name(store.folder / stage), message))

    def _check_stage(self, store: ShardFolder, receipt: Receipt) -> None:
        self.num_files += 1
        path = store.folder / Path(receipt.file).name
        where = self._name(path)
        if finding := self._check_hash(path, where, receipt.num_bytes, receipt.sha256):
            self._add(finding, path)
            return
        try:
            with pq.ParquetFile(path) as file:
                num_rows = file.metadata.num_rows
        except (OSError, pa.ArrowException) as exc:
            self._add(error("file_unreadable", where, str(exc)), path)
            return
        if num_rows != receipt.num_rows or receipt.num_ok + receipt.num_failed > num_rows:
            claimed = f"{receipt.num_rows} with {receipt.num_ok} ok and {receipt.num_failed} failed"
            message = f"has {say_count(num_rows, 'row')}, its receipt says {claimed}"
            self._add(error("count_wrong", where, message), path)

    def _note_leftovers(self) -> None:
        """Name what lies about: files that no ledger names, leftovers of kills, files set aside before."""
        root = self.folder.root
        try:
            ledger = self.folder.read_ledger()
            unreferenced = self.folder.find_unreferenced(ledger) if ledger else []
        except (CorpusError, ValidationError):
            unreferenced = []  # without all ledgers nobody can tell, and the damaged one is named already
        set_aside = {path for path in root.rglob(f"*{DAMAGED}") if path.is_file()}
        partial = {path for path in root.rglob(f"*{PARTIAL}") if path.is_file()}
        for path in sorted(set_aside):
            self._add(note("set_aside", self._name(path), "was found damaged before; `gc` removes it"))
        for path in sorted(partial):
            self._add(note("partial", self._name(path), "was being written when a run ended; `gc` removes it"))
        for path in unreferenced:
            if path not in set_aside | partial:
                self._add(note("unreferenced", self._name(path), "no ledger names it; `gc` removes it"))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder.root).as_posix()


def _rows(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
            yield from batch.to_pylist()


def total_bytes(folder: CorpusFolder) -> int:
    """Return about how many bytes there are to read."""
    places = [folder.root / name for name in (*PUBLISHED_FOLDERS, "work", READINGS, TOKENS)]
    return sum(path.stat().st_size for place in places for path in place.rglob("*.parquet") if path.is_file())


def _can_compose(shard: ShardFolder) -> bool:
    """Whether a shard's scenarios are there, or the journal that they are made from."""
    return shard.receipt(scenarios.STAGE) is not None or shard.journal(scenarios.STAGE).num_bytes() > 0


def set_aside(folder: CorpusFolder, damaged: list[Path]) -> tuple[list[Path], list[Path]]:
    """Rename damaged files out of a run's way; the caller holds the corpus's lock.

    Returns:
        What was renamed, and what was left since there are no stage files to pack it from again.
    """
    renamed, left = [], []
    can_rebuild = find_command(folder.root) is not None or any(
        _can_compose(folder.shard(index)) for index in folder.shard_indices()
    )
    for path in damaged:
        # What is not published can be made, measured or encoded again without any stage file.
        names = ("work", READINGS, TOKENS)
        working = [place for name in names for place in (folder.root / name, (folder.root / name).resolve())]
        if not can_rebuild and not any(path.is_relative_to(place) for place in working):
            left.append(path)
            continue
        if path.exists():
            try:
                path.replace(path.with_name(path.name + DAMAGED))
            except OSError as exc:
                raise CorpusError(f"{path}: cannot be renamed: {exc.strerror}; mend the folder's permissions") from exc
            renamed.append(path)
    return renamed, left
