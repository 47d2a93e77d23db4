"""Neural renderers of every modality in one manifest, on tiny weights through Ray's actors: killed, and gone on with.

Batches hold one brief, so that bits are exact and a killed run ends in the files of one that was left in peace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra `models`")

import torch

from pipeline.adapters.corpus import CorpusFolder
from pipeline.execution.project import find_renderer
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import describe, make, verify, write_manifest
from tests.support.renderer_samples import SAMPLES, Sample
from tests.support.runs import (
    find_render_workers,
    kill_all,
    kill_run,
    read_journalled,
    read_published,
    start_run,
)
from tests.support.tiny_coqui import SPEAKERS
from tests.support.waiting import wait_until

# numpy tells diffusers' schedulers of an argument that torch's arrays do not know yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MEDIA = ("image", "music", "speech")
NUM_DIALOGUES = 4
CALLS_OF_A_SHARD = 4
"""A scenario and a dialogue each for two."""

VOICES = [
    {"name": f"voice-{number}", "renderer": "coqui", "speaker": speaker, "languages": ["en"], "licence": "MIT"}
    for number, speaker in enumerate(SPEAKERS)
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """Returns a renderer's section of a manifest, over the weights of its contract tests."""
    made: dict[str, Sample] = {}

    def describe_one(name: str, **stated: Any) -> dict[str, Any]:
        if reason := find_renderer(name).missing():
            pytest.skip(f"not installed: {reason}")
        if name not in made:
            made[name] = SAMPLES[name](tmp_path_factory.mktemp("weights"), ending)
        return {"renderer": name, "batch": 1, "options": dict(made[name].options), **stated}

    with ExitStack() as ending:
        ending.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # as many as Ray gives a worker: sums in another order are other bits
        yield describe_one


# Either kind of MusicGen is killed once: this one with its run, the other one alone.
@pytest.fixture(params=["audiocraft"])
def manifest(request: pytest.FixtureRequest, section: Callable[..., Any], endpoint: Endpoint, tmp_path: Path) -> Path:
    """Four dialogues in two shards, one of them in work at a time; each part by a neural renderer."""
    voices = {"user": [voice["name"] for voice in VOICES[1:]], "assistant": VOICES[0]["name"]}
    stated = describe(
        endpoint.url,
        topics={"list": [f"the {number} small bells of the harbour" for number in range(NUM_DIALOGUES)]},
        mix=[{"name": "all", "gives": ["speech", "music"], "answers": ["speech", "image"], "rounds": [1, 1]}],
        render={
            "image": section("diffusers", width=32, height=32),
            "music": section(request.param, seconds=[0.4, 0.6]),
            "speech": section("coqui", voices_file="voices.yaml", voices=voices),
        },
        execution={"shards_in_flight": 1},
    )
    return write_manifest(tmp_path, stated, VOICES)


@pytest.fixture
def undisturbed(manifest: Path, endpoint: Endpoint, tmp_path: Path) -> Path:
    endpoint.room = None
    ledger, _ = make(manifest, tmp_path / "undisturbed", has_ray=False)
    assert ledger is not None
    assert ledger.counts == {"planned": NUM_DIALOGUES, "kept": NUM_DIALOGUES, "rejected": 0, "failed": 0}
    endpoint.answer_only(CALLS_OF_A_SHARD)
    return tmp_path / "undisturbed"


def has_begun(corpus: Path) -> bool:
    """Every renderer has made something; while the endpoint holds the second shard back, none can have made all."""
    return all(read_journalled(corpus, "render", stage) for stage in MEDIA)


def check_whole(corpus: Path, undisturbed: Path) -> None:
    """The same records and bytes, everything rendered once, ledger and files agreeing."""
    assert read_published(corpus, "topic") == read_published(undisturbed, "topic")
    assert read_published(corpus, "sha256") == read_published(undisturbed, "sha256")
    rendered = Counter(entry["record"] for entry in read_journalled(corpus, "render"))
    assert set(rendered) == {entry["record"] for entry in read_journalled(undisturbed, "render")}
    assert set(rendered.values()) == {1}, "what was journalled was rendered again"
    ledger = CorpusFolder(corpus).read_ledger()
    assert ledger is not None
    assert CorpusFolder(corpus).find_unreferenced(ledger) == []
    assert verify(corpus).is_sound


def test_a_killed_run_ends_in_the_bytes_of_an_undisturbed_one(
    local_ray: None, manifest: Path, undisturbed: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    run = start_run(manifest, corpus)
    wait_until(lambda: has_begun(corpus) or run.poll() is not None)
    assert run.poll() is None, run.communicate()[0].decode()
    kill_run(run)
    assert not (corpus / "ledger.json").exists()
    endpoint.room = None
    make(manifest, corpus)
    check_whole(corpus, undisturbed)


@pytest.mark.parametrize("manifest", ["musicgen"], indirect=True)
def test_a_worker_that_dies_is_started_again_and_redoes_only_what_was_not_committed(
    local_ray: None, manifest: Path, undisturbed: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    with ThreadPoolExecutor(1) as driver:
        run = driver.submit(make, manifest, corpus)
        wait_until(lambda: has_begun(corpus) or run.done())
        workers = find_render_workers()
        assert len(workers) == len(MEDIA)
        kill_all(workers)
        endpoint.room = None
        ledger, _ = run.result()
    assert ledger is not None
    assert not [worker for worker in workers if worker.is_running()]
    # One run from beginning to end: the workers that rendered the second shard were started within it.
    assert not list((corpus / "work").rglob("*-e00002.jsonl"))
    check_whole(corpus, undisturbed)
