from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.execution import settled as module
from pipeline.execution.driver import Run, Silence
from pipeline.execution.project import load_project
from pipeline.execution.settled import FILE, Settled, Shards
from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import PlannedDialogue
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import describe, make, write_manifest

TOPICS = {"list": [f"the {number} small bells of the harbour" for number in range(6)]}
STAGES = ("scenarios", "dialogues", "image", "music", "speech")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Endpoint]]:
    folder = tmp_path_factory.mktemp("settled")
    with running_endpoint() as endpoint:
        make(write_manifest(folder, describe(endpoint.url, topics=TOPICS)), folder / "corpus", has_ray=False)
        yield folder, endpoint


@pytest.fixture
def copy(made: tuple[Path, Endpoint], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def look(folder: Path) -> tuple[Settled, dict[int, list[PlannedDialogue]]]:
    project = load_project(folder / "manifest.yaml", folder / "corpus")
    shards: dict[int, list[PlannedDialogue]] = {}
    for row in CorpusFolder(project.corpus).read_plan():
        shards.setdefault(row.shard, []).append(row)
    return Settled(ShardWork(project, None, Silence())), shards


def unsettled(settled: Settled, shards: Shards) -> set[str]:
    """Stages that have something to do in some shard, as far as is known."""
    return {stage for stage in STAGES for shard, rows in shards.items() if not settled.is_settled(shard, stage, rows)}


def change(folder: Path, **sections: Any) -> None:
    url = load_project(folder / "manifest.yaml").manifest.writer.base_url
    assert url is not None
    write_manifest(folder, describe(url, topics=TOPICS) | sections)


def refuse_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scenario_orders", "dialogue_orders", "render_orders"):
        monkeypatch.setattr(ShardWork, name, lambda *arguments: pytest.fail("compared record by record"))


def test_a_finished_corpus_is_settled_and_another_run_compares_no_record(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, shards = look(copy)
    assert unsettled(settled, shards) == set()
    assert settled.is_plan_current()
    assert settled.recall_twins(shards) == {}
    before = (copy / "corpus" / "work" / FILE).read_bytes()
    refuse_to_compare(monkeypatch)
    assert make(copy / "manifest.yaml", copy / "corpus", has_ray=False)[1].was_idle
    assert (copy / "corpus" / "work" / FILE).read_bytes() == before


def test_how_things_are_reached_and_how_fast_unsettles_nothing(copy: Path) -> None:
    manifest = load_project(copy / "manifest.yaml").manifest.model_dump(mode="json", exclude_none=True)
    manifest["writer"] |= {"base_url": "http://127.0.0.1:9/v1", "in_flight": 3}
    manifest["render"]["image"] |= {"actors": 2, "batch": 4}
    write_manifest(copy, manifest)
    assert unsettled(*look(copy)) == set()


@pytest.mark.parametrize(
    ("section", "key", "value", "stages"),
    [
        ("writer", "temperature", 0.1, {"scenarios", "dialogues"}),
        ("writer", "model", "another", {"scenarios", "dialogues"}),
        ("render", "image", {"renderer": "minimal-image", "width": 128}, {"image"}),
        ("render", "music", {"renderer": "minimal-music", "seconds": [1, 2]}, {"music"}),
    ],
)
def test_a_change_unsettles_the_stages_that_it_is_about(
    copy: Path, section: str, key: str, value: Any, stages: set[str]
) -> None:
    sections = load_project(copy / "manifest.yaml").manifest.model_dump(mode="json", exclude_none=True)
    change(copy, **{section: {**sections[section], key: value}})
    assert unsettled(*look(copy)) == stages


def test_voices_unsettle_speech(copy: Path) -> None:
    sections = load_project(copy / "manifest.yaml").manifest.model_dump(mode="json", exclude_none=True)
    sections["render"]["speech"]["voices"]["assistant"] = "eve"
    change(copy, render=sections["render"])
    assert unsettled(*look(copy)) == {"speech"}


def test_a_seed_and_another_program_unsettle_everything(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(copy, seed=6)
    settled, shards = look(copy)
    assert unsettled(settled, shards) == set(STAGES)
    assert not settled.is_plan_current()
    change(copy)
    monkeypatch.setattr(module, "program_key", lambda: "another")
    settled, shards = look(copy)
    assert unsettled(settled, shards) == set(STAGES)
    assert settled.recall_twins(shards) is None


def test_a_stage_file_that_is_gone_unsettles_its_stage_and_what_is_made_from_it(copy: Path) -> None:
    store = CorpusFolder(copy / "corpus").shard(0)
    receipt = store.receipt("dialogues")
    assert receipt is not None
    (store.folder / receipt.file).unlink()
    settled, shards = look(copy)
    assert unsettled(settled, {0: shards[0]}) == {"dialogues", "image", "music", "speech"}
    assert unsettled(settled, {1: shards[1]}) == set()
    assert settled.recall_twins(shards) is None


def test_a_repair_unsettles_the_media_of_its_shard(copy: Path) -> None:
    folder = copy / "corpus" / "work" / "repairs"
    folder.mkdir()
    repair = {"part_id": "x-00-00", "wanted": 1}
    (folder / "00000.json").write_text(json.dumps({"0" * 16: repair}), encoding="utf-8")
    settled, shards = look(copy)
    assert unsettled(settled, {0: shards[0]}) == {"image", "music", "speech"}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"stages": 7}', b'{"other": 1}'])
def test_a_damaged_file_costs_nothing_but_the_comparison(copy: Path, damage: bytes) -> None:
    path = copy / "corpus" / "work" / FILE
    whole = path.read_bytes()
    path.write_bytes(damage)
    settled, shards = look(copy)
    assert unsettled(settled, shards) == set(STAGES)
    run: Run = make(copy / "manifest.yaml", copy / "corpus", has_ray=False)[1]
    assert run.was_idle
    assert path.read_bytes() == whole


def test_a_plan_that_somebody_put_back_is_drawn_anew(copy: Path) -> None:
    corpus = CorpusFolder(copy / "corpus")
    rows = corpus.read_plan()
    corpus.write_plan(rows[:-1])
    assert not look(copy)[0].is_plan_current()
