from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bench import writing, writing_report
from bench.writing import MANIFEST, Figures
from bench.writing_replay import Try, Written, read_tallies, read_written
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.embedding import MODEL, SentenceModel
from pipeline.adapters.shipped import shipped
from pipeline.adapters.topic_files import read_topics
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.chat import ChatRequest
from pipeline.execution import shard_work
from pipeline.execution.project import Project
from pipeline.execution.tally import EventLog, Tally
from pipeline.values.ids import normalise_text
from pipeline.values.manifest import Manifest
from pipeline.work.planning import extend_plan
from tests.support.stages import Notes, ScriptedChat, manifest, read_book, topics

SCENARIO = "Somebody types about {} grommets and marmalade; the assistant answers with a gouache of turnips and quartz."
ANSWERS = {
    ("scenario", 0): "no JSON",
    ("scenario", 1): json.dumps({"scenario": SCENARIO.format("brass")}),
    ("turn-01", 0): json.dumps({"text": "Forty grommets *clatter* down"}),
    ("turn-01", 1): json.dumps({"text": "Forty brass grommets clatter down seven marble stairwells at noon"}),
    ("turn-02", 0): json.dumps(
        {"text": "Forty brass grommets clatter down", "image": "gouache of quartz turnips under plum awnings"}
    ),
    ("turn-02", 1): json.dumps({"text": "Hear: clatter!", "image": "gouache of quartz turnips under plum awnings"}),
}


def write(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write one dialogue with three refusals, and another that fails at its first turn."""
    folder, made = CorpusFolder(project.corpus), project.manifest
    folder.work.mkdir(parents=True)
    plan = extend_plan([], topics(*made.topics.list), made, project.book)
    folder.write_plan(plan)
    bells = next(row.id for row in plan if row.topic.text == "small bells")

    def answer(request: ChatRequest) -> str:
        if request.record_id == bells and request.purpose == "turn-01":
            return json.dumps({"text": "Ding"})
        return ANSWERS[request.purpose, request.attempt]

    monkeypatch.setattr(shard_work, "open_chat", lambda writer, setting: ScriptedChat(answer))
    asyncio.run(shard_work.ShardWork(project, None, Notes()).compose(0, plan, None))
    EventLog(folder.work).append(Tally().snapshot())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A written corpus."""
    made = manifest(
        topics={"list": ["brass grommets", "small bells"]},
        writer={"engine": "openai", "model": "made-up", "style": "turns", "max_tries": 2},
    )
    project = Project(tmp_path / "small.yaml", made, tmp_path / "small")
    write(project, monkeypatch)
    return project


def by_topic(written: list[Written]) -> dict[str, Written]:
    return {one.planned.topic.text: one for one in written}


def test_answers_are_judged_again_as_they_were_when_they_came(project: Project) -> None:
    written = read_written(project)
    assert [one.planned.id for one in written] == sorted(one.planned.id for one in written)
    grommets, bells = by_topic(written)["brass grommets"], by_topic(written)["small bells"]
    overlap = "the field text repeats earlier words (100% of its 4-grams)"
    assert [(one.stage, one.attempt, one.problem and one.problem[:60]) for one in grommets.tries] == [
        ("scenarios", 0, "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        ("scenarios", 1, None),
        ("dialogues", 0, "the field text holds markup: '*'"),
        ("dialogues", 1, None),
        ("dialogues", 0, overlap),
        ("dialogues", 1, None),
    ]
    assert grommets.is_valid
    assert grommets.has_its_slot
    short = Try("dialogues", 0, "the field text has fewer than 2 words")
    assert bells.tries[2:] == (short, Try("dialogues", 1, short.problem))
    assert not bells.is_valid
    assert bells.has("scenarios")
    assert not bells.has("dialogues")
    for one in written:
        assert one.count("invalid_answers") == sum(each.problem is not None for each in one.tries)
        assert one.count("calls") == len(one.tries)


def test_report_states_what_was_counted(project: Project, cache_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = read_written(project)
    model = SentenceModel(cache_root / "models" / MODEL)
    assert writing_report.print_yield(written) == 0.5
    writing_report.print_refusals(written)
    writing_report.print_cost(written, 90.0)
    writing_report.print_shape(written)
    writing_report.print_roles(written, read_book(), model)
    writing_report.print_variety(written)
    assert writing_report.print_twins(written, model) == 0.0
    assert writing_report.print_relevance(written, read_book(), model) is None
    writing_report.print_topicality(written, model)
    lines = capsys.readouterr().out.splitlines()
    told = {line[:20].strip() or line.strip(): line[20:] for line in lines}
    assert told["scenarios valid"] == "1.000 (2 of 2 planned)"
    assert told["dialogues valid"] == "0.500 (1 of 2 planned)"
    assert told["valid by cell"] == "draw 1 of 2"
    assert told["failed"] == "1 × dialogues: invalid_answer"
    assert told["LLM calls"] == "10; 6 answers refused (0.600)"
    assert told["scenarios retries"] == "1.00 a planned dialogue"
    assert told["dialogues retries"] == "1.50 a planned dialogue"
    assert told["a valid dialogue"] == "10,000 tokens read, 4,000 of them cached; 1,000 written"
    assert told["words, user"] == "10.0 a turn"
    assert told["on topic"].startswith("scenarios, their topic: 0.500 of 2 nearest to their own")
    assert told["words, image"] == "7.0 a description (1 descriptions)"
    # 10 + 2 words said and 7 described; "clatter" stands twice.
    assert "0.947 1.000 1.000 over all texts (19 words)" in "\n".join(lines)


def test_first_dialogues_are_printed_with_the_failed_ones_among_them(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    writing_report.print_dialogues(read_written(project))
    printed = capsys.readouterr().out
    assert printed.startswith("The first 2 of 2 dialogues by id, unselected:\n")
    assert "  [image, not rendered] gouache of quartz turnips under plum awnings\n" in printed
    assert "Lost        dialogues: invalid_answer: no valid answer in 2 tries" in printed


def test_half_a_line_of_the_event_log_is_passed_over(project: Project) -> None:
    folder = CorpusFolder(project.corpus)
    with (folder.work / "events.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"t": 17, "event": "ta')
    (tally,) = read_tallies(folder)
    assert tally.state == "running"


@pytest.mark.parametrize(
    ("figures", "is_met"),
    [
        (Figures(100, 0.9, 0.05, 0.6), True),
        (Figures(100, 0.89, 0.0, 1.0), False),
        (Figures(100, 1.0, 0.06, 1.0), False),
        (Figures(100, 1.0, 0.0, 0.59), False),
        (Figures(1, 1.0, 0.0, None), False),
    ],
)
def test_every_goal_has_to_be_met(
    figures: Figures, is_met: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(writing, "measure", lambda manifest, corpus, limit=None: figures)
    assert writing.main([]) == (0 if is_met else 1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"writing: of {figures.num_planned} dialogues {figures.valid:.2f} valid")


def test_run_that_fails_is_no_measurement(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert writing.measure(tmp_path / "none.yaml", tmp_path / "corpus") is None
    assert capfd.readouterr().out == "bench.writing: the run ended with exit code 1\n"


def test_manifest_says_what_the_demo_says_of_the_writer() -> None:
    measured, demo = load_yaml(MANIFEST, Manifest), load_yaml(shipped("manifests", "demo.yaml"), Manifest)
    assert (measured.writer, measured.mix, measured.render) == (demo.writer, demo.mix, demo.render)
    assert not measured.size.replace_losses


def test_no_prompt_was_built_from_the_hundred_topics() -> None:
    found = read_topics(MANIFEST.with_name("writing_topics.txt"), ())
    book = read_book()
    known = {normalise_text(seed) for meta in book.meta_topics.values() for seed in (meta.name, *meta.seeds)}
    known |= {normalise_text(example.topic) for example in book.demonstrations.values()}
    assert len({topic.id for topic in found}) == len(found) == 100
    assert [topic.text for topic in found if not 4 <= len(topic.text.split()) <= 14 or topic.text[-1] in ".!?"] == []
    assert [topic.text for topic in found if normalise_text(topic.text) in known] == []
