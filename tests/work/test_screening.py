"""What the screen reads off stage files: sketches, made anew where they are missing, and renders that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.store import ShardFolder
from pipeline.contracts.storage import Row
from pipeline.values.records import Modality
from pipeline.work import tables
from pipeline.work.screening import find_unrendered, read_sketched
from pipeline.work.twins import sketch_texts

A, B, C = (f"{number:016x}" for number in range(3))
WORDS = {A: "Seven bells on a rope.", B: "A kite over the sea.", C: "Bread at dawn."}


def row(name: str, status: str = "ok", sketch: bytes | None = None) -> Row:
    turns = [{"role": "user", "parts": [{"kind": "image", "text": WORDS[name], "spoken": None}]}]
    return {"record_id": name, "status": status, "turns": turns, "text_key": name, "sketch": sketch}


def commit(store: ShardFolder, stage: str, schema: object, rows: list[Row]) -> None:
    store.commit(stage, schema, rows, order_key="", num_ok=len(rows), num_failed=0)


@pytest.fixture
def store(tmp_path: Path) -> ShardFolder:
    tmp_path.joinpath("shard").mkdir()
    return ShardFolder(tmp_path / "shard")


@pytest.mark.parametrize("is_column_there", [True, False])
def test_sketches_that_are_missing_or_of_another_version_are_made_anew(
    store: ShardFolder, is_column_there: bool
) -> None:
    schema = tables.DIALOGUES
    if not is_column_there:
        schema = schema.remove(schema.get_field_index("sketch"))
    stored = sketch_texts(["other words, so that one can tell it was not made anew"])
    commit(store, "dialogues", schema, [row(A, sketch=stored), row(B, sketch=b"\0" + stored[1:]), row(C, "failed")])
    found = {dialogue.id: dialogue.sketch for dialogue in read_sketched(store, {A, B, C})}
    assert found == {A: stored if is_column_there else sketch_texts([WORDS[A]]), B: sketch_texts([WORDS[B]])}
    assert [dialogue.id for dialogue in read_sketched(store, {B})] == [B]


def test_a_shard_without_dialogues_has_none(store: ShardFolder) -> None:
    assert read_sketched(store, {A}) == []
    assert find_unrendered(store, [Modality.IMAGE]) == set()


def test_only_failed_renders_of_parts_that_are_there_count(store: ShardFolder) -> None:
    commit(store, "dialogues", tables.DIALOGUES, [row(A), row(B), row(C)])
    places = {A: "00-00", B: "00-00", C: "04-00"}  # the last had such a part before it was written anew
    renders = [
        {"dialogue_id": name, "part_id": f"{name}-{place}", "status": "ok" if name == A else "failed"}
        for name, place in places.items()
    ]
    commit(store, "image", tables.RENDERS, renders)
    assert find_unrendered(store, [Modality.IMAGE, Modality.MUSIC]) == {B}
    assert find_unrendered(store, [Modality.MUSIC]) == set()
