"""SIGKILL of a whole run at random moments, on half the smoke manifest with its real models, then on to the end."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.shipped import shipped
from tests.support.projects import verify
from tests.support.runs import finish_run, kill_run, read_journalled, read_published, start_run
from tests.support.waiting import wait_until

NUM_KILLS = 4
IN_FLIGHT = 4


def _intents(corpus: Path) -> Counter[str]:
    return Counter(entry["key"] for entry in read_journalled(corpus, "intent"))


def _ids(corpus: Path) -> dict[str, set[str]]:
    return {table: set(found) for table, found in read_published(corpus, "id").items()}


def _num_lines(corpus: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (corpus / "work").rglob("*-e*.jsonl"))


def _kill_after_lines(run: subprocess.Popen[bytes], corpus: Path, count: int) -> None:
    wanted = _num_lines(corpus) + count
    wait_until(lambda: run.poll() is not None or _num_lines(corpus) >= wanted)
    if run.poll() is None:
        kill_run(run)


def _kill_after_seconds(run: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_run(run)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A topic that is listed and one that is written, a shard each."""
    text = shipped("manifests", "smoke.yaml").read_text(encoding="utf-8")
    for former, smaller in (
        (", grandmother's bread oven]", "]"),
        ("per_meta_topic: 2, per_call: 2", "per_meta_topic: 1, per_call: 1"),
        ("dialogues_per_shard: 2", "dialogues_per_shard: 1"),
    ):
        assert former in text
        text = text.replace(former, smaller)
    path = tmp_path_factory.mktemp("smoke") / "smoke.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(local_ray: None, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = tmp_path_factory.mktemp("undisturbed") / "smoke"
    finish_run(manifest, corpus)
    return corpus


def test_a_corpus_survives_kills_at_random_moments(manifest: Path, undisturbed: Path, tmp_path: Path) -> None:
    corpus, random = tmp_path / "smoke", Random(20)
    per_run = _num_lines(undisturbed) // NUM_KILLS
    for number in range(NUM_KILLS):
        # Every other one while it starts; the others so many lines of the journals further on.
        if number % 2:
            _kill_after_lines(start_run(manifest, corpus), corpus, random.randint(1, per_run))
        else:
            _kill_after_seconds(start_run(manifest, corpus), random.uniform(0.2, 8.0))
    finish_run(manifest, corpus)

    # An id that stands twice is an error of read_published.
    assert _ids(corpus) == _ids(undisturbed)
    repeated = sum(count - 1 for count in _intents(corpus).values())
    assert repeated <= NUM_KILLS * IN_FLIGHT
    assert set(_intents(corpus)) == set(_intents(undisturbed))
    assert verify(corpus).is_sound
    assert not CorpusFolder(corpus).find_unreferenced(CorpusFolder(corpus).read_ledger())  # type: ignore[arg-type]


def test_a_finished_corpus_is_left_alone(manifest: Path, undisturbed: Path) -> None:
    corpus = undisturbed
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.parquet")}
    calls = _intents(corpus)
    assert "Nothing was to do" in finish_run(manifest, corpus)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*.parquet")} == before
    assert _intents(corpus) == calls
