from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipeline.adapters.audits.judge import PLUGIN, JudgeOptions
from pipeline.adapters.audits.judge.judging import Judge, fence_of, parse_verdicts, state_dialogue
from pipeline.adapters.shipped import shipped
from pipeline.contracts.audit import AskingPlugin, AuditItem
from pipeline.contracts.chat import ChatRequest
from pipeline.execution.audits import choose_audits
from pipeline.values.errors import ManifestError

T = TypeVar("T")


class Scripted:
    """Gives each rubric the score 3, over the audit's own parser."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    async def __call__(
        self, request: ChatRequest, parse: Callable[[str], T], retry_text: Callable[[str], str] | None = None
    ) -> T:
        self.requests.append(request)
        names = request.json_schema["properties"]
        return parse(json.dumps({name: {"reason": "So it is.", "score": 3} for name in names}))


def item(*kinds: str) -> AuditItem:
    parts = [{"kind": kind, "text": f"about {kind}", "asset": None} for kind in kinds]
    return AuditItem("d1", "d1", {"turns": [{"role": "user", "parts": parts}]})


def test_a_typed_dialogue_is_not_asked_about_media() -> None:
    ask, judge = Scripted(), Judge(JudgeOptions(model="m"))
    typed = asyncio.run(judge.measure(item("text"), {}, ask))
    spoken = asyncio.run(judge.measure(item("speech"), {}, ask))

    assert set(typed) == {"dialogue.judge_coherence", "dialogue.judge_instruction", "dialogue.judge_mean"}
    assert set(spoken) == {measure.name for measure in PLUGIN.measures(JudgeOptions(model="m"))}
    assert "synergy" not in ask.requests[0].messages[0].content
    only_media = Judge(JudgeOptions(model="m", rubrics=("medium",)))
    assert asyncio.run(only_media.measure(item("text"), {}, ask)) == {}
    assert len(ask.requests) == 2


def test_what_is_common_comes_first_and_equal_dialogues_ask_alike() -> None:
    ask, judge = Scripted(), Judge(JudgeOptions(model="m"))
    for kinds in (("image",), ("music",), ("image",)):
        asyncio.run(judge.measure(item(*kinds), {}, ask))
    one, other, again = ask.requests
    assert one.messages[0] == other.messages[0]
    assert one.messages[1] != other.messages[1]
    assert one.key() == again.key()


def test_parts_are_named_by_what_they_are() -> None:
    turns = item("text", "speech", "image", "music").row["turns"]
    (turn,) = json.loads(state_dialogue(turns, []))
    assert turn["parts"] == [
        {"kind": "text", "text": "about text"},
        {"kind": "speech", "transcript": "about speech"},
        {"kind": "image", "description": "about image"},
        {"kind": "music", "description": "about music"},
    ]


def test_a_fence_is_of_what_it_stands_around() -> None:
    assert fence_of("a") != fence_of(f"a{fence_of('a')}")
    assert fence_of(fence_of("a")) not in fence_of("a")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("nothing", "the answer: Invalid JSON"),
        ("[]", "the answer: Input should be an object"),
        ('{"a": {"reason": "x", "score": 3}}', "exactly the keys a, b"),
        ('{"a": {"reason": "x", "score": 3}, "b": {"reason": "x", "score": 3.5}}', "b.score"),
        ('{"a": {"reason": "x", "score": 3}, "b": {"reason": "x", "score": "5"}}', "b.score"),
        ('{"a": {"reason": "x", "score": 3}, "b": {"reason": "x", "score": true}}', "b.score"),
        ('{"a": {"reason": "x", "score": 0}, "b": {"reason": "x", "score": 3}}', "a.score"),
        ('{"a": {"reason": "", "score": 3}, "b": {"reason": "x", "score": 3}}', "a.reason"),
        ('{"a": {"reason": "x", "score": 3, "why": 1}, "b": {"reason": "x", "score": 3}}', "a.why"),
        ("[" * 10**5, "the answer"),
    ],
)
def test_an_answer_that_is_none_is_refused_in_words_to_mend_it_by(answer: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_verdicts(answer, ["a", "b"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "audit judge: state either model, or models with weights"),
        ({"model": "m", "rubrics": ["../../etc"]}, "option rubrics.0"),
        ({"model": "m", "rubrics": ["safety", "safety"]}, "stands twice"),
        ({"model": "m", "rubrics": ["mean"]}, "is called mean"),
        ({"model": "m", "engine": "embedded", "see_pictures": True}, "the embedded models see nothing"),
        ({"model": "m", "mode": "batch"}, "option mode"),
        ({"model": "m", "beauty": 1}, "option beauty"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ManifestError, match=problem):
        choose_audits(("judge",), {"judge": options})


def test_rubrics_of_ones_own_are_read_and_their_errors_have_lines(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "templates").mkdir()
    for name in ("judge.system", "judge.user", "retry.user"):
        text = (shipped("prompts") / "templates" / f"{name}.j2").read_text()
        (tmp_path / "templates" / f"{name}.j2").write_text(text)
    own = tmp_path / "judge" / "wit.yaml"
    anchors = "anchors: {1: a, 2: b, 3: c, 4: d, 5: e}\n"
    own.write_text(f"summary: Wit.\nasks: Is it witty?\n{anchors}limit: 2.5\n")
    options = JudgeOptions(model="m", prompts=str(tmp_path), rubrics=("wit",))
    assert [(m.name, m.limit) for m in PLUGIN.measures(options)] == [
        ("dialogue.judge_wit", 2.5),
        ("dialogue.judge_mean", None),
    ]
    before = PLUGIN.identity(options)
    own.write_text(f"summary: Much wit.\nasks: Is it witty?\n{anchors}limit: 4\n")
    assert PLUGIN.identity(options) == before  # neither is told to the judge
    own.write_text(f"summary: Wit.\nasks: Is it very witty?\n{anchors}")
    assert PLUGIN.identity(options) != before

    own.write_text("summary: Wit.\nasks: Is it witty?\nanchors: {1: a, 5: e}\n")
    with pytest.raises(ManifestError, match=r"wit\.yaml:3: anchors"):
        PLUGIN.measures(options)
    with pytest.raises(ManifestError, match="there is no such rubric; there are wit"):
        PLUGIN.measures(options.model_copy(update={"rubrics": ("charm",)}))


def test_all_shipped_rubrics_are_whole() -> None:
    names = sorted(path.stem for path in (shipped("prompts") / "judge").glob("*.yaml"))
    assert names == ["coherence", "instruction", "medium", "safety", "synergy"]
    measures = PLUGIN.measures(JudgeOptions(model="m", rubrics=tuple(names)))
    assert all(measure.summary.startswith("An LLM's score") for measure in measures[:-1])


def test_it_is_registered_as_one_that_asks() -> None:
    (chosen,) = choose_audits(("judge",), {"judge": {"model": "m"}})
    assert isinstance(chosen.plugin, AskingPlugin)
    assert not chosen.plugin.is_default
