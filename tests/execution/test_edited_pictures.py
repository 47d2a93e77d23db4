"""Edited pictures from the manifest to the published tables, without Ray: written, rendered, packed, shown, checked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.adapters.reading import CorpusReader
from pipeline.adapters.yaml_file import load_yaml
from pipeline.cli.plan import print_plan
from pipeline.cli.show import show_corpus
from pipeline.cli.status import print_status
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.storage import Row
from pipeline.execution.project import Project
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality
from tests.support import corpora
from tests.support.corpora import MadeUpChat, TinyCorpus, fill, restate_table
from tests.support.media_server import running_media
from tests.support.projects import verify

MIX: list[dict[str, Any]] = [
    {
        "name": "redraw",
        "weight": 3,
        "gives": ["text"],
        "answers": ["text", "image"],
        "rounds": [2, 2],
        "images": [2, 2],
        "features": {"edit": 0.5},
    },
    {"name": "note", "gives": ["speech"], "answers": ["text"], "rounds": [1, 1], "features": {"transcribe": 1.0}},
]


def open_project(
    parent: Path, renderer: str = "minimal-image", style: str = "whole", options: dict[str, Any] | None = None
) -> Project:
    written = yaml.safe_load(corpora.MANIFEST % (", ".join(corpora.TOPICS), 1))
    written["mix"] = MIX
    written["writer"] |= {"style": style, "max_tries": 4}
    written["render"]["image"] |= {"renderer": renderer, "options": options or {}}
    parent.mkdir(parents=True, exist_ok=True)
    (parent / "tiny.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    (parent / "voices.yaml").write_text(corpora.VOICES, encoding="utf-8")
    made = Project(parent / "tiny.yaml", load_yaml(parent / "tiny.yaml", Manifest), parent / "tiny")
    made.check()
    return made


def make(parent: Path, **changes: Any) -> TinyCorpus:
    project = open_project(parent, **changes)
    return TinyCorpus(project, asyncio.run(fill(project, lambda plan: MadeUpChat())))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return make(tmp_path_factory.mktemp("edits"))


@pytest.fixture
def own(tmp_path: Path) -> TinyCorpus:
    return make(tmp_path / "own")


def table(corpus: TinyCorpus, name: str) -> list[Row]:
    paths = [corpus.root / f.path for s in (0, 1) for f in corpus.shard_ledger(s).files if f.table == name]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


@dataclass(frozen=True)
class Edited:
    """A picture that changes another, with both rows."""

    dialogue: Row
    after: Row
    before: Row


def edits(corpus: TinyCorpus) -> Iterator[Edited]:
    images = {row["id"]: row for row in table(corpus, "images")}
    for dialogue in table(corpus, "dialogues"):
        for turn in dialogue["turns"]:
            for part in turn["parts"]:
                if part["edits"]:
                    place, index = map(int, part["edits"].split("."))
                    source = dialogue["turns"][place]["parts"][index]
                    yield Edited(dialogue, images[part["asset"]], images[source["asset"]])


@pytest.mark.parametrize("style", ["whole", "turns"])
def test_edited_pictures_are_made_from_those_that_they_edit(tmp_path: Path, style: str) -> None:
    corpus = make(tmp_path, style=style)
    found = list(edits(corpus))
    assert len(found) == 3  # half of the six dialogues of the cell
    for edited in found:
        assert edited.after["edited_from"] == edited.before["id"]
        assert edited.before["edited_from"] is None
        assert edited.after["turn"] > edited.before["turn"]
    others = {row["id"] for row in table(corpus, "images")} - {edited.after["id"] for edited in found}
    assert {row["edited_from"] for row in table(corpus, "images") if row["id"] in others} == {None}
    assert verify(corpus.root).findings == []
    ledger = corpus.ledger
    assert ledger.edits == {"from_picture": 3}
    assert ledger.features == {
        "redraw/edit": {"share": 0.5, "planned": 3, "kept": 3},
        "note/transcribe": {"share": 1.0, "planned": 2, "kept": 2},
    }


def test_a_run_on_what_is_done_makes_nothing(corpus: TinyCorpus) -> None:
    before = (corpus.root / "ledger.json").read_bytes()
    chat = asyncio.run(fill(corpus.project, lambda plan: MadeUpChat()))
    assert chat.requests == []
    assert (corpus.root / "ledger.json").read_bytes() == before


def test_a_renderer_that_cannot_edit_goes_by_the_words_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Project, "edit_key", lambda self, modality: None)
    corpus = make(tmp_path)
    found = list(edits(corpus))
    assert len(found) == 3
    assert {edited.after["edited_from"] for edited in found} == {None}
    assert corpus.ledger.edits == {"from_words": 3}
    assert verify(corpus.root).findings == []
    card = (corpus.root / "README.md").read_text(encoding="utf-8")
    assert "3 were made from their own description alone" in card
    show_corpus(corpus.root, found[0].dialogue["id"], False, None)
    assert "edits the picture of turn 2, made from its description alone" in capsys.readouterr().out
    print_plan(corpus.project.path, corpus.root, None)
    said = capsys.readouterr().out
    assert "minimal-image cannot change a picture: those that change an earlier one are made from their words" in said


def test_features_are_shown_wanted_and_reached(corpus: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(corpus.project.path, corpus.root, None)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["redraw", "edit", "50.0%", "3"] in lines
    assert ["note", "transcribe", "100.0%", "2"] in lines
    print_status(corpus.root, False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["redraw", "edit", "50.0%", "3", "3", "50.0%"] in lines
    card = (corpus.root / "README.md").read_text(encoding="utf-8")
    assert "| `redraw` | `edit` | 50.0% | 50.0% | 3 | 3 |" in card
    assert "3 were made out of its pixels" in card


def test_a_dialogue_says_which_picture_is_edited(corpus: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    edited = next(edits(corpus))
    show_corpus(corpus.root, edited.dialogue["id"], False, None)
    assert "\n  edits the picture of turn 2\n" in capsys.readouterr().out
    found = CorpusReader(corpus.root).read(edited.dialogue["id"])
    assert found.assets[edited.after["part_id"]].facts["edited_from"] == edited.before["id"]


def test_a_corpus_that_asks_for_nothing_says_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = corpora.make_corpus(tmp_path)
    assert (corpus.ledger.features, corpus.ledger.edits) == ({}, {})
    print_plan(corpus.project.path, corpus.root, None)
    print_status(corpus.root, False)
    said = capsys.readouterr().out + (corpus.root / "README.md").read_text(encoding="utf-8")
    assert "eature" not in said.replace("features:", "")
    assert "edited_from" not in said


@pytest.mark.parametrize("place", ["3.1", "2.0", "9.9", "x", "-1.0"])
def test_a_reference_to_what_is_no_earlier_picture_is_found(own: TinyCorpus, place: str) -> None:
    def change(rows: list[Row]) -> list[Row]:
        for row in rows:
            for turn in row["turns"]:
                for part in turn["parts"]:
                    part["edits"] = place if part["edits"] else None
        return rows

    restate_table(own, "dialogues", 0, change)
    codes = {finding.code for finding in verify(own.root).findings}
    assert {"edit_dangling", "edit_misplaced"} <= codes


def test_a_picture_that_claims_another_source_is_found(own: TinyCorpus) -> None:
    def change(rows: list[Row]) -> list[Row]:
        return [{**row, "edited_from": rows[0]["id"]} for row in rows]

    restate_table(own, "images", 0, change)
    codes = {finding.code for finding in verify(own.root).findings}
    assert {"edit_misplaced", "count_wrong"} <= codes


def test_a_text_that_edits_a_picture_is_found(own: TinyCorpus) -> None:
    def change(rows: list[Row]) -> list[Row]:
        rows[0]["turns"][-1]["parts"][0]["edits"] = "1.1"
        return rows

    restate_table(own, "dialogues", 0, change)
    found = [finding for finding in verify(own.root).findings if finding.code == "edit_dangling"]
    assert len(found) == 1
    assert isinstance(own.ledger, Ledger)
    assert own.project.edit_key(Modality.IMAGE)


@pytest.mark.parametrize("has_edits", [True, False])
def test_an_endpoint_changes_pictures_where_it_can_and_is_paid_once(tmp_path: Path, has_edits: bool) -> None:
    with running_media() as media:
        stated = {"model": "painter", "base_url": media.url, "api_key_env": "NO_KEY", "extension": "png"}
        options = {**stated, "edits": has_edits, "price": {"picture": 0.04}}
        corpus = make(tmp_path, renderer="openai-images", options=options)
        asked = media.take()
        found = list(edits(corpus))
        sent = [body["image"] for body in asked if "image" in body]
        assert len(asked) == corpus.ledger.tables["images"]
        if has_edits:
            assert sorted(sent) == sorted(edited.before["image"]["bytes"] for edited in found)
            assert {edited.after["edited_from"] for edited in found} == {edited.before["id"] for edited in found}
        else:
            assert sent == []
            assert {edited.after["edited_from"] for edited in found} == {None}
        assert verify(corpus.root).findings == []

        asyncio.run(fill(corpus.project, lambda plan: MadeUpChat()))
        assert media.take() == []
