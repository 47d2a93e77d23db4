from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.renderers.minimal import MinimalRenderer
from pipeline.adapters.retry_book import RetryBook
from pipeline.cli.run import RunLimits, run_manifest
from pipeline.contracts.render import Brief, Outcome, RenderFailure
from pipeline.execution.project import load_project
from pipeline.execution.retrying import Retrying
from pipeline.values.errors import CorpusError
from pipeline.values.records import Modality
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import describe, make, verify, write_manifest

TOPICS = {"list": ["a harbour at dawn", "a stall of roasted corn", "an old tram", "a kite with a broken tail"]}


class Moody(Endpoint):
    """Answers nothing of use about what it is told to be moody about."""

    about: tuple[str, str] | None = None

    def write(self, body: dict[str, Any]) -> Any:
        if self.about is not None:
            schema, words = self.about
            if body["response_format"]["json_schema"]["name"] == schema and words in str(body["messages"]):
                return {"nothing": "of use"}
        return super().write(body)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Moody]:
    with running_endpoint(endpoint=Moody()) as endpoint:
        assert isinstance(endpoint, Moody)
        yield endpoint


@pytest.fixture
def manifest(endpoint: Moody, tmp_path: Path) -> Path:
    endpoint.about = None
    endpoint.take()
    return write_manifest(tmp_path, describe(endpoint.url, topics=TOPICS))


def retry(manifest: Path, corpus: Path, reason: str = "all") -> Counter[str]:
    lock = CorpusLock.acquire(corpus / "work")
    try:
        return Retrying(load_project(manifest, corpus), lock, reason).order()
    finally:
        lock.release()


def counts(corpus: Path) -> dict[str, int]:
    ledger = CorpusFolder(corpus).read_ledger()
    assert ledger is not None
    return {name: ledger.counts[name] for name in ("kept", "failed")}


def failures_told(corpus: Path) -> list[dict[str, Any]]:
    lines = (corpus / "work" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "failed"]


@pytest.mark.parametrize(("schema", "stage"), [("scenario", "scenarios"), ("dialogue", "dialogues")])
def test_words_that_failed_are_asked_for_again_and_nothing_else_is(
    manifest: Path, endpoint: Moody, tmp_path: Path, schema: str, stage: str
) -> None:
    corpus = tmp_path / "corpus"
    endpoint.about = (schema, "an old tram")
    make(manifest, corpus, has_ray=False)
    assert counts(corpus) == {"kept": 3, "failed": 1}
    (told,) = failures_told(corpus)
    assert (told["stage"], told["code"]) == (stage, "invalid_answer")
    endpoint.take()
    make(manifest, corpus, has_ray=False)
    assert endpoint.take() == [], "what failed stays so until somebody says otherwise"

    assert retry(manifest, corpus, "timeout") == Counter()
    assert retry(manifest, corpus, f"{stage}/invalid_answer") == {f"{stage}/invalid_answer": 1}
    assert retry(manifest, corpus) == Counter(), "ordering twice is ordering once"
    make(manifest, corpus, has_ray=False)
    again = endpoint.take()
    assert len(again) == 3, "it still answers nothing of use, in three tries"
    assert counts(corpus) == {"kept": 3, "failed": 1}

    endpoint.about = None
    assert retry(manifest, corpus) == {f"{stage}/invalid_answer": 1}
    make(manifest, corpus, has_ray=False)
    assert counts(corpus) == {"kept": 4, "failed": 0}
    assert len(endpoint.take()) == (2 if stage == "scenarios" else 1)
    assert verify(corpus).is_sound
    make(manifest, corpus, has_ray=False)
    assert endpoint.take() == []
    books = [RetryBook(corpus / "work").read(shard).get(stage, {}) for shard in CorpusFolder(corpus).shard_indices()]
    assert {record: count for book in books for record, count in book.items()} == {told["record"]: 2}


def test_media_that_failed_are_rendered_at_the_attempts_after(
    manifest: Path, endpoint: Moody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, render = tmp_path / "corpus", MinimalRenderer.render
    seen: list[Brief] = []
    mends_at = 1000

    def fail_some(self: MinimalRenderer, briefs: Sequence[Brief]) -> list[Outcome]:
        seen.extend(briefs)
        return [
            RenderFailure(code="engine", message=f"brief {brief.id}: made to fail")
            if brief.modality is Modality.MUSIC and brief.attempt < mends_at
            else render(self, [brief])[0]
            for brief in briefs
        ]

    monkeypatch.setattr(MinimalRenderer, "render", fail_some)
    make(manifest, corpus, has_ray=False)
    failed = counts(corpus)["failed"]
    assert failed == len({brief.id for brief in seen if brief.modality is Modality.MUSIC}) > 0
    last = max(brief.attempt for brief in seen)
    mends_at = last + 1
    seen.clear()
    endpoint.take()
    assert retry(manifest, corpus, "music") == {"music/engine": failed}
    assert retry(manifest, corpus, "music") == Counter()
    make(manifest, corpus, has_ray=False)
    assert {(brief.modality, brief.attempt) for brief in seen} == {(Modality.MUSIC, last + 1)}
    assert counts(corpus) == {"kept": 4, "failed": 0}
    assert endpoint.take() == []
    assert verify(corpus).is_sound


def test_a_damaged_book_of_retries_is_named(tmp_path: Path) -> None:
    path = tmp_path / "retries" / "00003.json"
    path.parent.mkdir()
    path.write_text('{"scenarios": {"0123456789abcdef": 0}}', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"00003\.json: scenarios\.0123456789abcdef: .*greater than or equal to 1"):
        RetryBook(tmp_path).read(3)


def test_the_command_says_that_nothing_failed(
    manifest: Path, endpoint: Moody, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(manifest, tmp_path / "corpus", has_ray=False)
    endpoint.take()
    assert run_manifest(manifest, tmp_path / "corpus", RunLimits(retry_failed="timeout")) == 0
    out = capsys.readouterr().out
    assert "No record to take again: none failed for 'timeout'." in out
    assert "Nothing was to do" in out
    assert endpoint.take() == []
