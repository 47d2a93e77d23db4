"""Repair over real runs: what falls short is rendered again, the better is kept, and a second repair does nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.readings import FOLDER
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.app import app
from pipeline.cli.gc import collect_garbage
from pipeline.cli.show import show_corpus
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.review import Reason, Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.budget import count_spent
from pipeline.execution.driver import Run
from pipeline.execution.repairing import RepairReport
from pipeline.execution.reporting import gather_figures
from pipeline.values.errors import CorpusError
from pipeline.values.repairs import Repair
from pipeline.values.screen import RepairPlan
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import describe, make, verify, write_manifest
from tests.support.repair_here import Stopped, repair_here
from tests.support.runs import read_journalled
from tests.support.waiting import wait_until

LIMIT = 0.08
"""Of contrast; about half of all gradients between two random colours have less."""

ROOT = Path(__file__).parents[2]

MIX = [{"name": "draw", "weight": 1, "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]


class Stubborn(Endpoint):
    """Answers with the description that it is to write anew."""

    def write(self, body: dict[str, Any]) -> Any:
        if body["response_format"]["json_schema"]["name"] != "description":
            return super().write(body)
        found = re.search("Description of the image of turn 2: (.*)", body["messages"][1]["content"])
        assert found is not None
        return {"image": found.group(1)}


class Project:
    def __init__(self, endpoint: Endpoint, folder: Path, made: Path | None = None) -> None:
        self.endpoint = endpoint
        self.made = made
        self.folder = folder
        self.corpus = folder / "corpus"
        self.num_renders: list[int] = []
        self.replaces = False

    def write(self, **limits: float) -> Path:
        topics = {"list": [f"the {number} small bells of the harbour" for number in range(12)]}
        size = {"dialogues_per_shard": 6, "replace_losses": self.replaces}
        screen = {"limits": {"image.contrast": LIMIT} | {name.replace("__", "."): at for name, at in limits.items()}}
        manifest = describe(self.endpoint.url, topics=topics, size=size, mix=MIX, screen=screen)
        manifest["writer"]["price"] = {"input": 1.0, "output": 2.0}
        return write_manifest(self.folder, manifest)

    def begin(self) -> Ledger:
        """Take over the corpus that was run once for all tests; return its ledger."""
        assert self.made is not None
        shutil.copytree(self.made, self.corpus)
        return self.read_ledger()

    def read_ledger(self) -> Ledger:
        ledger = CorpusFolder(self.corpus).read_ledger()
        assert ledger is not None
        return ledger

    def run(self) -> tuple[Ledger, Run]:
        ledger, run = make(self.write(), self.corpus, has_ray=False)
        assert ledger is not None
        return ledger, run

    def repair(self, attempts: int = 2, rewrite: bool = False, max_rounds: int = 99, **limits: float) -> RepairReport:
        """Repair; ``num_renders`` has what each round rendered."""
        self.num_renders = []
        plan = RepairPlan(attempts=attempts, rewrite=rewrite)
        return repair_here(self.write(**limits), self.corpus, plan, self.num_renders, max_rounds)

    def rows(self, table: str) -> dict[str, Row]:
        paths = (self.corpus / table).glob("*.parquet")
        return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}

    def history(self) -> dict[str, Repair]:
        folder = CorpusFolder(self.corpus)
        books = [RepairBook(folder.work).read(shard) for shard in folder.shard_indices()]
        return {repair.part_id: repair for book in books for repair in book.values()}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as found:
        yield found


@pytest.fixture(scope="module")
def made(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(endpoint, tmp_path_factory.mktemp("made"))
    project.run()
    return project.corpus


@pytest.fixture
def project(endpoint: Endpoint, made: Path, tmp_path: Path) -> Project:
    endpoint.take()
    return Project(endpoint, tmp_path, made)


def test_what_falls_short_is_rendered_again_and_a_second_repair_does_nothing(project: Project) -> None:
    before = project.begin()
    passing = project.rows("images")
    project.endpoint.take()
    report = project.repair(attempts=4)
    assert project.endpoint.take() == [], "not a word is written again"
    num_short = before.counts["rejected"]
    assert project.num_renders[:2] == [0, num_short], "only what fell short"
    assert report.num_mended + report.num_short == num_short > 0
    assert report.num_mended > 0
    history, images = project.history(), project.rows("images")
    assert len(history) == num_short
    ledger = project.read_ledger()
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

    again = project.repair(attempts=4)
    assert (again.num_ordered, project.num_renders, project.history()) == (0, [0], history)
    assert project.run()[1].was_idle, "a run afterwards finds everything up to date"


def test_nobody_writes_in_place_of_a_dialogue_that_a_render_can_save(project: Project) -> None:
    before = project.begin()
    project.replaces = True
    project.endpoint.take()
    report = project.repair(attempts=12)
    assert report.num_mended == before.counts["rejected"] > 0
    assert project.endpoint.take() == []
    assert project.read_ledger().counts["kept"] == 12


def test_of_attempts_that_all_fall_short_the_nearest_is_kept_and_rendered_no_further(project: Project) -> None:
    project.begin()
    limit = 9.0
    project.repair(attempts=2, image__contrast=limit)
    history, rejected = project.history(), project.rows("rejected")
    assert len(history) == len(rejected) == 12
    scores = {row["message"].split()[2]: row["score"] for row in rejected.values()}
    assert any(repair.wanted == 0 for repair in history.values())
    assert any(repair.wanted > 0 for repair in history.values())
    for part, repair in history.items():
        values = [one.misses[0].value for one in repair.tries]
        assert len(values) == 3
        assert scores[f"{part}-a{repair.wanted}"] == max(value for value in values if value is not None)
    assert project.num_renders == [0, 12, 12, 0], "what lost lies in the journal, and is not rendered a second time"
    assert project.repair(attempts=2, image__contrast=limit).num_ordered == 0
    assert verify(project.corpus).is_sound


def test_a_repair_that_ends_in_the_middle_goes_on_and_renders_nothing_twice(project: Project, tmp_path: Path) -> None:
    straight = Project(project.endpoint, tmp_path / "straight", project.made)
    straight.begin()
    straight.repair(attempts=2)
    project.begin()
    renders = []
    for rounds in (1, 2, 99):
        with suppress(Stopped):
            project.repair(attempts=2, max_rounds=rounds)
        renders += project.num_renders
    assert sum(renders) == sum(straight.num_renders) > 0
    assert project.history() == straight.history()
    sha256s = {name: row["sha256"] for name, row in straight.rows("images").items()}
    assert {name: row["sha256"] for name, row in project.rows("images").items()} == sha256s


def test_what_no_seed_mends_is_rendered_from_another_description(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.begin()
    folder = CorpusFolder(project.corpus)
    spent = count_spent(folder)
    project.endpoint.take()
    report = project.repair(attempts=1, rewrite=True)
    requests, history = project.endpoint.take(), project.history()
    rewritten = {part: repair for part, repair in history.items() if repair.rewrite is not None}
    assert len(requests) == len(rewritten) == report.num_rewritten > 0
    assert len(rewritten) < len(history), "some pass with another seed"
    assert all(f"has to be at least {LIMIT}" in body["messages"][1]["content"] for body in requests)
    images, dialogues = project.rows("images"), project.rows("dialogues")
    mended = {part: repair for part, repair in rewritten.items() if repair.tries[-1].passes}
    assert mended
    for part, repair in mended.items():
        assert repair.rewrite is not None
        (row,) = [row for row in images.values() if row["part_id"] == part]
        (said,) = [p for p in dialogues[row["dialogue_id"]]["turns"][row["turn"]]["parts"] if p["asset"] == row["id"]]
        assert row["description"] == said["text"] == repair.rewrite.text == repair.tries[-1].text
        assert [one["attempt"] for one in row["repairs"]] == [0, 1]
        assert all(one["description"] is None and one["missed"][0]["value"] < LIMIT for one in row["repairs"])
    for part, repair in rewritten.items():
        assert [bool(one.text) for one in repair.tries] == [False, False, True], "as many of the new words"
        if part not in mended:
            assert repair.wanted == min(repair.tries, key=lambda one: one.badness).wanted

    ledger = project.read_ledger()
    assert ledger.spend["descriptions"]["tester"]["calls"] == len(requests)
    assert ledger.repairs == {"assets": report.num_mended, "dialogues": report.num_mended}
    assert (ledger.passing.before, ledger.passing.now) == (12 - len(history), ledger.counts["kept"])
    described = ledger.spend["descriptions"]["tester"]["usd"]
    assert count_spent(folder) == pytest.approx(spent + described)
    stated = [row["provenance"] for row in (*dialogues.values(), *project.rows("rejected").values())]
    assert sum(one["usd"] for one in stated) == pytest.approx(spent + described)
    calls = sum(models["tester"]["calls"] for models in ledger.spend.values())
    assert sum(one["calls"] for one in stated) == calls
    one = next(iter(mended)).partition("-")[0]
    assert dialogues[one]["provenance"]["calls"] == 3, "scenario, dialogue, description"
    assert verify(project.corpus).is_sound

    again = project.repair(attempts=1, rewrite=True)
    assert (again.num_ordered, project.num_renders, project.endpoint.take()) == (0, [0], [])
    assert project.run()[1].was_idle

    part, repair = next(iter(mended.items()))
    show_corpus(project.corpus, part.partition("-")[0], trace=True, save=None)
    told = " ".join(capsys.readouterr().out.split())
    assert "repair: attempt 0, misses image.contrast is 0.0" in told
    assert f"repair: attempt 2, kept, passes, rewritten description: {repair.tries[-1].text}" in told
    (project.corpus / "work").rename(project.folder / "left at home")
    show_corpus(project.corpus, part.partition("-")[0], trace=True, save=None)
    told = " ".join(capsys.readouterr().out.split())
    assert "repair: attempt 1, set aside, misses image.contrast is 0.0" in told
    assert gather_figures(project.corpus, 1).repairs == ledger.passing


def test_a_killed_repair_pays_for_no_answer_twice(project: Project) -> None:
    project.begin()
    # Without an LLM the best is kept; with one the repair goes on from there.
    project.repair(attempts=1, rewrite=False)
    short = [part for part, repair in project.history().items() if not any(one.passes for one in repair.tries)]
    project.endpoint.take()
    project.endpoint.answer_only(1)
    before = len(read_journalled(project.corpus, "answer"))
    command = [sys.executable, "-m", "tests.support.repair_here", str(project.write()), str(project.corpus)]
    with subprocess.Popen(command, cwd=ROOT) as repair:
        wait_until(lambda: repair.poll() is not None or len(read_journalled(project.corpus, "answer")) > before)
        repair.kill()
    asked = project.endpoint.take()
    project.endpoint.room = None
    report = project.repair(attempts=1, rewrite=True)
    asked_again = project.endpoint.take()
    assert len(asked) > 1
    assert len(asked_again) == report.num_rewritten - 1 == len(short) - 1, "what was answered is in the journal"
    assert verify(project.corpus).is_sound
    assert project.repair(attempts=1, rewrite=True).num_ordered == 0


def test_where_the_llm_finds_no_other_words_the_best_attempt_stays(tmp_path: Path) -> None:
    endpoint = Stubborn()
    with running_endpoint(endpoint=endpoint):
        project = Project(endpoint, tmp_path)
        project.run()
        report = project.repair(attempts=1, rewrite=True)
        assert (report.num_rewritten, report.num_failed) == (0, report.num_short)
        assert report.num_short > 0
        endpoint.take()
        assert project.repair(attempts=1, rewrite=True).num_ordered == 0
        assert endpoint.take() == [], "nobody is asked a second time"


def test_nobody_is_asked_for_what_passes_since_a_limit_was_let_out(project: Project) -> None:
    project.begin()
    with suppress(Stopped):
        project.repair(attempts=1, rewrite=True, max_rounds=2, image__contrast=9.0)
    assert all(repair.awaits_text(True) for repair in project.history().values())
    project.endpoint.take()
    assert project.repair(attempts=1, rewrite=True, image__contrast=0.0).num_ordered == 0
    assert project.endpoint.take() == []
    assert not any(repair.awaits_text(True) for repair in project.history().values())


def test_gc_lets_go_of_what_lost_and_nothing_is_made_again(project: Project) -> None:
    project.begin()
    collect_garbage(project.corpus, dry_run=False)
    project.repair(attempts=1, image__contrast=9.0)
    assert project.num_renders == [0, 12, 0], "first attempts are put back that no journal had any more"
    assert any(repair.wanted == 0 for repair in project.history().values())
    collect_garbage(project.corpus, dry_run=False)
    assert not list(project.corpus.rglob("image-e*.blob")), "the losers' bytes lay in the journal alone"
    assert verify(project.corpus).findings == []
    assert project.repair(attempts=1, image__contrast=9.0).num_ordered == 0
    assert project.num_renders == [0]


def test_gc_in_the_middle_of_a_repair_keeps_what_may_turn_out_best(project: Project) -> None:
    project.begin()
    with suppress(Stopped):
        project.repair(attempts=2, image__contrast=9.0, max_rounds=2)
    collect_garbage(project.corpus, dry_run=False)
    project.repair(attempts=2, image__contrast=9.0)
    assert sum(project.num_renders) == 12, "the one attempt that was missing"


def test_what_falls_short_by_its_words_is_not_rendered_again(project: Project) -> None:
    project.begin()
    project.repair(dialogue__num_words=1000, image__contrast=9.0)
    assert project.history() == {}
    assert project.num_renders == [0]


def test_what_people_reject_is_not_repaired(project: Project) -> None:
    project.begin()
    names = set(project.rows("rejected"))
    out = min(names)
    VerdictBook(project.corpus).file("anna").append(
        Verdict(dialogue_id=out, decision="reject", reasons=(Reason.INCOHERENT,))
    )
    project.repair(attempts=1)
    assert {part.partition("-t")[0] for part in project.history()}.isdisjoint({out})
    assert len(project.history()) == len(names) - 1


def test_damaged_repairs_are_told_and_never_taken_for_none(project: Project) -> None:
    project.begin()
    path = project.corpus / "work" / "repairs" / "00000.json"
    path.parent.mkdir()
    path.write_text('{"key": {"part_id": "p", "wanted": -1}}', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"repairs/00000\.json: key\.wanted: .* restore it"):
        project.repair()


def test_the_command_stops_at_the_budget_and_goes_on_with_more(local_ray: None, project: Project) -> None:
    project.begin()
    folder = CorpusFolder(project.corpus)
    spent = count_spent(folder)
    assert spent > 0
    words = ["repair", str(project.write()), "--corpus", str(project.corpus), "--attempts", "1"]
    project.endpoint.take()
    done = CliRunner().invoke(app, [*words, "--budget", f"{spent + 1e-6:.9f}"])
    assert done.exit_code == 3, f"{done.output}\n{done.exception!r}"
    assert "the budget of" in done.output
    assert "Nothing is lost" in done.output
    assert project.endpoint.take() == []
    assert any(len(repair.tries) == 2 for repair in project.history().values()), "other seeds cost nothing"
    report = project.repair(attempts=1, rewrite=True)
    assert len(project.endpoint.take()) == report.num_rewritten > 0
    assert count_spent(folder) > spent


def test_the_command_refuses_what_it_cannot_repair(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, describe("http://127.0.0.1:9/v1"))
    command = [sys.executable, "-m", "pipeline.cli.app", "repair", str(path), "--corpus", str(tmp_path / "corpus")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "screen.limits: there are none" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "corpus" / FOLDER).exists()
