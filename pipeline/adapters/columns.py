"""Of which kind the columns of a corpus must be, for whoever reads its Parquet files: they may come from anywhere.

Page checksums cover no names and no types of columns. A column that is not there is its reader's business; one that is
there and of another kind would be met as a wrong value anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from pipeline.values.errors import CorpusError

_Test = Callable[[pa.DataType], bool]


def check_kinds(path: Path, schema: pa.Schema) -> None:
    """Refuse a file of which a column is of another kind than readers take it for.

    Raises:
        CorpusError: names the file, the column, its type and what it must be.
    """
    for column in schema:
        words, is_so = KINDS.get(column.name, ("", _is_anything))
        if not _is_so(column.type, is_so):
            raise CorpusError(
                f"{path}: column {column.name!r} is {str(column.type)[:200]}, must be {words}; "
                "run `anyinstruct verify` on the corpus"
            )


def _is_so(kind: pa.DataType, test: _Test) -> bool:
    """Whether a type passes a test; of what has no values it cannot be told what they are."""
    return bool(pa.types.is_null(kind)) or test(kind)


def _is_anything(kind: pa.DataType) -> bool:
    return True


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType, of: _Test) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_so(kind.value_type, of)


def _are_texts(kind: pa.DataType) -> bool:
    return _is_list(kind, _is_text)


def _has(kind: pa.DataType, /, **fields: _Test) -> bool:
    return bool(pa.types.is_struct(kind)) and all(
        kind.get_field_index(name) >= 0 and _is_so(kind.field(name).type, test) for name, test in fields.items()
    )


def _is_medium(kind: pa.DataType) -> bool:
    return _has(kind, bytes=lambda inner: bool(pa.types.is_binary(inner) or pa.types.is_large_binary(inner)))


def _are_parts(kind: pa.DataType) -> bool:
    return _is_list(kind, lambda part: _has(part, kind=_is_text, text=_is_text))


def _are_turns(kind: pa.DataType) -> bool:
    return _is_list(kind, lambda turn: _has(turn, role=_is_text, parts=_are_parts))


def _is_count(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


_TEXT = ("text", _is_text)
_TEXTS = ("a list of texts", _are_texts)
_COUNT = ("a whole number", _is_count)
_MEDIUM = ("a struct of bytes and path", _is_medium)
_TEXT_COLUMNS = (
    "id", "dialogue_id", "part_id", "record_id", "topic", "topic_id", "meta_topic", "cell", "scenario", "inputs",
    "status", "code", "message", "sha256", "voice", "role", "slot", "stage", "description", "transcript", "extension",
)  # fmt: skip

KINDS: Mapping[str, tuple[str, _Test]] = {
    **dict.fromkeys(_TEXT_COLUMNS, _TEXT),
    **dict.fromkeys(("gives", "answers"), _TEXTS),
    **dict.fromkeys(("num_rounds", "turn", "part", "attempt", "shard"), _COUNT),
    **dict.fromkeys(("image", "audio"), _MEDIUM),
    "turns": ("a list of turns with role and parts, each part with kind and text", _are_turns),
}
"""By name: what a column must be, in words, and the test of its type."""
