"""The driver's own part of a run, with its workers in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.runs import read_last_tally
from pipeline.contracts.chat import ChatRequest
from pipeline.execution.driver import Run, Silence
from pipeline.execution.project import load_project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import EndpointError
from pipeline.work import topics
from pipeline.work.context import Writing
from pipeline.work.topics import write_topics
from tests.support.endpoint import fit
from tests.support.projects import describe, verify, write_manifest
from tests.support.stages import ScriptedChat, damage_column, read_book


def say(request: ChatRequest) -> str:
    return json.dumps(fit(dict(request.json_schema), Random(request.key())))


@dataclass
class Here:
    """Stands in for the cluster."""

    work: ShardWork
    chat: ScriptedChat

    async def write_topics(self) -> None:
        project = self.work.project
        writing = Writing(project.manifest, read_book(), project.prices, self.chat, Silence(), asyncio.Semaphore(2))
        await write_topics(self.work.topic_orders(), self.work.folder.topics(), writing)


ALIKE = {
    "night-markets": ("selling roasted chestnuts in the old harbour", "selling roasted chestnuts in an old harbour"),
    "moving-house": ("a piano carried up four flights of stairs", "a piano is carried up four flights of stairs"),
}


def say_alike(request: ChatRequest) -> str:
    """Write topics of which the last two say the same in nearly the same words."""
    return json.dumps({"topics": [f"three lamps about {request.record_id}", *ALIKE[request.record_id]]})


def run_topics(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[ChatRequest], str] = say
) -> tuple[Run, ScriptedChat]:
    generate = {"meta_topics": ["night-markets", "moving-house"], "per_meta_topic": 3, "per_call": 3}
    path = write_manifest(folder, describe("http://127.0.0.1:9/v1", topics={"generate": generate}))
    lock = CorpusLock.acquire(folder / "corpus" / "work")
    try:
        run = Run(load_project(path, folder / "corpus"), lock, until="topics")
        chat = ScriptedChat(script)
        here = Here(ShardWork(run.project, lock.epoch, Silence()), chat)
        monkeypatch.setattr(run, "_at_work", lambda: here)
        assert asyncio.run(run.execute()) is None
        return run, chat
    finally:
        lock.release()


def read_topics(folder: Path) -> dict[str, list[str]]:
    store = CorpusFolder(folder / "corpus").topics()
    return {row["record_id"]: row["topics"] for row in store.rows(topics.STAGE)}


def test_topics_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, chat = run_topics(tmp_path, monkeypatch)
    assert len(chat.requests) == 2
    assert run.tally.state == "done"
    made = read_topics(tmp_path)
    assert {name: len(listed) for name, listed in made.items()} == {"night-markets": 3, "moving-house": 3}
    _, again = run_topics(tmp_path, monkeypatch)
    assert again.requests == []


def test_topics_in_nearly_the_same_words_are_held_back_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_topics(tmp_path, monkeypatch, say_alike)
    found = CorpusFolder(tmp_path / "corpus").read_topic_screen()
    assert found is not None
    assert len(found["admitted"]) == 4
    held_back = {entry["text"]: entry["like"] for entry in found["held_back"].values()}
    assert held_back == {later: first for first, later in ALIKE.values()}
    assert verify(tmp_path / "corpus").is_sound
    path = tmp_path / "corpus" / "work" / "screened_topics.json"
    before = path.stat().st_mtime_ns
    _, again = run_topics(tmp_path, monkeypatch, say_alike)
    assert again.requests == []
    assert path.stat().st_mtime_ns == before


def test_damaged_decisions_about_topics_are_set_aside_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_topics(tmp_path, monkeypatch, say_alike)
    path = tmp_path / "corpus" / "work" / "screened_topics.json"
    before = path.read_text()
    path.write_text(before[:-20])
    found = verify(tmp_path / "corpus", fix=True)
    assert [finding.code for finding in found.findings if finding.severity == "error"] == ["screen_damaged"]
    assert not path.exists()
    _, again = run_topics(tmp_path, monkeypatch, say_alike)
    assert again.requests == []
    assert path.read_text() == before


def test_the_event_log_says_why_a_run_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: ChatRequest) -> str:
        raise EndpointError("m at host: 401: no; check $KEY")

    with pytest.raises(EndpointError):
        run_topics(tmp_path, monkeypatch, refuse)
    tally = read_last_tally(tmp_path / "corpus" / "work")
    assert tally is not None
    assert (tally.state, tally.end) == ("failed", "m at host: 401: no; check $KEY")

    def stumble(request: ChatRequest) -> str:
        raise ZeroDivisionError("with whatever in it")

    with pytest.raises(ZeroDivisionError):
        run_topics(tmp_path, monkeypatch, stumble)
    tally = read_last_tally(tmp_path / "corpus" / "work")
    assert tally is not None
    assert (tally.state, tally.end) == ("failed", "ZeroDivisionError")


def test_damaged_topics_are_made_again_from_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were they passed over, their dialogues would silently leave the corpus."""
    run_topics(tmp_path, monkeypatch)
    made = read_topics(tmp_path)
    [path] = (tmp_path / "corpus" / "work" / "topics").glob("*.parquet")
    damage_column(path, "usd")
    _, chat = run_topics(tmp_path, monkeypatch)
    assert chat.requests == []
    assert read_topics(tmp_path) == made
