"""``hf``: one row a dialogue with all its media, as ``datasets.load_dataset`` decodes them, and a data card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.adapters.exports.rows import RowFile
from pipeline.contracts.export import ExportOptions, ExportSummary, Sample
from pipeline.contracts.storage import Row

_BYTES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PART = pa.struct(
    [
        ("kind", pa.string()),
        ("text", pa.string()),
        ("spoken", pa.string()),
        ("edits", pa.string()),
        ("asset", pa.string()),
        ("place", pa.int32()),
        ("voice", pa.string()),
        ("duration", pa.float64()),
    ]
)
MEDIA = {"image": "images", "music": "music", "speech": "speech"}
_TEXTS = ("id", "topic", "meta_topic", "language", "cell", "scenario")


def _text_feature() -> dict[str, str]:
    return {"dtype": "string", "_type": "Value"}


def _features() -> dict[str, Any]:
    """The columns as ``datasets`` states them; :data:`SCHEMA` carries them in its metadata."""
    part: dict[str, Any] = {name: _text_feature() for name in ("kind", "text", "spoken", "edits", "asset", "voice")}
    part |= {"place": {"dtype": "int32", "_type": "Value"}, "duration": {"dtype": "float64", "_type": "Value"}}
    ordered = {field.name: part[field.name] for field in _PART}
    turn = {"role": _text_feature(), "parts": {"feature": ordered, "_type": "List"}}
    features: dict[str, Any] = {name: _text_feature() for name in _TEXTS}
    features["num_rounds"] = {"dtype": "int16", "_type": "Value"}
    features["turns"] = {"feature": turn, "_type": "List"}
    features["images"] = {"feature": {"_type": "Image"}, "_type": "List"}
    for name in ("music", "speech"):
        features[name] = {"feature": {"_type": "Audio"}, "_type": "List"}
    return features


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("num_rounds", pa.int16()),
        ("turns", pa.list_(pa.struct([("role", pa.string()), ("parts", pa.list_(_PART))]))),
        *((name, pa.list_(_BYTES)) for name in MEDIA.values()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _features()}})},
)


class DialogueRows:
    """One file of dialogues. A part's ``place`` counts from 0 in its dialogue's column of that kind."""

    def __init__(self, staging: Path, split: str, shard: int) -> None:
        self._file = RowFile(staging, f"data/{split}-{shard:05d}.parquet", SCHEMA, tuple(MEDIA.values()))

    def add(self, sample: Sample) -> None:
        """Write a dialogue."""
        media: dict[str, list[Row]] = {name: [] for name in MEDIA.values()}
        turns = [
            {"role": turn["role"], "parts": [dict(part) for part in turn["parts"]]} for turn in sample.row["turns"]
        ]
        num_bytes = 0
        for piece in sample.pieces():
            if piece.medium is None:
                continue
            column = media[MEDIA[piece.medium.kind]]
            medium = piece.medium
            stated = {"place": len(column), "voice": medium.row.get("voice"), "duration": medium.row.get("duration")}
            turns[piece.turn]["parts"][piece.part] |= stated
            column.append({"bytes": medium.data, "path": f"{sample.id}-{piece.place}.{medium.extension}"})
            num_bytes += len(medium.data)
        row = {name: sample.row.get(name) for name in (*_TEXTS, "num_rounds")}
        self._file.add({**row, "turns": turns, **media}, num_bytes)

    def close(self) -> Mapping[str, int]:
        """End the file."""
        return self._file.close()


class HfPlugin:
    """Needs nothing but pyarrow to be written."""

    name = "hf"
    version = "1"
    summary = "Parquet with Image and Audio features and a data card: datasets, the Hub's viewer"
    usage = 'datasets.load_dataset("FOLDER")'
    options = ExportOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: ExportOptions, staging: Path, split: str, shard: int) -> DialogueRows:
        """Begin ``data/<split>-<shard>.parquet``."""
        return DialogueRows(staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """Name the files of each split; the Hub would guess splits from file names otherwise, and guess wrong."""
        files = [
            {"split": split, "path": [file.path for part in parts for file in part.files]}
            for split, parts in summary.splits.items()
        ]
        return [{"config_name": "default", "data_files": files}] if files else []

    def finish(self, options: ExportOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Nothing but the card stands beside the files."""
        return ()


PLUGIN = HfPlugin()
