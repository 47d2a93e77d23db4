from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bench.chaos.__main__ import draw_victims, tell
from bench.chaos.campaign import VICTIMS, Campaign
from bench.chaos.corpora import IN_FLIGHT, MIXES, find_faults, read_contents, write_project
from tests.support.endpoint import running_endpoint
from tests.support.projects import make


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("chaos")
    with running_endpoint() as endpoint:
        make(write_project(folder, "text", endpoint.url, None), folder / "corpus", has_ray=False)
        yield folder / "corpus"


@pytest.fixture
def corpus(undisturbed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(undisturbed, tmp_path / "corpus")


def test_an_equal_corpus_has_no_fault(corpus: Path, undisturbed: Path) -> None:
    assert find_faults(corpus, undisturbed, 0) == []
    assert len(read_contents(corpus)) == 40


def test_an_orphan_and_a_lost_journal_are_faults(corpus: Path, undisturbed: Path) -> None:
    (corpus / "dialogues" / "train-00099-000000000000.parquet").write_bytes(b"left over")
    next((corpus / "work" / "shards" / "00003").glob("dialogues-e*.jsonl")).unlink()
    faults = find_faults(corpus, undisturbed, 0)
    assert any(fault.startswith("orphan: ") for fault in faults)
    assert any("questions are not those" in fault for fault in faults)


def test_calls_beyond_those_in_flight_are_a_fault(corpus: Path, undisturbed: Path) -> None:
    journals = sorted((corpus / "work").rglob("dialogues-e*.jsonl"))
    for path in journals[:9]:
        path.write_bytes(path.read_bytes() * 2)
    faults = find_faults(corpus, undisturbed, 1)
    assert [fault for fault in faults if "calls repeated, at most 1 kills" in fault]
    assert not [fault for fault in find_faults(corpus, undisturbed, 9) if "repeated" in fault]


def test_victims_take_turns_and_renderers_are_among_them_only_where_there_are_media() -> None:
    drawn = Counter(draw_victims(50, "all", Random(1)))
    assert set(drawn) == set(VICTIMS)
    assert set(drawn.values()) == {10}
    assert "renderer" not in draw_victims(50, "text", Random(1))
    assert {"text", "image", "music", "speech", "all"} == set(MIXES)


def test_a_fault_or_a_missing_kill_fails_the_measurement(
    corpus: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = Campaign(corpus.parent / "manifest.yaml", undisturbed, Counter(driver=2))
    assert tell([campaign], 2) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"2 of 2 kills (2 driver) over 1 corpora: 0 faults; 0 calls repeated, at most {2 * IN_FLIGHT} could be"
    )
    assert tell([campaign], 3) == 1
    campaign.faults.append("differs: dialogues/0123456789abcdef")
    assert tell([campaign], 2) == 1
    told = campaign.describe().splitlines()
    assert "killed: 2 driver; 0 runs, 0 calls repeated, 1 faults" in told[0]
    assert told[1].strip() == "differs: dialogues/0123456789abcdef"
