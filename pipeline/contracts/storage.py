"""Where stages keep what they make: journals while they work, stage files when they are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol

import pyarrow as pa
from pydantic import Field

from pipeline.values.records import Record
from pipeline.values.units import Bytes

Row = dict[str, Any]

Rows = Iterable[Row] | Iterable[pa.Table]
"""Rows for a table, one by one or already some at a time in columns."""

PlainName = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]{0,199}$")]
"""A name in a folder, and never a path: who reads a corpus follows what its receipts say."""


class Receipt(Record):
    """A stage's commit point in a shard: names the file, what it was made from and what it came to.

    Attributes:
        file: Name beside the receipt; carries the first digits of its SHA-256.
        footer_sha256: SHA-256 of the Parquet footer, the only part of a file that no page checksum covers;
            None where it was not taken.
        order_key: Hash over the ids and input keys of all rows that were asked for.
        num_ok, num_failed: Over the rows asked for; a file may carry more (topics since removed).
        facts: Small sums for the ledger, e.g. spend by model.
    """

    stage: PlainName
    file: PlainName
    sha256: str
    footer_sha256: str | None = None
    num_bytes: Bytes
    num_rows: int
    order_key: str
    num_ok: int
    num_failed: int
    facts: Mapping[str, Any] = {}


class Journal(Protocol):
    """Append-only notes of one stage of one shard, readable after any kill."""

    def entries(self, event: str | None = None) -> Iterator[Row]:
        """Yield all whole entries, or those of one event, oldest segment first; damaged lines are not raised."""
        ...

    def blob(self, entry: Row) -> bytes | None:
        """Return the bytes appended with an entry, or None where they are missing or do not match their SHA-256."""
        ...

    def append(self, entry: Row, blob: bytes | None = None) -> Row:
        """Write one entry through to the operating system before returning it as :meth:`entries` yields it."""
        ...

    def num_bytes(self) -> Bytes:
        """Size of all entries together, without the bytes beside them; it grows with every entry."""
        ...


class ShardStore(Protocol):
    """One shard's folder."""

    def receipt(self, stage: str) -> Receipt | None:
        """Return the stage's receipt, or None where it never committed or its file is gone."""
        ...

    def rows(self, stage: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield the committed rows, a row group at a time; nothing where there is no commit.

        A damaged file is set aside and counts as no commit, so that its rows are made again from the journal.
        """
        ...

    def row_groups(self, stage: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the same as :meth:`rows`, in columns."""
        ...

    def row(self, stage: str, record_id: str, columns: Sequence[str] | None = None) -> Row | None:
        """Return one committed row, reading no more than its row group; None where it is not there or damaged."""
        ...

    def commit(self, stage: str, schema: pa.Schema, rows: Rows, **receipt: Any) -> Receipt:
        """Write rows beside and rename, then the receipt. Raises StaleWriter where the lock was lost."""
        ...

    def restate(self, receipt: Receipt) -> Receipt:
        """Replace the receipt alone: the rows asked for changed, the rows needed are all there."""
        ...

    def journal(self, stage: str) -> Journal:
        """Open the stage's journal for this run's epoch."""
        ...
