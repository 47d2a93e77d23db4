"""Dialogues that say what another one says: not rendered where that can be known, and rejected in the end.

Which one stays follows from the ids, which are hashes; so topics are given roles by the ids of their dialogues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.reading import CorpusReader
from pipeline.adapters.renderers.minimal import MinimalRenderer
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.render import Brief, Render, RenderFailure
from pipeline.contracts.storage import Row
from pipeline.execution.driver import Run
from pipeline.execution.forecast import forecast
from pipeline.execution.garbage import Collector
from pipeline.values.ids import dialogue_id, topic_id
from tests.support.endpoint import Endpoint, fit, running_endpoint
from tests.support.projects import describe, make, verify, write_manifest

MIX = [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]
NUM_WORDS = 6
"""Of 36, replaced from one step of a chain to the next: steps are alike, two steps are not."""


def id_of(topic: str) -> str:
    return dialogue_id(topic_id(topic), 0)


LOW, MIDDLE, HIGH, *OTHERS = sorted((f"the {number} small bells" for number in range(6)), key=id_of)


@dataclass
class Alike(Endpoint):
    """Writes the same dialogue about some topics, but for some words.

    Attributes:
        steps: How far along a chain of ever more words replaced a topic's dialogue is.
    """

    steps: Mapping[str, int] = field(default_factory=dict)

    def write(self, body: dict[str, Any]) -> Any:
        topic = str(body["messages"][-1]["content"]).splitlines()[0].removeprefix("Topic: ")
        schema = body["response_format"]["json_schema"]
        if topic not in self.steps or schema["name"] != "dialogue":
            return super().write(body)
        count = self.steps[topic] * NUM_WORDS
        answer, other = (fit(schema["schema"], Random(seed)) for seed in (1, 2))
        for turn, fields in answer.items():
            for name, text in fields.items():
                words, others = text.split(), other[turn][name].split()
                fields[name] = " ".join(others[: max(count, 0)] + words[max(count, 0) :])
                count -= len(words)
        return answer


@dataclass
class Project:
    """A manifest whose topics come one a shard, one shard after the other."""

    endpoint: Alike
    folder: Path

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    def run(self, topics: Sequence[str], has_ray: bool = False, **changes: Any) -> tuple[Ledger, Run]:
        size = {"dialogues_per_shard": 1, "replace_losses": False}
        plain = {"topics": {"list": list(topics)}, "size": size, "mix": MIX, "execution": {"shards_in_flight": 1}}
        self.endpoint.take()
        path = write_manifest(self.folder, describe(self.endpoint.url, **plain | changes))
        ledger, run = make(path, self.corpus, has_ray=has_ray)
        assert ledger is not None
        return ledger, run

    def rows(self, table: str) -> dict[str, Row]:
        paths = (self.corpus / table).glob("*.parquet")
        return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}

    def rejected(self) -> dict[str, str]:
        return {name: row["like"] for name, row in self.rows("rejected").items()}

    def topics_kept(self) -> set[str]:
        return {row["topic"] for row in self.rows("dialogues").values()}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    endpoint = Alike(steps={LOW: 0, MIDDLE: 1, HIGH: 0})
    with running_endpoint(endpoint=endpoint):
        yield Project(endpoint, tmp_path)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Ids of dialogues whose pictures cannot be rendered; to be filled by the test."""
    ids: set[str] = set()
    render = MinimalRenderer.render

    def fail(self: MinimalRenderer, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        made = render(self, briefs)
        failure = RenderFailure(code="blank", message="there is nothing to see")
        return [failure if brief.id[:16] in ids else one for brief, one in zip(briefs, made, strict=True)]

    monkeypatch.setattr(MinimalRenderer, "render", fail)
    return ids


@pytest.mark.parametrize(
    ("order", "num_renders"),
    [((LOW, MIDDLE, HIGH), 1), ((MIDDLE, HIGH, LOW), 2), ((HIGH, MIDDLE, LOW), 3)],
    ids=["lowest-first", "lowest-last", "downwards"],
)
def test_the_same_corpus_comes_out_whatever_came_first(
    project: Project, order: Sequence[str], num_renders: int
) -> None:
    ledger, run = project.run([*order, *OTHERS])
    assert ledger.counts == {"planned": 6, "kept": 4, "rejected": 2, "failed": 0}
    assert ledger.reasons == {"screen/duplicate": 1, "screen/near_duplicate": 1}
    assert project.topics_kept() == {LOW, *OTHERS}
    assert project.rejected() == {id_of(MIDDLE): id_of(LOW), id_of(HIGH): id_of(LOW)}
    assert project.rows("rejected")[id_of(MIDDLE)]["score"] == pytest.approx(0.7, abs=0.1)
    parts = [part for row in project.rows("rejected").values() for turn in row["turns"] for part in turn["parts"]]
    assert {part["asset"] for part in parts} == {None}
    assert run.tally.num_renders == num_renders + len(OTHERS)
    assert verify(project.corpus).is_sound
    _, again = project.run([*order, *OTHERS])
    assert again.was_idle
    assert project.endpoint.take() == []
    assert Collector(CorpusFolder(project.corpus)).find_rows() == []
    media = forecast(again.project).stages["image"].inventory
    assert (media.missing, media.stale) == (0, 0)


def test_one_that_was_held_back_and_is_to_stay_is_rendered_after_all(project: Project) -> None:
    """HIGH is like MIDDLE alone. When LOW comes, MIDDLE goes, and HIGH was held back for nothing."""
    project.endpoint.steps = {LOW: 0, MIDDLE: 1, HIGH: 2}
    ledger, run = project.run([MIDDLE, HIGH, LOW])
    assert ledger.counts == {"planned": 3, "kept": 2, "rejected": 1, "failed": 0}
    assert project.topics_kept() == {LOW, HIGH}
    assert project.rejected() == {id_of(MIDDLE): id_of(LOW)}
    assert run.tally.num_renders == 3
    assert {row["dialogue_id"] for row in project.rows("images").values()} == {id_of(LOW), id_of(HIGH)}


def test_where_the_lowest_cannot_be_rendered_the_next_one_stays(project: Project, broken: set[str]) -> None:
    broken.add(id_of(LOW))
    ledger, _ = project.run([LOW, MIDDLE, HIGH])
    assert ledger.counts == {"planned": 3, "kept": 1, "rejected": 1, "failed": 1}
    assert ledger.reasons == {"image/blank": 1, "screen/near_duplicate": 1}
    assert project.rejected() == {id_of(HIGH): id_of(MIDDLE)}
    _, again = project.run([LOW, MIDDLE, HIGH])
    assert again.was_idle
    broken.add(id_of(MIDDLE))
    path = {"image": {"renderer": "minimal-image", "width": 96}}
    ledger, _ = project.run([LOW, MIDDLE, HIGH], render=path)
    assert ledger.reasons == {"image/blank": 2}
    assert project.topics_kept() == {HIGH}
    broken.clear()
    ledger, _ = project.run([LOW, MIDDLE, HIGH], render={"image": {"renderer": "minimal-image", "width": 32}})
    assert project.topics_kept() == {LOW}
    assert project.rejected() == {id_of(MIDDLE): id_of(LOW), id_of(HIGH): id_of(LOW)}


def test_another_threshold_renders_what_it_keeps_and_nothing_else(project: Project) -> None:
    topics = [LOW, MIDDLE, HIGH]
    project.run(topics)
    ledger, run = project.run(topics, screen={"near_duplicates": "off"})
    assert project.endpoint.take() == []
    assert ledger.reasons == {"screen/duplicate": 1}
    assert run.tally.num_renders == 1
    ledger, run = project.run(topics)
    assert project.rejected() == {id_of(MIDDLE): id_of(LOW), id_of(HIGH): id_of(LOW)}
    assert run.tally.num_renders == 0


def test_added_and_removed_topics_leave_other_decisions_alone(project: Project) -> None:
    project.run([MIDDLE, HIGH, *OTHERS[1:]])
    assert project.rejected() == {id_of(HIGH): id_of(MIDDLE)}
    ledger, run = project.run([MIDDLE, HIGH, *OTHERS])
    assert run.tally.num_renders == 1
    assert project.rejected() == {id_of(HIGH): id_of(MIDDLE)}
    ledger, run = project.run([HIGH, *OTHERS])
    assert ledger.counts == {"planned": 4, "kept": 4, "rejected": 0, "failed": 0}
    assert run.tally.num_renders == 1


def test_losses_are_replaced(project: Project) -> None:
    size = {"dialogues_per_shard": 1, "replace_losses": True}
    ledger, _ = project.run([*OTHERS, LOW, HIGH], size=size)  # a loss is replaced about the first topic
    assert ledger.counts == {"planned": 6, "kept": 5, "rejected": 1, "failed": 0}


def test_twins_are_found_through_ray_and_told(
    local_ray: None, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.cli.show import show_corpus
    from pipeline.cli.status import print_status

    ledger, run = project.run([LOW, MIDDLE, *OTHERS], has_ray=True)
    assert ledger.counts == {"planned": 5, "kept": 4, "rejected": 1, "failed": 0}
    assert run.tally.num_renders == 4
    assert CorpusReader(project.corpus).read(id_of(MIDDLE)).state == "rejected"
    print_status(project.corpus, follow=False)
    assert ["screen/near_duplicate", "1"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    show_corpus(project.corpus, id_of(MIDDLE), trace=False, save=None)
    said = " ".join(capsys.readouterr().out.split())
    assert "Lost screen: near_duplicate: says in nearly the same words (similarity 0." in said
    assert f"what {id_of(LOW)} says" in said
    card = " ".join((project.corpus / "README.md").read_text(encoding="utf-8").split())
    assert "similarity 0.60 and more) one stays" in card
    _, again = project.run([LOW, MIDDLE, *OTHERS], has_ray=True)
    assert again.was_idle
