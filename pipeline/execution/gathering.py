"""A corpus that no manifest makes: shard by shard out of something else, and published once it is whole.

A shard's tables are written into a staging folder and moved into place, then its ledger, then a receipt. Whoever gives
the same command again goes on behind the last receipt; until the root ledger is written there is no corpus.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.exports.rows import RowFile
from pipeline.adapters.files import PARTIAL, STAGING, read_json, sha256_file, sync_folder, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.contracts.ledger import FileEntry, ShardEntry, ShardLedger
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key
from pipeline.work.shard_tally import ShardTally
from pipeline.work.tables import PUBLISHED
from pipeline.work.withdrawing import dialogue_of

GATHERED = ("import", "merge")
"""Folders under ``work/`` with the receipts of such a corpus."""
SOURCE = "source.json"
_MEDIA = ("image", "audio")


class ShardDraft:
    """The tables of one shard, while they are written.

    Args:
        metadata: Of the tables' schemas, beside their own: what audits state of the scores in them.
        left_out: Ids of dialogues that were taken down, and of which no row is written.
    """

    def __init__(
        self, staging: Path, metadata: Mapping[bytes, bytes] | None = None, left_out: Collection[str] = frozenset()
    ) -> None:
        self.tally = ShardTally()
        self._left_out = left_out
        self._staging = staging
        self._metadata = metadata or {}
        self._files: dict[str, RowFile] = {}

    def add(self, table: str, row: Row) -> None:
        """Write a row of a published table; a file is begun at the first.

        Raises:
            CorpusError: the disk is full, or a value is of another type than its column.
        """
        if dialogue_of(table, row) in self._left_out:
            return
        try:
            if table not in self._files:
                schema = PUBLISHED[table]
                schema = schema.with_metadata({**schema.metadata, **self._metadata})
                packed = tuple(name for name in _MEDIA if name in schema.names)
                self._files[table] = RowFile(self._staging, f"{table}.parquet", schema, packed)
            self._files[table].add(row, sum(len((row.get(name) or {}).get("bytes") or b"") for name in _MEDIA))
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(f"{self._staging}: {table} {row.get('id')!r:.60} cannot be written: {exc}") from exc
        self.tally.take(table, row)

    def close(self) -> dict[str, tuple[Path, int]]:
        """End all files; return path and number of rows by table."""
        found = {}
        try:
            for table, file in self._files.items():
                found[table] = (self._staging / f"{table}.parquet", sum(file.close().values()))
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(f"{self._staging}: cannot be written: {exc}") from exc
        return found


class Gathering:
    """The shards of such a corpus.

    Args:
        work: Name of its folder under ``work/``, of :data:`GATHERED`.
        source: All that it is made from; another one is refused.
    """

    def __init__(self, out: Path, lock: CorpusLock, work: str, source: Mapping[str, Any]) -> None:
        self.folder = CorpusFolder(out, lock)
        self._lock = lock
        self._state = out / "work" / work
        self._source = source

    def begin(self) -> list[dict[str, Any]]:
        """Return the receipts of the shards that are there, from the first to the first that is not.

        Raises:
            CorpusError: the folder holds what was made from something else.
        """
        path = self._state / SOURCE
        there = read_json(path)
        if there is None:
            write_json(path, self._source, self._lock.check)
        elif there != self._source:
            raise CorpusError(
                f"{self.folder.root}: was begun from other files or with other options, or the files have changed "
                "since; name another folder, or remove this one"
            )
        receipts: list[dict[str, Any]] = []
        while (receipt := self._read_receipt(len(receipts))) is not None:
            receipts.append(receipt)
        return receipts

    def open(self, number: int, metadata: Mapping[bytes, bytes] | None = None) -> ShardDraft:
        """Begin a shard; what a kill has left of it is removed."""
        staging = self._staging(number)
        shutil.rmtree(staging, ignore_errors=True)
        return ShardDraft(staging, metadata, read_takedowns(self.folder.root))

    def commit(
        self, number: int, draft: ShardDraft, stated: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> ShardEntry | None:
        """Move a shard into place and write its ledger and receipt; a shard without rows has no ledger.

        Args:
            stated: Fields of its ledger beside those that are counted.
            facts: What the receipt is to hold, for whoever goes on behind it.
        """
        written = draft.close()
        self._lock.check()
        files = tuple(self._place(table, number, path, rows) for table, (path, rows) in written.items())
        entry = None
        if files:
            key = key_of_gathered(files, stated.get("origin", {}))
            fields = {"stages": {}, **draft.tally.state(), **stated}
            ledger = ShardLedger(shard=number, order_key=key, files=files, **fields)
            entry = self.folder.write_shard_ledger(ledger)
        receipt = {**facts, "entry": entry.model_dump(mode="json") if entry else None}
        write_json(self._receipt(number), receipt, self._lock.check)
        shutil.rmtree(self._staging(number), ignore_errors=True)
        return entry

    def _place(self, table: str, number: int, path: Path, num_rows: int) -> FileEntry:
        """Give a table the name that carries its hash."""
        sha256, size = sha256_file(path), path.stat().st_size
        folder = self.folder.root / table
        name = f"train-{number:05d}-{sha256[:12]}.parquet"
        try:
            folder.mkdir(exist_ok=True)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, folder / name)
            sync_folder(folder)
        except OSError as exc:
            raise CorpusError(f"{folder / name}: cannot be written: {exc.strerror}") from exc
        return FileEntry(table=table, path=f"{table}/{name}", sha256=sha256, num_bytes=size, num_rows=num_rows)

    def _read_receipt(self, number: int) -> dict[str, Any] | None:
        receipt = read_json(self._receipt(number))
        if not isinstance(receipt, dict):
            return None
        entry = receipt.get("entry")
        is_there = entry is None or self.folder.is_published(ShardEntry.model_validate(entry))
        return receipt if is_there else None

    def _receipt(self, number: int) -> Path:
        return self._state / f"{number:05d}.json"

    def _staging(self, number: int) -> Path:
        return self._state / f"{STAGING}{number:05d}"


def key_of_gathered(files: Sequence[FileEntry], origin: Mapping[str, Any]) -> str:
    """Return the order key of a shard of such a corpus."""
    return content_key([file.sha256 for file in files], dict(origin))


def find_receipts(corpus: Path) -> list[Path]:
    """Return the receipts of the shards of such a corpus; none where it is another, or its work folder is gone."""
    return sorted(path for work in GATHERED for path in (corpus / "work" / work).glob("[0-9]*.json"))


def entries_of(receipts: list[dict[str, Any]]) -> list[ShardEntry]:
    """Return the shards that receipts name."""
    return [ShardEntry.model_validate(receipt["entry"]) for receipt in receipts if receipt["entry"] is not None]


def find_command(corpus: Path) -> str | None:
    """Return the command that such a corpus comes from and can be mended by, or None for other corpora."""
    return next((work for work in GATHERED if (corpus / "work" / work / SOURCE).is_file()), None)


def check_unmade(corpus: Path) -> None:
    """Refuse to run a manifest on a corpus that none makes: it would replace what was taken over.

    Raises:
        CorpusError: it was imported or merged, or is being so.
    """
    if work := find_command(corpus):
        raise CorpusError(
            f"{corpus}: comes from `anyinstruct {work}`, so there is no manifest to run on it; `audit`, `report`, "
            "`review`, `diff`, `export` and `merge` take it as it is, and a manifest makes a corpus of its own"
        )
    try:
        ledger = CorpusFolder(corpus).read_ledger()
    except CorpusError:
        return  # damaged, and for whoever reads it to say so
    if ledger is not None and ledger.origins:
        raise CorpusError(
            f"{corpus}: was imported or merged, so there is no manifest to run on it; see its ledger.json"
        )


def check_free(out: Path, work: str) -> None:
    """Refuse a folder that holds anything but what the same command has begun there.

    Raises:
        CorpusError: it does, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise CorpusError(f"{out}: is a file; name a folder")
    if not out.exists() or (out / "work" / work).is_dir():
        return
    # A command that was refused or killed once it had the lock leaves no more than the lock, or half of it.
    allowed = {out / "work", out / "work" / "lock", out / "work" / "epoch.json"}
    allowed |= {*(out / "work").glob(f"epoch.json.*{PARTIAL}")}
    if {*out.iterdir(), *(out / "work").glob("*")} - allowed:
        raise CorpusError(f"{out}: holds other files; name an empty folder or a new one")
