"""Parquet files of a corpus: equal rows make equal files, whatever shape the rows come in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.table_file import write_table
from pipeline.contracts.storage import Row, Rows
from pipeline.work.tables import PUBLISHED

SPEECH = PUBLISHED["speech"]


def clips(count: int) -> list[Row]:
    return [
        {
            "id": f"{number:016x}-00-00-a0",
            "audio": {"bytes": bytes([number % 251]) * 900, "path": f"{number}.flac"},
            "voice": "anna",
            "turn": number % 7,
            "scores": [{"measure": "speech.rate", "value": 0.5}] if number % 3 else [],
            "repairs": [],
        }
        for number in range(count)
    ]


def as_tables(rows: list[Row], *sizes: int) -> Iterable[pa.Table]:
    """Yield tables of these sizes, over and over, until all rows are in one."""
    at = 0
    while at < len(rows):
        for size in sizes:
            if at < len(rows):
                yield pa.Table.from_pylist(rows[at : at + size], SPEECH)
            at += size


@pytest.mark.parametrize("count", [1, 99, 100, 101, 257])
@pytest.mark.parametrize("sizes", [(100,), (33,), (7, 100, 250)])
def test_columns_make_the_file_that_rows_make(tmp_path: Path, count: int, sizes: tuple[int, ...]) -> None:
    made = clips(count)
    forms: list[Rows] = [iter(made), as_tables(made, *sizes)]
    (path, digest, num_rows), (again, other_digest, other_rows) = [
        write_table(tmp_path, "train-00000", SPEECH, form) for form in forms
    ]
    assert (path, digest, num_rows) == (again, other_digest, other_rows)
    assert num_rows == count
    with pq.ParquetFile(path) as file:
        assert [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)] == [
            min(100, count - start) for start in range(0, count, 100)
        ]
        assert file.read().to_pylist() == pa.Table.from_pylist(made, SPEECH).to_pylist()


def test_media_lie_in_the_file_as_they_are(tmp_path: Path) -> None:
    made = clips(150)
    path, _, _ = write_table(tmp_path, "train-00000", SPEECH, made)
    with pq.ParquetFile(path) as file:
        columns = [file.metadata.row_group(0).column(index) for index in range(file.metadata.num_columns)]
    codecs = {column.path_in_schema: column.compression for column in columns}
    assert codecs.pop("audio.bytes") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}
    assert {"audio.path", "scores.list.element.measure"} < codecs.keys()
    data = path.read_bytes()
    assert all(clip["audio"]["bytes"] in data for clip in made)


def test_no_rows_make_a_file_without_rows(tmp_path: Path) -> None:
    path, _, num_rows = write_table(tmp_path, "failed", PUBLISHED["failed"], [])
    assert num_rows == 0
    assert pq.read_table(path).schema.names == PUBLISHED["failed"].names
