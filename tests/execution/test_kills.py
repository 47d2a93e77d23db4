"""SIGKILL of a whole run at random moments, on the smoke manifest with its real models, then on to the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import psutil
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.shipped import shipped
from tests.support.projects import verify

NUM_KILLS = 10
IN_FLIGHT = 4
SMOKE = shipped("manifests", "smoke.yaml")


def _start(corpus: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.cli.app", "run", str(SMOKE), "--corpus", str(corpus)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _finish(corpus: Path) -> str:
    run = _start(corpus)
    output = run.communicate(timeout=600)[0].decode()
    assert run.returncode == 0, output
    return output


def _kill(run: subprocess.Popen[bytes]) -> None:
    """Kill the group, and whatever of the run has a group of its own, all at once."""
    family = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGKILL)
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    run.communicate()
    psutil.wait_procs(family, timeout=30)


def _ids(corpus: Path) -> dict[str, list[str]]:
    folder = CorpusFolder(corpus)
    ledger = folder.read_ledger()
    assert ledger is not None
    found: dict[str, list[str]] = {}
    for entry in ledger.shards:
        for file in folder.read_shard_ledger(entry).files:
            found.setdefault(file.table, []).extend(
                pq.read_table(folder.inside(file.path), columns=["id"])["id"].to_pylist()
            )
    return found


def _intents(corpus: Path) -> Counter[str]:
    entries = (
        json.loads(line.split(b" ", 1)[1])
        for path in (corpus / "work").rglob("*-e*.jsonl")
        for line in path.read_bytes().splitlines()
        if line.endswith(b"}")
    )
    return Counter(entry["key"] for entry in entries if entry["event"] == "intent")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    corpus = tmp_path_factory.mktemp("undisturbed") / "smoke"
    started = time.monotonic()
    _finish(corpus)
    return corpus, time.monotonic() - started


def test_a_corpus_survives_kills_at_random_moments(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    whole, seconds = undisturbed
    corpus, random = tmp_path / "smoke", Random(20)
    for _ in range(NUM_KILLS):
        run = _start(corpus)
        try:
            run.wait(timeout=random.uniform(0.2, seconds / 2))
        except subprocess.TimeoutExpired:
            _kill(run)
    _finish(corpus)

    ids = _ids(corpus)
    assert {table: sorted(names) for table, names in ids.items()} == {t: sorted(n) for t, n in _ids(whole).items()}
    assert all(len(set(names)) == len(names) for names in ids.values())
    repeated = sum(count - 1 for count in _intents(corpus).values())
    assert repeated <= NUM_KILLS * IN_FLIGHT
    assert set(_intents(corpus)) == set(_intents(whole))
    assert verify(corpus).is_sound
    assert not CorpusFolder(corpus).find_unreferenced(CorpusFolder(corpus).read_ledger())  # type: ignore[arg-type]


def test_a_finished_corpus_is_left_alone(undisturbed: tuple[Path, float]) -> None:
    corpus, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.parquet")}
    calls = _intents(corpus)
    assert "Nothing was to do" in _finish(corpus)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*.parquet")} == before
    assert _intents(corpus) == calls
