"""Repair over real runs: what falls short is rendered again, the better is kept, and a second repair does nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.verdicts import VerdictBook
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.review import Reason, Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.driver import Run
from pipeline.execution.project import load_project
from pipeline.execution.repairing import Repairing, RepairReport
from pipeline.values.errors import CorpusError
from pipeline.values.repairs import Repair
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.here import Here
from tests.support.projects import describe, make, verify, write_manifest

LIMIT = 0.08
"""Of contrast; about half of all gradients between two random colours have less."""

MIX = [{"name": "draw", "weight": 1, "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]


class Stopped(Exception):
    """In place of a kill, between the order and its rendering."""


class Project:
    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.corpus = folder / "corpus"
        self.num_renders: list[int] = []

    def write(self, limit: float = LIMIT) -> Path:
        topics = {"list": [f"the {number} small bells of the harbour" for number in range(12)]}
        size = {"dialogues_per_shard": 4, "replace_losses": False}
        screen = {"limits": {"image.contrast": limit}}
        return write_manifest(
            self.folder, describe(self.endpoint.url, topics=topics, size=size, mix=MIX, screen=screen)
        )

    def run(self) -> tuple[Ledger, Run]:
        ledger, run = make(self.write(), self.corpus, has_ray=False)
        assert ledger is not None
        return ledger, run

    def repair(self, attempts: int = 2, max_rounds: int = 99, limit: float = LIMIT) -> RepairReport:
        """Repair with the workers' part done here; ``num_renders`` has what each round rendered."""
        project, self.num_renders = load_project(self.write(limit), self.corpus), []
        lock = CorpusLock.acquire(self.corpus / "work")

        def bring_up_to_date() -> None:
            if len(self.num_renders) == max_rounds:
                raise Stopped
            run = Run(project, lock)
            here: Any = Here(project, lock.epoch)
            run._cluster = here
            asyncio.run(run.execute())
            self.num_renders.append(run.tally.num_renders)

        try:
            return Repairing(project, lock, attempts).execute(bring_up_to_date)
        finally:
            lock.release()

    def rows(self, table: str) -> dict[str, Row]:
        paths = (self.corpus / table).glob("*.parquet")
        return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}

    def history(self) -> dict[str, Repair]:
        folder = CorpusFolder(self.corpus)
        books = [RepairBook(folder.work).read(shard) for shard in folder.shard_indices()]
        return {repair.part_id: repair for book in books for repair in book.values()}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    endpoint = Endpoint()
    with running_endpoint(endpoint=endpoint):
        yield Project(endpoint, tmp_path)


def test_what_falls_short_is_rendered_again_and_a_second_repair_does_nothing(project: Project) -> None:
    before, _ = project.run()
    passing = project.rows("images")
    project.endpoint.take()
    report = project.repair(attempts=8)
    assert project.endpoint.take() == [], "not a word is written again"
    num_short = before.counts["rejected"]
    assert project.num_renders[:2] == [0, num_short], "only what fell short"
    assert report.num_mended + report.num_short == num_short > 0
    assert report.num_mended > 0
    history, images = project.history(), project.rows("images")
    assert len(history) == num_short
    ledger = CorpusFolder(project.corpus).read_ledger()
    assert ledger is not None
    assert ledger.counts["kept"] == before.counts["kept"] + report.num_mended
    assert {name: images[name]["sha256"] for name in passing} == {n: row["sha256"] for n, row in passing.items()}
    mended = {name: row for name, row in images.items() if name not in passing}
    assert len(mended) == report.num_mended
    for name, row in mended.items():
        repair = history[name.rpartition("-a")[0]]
        assert (row["attempt"], repair.tries[-1].passes) == (repair.wanted, True)
        assert [one.wanted for one in repair.tries] == list(range(repair.wanted + 1))
        assert not any(one.passes for one in repair.tries[:-1])
    assert verify(project.corpus).is_sound

    again = project.repair(attempts=8)
    assert (again.num_ordered, project.num_renders, project.history()) == (0, [0], history)
    assert project.run()[1].was_idle, "a run afterwards finds everything up to date"


def test_of_attempts_that_all_fall_short_the_nearest_is_kept_and_rendered_no_further(project: Project) -> None:
    limit = 9.0
    project.repair(attempts=2, limit=limit)
    history, rejected = project.history(), project.rows("rejected")
    assert len(history) == len(rejected) == 12
    scores = {row["message"].split()[2]: row["score"] for row in rejected.values()}
    assert any(repair.wanted == 0 for repair in history.values())
    assert any(repair.wanted > 0 for repair in history.values())
    for part, repair in history.items():
        values = [one.misses[0].value for one in repair.tries]
        assert len(values) == 3
        assert scores[f"{part}-a{repair.wanted}"] == max(value for value in values if value is not None)
    assert project.num_renders == [12, 12, 12, 0], "what lost lies in the journal, and is not rendered a second time"
    assert project.repair(attempts=2, limit=limit).num_ordered == 0
    assert verify(project.corpus).is_sound


def test_a_repair_that_ends_in_the_middle_goes_on_and_renders_nothing_twice(project: Project, tmp_path: Path) -> None:
    straight = Project(project.endpoint, tmp_path / "straight")
    straight.run()
    straight.repair(attempts=3)
    project.run()
    renders = []
    for rounds in (1, 1, 1, 99):
        with suppress(Stopped):
            project.repair(attempts=3, max_rounds=rounds)
        renders += project.num_renders
    assert sum(renders) == sum(straight.num_renders) > 0
    assert project.history() == straight.history()
    sha256s = {name: row["sha256"] for name, row in straight.rows("images").items()}
    assert {name: row["sha256"] for name, row in project.rows("images").items()} == sha256s


def test_what_people_reject_is_not_repaired(project: Project) -> None:
    project.run()
    names = set(project.rows("rejected"))
    out = min(names)
    VerdictBook(project.corpus).file("anna").append(
        Verdict(dialogue_id=out, decision="reject", reasons=(Reason.INCOHERENT,))
    )
    project.repair(attempts=1)
    assert {part.partition("-t")[0] for part in project.history()}.isdisjoint({out})
    assert len(project.history()) == len(names) - 1


def test_damaged_repairs_are_told_and_never_taken_for_none(project: Project) -> None:
    project.run()
    path = project.corpus / "work" / "repairs" / "00000.json"
    path.parent.mkdir()
    path.write_text('{"key": {"part_id": "p", "wanted": -1}}', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"repairs/00000\.json: key\.wanted: .* restore it"):
        project.repair()


def test_the_command_refuses_what_it_cannot_repair(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, describe("http://127.0.0.1:9/v1"))
    command = [sys.executable, "-m", "pipeline.cli.app", "repair", str(path), "--corpus", str(tmp_path / "corpus")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "screen.limits: there are none" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "corpus" / FOLDER).exists()
