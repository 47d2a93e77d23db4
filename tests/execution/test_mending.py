"""Damage under ``work/``: what ``verify --fix`` sets aside the next run makes again, and what a run meets it mends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.runs import read_last_tally
from pipeline.execution.driver import MAX_MENDS
from pipeline.values.errors import CorpusError, StageDamaged
from tests.support.corpora import flip_byte
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.here import Here
from tests.support.projects import describe, make, verify, write_manifest
from tests.support.stages import damage_column

STAGES = ("scenarios", "dialogues", "image", "music", "speech")


@dataclass
class Built:
    """A finished corpus of six dialogues in three shards, and the endpoint that wrote it."""

    folder: Path
    endpoint: Endpoint

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.yaml"

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    @property
    def shard(self) -> Path:
        return self.corpus / "work" / "shards" / "00001"

    def stage_file(self, stage: str) -> Path:
        receipt = CorpusFolder(self.corpus).shard(1).receipt(stage)
        assert receipt is not None
        return self.shard / receipt.file

    def published(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.corpus.glob("*/train-*.parquet"))}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("mending")
    with running_endpoint() as endpoint:
        mix = [
            {"name": "talk", "gives": ["speech"], "answers": ["speech", "image"], "rounds": [1, 1]},
            {"name": "tune", "gives": ["text", "music"], "answers": ["text"], "rounds": [1, 1]},
        ]
        topics = {"list": [f"the {number} small bells of the harbour" for number in range(6)]}
        write_manifest(folder, describe(endpoint.url, topics=topics, mix=mix))
        ledger, _ = make(folder / "manifest.yaml", folder / "corpus", has_ray=False)
        assert ledger is not None
        assert ledger.counts["kept"] == 6
        endpoint.take()
        yield Built(folder, endpoint)


@pytest.fixture
def built(original: Built, tmp_path: Path) -> Built:
    shutil.copytree(original.folder, tmp_path / "copy")
    return Built(tmp_path / "copy", original.endpoint)


def rebuild(built: Built) -> int:
    """Run again; return the number of calls that this took."""
    make(built.manifest, built.corpus, has_ray=False)
    assert verify(built.corpus).is_sound
    return len(built.endpoint.take())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("what", ["stage file", "receipt"])
def test_what_is_set_aside_is_made_again_from_the_journal(built: Built, stage: str, what: str) -> None:
    if not (built.shard / f"{stage}.json").exists():
        pytest.skip(f"no part of the shard is {stage}")
    before, path = built.published(), built.stage_file(stage)
    if what == "receipt":
        path = built.shard / f"{stage}.json"
        path.write_text("{")
    else:
        flip_byte(path, path.stat().st_size // 2)
    assert not verify(built.corpus, fix=True).is_sound
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").exists()
    assert rebuild(built) == 0
    assert path.exists()
    assert built.published() == before


def test_lost_lines_of_a_journal_cost_nothing_while_the_stage_file_is_whole_and_their_calls_where_it_is_not(
    built: Built,
) -> None:
    (journal,) = built.shard.glob("dialogues-e*.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert verify(built.corpus, fix=True).is_sound
    assert rebuild(built) == 0
    flip_byte(built.stage_file("dialogues"), 100)
    verify(built.corpus, fix=True)
    assert rebuild(built) == 1


def test_a_shard_is_packed_again_where_its_journals_alone_are_left(built: Built) -> None:
    before = built.published()
    for path in (built.corpus / "work" / "shards").glob("*/scenarios*"):
        if path.suffix != ".jsonl":
            path.unlink()
    table = next(built.corpus.glob("images/*.parquet"))
    flip_byte(table, 1000)
    verify(built.corpus, fix=True)
    assert not table.exists()
    assert rebuild(built) == 0
    assert built.published() == before


def test_a_damaged_plan_stays_and_the_run_says_how_to_restore_it(built: Built) -> None:
    plan = built.corpus / "work" / "plan.parquet"
    whole = plan.read_bytes()
    damage_column(plan, "topic")
    found = verify(built.corpus, fix=True)
    (finding,) = [finding for finding in found.findings if finding.code == "plan_damaged"]
    assert plan.exists()
    with pytest.raises(
        CorpusError, match=r"plan\.parquet: damaged .* remove it: the next run plans the same"
    ) as caught:
        make(built.manifest, built.corpus, has_ray=False)
    assert str(caught.value) == finding.message
    plan.unlink()
    assert rebuild(built) == 0
    assert plan.read_bytes() == whole
    plan.with_name("plan.parquet.former").write_bytes(whole)
    damage_column(plan, "topic")
    with pytest.raises(CorpusError) as caught:
        make(built.manifest, built.corpus, has_ray=False)
    command = str(caught.value).partition("`")[2].partition("`")[0]
    assert command == f"cp {plan}.former {plan}"
    shutil.copyfile(f"{plan}.former", plan)
    assert rebuild(built) == 0


def test_a_damaged_epoch_is_refused_with_what_to_write(built: Built) -> None:
    path = built.corpus / "work" / "epoch.json"
    path.write_text("{")
    with pytest.raises(CorpusError, match=r'epoch\.json: holds no epoch; write \{"epoch": 1000000\} into it'):
        make(built.manifest, built.corpus, has_ray=False)
    path.write_text('{"epoch": 1000000}')
    assert rebuild(built) == 0


@pytest.mark.parametrize("stage", ["scenarios", "dialogues"])
def test_damage_that_shows_while_a_shard_is_packed_is_mended_by_the_same_run(built: Built, stage: str) -> None:
    before = built.published()
    damage_column(built.stage_file(stage), "usd")
    (built.corpus / "ledger.json").unlink()
    ledger, run = make(built.manifest, built.corpus, has_ray=False)
    assert ledger is not None
    assert run.num_mended == 1
    assert built.endpoint.take() == []
    assert verify(built.corpus).is_sound
    assert built.published() == before


def test_damage_that_comes_back_ends_the_run_which_says_why(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    async def pack(*arguments: object) -> None:
        tried.append(arguments[1])
        raise StageDamaged("stage file dialogues: 1 of 2 rows can be read")

    monkeypatch.setattr(Here, "pack", pack)
    (built.corpus / "ledger.json").unlink()
    with pytest.raises(StageDamaged):
        make(built.manifest, built.corpus, has_ray=False)
    assert tried.count(0) == MAX_MENDS + 1
    tally = read_last_tally(built.corpus / "work")
    assert tally is not None
    assert (tally.state, tally.end) == ("failed", "stage file dialogues: 1 of 2 rows can be read")
