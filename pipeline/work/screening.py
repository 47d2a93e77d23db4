"""What the screen reads off a shard's stage files, whether the shard is done or under way."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline.contracts.storage import Row, ShardStore
from pipeline.values.records import Modality
from pipeline.work import dialogues
from pipeline.work.shard_rows import current_parts
from pipeline.work.twins import Sketched, is_current, sketch_texts


def read_sketched(store: ShardStore, wanted: Collection[str]) -> list[Sketched]:
    """Return a shard's dialogues that were written, without reading their words.

    Only where a version without sketches, or with others, wrote some of them, the words are read and sketched.

    Args:
        store: The shard's folder.
        wanted: Ids of the dialogues that count.
    """
    columns = ["record_id", "status", "text_key", "sketch"]
    rows = [row for row in store.rows(dialogues.STAGE, columns) if row["status"] == "ok" and row["record_id"] in wanted]
    stale = {row["record_id"] for row in rows if not is_current(row.get("sketch"))}
    anew = {}
    if stale:
        written = store.rows(dialogues.STAGE, ["record_id", "turns"])
        anew = {row["record_id"]: sketch_texts(_texts(row)) for row in written if row["record_id"] in stale}
    return [
        Sketched(name, row["text_key"], anew[name] if name in stale else row["sketch"])
        for row in rows
        if (name := row["record_id"]) not in stale or name in anew
    ]


def find_unrendered(store: ShardStore, media: Sequence[Modality]) -> set[str]:
    """Return the ids of a shard's dialogues of which some part could not be made, as far as its stage files tell."""
    parts = current_parts({row["record_id"]: row for row in store.rows(dialogues.STAGE, ["record_id", "turns"])})
    return {
        row["dialogue_id"]
        for modality in media
        for row in store.rows(modality, ["dialogue_id", "part_id", "status"])
        if row["status"] != "ok" and parts.get(row["part_id"]) == modality
    }


def _texts(row: Row) -> list[str]:
    return [part["text"] for turn in row["turns"] for part in turn["parts"]]
