"""Renders that are about to be replaced and may be wanted back: the journal takes their bytes before they are gone."""

from __future__ import annotations

import json
from collections.abc import Collection

from pipeline.contracts.render import AudioFacts, ImageFacts
from pipeline.contracts.storage import Journal, Row, ShardStore
from pipeline.values.ids import content_key
from pipeline.work.asking import Spend

SPENT = ("model", *Spend.__dataclass_fields__)
"""Columns of what a row has cost; without a model where nothing was paid."""

_FACTS = (*ImageFacts.model_fields, *AudioFacts.model_fields)


def keep_replaced(
    store: ShardStore, stage: str, journal: Journal, wanted: Collection[str], staying: Collection[str]
) -> None:
    """Journal committed renders that no journal has any more, since one was cleared once its stage file was whole.

    A paid endpoint would not make the same again, and anything else would take its time twice.

    Args:
        wanted: Keys of the orders whose renders may be wanted back.
        staying: Records that nothing replaces now.
    """
    columns = ["record_id", "inputs", "status"]
    due = {
        row["record_id"]: key
        for row in store.rows(stage, columns)
        if row["status"] == "ok" and row["record_id"] not in staying
        if (key := content_key(json.loads(row["inputs"]))) in wanted
    }
    if not due:
        return
    there = {entry["input_key"] for entry in journal.entries("render")}
    for row in store.rows(stage):
        if row["record_id"] not in due:
            continue
        source, key = row.get("source_sha256"), due[row["record_id"]]
        key = content_key(key, source) if source else key
        if key not in there:
            journal.append(_as_entry(row, key), row["data"])


def _as_entry(row: Row, key: str) -> Row:
    """Return what the journal had of a row when it was made."""
    stated = {name: row[name] for name in ("edited_from", "source_sha256") if row.get(name)}
    spent = {name: row[name] for name in SPENT} if row.get("model") is not None else {}
    return {
        "event": "render",
        "record": row["record_id"],
        "input_key": key,
        "attempt": row["attempt"],
        "seed": row["seed"],
        "seconds": row["render_seconds"],
        "extension": row["extension"],
        "notes": json.loads(row["notes"]),
        "facts": {name: row[name] for name in _FACTS if row.get(name) is not None},
        **stated,
        **({"spent": spent} if spent else {}),
    }
