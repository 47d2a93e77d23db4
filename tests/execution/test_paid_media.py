"""Paid pictures and speech through the whole pipeline: counted, bounded, stopped and gone on with."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.execution.budget import Budget, BudgetReached, count_spent
from pipeline.execution.forecast import forecast
from pipeline.execution.garbage import Collector
from pipeline.execution.project import load_project
from pipeline.values.errors import EndpointError, ManifestError
from pipeline.work.purse import PurseReport
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.fault_server import error
from tests.support.media_server import MediaEndpoint, running_media
from tests.support.projects import describe, make, verify, write_manifest
from tests.support.runs import finish_run, kill_run, start_run
from tests.support.waiting import wait_until

PICTURE_USD, MINUTE_USD = 0.04, 0.06
IN_FLIGHT = 3
NUM_TOPICS = 8
VOICES = [
    {"name": name, "renderer": "openai-speech", "speaker": speaker, "languages": ["en"], "licence": "terms of service"}
    for name, speaker in (("anna", "alloy"), ("ben", "ash"), ("carl", "coral"), ("dora", "nova"))
]


@pytest.fixture(scope="module")
def writer() -> Iterator[Endpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def media() -> Iterator[MediaEndpoint]:
    with running_media() as endpoint:
        yield endpoint


def manifest(writer: Endpoint, media: MediaEndpoint, **image: Any) -> dict[str, Any]:
    """Eight dialogues with pictures and speech in four shards, all of it by endpoints."""
    shared = {"base_url": media.url, "api_key_env": "NO_KEY", "in_flight": IN_FLIGHT}
    pictures = {**shared, "model": "painter", "price": {"picture": PICTURE_USD}, "extension": "png", **image}
    speech = {**shared, "model": "speaker", "price": {"minute": MINUTE_USD}}
    voices = {"user": ["anna", "ben", "carl"], "assistant": "dora"}
    given = describe(writer.url, topics={"list": [f"the {number} small bells" for number in range(NUM_TOPICS)]})
    given["mix"] = [{"name": "talk", "gives": ["speech"], "answers": ["speech", "image"], "rounds": [1, 2]}]
    given["writer"] |= {"price": {"input": 1, "output": 1}}
    given["render"] = {
        "image": {"renderer": "openai-images", "width": 64, "height": 64, "options": pictures},
        "speech": {"renderer": "openai-speech", "voices_file": "voices.yaml", "voices": voices, "options": speech},
    }
    return given


def test_what_one_may_still_spend_is_dealt_to_nobody_else() -> None:
    """Between two deals a spender goes on spending up to what it was dealt."""
    busy = PurseReport(owner=1, allowance=5.0, spent=1.0, held=0.0, wanted=None)
    waiting = PurseReport(owner=2, allowance=5.0, spent=0.0, held=0.0, wanted=6.0)
    budget = Budget(10.0, 0.0)
    budget.take([busy, waiting])
    assert budget.deal(2) == [1.0, 5.0]
    # It had spent one more before it heard of its new allowance.
    budget.take([busy.model_copy(update={"allowance": 2.0, "spent": 2.0}), waiting])
    assert budget.deal(2) == [2.0, 8.0]


def of_pictures(requests: list[dict[str, Any]]) -> list[str]:
    return [body["prompt"] for body in requests if "prompt" in body]


def test_what_media_cost_is_forecast_counted_and_told(tmp_path: Path, writer: Endpoint, media: MediaEndpoint) -> None:
    path, corpus = write_manifest(tmp_path, manifest(writer, media), VOICES), tmp_path / "corpus"
    stages = forecast(load_project(path, corpus)).stages
    assert stages["image"].usd == pytest.approx(stages["image"].media_calls * PICTURE_USD)
    assert stages["speech"].usd > 0
    ledger, _ = make(path, corpus, has_ray=False)
    assert ledger is not None
    assert ledger.counts["kept"] == NUM_TOPICS
    requests = media.take()
    spend = ledger.spend["image"]["painter"]
    assert spend["calls"] == len(of_pictures(requests)) == ledger.tables["images"]
    assert spend["usd"] == pytest.approx(ledger.tables["images"] * PICTURE_USD)
    assert ledger.spend["speech"]["speaker"]["calls"] == ledger.tables["speech"]
    written = sum(sums["usd"] for stage in ("scenarios", "dialogues") for sums in ledger.spend[stage].values())
    spent = written + spend["usd"] + ledger.spend["speech"]["speaker"]["usd"]
    assert count_spent(CorpusFolder(corpus)) == pytest.approx(spent)
    card = (corpus / "README.md").read_text()
    assert re.search(r"\| image \| `painter` \| \d+ \|.*\| \d+\.\d{4} \|", card)
    assert ledger.renderers["image"]["made_by"][0]["model"] == "painter"
    assert verify(corpus).is_sound
    make(path, corpus, has_ray=False)
    assert media.take() == []
    # The bytes that were paid for are in the corpus by now; what was spent stays on record.
    freed = {item.path.name for item in Collector(CorpusFolder(corpus)).find_files()}
    assert {name for name in freed if "-calls" in name} == {"image-calls-e00001.blob", "speech-calls-e00001.blob"}


def test_a_run_ends_within_its_budget_and_goes_on_with_more(
    local_ray: None, tmp_path: Path, writer: Endpoint, media: MediaEndpoint
) -> None:
    media.as_url = True
    path, corpus = write_manifest(tmp_path, manifest(writer, media), VOICES), tmp_path / "corpus"
    with pytest.raises(BudgetReached, match=r"the budget of 0\.1500 USD is reached"):
        make(path, corpus, budget=0.15)
    first = media.take()
    spent = count_spent(CorpusFolder(corpus))
    assert 0.15 - PICTURE_USD < spent <= 0.15
    assert 1 <= len(of_pictures(first)) <= 3
    ledger, _ = make(path, corpus, budget=10.0)
    assert ledger is not None
    assert ledger.counts["kept"] == NUM_TOPICS
    everything = [*first, *media.take()]
    assert len(of_pictures(everything)) == ledger.tables["images"]
    assert len(everything) == ledger.tables["images"] + ledger.tables["speech"]
    assert len(media.fetched) == ledger.tables["images"]


def test_a_dead_key_stops_the_run_and_what_was_paid_for_is_kept(
    tmp_path: Path, writer: Endpoint, media: MediaEndpoint
) -> None:
    path, corpus = write_manifest(tmp_path, manifest(writer, media), VOICES), tmp_path / "corpus"
    media.refusals[""] = error(401, "invalid_api_key")
    with pytest.raises(EndpointError, match=r"check \$NO_KEY"):
        make(path, corpus, has_ray=False)
    assert len(media.take()) <= 2 * IN_FLIGHT
    media.refusals.clear()
    ledger, _ = make(path, corpus, has_ray=False)
    assert ledger is not None
    assert ledger.counts["kept"] == NUM_TOPICS


def test_a_refused_picture_fails_its_dialogue_with_its_code(
    tmp_path: Path, writer: Endpoint, media: MediaEndpoint
) -> None:
    path, corpus = write_manifest(tmp_path, manifest(writer, media), VOICES), tmp_path / "corpus"
    make(path, corpus, has_ray=False)
    first = of_pictures(media.take())[0]
    media.refusals[first] = error(400, "moderation_blocked")
    changed = manifest(writer, media, quality="high")
    ledger, _ = make(write_manifest(tmp_path, changed, VOICES), corpus, has_ray=False)
    assert ledger is not None
    assert ledger.reasons == {"image/moderation": 1}
    assert Counter(of_pictures(media.take()))[first] == 1


def test_no_budget_is_taken_for_a_model_without_a_price(tmp_path: Path, writer: Endpoint, media: MediaEndpoint) -> None:
    path = write_manifest(tmp_path, manifest(writer, media, price=None) | {"budget": 1.0}, VOICES)
    with pytest.raises(ManifestError, match=r"nobody stated what painter costs.*options\.price"):
        load_project(path, tmp_path / "corpus")


def _answered(corpus: Path) -> Counter[str]:
    """Prompts of pictures whose bytes are in a journal."""
    entries = [
        json.loads(line.split(b" ", 1)[1])
        for path in (corpus / "work").rglob("image-calls-e*.jsonl")
        for line in path.read_bytes().splitlines()
        if line.endswith(b"}")
    ]
    prompts = {entry["key"]: entry["request"]["prompt"] for entry in entries if entry["event"] == "intent"}
    return Counter(prompts[entry["key"]] for entry in entries if entry["event"] == "answer")


def test_a_kill_costs_what_was_in_flight_and_no_more(
    local_ray: None, tmp_path: Path, writer: Endpoint, media: MediaEndpoint
) -> None:
    media.delay = 0.3
    given, corpus = manifest(writer, media), tmp_path / "corpus"
    # Pictures alone, so that each run starts one worker and not two.
    given["mix"] = [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]
    path = write_manifest(tmp_path, given, VOICES)
    run = start_run(path, corpus)
    wait_until(lambda: run.poll() is not None or sum(_answered(corpus).values()) >= 4)
    assert run.poll() is None, run.communicate()[0].decode()
    kill_run(run)
    kept = _answered(corpus)
    before = Counter(of_pictures(media.take()))
    media.delay = 0.0
    finish_run(path, corpus)
    after = Counter(of_pictures(media.take()))
    # Nothing that was journalled is asked for again; of the rest, what was in flight is.
    assert not kept & after
    assert (before - kept).total() <= IN_FLIGHT
    ledger = CorpusFolder(corpus).read_ledger()
    assert ledger is not None
    assert ledger.counts["kept"] == NUM_TOPICS
    assert (kept + after).total() == ledger.tables["images"]
    assert ledger.num_lost_calls >= (before - kept).total()
