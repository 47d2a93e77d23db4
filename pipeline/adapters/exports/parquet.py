"""``parquet``: one row a part, media inline, for whoever asks questions in SQL or data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.adapters.exports.rows import RowFile
from pipeline.contracts.export import ExportOptions, ExportSummary, Piece, Sample

SCHEMA = pa.schema(
    [
        ("dialogue_id", pa.string()),
        ("topic", pa.string()),
        ("meta_topic", pa.string()),
        ("language", pa.string()),
        ("cell", pa.string()),
        ("turn", pa.int16()),
        ("part", pa.int16()),
        ("role", pa.string()),
        ("kind", pa.string()),
        ("text", pa.string()),
        ("asset", pa.string()),
        ("media", pa.binary()),
        ("format", pa.string()),
        ("voice", pa.string()),
        ("duration", pa.float64()),
        ("sample_rate", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
_OF_DIALOGUE = ("topic", "meta_topic", "language", "cell")
_OF_MEDIUM = ("voice", "duration", "sample_rate", "width", "height")


class PartRows:
    """One file of parts."""

    def __init__(self, staging: Path, split: str, shard: int) -> None:
        self._file = RowFile(staging, f"{split}/{shard:05d}.parquet", SCHEMA, ("media",))

    def add(self, sample: Sample) -> None:
        """Write a row for each part."""
        about = {name: sample.row.get(name) for name in _OF_DIALOGUE}
        for piece in sample.pieces():
            row = {"dialogue_id": sample.id, **about, **_describe(piece)}
            self._file.add(row, len(piece.medium.data) if piece.medium else 0)

    def close(self) -> Mapping[str, int]:
        """End the file."""
        return self._file.close()


def _describe(piece: Piece) -> dict[str, object]:
    row: dict[str, object] = {
        "turn": piece.turn,
        "part": piece.part,
        "role": piece.role,
        "kind": piece.kind,
        "text": piece.text,
    }
    if piece.medium is not None:
        row |= {"asset": piece.medium.row["id"], "media": piece.medium.data, "format": piece.medium.extension}
        row |= {name: piece.medium.row.get(name) for name in _OF_MEDIUM}
    return row


class ParquetPlugin:
    """Needs nothing but pyarrow."""

    name = "parquet"
    version = "1"
    summary = "plain Parquet, one row a part with its media: DuckDB, Polars, pandas"
    usage = "duckdb.sql(\"SELECT kind, count(*) FROM 'FOLDER/*/*.parquet' GROUP BY kind\")"
    options = ExportOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: ExportOptions, staging: Path, split: str, shard: int) -> PartRows:
        """Begin ``<split>/<shard>.parquet``."""
        return PartRows(staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """It is not for the Hub."""
        return ()

    def finish(self, options: ExportOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Nothing stands beside the files."""
        return ()


PLUGIN = ParquetPlugin()
