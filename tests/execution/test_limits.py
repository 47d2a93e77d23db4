"""Limits of the screen, over real runs: measured once, told, applied, changed, and killed in the middle."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER, CorpusReadings
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.gc import collect_garbage
from pipeline.cli.plan import print_plan
from pipeline.cli.status import print_status
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.review import Reason, Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditRun, AuditSetting, Workers
from pipeline.execution.driver import Run
from pipeline.execution.garbage import READINGS, Collector
from pipeline.execution.limit_screen import adopt_screen
from pipeline.execution.limit_trial import LimitReport, LimitTrial
from pipeline.execution.project import load_project
from tests.support.corpora import flip_byte
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import describe, make, verify, write_manifest
from tests.support.runs import finish_run, kill_run, start_run
from tests.support.waiting import wait_until

LIMIT = 0.08
"""Of contrast; about half of all gradients between two random colours have less."""

MEASURES = {"image.contrast", "image.detail", "image.size_error"}
MIX = [
    {"name": "draw", "weight": 3, "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]},
    {"name": "tune", "weight": 1, "gives": ["text", "music"], "answers": ["text"], "rounds": [1, 1]},
]


@dataclass
class Project:
    endpoint: Endpoint
    folder: Path

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    def write(self, num_topics: int = 12, **screen: Any) -> Path:
        topics = {"list": [f"the {number} small bells of the harbour" for number in range(num_topics)]}
        size = {"dialogues_per_shard": 4, "replace_losses": False}
        changes = {"topics": topics, "size": size, "mix": MIX, "screen": screen}
        return write_manifest(self.folder, describe(self.endpoint.url, **changes))

    def run(self, has_ray: bool = False, num_topics: int = 12, **screen: Any) -> tuple[Ledger, Run]:
        self.endpoint.take()
        ledger, run = make(self.write(num_topics, **screen), self.corpus, has_ray=has_ray)
        assert ledger is not None
        return ledger, run

    def rows(self, table: str) -> dict[str, Row]:
        paths = (self.corpus / table).glob("*.parquet")
        return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}

    def contrasts(self) -> dict[str, float]:
        """By dialogue, of all pictures that are published."""
        return {row["dialogue_id"]: scores(row)["image.contrast"] for row in self.rows("images").values()}


def scores(row: Row) -> dict[str, float]:
    return {score["measure"]: score["value"] for score in row["scores"]}


def num_measured(run: Run) -> int:
    return run.tally.stages["screen"].done if "screen" in run.tally.stages else 0


def measured(corpus: Path) -> Counter[str]:
    """How often each record was measured, over all runs."""
    lines = [line for path in (corpus / FOLDER).rglob("*-e*.jsonl") for line in path.read_bytes().splitlines()]
    return Counter(json.loads(line.split(b" ", 1)[1])["record"] for line in lines if line.endswith(b"}"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    endpoint = Endpoint()
    with running_endpoint(endpoint=endpoint):
        yield Project(endpoint, tmp_path)


def try_limits(project: Project, path: Path, **limits: float) -> LimitReport:
    lock = CorpusLock.acquire(project.corpus / FOLDER)
    try:
        trial = LimitTrial(load_project(path, project.corpus), limits, lock, no_workers)
        return asyncio.run(trial.execute())
    finally:
        lock.release()


def no_workers() -> Workers:
    raise AssertionError("all is measured already")


def test_a_limit_rejects_what_falls_short_and_another_one_measures_and_renders_nothing(project: Project) -> None:
    ledger, run = project.run(limits={"image.contrast": 0.0})
    assert ledger.counts["kept"] == 12
    images = project.rows("images")
    assert num_measured(run) == len(images) == ledger.tables["images"] > 4
    assert all(set(scores(row)) == MEASURES for row in images.values())
    contrasts = project.contrasts()
    short = {name for name, value in contrasts.items() if value < LIMIT}
    assert 0 < len(short) < len(contrasts)

    ledger, run = project.run(limits={"image.contrast": LIMIT})
    assert (project.endpoint.take(), run.tally.num_renders, num_measured(run)) == ([], 0, 0)
    rejected = project.rows("rejected")
    assert set(rejected) == short
    assert ledger.reasons == {"screen/below_limit": len(short)}
    assert ledger.shortfalls == {"image.contrast": len(short)}
    assert {name: row["score"] for name, row in rejected.items()} == {name: contrasts[name] for name in short}
    worst = next(iter(rejected.values()))
    assert worst["message"].startswith(f"image.contrast of {worst['id']}-")
    assert worst["message"].endswith(f"must be at least {LIMIT}")
    assert set(project.contrasts()) == set(contrasts) - short
    assert verify(project.corpus).is_sound
    assert project.run(limits={"image.contrast": LIMIT})[1].was_idle

    ledger, run = project.run()
    assert (run.tally.num_renders, num_measured(run), ledger.counts["rejected"]) == (0, 0, 0)
    assert project.contrasts() == contrasts


def test_a_measure_of_another_audit_measures_that_alone(project: Project) -> None:
    project.run(limits={"image.contrast": LIMIT})
    ledger, run = project.run(limits={"image.contrast": LIMIT, "music.loudness": 0.0})
    assert run.tally.num_renders == 0
    assert num_measured(run) == ledger.shortfalls["music.loudness"] > 0
    ledger, run = project.run(limits={"image.contrast": LIMIT, "music.loudness": -70.0}, num_topics=13)
    assert num_measured(run) == 1


def test_damaged_readings_are_taken_again_and_let_nothing_pass(project: Project) -> None:
    ledger, _ = project.run(limits={"image.contrast": LIMIT})
    path = next((project.corpus / FOLDER / "00000").glob("picture-basics-*.parquet"))
    flip_byte(path, path.stat().st_size // 3)
    again, run = project.run(limits={"image.contrast": LIMIT})
    assert again.shortfalls == ledger.shortfalls
    assert verify(project.corpus).is_sound
    assert run.tally.num_renders == 0


def test_an_audit_afterwards_measures_nothing_and_counts_what_is_published(project: Project) -> None:
    ledger, _ = project.run(limits={"image.contrast": LIMIT})
    setting = adopt_screen(AuditSetting(project.corpus, ("picture-basics",)))
    assert setting.limits == {"image.contrast": LIMIT}
    lock = CorpusLock.acquire(project.corpus / FOLDER)
    try:
        found = asyncio.run(AuditRun(setting, lock, no_workers).execute())
    finally:
        lock.release()
    contrast = next(summary for summary in found if summary.measure.name == "image.contrast")
    assert (contrast.num_records, contrast.num_short) == (ledger.tables["images"], 0)
    readings = CorpusReadings(project.corpus)
    assert not list(readings.findings())
    assert len(list(readings.rows(readings.audits[0]))) == ledger.tables["images"]
    _, run = project.run(limits={"image.contrast": LIMIT})
    assert run.was_idle


def test_a_trial_says_what_a_limit_would_reject_and_rejects_nothing(project: Project) -> None:
    ledger, _ = project.run(limits={"image.contrast": 0.0})
    contrasts, path = project.contrasts(), project.write(limits={"image.contrast": 0.0})
    short = sorted((value, name) for name, value in contrasts.items() if value < LIMIT)
    report = try_limits(project, path, **{"image.contrast": LIMIT, "image.size_error": -1.0})
    assert report.num_dialogues == 12
    assert report.num_rejected == report.by_measure["image.size_error"] == len(contrasts)
    assert report.by_measure["image.contrast"] == report.num_of_several == len(short)
    assert report.alone == {"image.size_error": len(contrasts) - len(short)}
    assert report.cells == {"draw": (len(contrasts), len(contrasts)), "tune": (0, 12 - len(contrasts))}
    assert [found.dialogue_id for found in report.worst["image.contrast"]] == [name for _, name in short[:3]]
    assert CorpusFolder(project.corpus).read_ledger() == ledger


def test_readings_of_what_is_gone_are_garbage_and_a_run_afterwards_has_nothing_to_do(project: Project) -> None:
    ledger, _ = project.run(limits={"image.contrast": LIMIT})
    project.run(limits={"image.contrast": LIMIT}, num_topics=7)
    find = Collector(CorpusFolder(project.corpus)).find_rows
    kinds = {item.kind for item in find()}
    assert READINGS in kinds
    before = measured(project.corpus)
    collect_garbage(project.corpus, dry_run=False)
    assert find() == []
    assert not list((project.corpus / FOLDER / "00000").glob("*-e*.jsonl")), "its journals are spent"
    assert verify(project.corpus).is_sound
    _, run = project.run(limits={"image.contrast": LIMIT}, num_topics=7)
    assert (run.was_idle, num_measured(run)) == (True, 0)
    again, run = project.run(limits={"image.contrast": LIMIT})
    assert again.counts == ledger.counts
    assert num_measured(run) == 1 < len(before), "a shard that no ledger names keeps its readings"


def test_readers_of_the_tables_find_the_scores(project: Project) -> None:
    project.run(limits={"image.contrast": 0.0})
    contrasts = project.contrasts()
    images = datasets.load_dataset(
        str(project.corpus), "images", split="train", cache_dir=str(project.folder / "cache")
    )
    loaded = {row["dialogue_id"]: scores(row) for row in images.remove_columns("image")}
    assert {name: found["image.contrast"] for name, found in loaded.items()} == contrasts
    query = f"""
        SELECT i.dialogue_id, s.score.value FROM read_parquet('{project.corpus}/images/*.parquet') i,
        unnest(i.scores) s(score) WHERE s.score.measure = 'image.contrast'
    """
    assert dict(duckdb.connect().execute(query).fetchall()) == contrasts


def test_plan_status_and_card_tell_of_limits(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = project.write(limits={"image.contrast": LIMIT})
    print_plan(path, project.corpus, None)
    told = " ".join(capsys.readouterr().out.split())
    assert "screen: picture-basics measures" in told
    assert f"(0 are measured), for image.contrast >= {LIMIT}" in told
    ledger, _ = project.run(limits={"image.contrast": LIMIT})
    print_plan(path, project.corpus, None)
    told = " ".join(capsys.readouterr().out.split())
    assert "picture-basics measures 0 image records" in told
    assert "Nothing is to do." in told
    print_status(project.corpus, follow=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["image.contrast", str(ledger.shortfalls["image.contrast"])] in lines
    card = (project.corpus / "README.md").read_text(encoding="utf-8")
    assert f"| `picture-basics` | 1 | `image.contrast` | at least {LIMIT} share of full scale | yes |" in card


def test_dialogues_are_screened_through_ray(local_ray: None, project: Project) -> None:
    ledger, run = project.run(has_ray=True, limits={"image.contrast": LIMIT})
    assert ledger.counts["rejected"] == ledger.shortfalls["image.contrast"] > 0
    assert num_measured(run) == run.tally.stages["screen"].total > ledger.tables["images"]
    assert all(value >= LIMIT for value in project.contrasts().values())
    assert project.run(has_ray=True, limits={"image.contrast": LIMIT})[1].was_idle


def test_a_run_that_is_killed_while_it_measures_goes_on_from_there(local_ray: None, project: Project) -> None:
    path = project.write(limits={"image.contrast": LIMIT}, num_topics=40)
    run = start_run(path, project.corpus)
    wait_until(lambda: run.poll() is not None or bool(measured(project.corpus)))
    kill_run(run)
    before = measured(project.corpus)
    output = finish_run(path, project.corpus)
    assert "screen/below_limit" in output
    after = measured(project.corpus)
    assert before <= after
    assert max(after.values()) == 1, "what is in a journal is not measured again"
    rejected = {row["id"]: row["score"] for row in project.rows("rejected").values()}
    assert rejected
    assert all(value < LIMIT for value in rejected.values())
    assert verify(project.corpus).is_sound
    assert "Nothing was to do" in finish_run(path, project.corpus)


def test_what_reviewers_reject_is_not_published_and_comes_back_with_their_word(project: Project) -> None:
    project.run()
    name = min(project.rows("dialogues"))
    reviews = VerdictBook(project.corpus)
    reviews.file("anna").append(Verdict(dialogue_id=name, decision="reject", reasons=(Reason.INCOHERENT,)))
    ledger, run = project.run()
    assert run.tally.num_renders == 0
    [rejected] = project.rows("rejected").values()
    assert (rejected["id"], rejected["stage"]) == (name, "review")
    assert "incoherent" in rejected["message"]
    assert verify(project.corpus).is_sound
    assert project.run()[1].was_idle
    reviews.file("anna").append(Verdict(dialogue_id=name, decision=None))
    assert project.run()[0].counts["kept"] == ledger.counts["planned"]
