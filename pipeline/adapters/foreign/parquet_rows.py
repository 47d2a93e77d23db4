"""Parquet files with a row a dialogue (``hf``) or a row a part (``parquet``), media inline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.foreign.folder import SourceFolder, fetch_nothing
from pipeline.contracts.foreign import ForeignUnit, RawDialogue, Unreadable
from pipeline.contracts.storage import Row
from pipeline.values.errors import ManifestError

ROWS_AT_A_TIME = 4
"""A row of ``hf`` holds all media of its dialogue."""


class ParquetReader:
    """Reads rows, or runs of rows that have one value in a column.

    Args:
        needed: Columns without which a file is none of this layout.
        together: Column whose equal neighbours make one dialogue; None where each row does.
    """

    def __init__(self, source: SourceFolder, needed: Sequence[str], together: str | None = None) -> None:
        self._source = source
        self._needed = needed
        self._together = together

    def units(self) -> list[ForeignUnit]:
        """Return all Parquet files, each on its own.

        Raises:
            ManifestError: there is none, or one lacks a column, cannot be read or is a link out of the source.
        """
        units = [ForeignUnit(self._source.name(path), (path,)) for path in self._source.find("**/*.parquet")]
        if not units:
            raise ManifestError(f"{self._source.root}: holds no Parquet files; check the path and --from")
        for unit in units:
            self._check(unit)
        return units

    def read(self, unit: ForeignUnit) -> Iterator[RawDialogue | Unreadable]:
        """Yield dialogues in the order of their rows.

        Raises:
            ManifestError: the file is damaged.
        """
        rows = self._rows(unit)
        if self._together is None:
            for number, row in enumerate(rows, 1):
                yield RawDialogue(f"{unit.name} row {number}", row, fetch_nothing)
            return
        column, start = self._together, 1
        for _, some in groupby(rows, key=lambda row: row[column]):
            run = list(some)
            yield RawDialogue(f"{unit.name} row {start}", run, fetch_nothing)
            start += len(run)

    def _rows(self, unit: ForeignUnit) -> Iterator[Row]:
        try:
            with pq.ParquetFile(unit.files[0], page_checksum_verification=True) as file:
                for batch in file.iter_batches(ROWS_AT_A_TIME):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as exc:
            raise self._damaged(unit, exc) from exc

    def _check(self, unit: ForeignUnit) -> None:
        try:
            names = pq.read_schema(unit.files[0]).names
        except (OSError, pa.ArrowException) as exc:
            raise self._damaged(unit, exc) from exc
        if missing := [name for name in self._needed if name not in names]:
            raise ManifestError(
                f"{unit.files[0]}: has no column {', '.join(missing)}, which this layout has; check --from"
            )

    def _damaged(self, unit: ForeignUnit, exc: Any) -> ManifestError:
        return ManifestError(f"{unit.files[0]}: cannot be read as Parquet: {exc}; fetch or export it again")
