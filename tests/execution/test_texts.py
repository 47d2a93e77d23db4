"""Spoken dialogues out of text-only instruction data: all stages, with the workers in this process."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.shipped import shipped
from pipeline.cli.plan import print_plan
from pipeline.cli.status import print_status
from pipeline.contracts.chat import ChatRequest
from pipeline.execution import shard_work
from pipeline.execution.forecast import forecast
from pipeline.execution.project import load_project
from pipeline.execution.text_sources import gather, judge_rows, open_sources
from pipeline.values.errors import ManifestError
from pipeline.work.taking import KEPT, ROWS, add_up, sum_rejected
from tests.support.instruction_data import alpaca, messages, sharegpt, talk, write_dirty
from tests.support.projects import make, verify, write_manifest
from tests.support.stages import ScriptedChat

NUM_ROWS = 600

ANSWERS = (
    "Keep them in a paper bag in the dark, and look at them once a week.",
    "A neighbour of mine sings to hers, and she swears that it helps.",
    "Start with the oldest, and do not open more than you can finish today.",
    "Water is the trouble, so lift everything off the floor before the autumn.",
    "Nobody knows for certain, but the old sailors used wax and patience.",
    "Ask at the market early, when the people there still have time to talk.",
)


def different(number: int) -> list[tuple[str, str]]:
    """A dialogue that is not nearly another one."""
    return [(role, words) for role, words in (talk(number * 911)[0], ("assistant", ANSWERS[number]))]


def describe(files: list[Any], **changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "said",
        "seed": 5,
        "texts": {"files": files},
        "size": {"dialogues_per_shard": 2},
        "mix": [{"name": "spoken", "gives": ["speech"], "answers": ["speech"], "rounds": [1, 3]}],
        "render": {
            "speech": {
                "renderer": "minimal-speech",
                "voices_file": "voices.yaml",
                "voices": {"user": ["anna", "ben", "carl"], "assistant": "dora"},
            }
        },
    } | changes


def write_rows(path: Path, *rows: Mapping[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(corpus: Path, table: str) -> dict[str, dict[str, Any]]:
    files = sorted((corpus / table).glob("*.parquet"))
    return {row["id"]: row for file in files for row in pq.read_table(file).to_pylist()}


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """A manifest with two files of six rows, of which one is unfit and one like another."""
    folder = tmp_path / "manifests"
    path = write_manifest(folder, describe(["first.jsonl", "second.jsonl"]))
    odd = alpaca([("user", "How do I list files?"), ("assistant", "Run `ls -l` and read what it says.")])
    write_rows(folder / "first.jsonl", sharegpt(different(0)), odd, messages(different(1)))
    nearly = [(role, words.replace("once a week", "once a month")) for role, words in different(0)]
    write_rows(folder / "second.jsonl", alpaca(different(2)), alpaca(nearly), messages([*different(3), *different(4)]))
    return path


def test_every_dirty_row_is_kept_or_rejected_by_its_rule(tmp_path: Path) -> None:
    dirty = write_dirty(tmp_path, NUM_ROWS)
    project = load_project(write_manifest(tmp_path, describe(dirty.files)))
    assert project.manifest.texts is not None
    sources = open_sources(project, project.manifest.texts)
    rows = list(judge_rows(project, project.manifest.texts, sources))
    found = gather(iter(rows))
    assert Counter(row["rule"] or "kept" for row in rows) == dirty.expected
    assert add_up(found.counts)[ROWS] == dirty.num_rows == NUM_ROWS
    for counts in found.counts.values():
        assert counts[ROWS] == counts[KEPT] + sum(sum_rejected({"": counts}).values())
    assert len(found.texts) == dirty.expected["kept"]
    assert {one.name for one in sources} == set(found.counts)


def test_corpus_speaks_both_sides_and_accounts_for_every_row(said: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    ledger, _ = make(said, corpus, has_ray=False)
    assert ledger is not None
    assert ledger.texts["first.jsonl"] == {
        "rows": 3,
        "kept": 2,
        "rejected/code": 1,
        "shape/sharegpt": 1,
        "shape/messages": 1,
        "system_dropped": 0,
    }
    assert add_up(ledger.texts)[KEPT] == ledger.counts["planned"] == 5
    assert ledger.counts["kept"] == 4
    assert ledger.reasons == {"screen/near_duplicate": 1}
    dialogues, speech = rows_of(corpus, "dialogues"), rows_of(corpus, "speech")
    words = {tuple(part["text"] for turn in row["turns"] for part in turn["parts"]) for row in dialogues.values()}
    assert tuple(text for _, text in different(1)) in words
    parts = [(turn["role"], part) for row in dialogues.values() for turn in row["turns"] for part in turn["parts"]]
    assert all(speech[part["asset"]]["transcript"] == part["text"] for _, part in parts)
    assert {speech[part["asset"]]["voice"] for role, part in parts if role == "assistant"} == {"dora"}
    assert {speech[part["asset"]]["voice"] for role, part in parts if role == "user"} <= {"anna", "ben", "carl"}
    assert {row["scenario"] for row in dialogues.values()} <= {
        f"{n}.jsonl:{i}" for n in ("first", "second") for i in (1, 2, 3)
    }
    assert all(row["provenance"]["models"] == [] for row in dialogues.values())
    assert not verify(corpus).findings
    again, run = make(said, corpus, has_ray=False)
    assert run.was_idle
    assert again == ledger


def test_added_files_change_no_earlier_record(said: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    make(said, corpus, has_ray=False)
    before = rows_of(corpus, "dialogues")
    plan = CorpusFolder(corpus).read_plan()
    write_rows(said.parent / "added.jsonl", messages(different(5)), alpaca(different(1)))
    write_manifest(said.parent, describe(["added.jsonl", "first.jsonl", "second.jsonl"]))
    ledger, run = make(said, corpus, has_ray=False)
    after = rows_of(corpus, "dialogues")
    assert ledger is not None
    assert len(after) == len(before) + 1
    moved = ("scenario", "provenance")  # where a text was found first has changed
    assert all({**after[name], **{key: row[key] for key in moved}} == row for name, row in before.items())
    assert CorpusFolder(corpus).read_plan()[: len(plan)] == plan
    assert run.tally.num_renders == 2
    assert ledger.texts["added.jsonl"][KEPT] == 2
    assert ledger.texts["first.jsonl"]["rejected/duplicate"] == 1


def test_texts_replace_those_that_the_screen_rejects(said: Path, tmp_path: Path) -> None:
    write_manifest(said.parent, describe(["first.jsonl", "second.jsonl"], size={"max_dialogues": 4}))
    ledger, _ = make(said, tmp_path / "corpus", has_ray=False)
    assert ledger is not None
    assert ledger.counts == {"planned": 5, "kept": 4, "rejected": 1, "failed": 0}
    assert add_up(ledger.texts)[KEPT] == 5


def test_plan_and_status_say_what_becomes_of_rows(
    said: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    expected = forecast(load_project(said, corpus))
    assert (expected.num_planned, expected.num_new, expected.stages["dialogues"].inventory.missing) == (5, 5, 5)
    assert expected.count_calls() == 0
    print_plan(said, corpus, None)
    ledger, _ = make(said, corpus, has_ray=False)
    print_status(corpus, follow=False, sleep=time.sleep)
    told = capsys.readouterr().out
    assert told.count("Rows rejected") == 2
    assert told.count("it holds code") == 2
    done = forecast(load_project(said, corpus))
    assert ledger is not None
    assert done.texts == ledger.texts
    assert done.stages["speech"].inventory.missing == done.stages["speech"].inventory.stale == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"texts": {"files": []}}, "name at least one source of texts: files or hub"),
        ({"texts": {"files": ["gone.jsonl"]}}, "texts.files.0: "),
        ({"texts": {"files": ["voices.yaml"]}}, "voices.yaml ends in none of .jsonl, .ndjson, .json, .parquet"),
        ({"texts": {"files": ["first.jsonl", "first.jsonl"]}}, "names 'first.jsonl' twice"),
        ({"texts": {"hub": [{"id": "a/b"}]}}, "texts.hub.0.revision: is missing"),
        ({"writer": {"engine": "openai", "model": "m"}}, "texts.rewrite: true asks for a writer, and nothing else"),
        ({"texts": {"files": ["first.jsonl"], "rewrite": True}}, "texts.rewrite: true asks for a writer"),
        ({"topics": {"list": ["kites"]}}, "dialogues are either taken or written"),
        ({"size": {"dialogues_per_topic": 2}}, "size.dialogues_per_topic: a text that is taken is one dialogue"),
        ({"intended_use": "commercial"}, "texts.files: first.jsonl is under 'not stated'"),
        (
            {"mix": [{"name": "a", "gives": ["speech"], "answers": ["speech", "image"]}]},
            "state one cell whose gives and answers are [text] or [speech] each",
        ),
    ],
)
def test_wrong_manifests_are_told(said: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_project(write_manifest(said.parent, describe(["first.jsonl"], **changes)))
    assert told in str(caught.value)
    assert "manifest.yaml:" in str(caught.value)


def test_files_without_a_fit_row_are_told_with_their_rules(said: Path, tmp_path: Path) -> None:
    write_rows(said.parent / "first.jsonl", {"a": 1}, {"a": 2}, alpaca([("user", " "), ("assistant", " ")]))
    write_manifest(said.parent, describe(["first.jsonl"]))
    with pytest.raises(ManifestError, match=r"not one of 3 rows is fit to be spoken \(unknown_shape: 2, empty: 1\)"):
        make(said, tmp_path / "corpus", has_ray=False)


def test_files_that_break_off_stop_the_run_and_lose_nothing(said: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    make(said, corpus, has_ray=False)
    (said.parent / "cut.json").write_text('[{"instruction": "a", "output": "b"}, {"instr', encoding="utf-8")
    write_manifest(said.parent, describe(["first.jsonl", "second.jsonl", "cut.json"]))
    with pytest.raises(ManifestError, match=r"cut\.json: record 2: not JSON"):
        make(said, corpus, has_ray=False)
    assert len(rows_of(corpus, "dialogues")) == 4
    assert not verify(corpus).findings


def test_shipped_sample_comes_to_24_dialogues(tmp_path: Path) -> None:
    project = load_project(shipped("manifests", "spoken-demo.yaml"), tmp_path)
    expected = forecast(project)
    assert expected.num_planned == 24
    assert sum_rejected(expected.texts) == dict.fromkeys(
        ("code", "list", "link", "language", "formula", "duplicate"), 1
    )
    shapes = {name: number for name, number in add_up(expected.texts).items() if name.startswith("shape/")}
    assert shapes == {"shape/alpaca": 8, "shape/sharegpt": 8, "shape/messages": 8}
    load_project(shipped("manifests", "spoken-100k.yaml"), tmp_path)


def test_dialogues_are_reworded_for_speech_where_the_manifest_asks(
    said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = "You need these:\n- a paper bag\n- a dark shelf\n- a free hour every week"
    write_rows(said.parent / "first.jsonl", alpaca([different(0)[0], ("assistant", listed)]), messages(different(1)))
    good = {"turn_1_user": "How would you keep them?", "turn_2_assistant": "In a paper bag, on a dark shelf."}
    bad = good | {"turn_2_assistant": "**In a paper bag**, on a dark shelf."}
    fine = {"turn_1_user": "And what about bread?", "turn_2_assistant": ANSWERS[3]}

    def say(request: ChatRequest) -> str:
        is_first = "paper bag" in request.messages[1].content
        return json.dumps((bad if request.attempt == 0 else good) if is_first else fine)

    chat = ScriptedChat(say)
    monkeypatch.setattr(shard_work, "open_chat", lambda writer, setting: chat)
    writer = {"engine": "openai", "model": "tester", "api_key_env": "NO_KEY", "max_tries": 2}
    texts = {"files": ["first.jsonl"], "rewrite": True}
    path = write_manifest(said.parent, describe([], texts=texts, writer=writer))
    assert forecast(load_project(path, tmp_path / "corpus")).count_calls() == 2
    ledger, _ = make(path, tmp_path / "corpus", has_ray=False)
    assert ledger is not None
    assert (ledger.counts["kept"], ledger.texts["first.jsonl"][KEPT], len(chat.requests)) == (2, 2, 3)
    retried = next(request for request in chat.requests if request.attempt == 1)
    assert "markup: it holds markup" in retried.messages[-1].content
    rows = rows_of(tmp_path / "corpus", "dialogues").values()
    spoken = {tuple(part["spoken"] for turn in row["turns"] for part in turn["parts"]) for row in rows}
    assert spoken == {tuple(good.values()), tuple(fine.values())}
    assert {row["provenance"]["models"][0] for row in rows} == {"tester"}
    assert not verify(tmp_path / "corpus").findings


def test_text_that_no_answer_rewords_by_the_rules_fails(
    said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(said.parent / "first.jsonl", alpaca(different(0)))
    monkeypatch.setattr(shard_work, "open_chat", lambda writer, setting: ScriptedChat(lambda request: '{"a": 1}'))
    writer = {"engine": "openai", "model": "tester", "api_key_env": "NO_KEY", "max_tries": 2}
    texts = {"files": ["first.jsonl"], "rewrite": True}
    ledger, _ = make(
        write_manifest(said.parent, describe([], texts=texts, writer=writer)), tmp_path / "c", has_ray=False
    )
    assert ledger is not None
    assert ledger.counts == {"planned": 1, "kept": 0, "rejected": 0, "failed": 1}
    assert ledger.reasons == {"dialogues/invalid_answer": 1}


def test_changed_spelling_and_rules_are_noticed_in_a_finished_corpus(said: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    make(said, corpus, has_ray=False)
    louder = [(role, words.replace("A neighbour", "A NEIGHBOUR")) for role, words in different(1)]
    odd = alpaca([("user", "How do I list files?"), ("assistant", "Run `ls -l` and read what it says.")])
    write_rows(said.parent / "first.jsonl", sharegpt(different(0)), odd, messages(louder))
    ledger, run = make(said, corpus, has_ray=False)
    assert ledger is not None
    assert ledger.counts["kept"] == 4
    assert not run.was_idle
    assert run.tally.num_renders == 0  # it sounds as before
    written = [row for shard in (0, 1, 2) for row in CorpusFolder(corpus).shard(shard).rows("dialogues")]
    assert any("A NEIGHBOUR" in str(row["turns"]) for row in written)
    texts = {"files": ["first.jsonl", "second.jsonl"], "rules": {"words": [1, 16]}}
    write_manifest(said.parent, describe([], texts=texts))
    ledger, _ = make(said, corpus, has_ray=False)
    assert ledger is not None
    assert add_up(ledger.texts)["rejected/too_long"] > 0
    assert ledger.counts["planned"] == add_up(ledger.texts)[KEPT] < 5
