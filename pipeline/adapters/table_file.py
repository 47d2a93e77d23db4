"""How a table becomes a Parquet file of a corpus, and is read again: stage files and published tables alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.files import replacing, sha256_file, sync_folder
from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.storage import Row, Rows
from pipeline.values.errors import CorpusError

ROWS_PER_GROUP = 100
"""Larger row groups of pictures are known to exhaust the memory of dataset viewers."""


def write_table(
    folder: Path, stem: str, schema: pa.Schema, rows: Rows, lock: CorpusLock | None = None
) -> tuple[Path, str, int]:
    """Write ``<stem>-<first digits of its SHA-256>.parquet`` in row groups of at most 100 rows.

    Returns:
        Path, SHA-256 and number of rows. Equal rows make an equal file with an equal name, however they come.
    """
    num_rows = 0
    scratch = folder / f"{stem}.parquet"
    with replacing(scratch) as partial:
        # Over a hundred rows a dictionary saves nothing that zstd does not, and media would be hashed for it in vain.
        packing = _compression(schema)
        with pq.ParquetWriter(
            partial, schema, compression=packing, use_dictionary=False, write_page_checksum=True
        ) as writer:
            for group in _split(schema, rows):
                writer.write_table(group)
                num_rows += group.num_rows
        sha256 = sha256_file(partial)
        if lock is not None:
            lock.check()
    path = folder / f"{stem}-{sha256[:12]}.parquet"
    try:
        scratch.rename(path)
        sync_folder(folder)
    except OSError as exc:
        raise CorpusError(f"{path}: cannot be renamed into place: {exc.strerror}") from exc
    return path, sha256, num_rows


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file whole, or some of its columns.

    Not by ``pyarrow.parquet.read_table``, which imports pandas and pyarrow's data sets first: half a second.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowException: it is damaged, or has no such column.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        table = file.read(columns)
    if missing := [name for name in columns or () if name not in table.column_names]:
        raise pa.ArrowInvalid(f"has no column {missing[0]}")
    return table


def _compression(schema: pa.Schema) -> dict[str, str]:
    """Codec of each column: none for bytes, which are media or hashes of words and shrink no further."""
    return {
        path: "none" if pa.types.is_binary(kind) else "zstd"
        for field in schema
        for path, kind in _leaves(field.name, field.type)
    }


def _leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the columns of a field with their types, by the paths that Parquet gives them."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path, kind


def _split(schema: pa.Schema, rows: Rows) -> Iterator[pa.Table]:
    """Yield tables of 100 rows and the rest; one without rows where there are none."""
    num_groups = 0
    held = schema.empty_table()
    for some in _as_tables(schema, rows):
        held = pa.concat_tables([held, some]) if held.num_rows else some
        while held.num_rows >= ROWS_PER_GROUP:
            yield held.slice(0, ROWS_PER_GROUP).combine_chunks()
            held = held.slice(ROWS_PER_GROUP)
            num_groups += 1
    if held.num_rows or not num_groups:
        yield held.combine_chunks()


def _as_tables(schema: pa.Schema, rows: Rows) -> Iterator[pa.Table]:
    waiting: list[Row] = []
    for some in rows:
        if isinstance(some, pa.Table):
            yield some
            continue
        waiting.append(some)
        if len(waiting) == ROWS_PER_GROUP:
            yield pa.Table.from_pylist(waiting, schema)
            waiting = []
    if waiting:
        yield pa.Table.from_pylist(waiting, schema)
