"""What workers reserve, and where Ray places them: on one node with a GPU that is declared and not there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.watch import Drained
from pipeline.execution.cluster import Cluster
from pipeline.execution.cluster.crew import Crew, CrewShape
from pipeline.execution.cluster.placement import Placement
from pipeline.execution.cluster.room import Need
from pipeline.execution.project import Project, load_project
from pipeline.values.errors import CorpusError
from pipeline.values.records import Modality
from pipeline.values.workers import Workers
from tests.support.projects import describe, write_manifest

SIXTH = Need(1 / 6, 0.1)


def _load(folder: Path, actors: Any, num_gpus: float, **execution: Any) -> Project:
    manifest = describe("http://127.0.0.1:9/v1", execution=execution)
    manifest["mix"] = [{"name": "draw", "gives": ["text"], "answers": ["text", "image"]}]
    manifest["render"] = {"image": {"renderer": "minimal-image", "actors": actors, "num_gpus": num_gpus}}
    return load_project(write_manifest(folder, manifest), folder / "corpus")


def test_needs_add_up_and_sums_of_fractions_fit() -> None:
    assert (SIXTH * 6).find_missing({"CPU": 1.0, "GPU": 0.6}) is None
    name, wanted, there = (SIXTH * 7).find_missing({"CPU": 2.0, "GPU": 0.6}) or ("", 0.0, 0.0)
    assert (name, round(wanted, 6), there) == ("GPU", 0.7, 0.6)
    assert (Need(1) + Need(0, 0.5)).find_missing({"CPU": 1.0}) == ("GPU", 0.5, 0.0)
    assert Need(0.25, 0.25).as_bundle() == {"CPU": 0.25, "GPU": 0.25}
    assert Need(0.5).as_bundle() == {"CPU": 0.5}


def test_renderers_share_a_gpu(local_ray: None, tmp_path: Path) -> None:
    project = _load(tmp_path, 2, 0.25)
    lock = CorpusLock.acquire(project.corpus / "work")

    async def render() -> float:
        cluster = Cluster(project, lock.epoch, has_budget=False)
        # Shards without dialogues: what counts is who is placed.
        await asyncio.gather(*[cluster.render(shard, Modality.IMAGE, []) for shard in range(2)])
        left: dict[str, Any] = ray.available_resources()  # type: ignore[no-untyped-call]
        await cluster.close()
        return float(left["GPU"])

    try:
        assert asyncio.run(render()) == pytest.approx(0.5)
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("actors", "num_gpus", "execution", "said"),
    [
        (5, 0.25, {}, "reserve 1.25 GPUs and this Ray has 1: lower"),
        ({"min": 5, "max": 8}, 0.25, {}, "reserve 1.25 GPUs and this Ray has 1: lower"),
        (1, 0, {"composers": {"min": 4, "max": 9}}, "reserve 2.5 CPUs and this Ray has 2: lower"),
    ],
)
def test_fewest_workers_that_have_no_room_are_refused(
    local_ray: None, tmp_path: Path, actors: Any, num_gpus: float, execution: dict[str, Any], said: str
) -> None:
    async def render() -> None:
        cluster = Cluster(_load(tmp_path, actors, num_gpus, **execution), 1, has_budget=False)
        try:
            await cluster.render(0, Modality.IMAGE, [])
        finally:
            await cluster.close()

    with pytest.raises(CorpusError, match=said):
        asyncio.run(render())


def test_growth_leaves_room_for_the_fewest_of_others(local_ray: None) -> None:
    shapes = {
        "composers": CrewShape(Workers(min=1, max=9), Need(0.5)),
        "image": CrewShape(Workers(min=2, max=4), Need(0.25, 0.25)),
    }
    crews: dict[str, Crew] = {}
    placement = Placement(shapes, crews, Need(0.25), is_joined=False)
    assert placement.admits("composers")  # 0.5 + 2 x 0.25 + 0.25 of 2 cores are spoken for

    class Sized(Crew):
        size = 2

    crews["composers"] = Sized(pytest.fail, shapes["composers"], lambda: False)
    assert not placement.admits("composers"), "two renderers have yet to come"
    assert placement.admits("image")
    Sized.size = 1
    crews["image"] = Sized(pytest.fail, shapes["image"], lambda: False)
    crews["image"].size = 4  # type: ignore[misc]
    assert not placement.admits("image"), "the GPU is full"


def test_a_cluster_without_room_is_waited_for_as_long_as_is_said(local_ray: None) -> None:
    shapes = {"image": CrewShape(Workers.exactly(2), Need(0.25, 1.0))}
    placement = Placement(shapes, {}, Need(0.25), is_joined=True)
    with pytest.raises(CorpusError, match=r"reserve 2 GPUs and this Ray has 1: .*\(execution.node_wait_seconds waits"):
        asyncio.run(placement.wait_for_room(0.0, lambda: False))
    with pytest.raises(Drained):
        asyncio.run(placement.wait_for_room(3600.0, lambda: True))
    placement.release()


def test_workers_find_a_project_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _load(tmp_path, 1, 0)
    monkeypatch.chdir(tmp_path)
    project = replace(load_project(Path("manifest.yaml"), Path("corpus")), address="head:6379")
    assert project.ray_address == "head:6379"
    make, arguments = project.__reduce__()
    there = make(*arguments)
    assert (there.path, there.corpus) == (tmp_path / "manifest.yaml", tmp_path / "corpus")
    assert there.manifest == project.manifest
    assert "head" not in str(there.manifest.model_dump(mode="json"))
