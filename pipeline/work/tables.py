"""Schemas of all Parquet files: stage files first, then what is published.

Published columns follow the Hugging Face ``Image`` (struct of bytes and path) and ``Audio`` features, declared in
the schema metadata, so that ``datasets`` decodes them without our code.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from pipeline.contracts.scores import SCORES

SCHEMA_VERSION = 1

AUDITS = "anyinstruct_audits"
"""Key of the schema metadata that says which audits were taken, and the limits that held."""

REPAIRS = "repairs"
"""Column of assets that says what was done to mend them."""

_BASE = [
    ("record_id", pa.string()),
    ("inputs", pa.string()),
    ("status", pa.string()),
    ("code", pa.string()),
    ("message", pa.string()),
]
_SPEND = [
    ("model", pa.string()),
    ("calls", pa.int32()),
    ("prompt_tokens", pa.int64()),
    ("cached_tokens", pa.int64()),
    ("completion_tokens", pa.int64()),
    ("invalid_answers", pa.int32()),
    ("usd", pa.float64()),
]
_PART = pa.struct([("kind", pa.string()), ("text", pa.string()), ("spoken", pa.string()), ("edits", pa.string())])
_TURNS = pa.list_(pa.struct([("role", pa.string()), ("parts", pa.list_(_PART))]))

TOPICS = pa.schema([*_BASE, ("topics", pa.list_(pa.string())), *_SPEND])
TEXTS = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("place", pa.int64()),
        ("shape", pa.string()),
        ("rule", pa.string()),
        ("message", pa.string()),
        ("has_system", pa.bool_()),
        ("title", pa.string()),
        ("lines", pa.list_(pa.string())),
        ("text_sha256", pa.string()),
    ]
)
"""Every row of instruction data: taken under an id, or rejected by a rule and then without id, title and turns."""
SCENARIOS = pa.schema([*_BASE, ("scenario", pa.string()), *_SPEND])
DESCRIPTIONS = pa.schema([*_BASE, ("text", pa.string()), *_SPEND])
DIALOGUES = pa.schema([*_BASE, ("turns", _TURNS), ("text_key", pa.string()), ("sketch", pa.binary()), *_SPEND])

_ASSET = [
    ("dialogue_id", pa.string()),
    ("part_id", pa.string()),
    ("turn", pa.int16()),
    ("part", pa.int16()),
    ("role", pa.string()),
    ("sha256", pa.string()),
    ("renderer", pa.string()),
    ("renderer_version", pa.string()),
    ("is_draft", pa.bool_()),
    ("seed", pa.int64()),
    ("attempt", pa.int16()),
    ("render_seconds", pa.float64()),
    ("notes", pa.string()),
]
_SIZES = [("width", pa.int32()), ("height", pa.int32())]
_EDITED_FROM = ("edited_from", pa.string())
_SOUND = [
    ("duration", pa.float64()),
    ("sample_rate", pa.int32()),
    ("channels", pa.int16()),
    ("peak", pa.float64()),
    ("rms", pa.float64()),
]
_VOICE = [("voice", pa.string()), ("rate", pa.float64()), ("emotion", pa.string()), ("spoken", pa.string())]
RENDERS = pa.schema(
    [
        *_BASE,
        *_ASSET,
        ("text", pa.string()),
        *_SIZES,
        *_SOUND,
        *_VOICE,
        *_SPEND,
        _EDITED_FROM,
        ("source_sha256", pa.string()),
        ("extension", pa.string()),
        ("data", pa.binary()),
    ]
)

_BYTES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PUBLISHED_PART = pa.struct([*_PART, ("asset", pa.string())])
_PROVENANCE = pa.struct(
    [
        ("models", pa.list_(pa.string())),
        ("prompts", pa.list_(pa.string())),
        ("demonstrations", pa.list_(pa.string())),
        ("requirements", pa.list_(pa.string())),
        ("seed", pa.int64()),
        ("calls", pa.int32()),
        ("invalid_answers", pa.int32()),
        ("usd", pa.float64()),
    ]
)
_MISSED = pa.struct([("measure", pa.string()), ("limit", pa.float64()), ("value", pa.float64())])
_SET_ASIDE = pa.struct(
    [("attempt", pa.int16()), ("description", pa.string()), ("failure", pa.string()), ("missed", pa.list_(_MISSED))]
)
_REPAIRS = (REPAIRS, pa.list_(_SET_ASIDE))
"""The attempts at an asset that were set aside for the one here; empty for one that was never repaired. A description
is stated where it is not the dialogue's own, a failure where nothing was made."""
_SCORES = (SCORES, pa.list_(pa.struct([("measure", pa.string()), ("value", pa.float64())])))
_MENDED = [*_ASSET, _REPAIRS, _SCORES]
_DIALOGUE = [
    ("id", pa.string()),
    ("topic", pa.string()),
    ("topic_id", pa.string()),
    ("meta_topic", pa.string()),
    ("language", pa.string()),
    ("cell", pa.string()),
    ("gives", pa.list_(pa.string())),
    ("answers", pa.list_(pa.string())),
    ("num_rounds", pa.int16()),
    ("scenario", pa.string()),
    ("turns", pa.list_(pa.struct([("role", pa.string()), ("parts", pa.list_(_PUBLISHED_PART))]))),
    ("provenance", _PROVENANCE),
    _SCORES,
]
_REASON = [("stage", pa.string()), ("code", pa.string()), ("message", pa.string())]
_JUDGED = [("like", pa.string()), ("score", pa.float64()), ("measure", pa.string())]
"""Of a rejection: the dialogue that it is like, where it is rejected for that, the value of what was measured, and the
measure where it fell short of a limit."""


def _with_features(schema: pa.Schema) -> pa.Schema:
    """State the columns as Hugging Face features, in the metadata where ``datasets`` looks for them."""
    features = {field.name: _feature(field.name, field.type) for field in schema}
    info = {"info": {"features": features}}
    return schema.with_metadata({"huggingface": json.dumps(info), "anyinstruct_schema": str(SCHEMA_VERSION)})


def _feature(name: str, kind: pa.DataType) -> Any:
    if name in ("image", "audio"):
        return {"_type": name.capitalize()}
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).name, kind.field(i).type) for i in range(kind.num_fields)}
    if pa.types.is_list(kind):
        return {"feature": _feature(name, kind.value_type), "_type": "List"}
    names = {"double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


PUBLISHED = {
    "dialogues": _with_features(pa.schema(_DIALOGUE)),
    "images": _with_features(
        pa.schema(
            [
                ("id", pa.string()),
                ("image", _BYTES),
                ("description", pa.string()),
                _EDITED_FROM,
                *_SIZES,
                *_MENDED,
            ]
        )
    ),
    "music": _with_features(
        pa.schema(
            [("id", pa.string()), ("audio", _BYTES), ("description", pa.string()), *_SOUND, *_ASSET, _REPAIRS, _SCORES]
        )
    ),
    "speech": _with_features(
        pa.schema(
            [
                ("id", pa.string()),
                ("audio", _BYTES),
                ("transcript", pa.string()),
                *_VOICE,
                *_SOUND,
                *_MENDED,
            ]
        )
    ),
    "rejected": _with_features(pa.schema([*_REASON, *_JUDGED, *_DIALOGUE])),
    "failed": _with_features(
        pa.schema(
            [
                *_REASON,
                ("id", pa.string()),
                ("topic", pa.string()),
                ("topic_id", pa.string()),
                ("meta_topic", pa.string()),
                ("cell", pa.string()),
                ("usd", pa.float64()),
            ]
        )
    ),
}
"""Tables of a corpus by folder; one file a shard and table."""

TABLE_OF = {"image": "images", "music": "music", "speech": "speech"}
"""Table that keeps a media modality's assets."""
