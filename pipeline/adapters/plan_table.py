"""The plan as a table and back, column by column: with a hundred thousand rows, a dictionary a row takes too long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from itertools import accumulate, repeat
from typing import Any

import pyarrow as pa

from pipeline.adapters.collecting import without_collector
from pipeline.values.records import PlannedDialogue, Slot, Topic

_PLAN = pa.schema(
    [
        ("id", pa.string()),
        ("topic_id", pa.string()),
        ("topic", pa.string()),
        ("meta_topic", pa.string()),
        ("ordinal", pa.int32()),
        ("shard", pa.int32()),
        ("unit", pa.float64()),
        ("needed_at", pa.int64()),
        ("slot", pa.string()),
        ("demonstrations", pa.list_(pa.string())),
        ("requirements", pa.list_(pa.string())),
        ("features", pa.list_(pa.string())),
    ]
)

_FIELDS = {field.name: field for field in fields(PlannedDialogue)}
_PLAIN = [name for name in _PLAN.names if name in _FIELDS and name not in ("slot", "topic")]
"""Columns that are fields as they stand."""


def make_plan_table(rows: Sequence[PlannedDialogue]) -> pa.Table:
    """Return the table of a plan."""
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _PLAIN}
    columns["topic_id"] = [row.topic.id for row in rows]
    columns["topic"] = [row.topic.text for row in rows]
    columns["meta_topic"] = [row.topic.meta_topic for row in rows]
    texts = {key: slot.model_dump_json() for key, slot in {id(row.slot): row.slot for row in rows}.items()}
    columns["slot"] = [texts[id(row.slot)] for row in rows]
    return pa.table({name: columns[name] for name in _PLAN.names}, _PLAN)


def read_plan_rows(table: pa.Table) -> list[PlannedDialogue]:
    """Return the rows of a plan's table; those that have a topic or a slot in common share it.

    Raises:
        KeyError, TypeError, ValueError: a column is missing or of another type, or a value is none that stands there.
    """
    if unknown := set(table.column_names) - set(_PLAN.names):
        raise KeyError(f"columns that no plan has: {', '.join(sorted(unknown))}")
    topics = [_shared_column(table, name) for name in ("topic_id", "topic", "meta_topic")]
    made: dict[tuple[str, ...], Topic] = {}
    columns: dict[str, Iterable[Any]] = {
        # A plan that an older version wrote has no columns that came later.
        name: _read_column(table, name)
        if name in table.column_names or field.default is MISSING
        else repeat(field.default, len(table))
        for name, field in _FIELDS.items()
        if name in _PLAIN
    }
    columns["topic"] = [
        made.get(key) or made.setdefault(key, Topic(id=key[0], text=key[1], meta_topic=key[2]))
        for key in zip(*topics, strict=True)
    ]
    slots = _shared_column(table, "slot")
    laid_out = {text: Slot.model_validate_json(text) for text in set(slots)}
    columns["slot"] = [laid_out[text] for text in slots]
    with without_collector():
        return list(map(PlannedDialogue, *(columns[name] for name in _FIELDS)))


def _read_column(table: pa.Table, name: str) -> list[Any]:
    column = table.column(name).combine_chunks()
    wanted = _PLAN.field(name).type
    if column.type != wanted:
        raise ValueError(f"the column {name} holds {column.type}, and must hold {wanted}")
    if column.null_count and _FIELDS[name].default is not None:
        raise ValueError(f"the column {name} has rows without a value")
    if not pa.types.is_list(column.type):
        return list(column.to_pylist())
    items = _share(column.flatten())
    ends = list(accumulate(column.value_lengths().to_pylist()))
    return [tuple(items[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _shared_column(table: pa.Table, name: str) -> list[str]:
    return _share(table.column(name).combine_chunks())


def _share(strings: pa.Array) -> list[str]:
    """Return strings with one object for those that are equal."""
    if strings.null_count:
        raise ValueError("there are rows without a value where each has one")
    encoded = strings.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    return [names[index] for index in encoded.indices.to_pylist()]
