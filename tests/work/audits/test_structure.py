from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.images import encode_picture
from pipeline.adapters.readings import CorpusReadings
from pipeline.contracts.audit import AssetFacts, AuditItem, ShardAssets
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from pipeline.work.audits.structure import MEASURES, StructureOptions, read_structure
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus, restate_table
from tests.support.planted_structure import FAULTS, plant, read_published


def faults(row: Row, assets: list[AssetFacts], options: StructureOptions | None = None) -> dict[str, float]:
    """Counts above 0 by measure."""
    item = AuditItem(row["id"], row["id"], row, look_up=lambda: ShardAssets(assets))
    readings = read_structure(item, options or StructureOptions())
    return {name: reading.value for name, reading in readings.items() if reading.value}


def test_a_sound_corpus_has_no_fault(tiny: TinyCorpus) -> None:
    rows, assets = read_published(tiny.root)
    for row in rows:
        own = [facts for facts in assets if facts.row["dialogue_id"] == row["id"]]
        assert faults(row, own) == {}


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_every_planted_fault_is_told_and_nothing_sound_is(tiny: TinyCorpus, seed: int) -> None:
    rows, assets = read_published(tiny.root)
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for measure, fault, row, own, is_fault in plant(Random(seed), rows, assets):
        is_told = measure in faults(row, own)
        missed[fault] += is_fault and not is_told
        wrong[fault] += is_told and not is_fault
    assert set(missed) == set(FAULTS)
    assert (+missed, +wrong) == (Counter(), Counter())


def test_media_that_are_not_made_yet_are_left_open(tiny: TinyCorpus) -> None:
    rows, _ = read_published(tiny.root)
    readings = read_structure(AuditItem(rows[0]["id"], rows[0]["id"], rows[0]), StructureOptions())
    open_ones = {name.partition(".")[2] for name, reading in readings.items() if reading.value is None}
    assert open_ones == {"reference_faults", "media_faults", "size_faults"}


def test_bounds_follow_the_options(tiny: TinyCorpus) -> None:
    rows, assets = read_published(tiny.root)
    row = next(row for row in rows if "image" in row["answers"])
    own = [facts for facts in assets if facts.row["dialogue_id"] == row["id"]]
    assert faults(row, own, StructureOptions(least_pixels=64)) == {}
    assert faults(row, own, StructureOptions(least_pixels=65)) == {"dialogue.size_faults": 2.0}


def test_a_picture_that_edits_an_earlier_one_is_sound() -> None:
    parts = [[("user", "text")], [("assistant", "image")], [("user", "text")], [("assistant", "image")]]
    turns = [{"role": role, "parts": [{"kind": kind, "text": "x"}]} for [(role, kind)] in parts]
    for at in (1, 3):
        turns[at]["parts"][0]["asset"] = f"p{at}"  # type: ignore[index]
    turns[3]["parts"][0]["edits"] = "1.0"  # type: ignore[index]
    row: Row = {"id": "d", "turns": turns}
    assets = [AssetFacts("image", {"id": f"p{at}", "dialogue_id": "d", "description": "x"}) for at in (1, 3)]
    assert faults(row, assets) == {}
    turns[3]["parts"][0]["edits"] = "3.0"  # type: ignore[index]
    assert faults(row, assets) == {"dialogue.reference_faults": 1.0}


def test_rows_of_no_shape_at_all_are_faults_and_no_crash() -> None:
    for turns in ([1, None], [{"role": {}, "parts": [{"kind": [], "text": 3, "asset": {}, "edits": 1}]}], "words"):
        assert faults({"id": "d", "turns": turns, "gives": [None, 3]}, [])["dialogue.schema_faults"] >= 1


def test_an_undecodable_and_a_missing_medium_are_faults_of_the_dialogue(tiny: TinyCorpus) -> None:
    table = "images"
    names = [row["id"] for row in tiny.rows(table)]

    def spoil(rows: list[Row]) -> list[Row]:
        rows[0]["image"]["bytes"] = rows[0]["image"]["bytes"][:40]
        return rows[:1]

    restate_table(tiny, table, 0, spoil)
    found, _ = run_here(AuditSetting(tiny.root, ("structure",)))
    assert found["dialogue.media_faults"].num_short == len({name.partition("-")[0] for name in names})
    assert all(found[f"dialogue.{name}"].num_short == 0 for name in ("schema_faults", "reference_faults"))
    findings = [finding for finding in CorpusReadings(tiny.root).findings()]
    assert any("cannot be decoded" in finding.detail for finding in findings)


def test_a_dialogue_is_measured_again_when_only_its_asset_changed(tiny: TinyCorpus) -> None:
    run_here(AuditSetting(tiny.root, ("structure", "wording")))
    _, idle = run_here(AuditSetting(tiny.root, ("structure", "wording")))
    assert idle == []

    def repaint(rows: list[Row]) -> list[Row]:
        rows[0]["sha256"] = "0" * 64
        return rows

    restate_table(tiny, "images", 0, repaint)
    _, again = run_here(AuditSetting(tiny.root, ("structure",)))
    assert [name for name, _ in again] == ["audit"]
    _, idle = run_here(AuditSetting(tiny.root, ("wording",)))
    assert idle == []


def test_a_strangers_corpus_is_read_by_what_it_states(tmp_path: Path) -> None:
    picture = encode_picture(np.zeros((32, 32, 3), np.uint8), "png", 90)
    turns = [
        {"role": "user", "parts": [{"kind": "text", "text": "Draw a cat.", "asset": None}]},
        {"role": "assistant", "parts": [{"kind": "image", "text": "a cat", "asset": "pic-1"}]},
    ]
    write(tmp_path / "dialogues" / "a.parquet", [{"id": "one", "turns": turns}])
    write(tmp_path / "images" / "a.parquet", [{"id": "pic-1", "dialogue_id": "one", "image": {"bytes": picture}}])
    found, _ = run_here(AuditSetting(tmp_path, ("structure",)))
    assert {name: summary.num_short for name, summary in found.items()} == {m.name: 0 for m in MEASURES}


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), path)
