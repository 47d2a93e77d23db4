"""A corpus on disk: shard folders with their stage files and receipts, and the tables that are published."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.adapters.files import sha256_file, write_json
from pipeline.adapters.journal import FileJournal
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.table_file import read_table, write_table
from pipeline.contracts.storage import Receipt, Row, Rows
from pipeline.values.ids import sha256_hex

DAMAGED = ".damaged"


class ShardFolder:
    """One shard's folder under ``work/shards/``, or ``work/topics``; implements ``ShardStore``."""

    def __init__(self, folder: Path, lock: CorpusLock | None = None) -> None:
        self.folder = folder
        self._lock = lock

    def receipt(self, stage: str) -> Receipt | None:
        """Return the stage's receipt, or None where it never committed or its file is gone or cut."""
        path = self.folder / f"{stage}.json"
        try:
            receipt = Receipt.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            # A receipt is made again from its stage: the rows are in the journal.
            path.rename(path.with_name(path.name + DAMAGED))
            return None
        try:
            is_there = (self.folder / receipt.file).stat().st_size == receipt.num_bytes
        except FileNotFoundError:
            return None
        if not is_there:
            self._set_aside(receipt)
            return None
        return receipt

    def rows(self, stage: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield the committed rows a row group at a time; a damaged file is set aside and yields nothing more."""
        for group in self.row_groups(stage, columns):
            yield from group.to_pylist()

    def row_groups(self, stage: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the committed row groups; a damaged file is set aside and yields nothing more."""
        receipt = self.receipt(stage)
        if receipt is None:
            return
        try:
            if receipt.footer_sha256 not in (None, _hash_footer(self.folder / receipt.file)):
                self._set_aside(receipt)
                return
            # Workers share the machine's cores, and a group is too small to be divided among threads or read ahead.
            with pq.ParquetFile(self.folder / receipt.file, pre_buffer=False, page_checksum_verification=True) as file:
                for index in range(file.num_row_groups):
                    yield file.read_row_group(index, columns=columns, use_threads=False)
        except (OSError, pa.ArrowException):
            self._set_aside(receipt)

    def table(self, stage: str, columns: Sequence[str]) -> pa.Table | None:
        """Return some columns of all committed rows, for sums over many; None where they are not there or damaged."""
        receipt = self.receipt(stage)
        if receipt is None:
            return None
        try:
            if receipt.footer_sha256 in (None, _hash_footer(self.folder / receipt.file)):
                return read_table(self.folder / receipt.file, columns)
            self._set_aside(receipt)
        except (OSError, pa.ArrowException):
            self._set_aside(receipt)
        return None

    def row(self, stage: str, record_id: str, columns: Sequence[str] | None = None) -> Row | None:
        """Return one committed row, reading no more than its row group; None where it is not there or damaged."""
        receipt = self.receipt(stage)
        if receipt is None:
            return None
        try:
            with pq.ParquetFile(self.folder / receipt.file, page_checksum_verification=True) as file:
                for index in range(file.num_row_groups):
                    ids = file.read_row_group(index, columns=["record_id"]).column(0)
                    place: int = pc.index(ids, record_id).as_py()
                    if place >= 0:
                        return dict(file.read_row_group(index, columns=columns).slice(place, 1).to_pylist()[0])
        except (OSError, pa.ArrowException):
            self._set_aside(receipt)
        return None

    def is_sound(self, stage: str) -> bool:
        """Read the whole stage file once; False, and the file set aside, where it is damaged."""
        receipt = self.receipt(stage)
        if receipt is None:
            return True
        if sha256_file(self.folder / receipt.file) == receipt.sha256:
            return True
        self._set_aside(receipt)
        return False

    def commit(self, stage: str, schema: pa.Schema, rows: Rows, **receipt: Any) -> Receipt:
        """Write rows beside and rename, then the receipt; the file that it replaces is removed."""
        former = self.receipt(stage)
        path, sha256, num_rows = write_table(self.folder, stage, schema, rows, self._lock)
        made = Receipt(
            stage=stage,
            file=path.name,
            sha256=sha256,
            footer_sha256=_hash_footer(path),
            num_bytes=path.stat().st_size,
            num_rows=num_rows,
            **receipt,
        )
        self.restate(made)
        if former is not None and former.file != made.file:
            (self.folder / former.file).unlink(missing_ok=True)
        return made

    def restate(self, receipt: Receipt) -> Receipt:
        """Replace the receipt alone."""
        write_json(self.folder / f"{receipt.stage}.json", receipt.model_dump(mode="json"), self._may_commit)
        return receipt

    def journal(self, stage: str) -> FileJournal:
        """Open the stage's journal; a reader without a lock can only read."""
        return FileJournal(self.folder, stage, self._lock.epoch if self._lock else 0)

    def set_asides(self) -> list[Path]:
        """Damaged files that were set aside here."""
        return sorted(self.folder.glob(f"*{DAMAGED}"))

    def _may_commit(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _set_aside(self, receipt: Receipt) -> None:
        path = self.folder / receipt.file
        if path.exists():
            path.rename(path.with_name(path.name + DAMAGED))


def _hash_footer(path: Path) -> str:
    """SHA-256 of a Parquet file's metadata with its length, which stands in four bytes before the last four."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - 8 - length))
        return sha256_hex(file.read(length + 8))
