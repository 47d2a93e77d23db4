"""Rows of a part into one Parquet file, a small group of them at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.storage import Row
from pipeline.values.units import Bytes

GROUP_BYTES: Bytes = 32 * 2**20
GROUP_ROWS = 1_000
"""A row group is closed at whichever comes first: the Hub's viewer reads one whole, and a shuffled reader too."""

MEDIA_AT_A_TIME = 8
"""Values after which a page may end. By default pyarrow looks every 1,024, so that a group's media would be one page,
grown in memory from nothing each time."""


class RowFile:
    """A Parquet file that is written row by row.

    Args:
        path: Below ``staging``, with forward slashes.
        packed: Columns of media, which are compressed already.
    """

    def __init__(self, staging: Path, path: str, schema: pa.Schema, packed: tuple[str, ...]) -> None:
        self._path = path
        target = staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        leaves = _leaves(schema)
        plain = [leaf for leaf in leaves if leaf.split(".")[0] not in packed]
        self._schema = schema
        self._writer = pq.ParquetWriter(
            target,
            schema,
            compression={leaf: "ZSTD" if leaf in plain else "NONE" for leaf in leaves},
            # Media are all different, and the least and the largest of them tell nobody anything.
            use_dictionary=plain,
            write_statistics=plain,
            write_page_checksum=True,
            write_batch_size=MEDIA_AT_A_TIME if packed else None,
        )
        self._rows: list[Row] = []
        self._num_bytes: Bytes = 0
        self._num_rows = 0

    def add(self, row: Row, num_bytes: Bytes) -> None:
        """Write a row that carries so many bytes of media."""
        self._rows.append(row)
        self._num_bytes += num_bytes
        if self._num_bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def close(self) -> Mapping[str, int]:
        """End the file; return its rows by its path."""
        self._flush()
        self._writer.close()
        return {self._path: self._num_rows}

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema), row_group_size=len(self._rows))
            self._num_rows += len(self._rows)
            self._rows, self._num_bytes = [], 0


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of all columns as Parquet knows them."""
    found = []
    for field in schema:
        found += [field.name + rest for rest in _below(field.type)]
    return found


def _below(kind: pa.DataType) -> list[str]:
    if pa.types.is_struct(kind):
        return [f".{kind.field(i).name}{rest}" for i in range(kind.num_fields) for rest in _below(kind.field(i).type)]
    if pa.types.is_list(kind):
        return [f".list.element{rest}" for rest in _below(kind.value_type)]
    return [""]
