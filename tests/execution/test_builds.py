"""The build over twenty shards: for each edit the exact calls and renders that follow, against hand-made lists.

What an edit makes stale is decided by stages and driver, so all of it does without Ray.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.shipped import shipped
from pipeline.values.ids import rank_by_hash, topic_id
from pipeline.values.records import MEDIA, PlannedDialogue
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import NUM_TOPICS, describe, make, write_manifest

SHARDS = 20
Manifest = dict[str, Any]


@dataclass
class Built:
    """A finished corpus, its manifest and the endpoint that wrote it."""

    folder: Path
    endpoint: Endpoint
    manifest: Manifest

    @property
    def plan(self) -> list[PlannedDialogue]:
        return CorpusFolder(self.folder / "corpus").read_plan()


@dataclass
class Outcome:
    """What an edit made the next run do."""

    scenarios: list[str]
    dialogues: list[str]
    renders: dict[str, set[str]]
    counts: dict[str, int]
    was_idle: bool


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(shipped("prompts"), folder / "prompts")
    with running_endpoint() as endpoint:
        manifest = describe(endpoint.url, prompts="prompts")
        path = write_manifest(folder, manifest)
        ledger, _ = make(path, folder / "corpus", has_ray=False)
        assert ledger is not None
        assert ledger.counts == {"planned": 40, "kept": 40, "rejected": 0, "failed": 0}
        assert len(endpoint.take()) == 80
        assert len({row.shard for row in CorpusFolder(folder / "corpus").read_plan()}) == SHARDS
        yield Built(folder, endpoint, manifest)


@pytest.fixture
def edit(built: Built, tmp_path: Path) -> Callable[[Manifest], Outcome]:
    """Return a function that runs a changed manifest over a copy of the corpus and tells what was issued."""
    copy = tmp_path / "copy"
    shutil.copytree(built.folder, copy)

    def run(manifest: Manifest, voices: list[dict[str, Any]] | None = None) -> Outcome:
        path = write_manifest(copy, manifest, voices)
        built.endpoint.take()
        ledger, made = make(path, copy / "corpus", has_ray=False)
        assert ledger is not None
        requests = built.endpoint.take()
        by_name: dict[str, list[str]] = {"scenario": [], "dialogue": []}
        for request in requests:
            name = request["response_format"]["json_schema"]["name"]
            by_name[name].append(_topic_of(request))
        return Outcome(
            sorted(by_name["scenario"]),
            sorted(by_name["dialogue"]),
            {str(m): _rendered(copy / "corpus", str(m), made.lock.epoch) for m in MEDIA},
            dict(ledger.counts),
            made.was_idle,
        )

    return run


def _topic_of(request: Manifest) -> str:
    """The topic that a call is about: the first line of its last message says it."""
    first = str(request["messages"][-1]["content"]).splitlines()[0]
    return first.removeprefix("Topic: ")


def _rendered(corpus: Path, stage: str, epoch: int) -> set[str]:
    """Parts that the run of an epoch rendered, by its journals."""
    journals = (corpus / "work" / "shards").glob(f"*/{stage}-e{epoch:05d}.jsonl")
    found: set[str] = set()
    for path in journals:
        entries = CorpusFolder(corpus).shard(int(path.parent.name)).journal(stage).entries()
        lines = [line for line in path.read_bytes().splitlines() if b'"record":"' in line]
        names = {line.split(b'"record":"')[1].split(b'"')[0].decode() for line in lines}
        found |= names & {entry["record"] for entry in entries if "record" in entry}
    return found


def _parts(built: Built, kind: str, role: str | None = None, rows: list[PlannedDialogue] | None = None) -> set[str]:
    """Names of all parts of a modality, read off the slots."""
    return {
        f"{row.id}-{t:02d}-{p:02d}"
        for row in (built.plan if rows is None else rows)
        for t, turn in enumerate(row.slot.turns)
        for p, part in enumerate(turn.kinds)
        if part == kind and role in (None, turn.role)
    }


def _topics(rows: list[PlannedDialogue]) -> list[str]:
    return sorted(row.topic.text for row in rows)


def _nothing() -> dict[str, set[str]]:
    return {"image": set(), "music": set(), "speech": set()}


def test_no_edit_issues_nothing(built: Built, edit: Callable[..., Outcome]) -> None:
    outcome = edit(built.manifest)
    assert outcome.was_idle
    assert (outcome.scenarios, outcome.dialogues, outcome.renders) == ([], [], _nothing())


def test_settings_that_change_no_output_issue_nothing(built: Built, edit: Callable[..., Outcome]) -> None:
    writer = {**built.manifest["writer"], "in_flight": 3, "timeout_seconds": 7, "api_key_env": "ANOTHER"}
    outcome = edit({**built.manifest, "writer": writer, "execution": {"shards_in_flight": 2}})
    assert (outcome.scenarios, outcome.dialogues, outcome.renders) == ([], [], _nothing())


def test_an_added_topic_costs_its_own_dialogue(built: Built, edit: Callable[..., Outcome]) -> None:
    new = "a paper boat in the gutter"
    outcome = edit({**built.manifest, "topics": {"list": [new, *built.manifest["topics"]["list"]]}})
    assert (outcome.scenarios, outcome.dialogues) == ([new], [new])
    rendered = set().union(*outcome.renders.values())
    assert rendered
    assert not {name[:16] for name in rendered} & {row.id for row in built.plan}
    assert len({name[:16] for name in rendered}) == 1
    assert outcome.counts["kept"] == NUM_TOPICS + 1


def test_a_removed_topic_costs_nothing_and_leaves_the_corpus(built: Built, edit: Callable[..., Outcome]) -> None:
    kept = built.manifest["topics"]["list"][1:]
    outcome = edit({**built.manifest, "topics": {"list": kept}})
    assert (outcome.scenarios, outcome.dialogues, outcome.renders) == ([], [], _nothing())
    assert outcome.counts["kept"] == NUM_TOPICS - 1


def test_an_edited_dialogue_prompt_rewrites_dialogues_only(
    built: Built, edit: Callable[..., Outcome], tmp_path: Path
) -> None:
    prompt = tmp_path / "copy" / "prompts" / "templates" / "dialogue.user.j2"
    prompt.write_text(prompt.read_text() + "\nBe brief.", encoding="utf-8")
    outcome = edit(built.manifest)
    assert outcome.scenarios == []
    assert outcome.dialogues == _topics(built.plan)
    assert outcome.renders == {kind: _parts(built, kind) for kind in ("image", "music", "speech")}


def test_an_edited_scenario_prompt_rewrites_everything(
    built: Built, edit: Callable[..., Outcome], tmp_path: Path
) -> None:
    prompt = tmp_path / "copy" / "prompts" / "templates" / "scenario.system.j2"
    prompt.write_text(prompt.read_text() + "\nBe brief.", encoding="utf-8")
    outcome = edit(built.manifest)
    assert outcome.scenarios == outcome.dialogues == _topics(built.plan)


def test_an_edited_demonstration_rewrites_those_that_were_shown_it(
    built: Built, edit: Callable[..., Outcome], tmp_path: Path
) -> None:
    shown = built.plan[0].demonstrations[0]
    for path in (tmp_path / "copy" / "prompts" / "demonstrations").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f"- id: {shown}\n  topic: ", f"- id: {shown}\n  topic: new "), encoding="utf-8")
    outcome = edit(built.manifest)
    # A scenario is shown five demonstrations, its dialogue the first three; a new scenario makes a new dialogue.
    assert outcome.scenarios == outcome.dialogues == _topics([r for r in built.plan if shown in r.demonstrations])
    assert 0 < len(outcome.scenarios) < NUM_TOPICS


def test_a_new_demonstration_makes_nothing_stale(built: Built, edit: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "copy" / "prompts" / "demonstrations" / "mine.yaml").write_text(
        "- {id: mine, topic: my bells, gives: [speech], answers: [speech, image], scenario: Somebody asks for bells.,"
        " turns: [{role: user, parts: [{speech: Show me the bells.}]},"
        " {role: assistant, parts: [{speech: Here they are.}, {image: seven bells on a rope by the sea}]}]}\n",
        encoding="utf-8",
    )
    outcome = edit(built.manifest)
    assert (outcome.scenarios, outcome.dialogues, outcome.renders) == ([], [], _nothing())


def test_another_model_rewrites_everything(built: Built, edit: Callable[..., Outcome]) -> None:
    outcome = edit({**built.manifest, "writer": {**built.manifest["writer"], "model": "another"}})
    assert outcome.scenarios == outcome.dialogues == _topics(built.plan)


def test_another_picture_size_renders_pictures_only(built: Built, edit: Callable[..., Outcome]) -> None:
    image = {**built.manifest["render"]["image"], "width": 96}
    outcome = edit({**built.manifest, "render": {**built.manifest["render"], "image": image}})
    assert (outcome.scenarios, outcome.dialogues) == ([], [])
    assert outcome.renders == _nothing() | {"image": _parts(built, "image")}


def test_another_assistant_voice_renders_the_assistants_speech_only(built: Built, edit: Callable[..., Outcome]) -> None:
    speech = {**built.manifest["render"]["speech"]}
    speech["voices"] = {**speech["voices"], "assistant": "eve"}
    outcome = edit({**built.manifest, "render": {**built.manifest["render"], "speech": speech}})
    assert (outcome.scenarios, outcome.dialogues) == ([], [])
    assert outcome.renders == _nothing() | {"speech": _parts(built, "speech", "assistant")}


def test_a_replaced_user_voice_renders_the_dialogues_that_it_touches(
    built: Built, edit: Callable[..., Outcome]
) -> None:
    speech = {**built.manifest["render"]["speech"]}
    speech["voices"] = {**speech["voices"], "user": ["anna", "eve", "carl"]}
    outcome = edit({**built.manifest, "render": {**built.manifest["render"], "speech": speech}})
    touched = [
        row
        for row in built.plan
        if rank_by_hash(["anna", "ben", "carl"], row.id)[0] != rank_by_hash(["anna", "eve", "carl"], row.id)[0]
    ]
    assert outcome.renders == _nothing() | {"speech": _parts(built, "speech", "user", touched)}
    assert 0 < len(touched) < NUM_TOPICS


def test_a_voice_with_new_facts_renders_its_clips_only(built: Built, edit: Callable[..., Outcome]) -> None:
    voices = [
        {"name": n, "renderer": "minimal-speech", "speaker": "other" if n == "ben" else n, "languages": ["en"],
         "licence": "CC0-1.0"}
        for n in ("anna", "ben", "carl", "dora", "eve")
    ]  # fmt: skip
    outcome = edit(built.manifest, voices)
    bens = [row for row in built.plan if rank_by_hash(["anna", "ben", "carl"], row.id)[0] == "ben"]
    assert outcome.renders == _nothing() | {"speech": _parts(built, "speech", "user", bens)}


def test_a_small_change_of_the_mix_moves_as_few_dialogues(built: Built, edit: Callable[..., Outcome]) -> None:
    talk, tune = built.manifest["mix"]
    # The share of the first cell falls from 0.75 to 0.7: of 40 dialogues spread evenly, 2 lie between.
    outcome = edit({**built.manifest, "mix": [{**talk, "weight": 7}, {**tune, "weight": 3}]})
    moved = [row for row in built.plan if 0.7 <= row.unit < 0.75]
    assert len(moved) == 2
    assert outcome.scenarios == outcome.dialogues == _topics(moved)
    assert {name[:16] for names in outcome.renders.values() for name in names} == {row.id for row in moved}


def test_more_dialogues_a_topic_cost_the_new_ones_and_fewer_cost_nothing(
    built: Built, edit: Callable[..., Outcome]
) -> None:
    size = {**built.manifest["size"], "dialogues_per_topic": 2}
    outcome = edit({**built.manifest, "size": size})
    assert outcome.scenarios == outcome.dialogues == _topics(built.plan)
    assert outcome.counts["kept"] == 2 * NUM_TOPICS
    assert not {name[:16] for names in outcome.renders.values() for name in names} & {row.id for row in built.plan}
    outcome = edit(built.manifest)
    assert (outcome.scenarios, outcome.dialogues, outcome.renders) == ([], [], _nothing())
    assert outcome.counts["kept"] == NUM_TOPICS


def test_a_pilot_goes_on_where_it_was(built: Built, tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "pilot", {**built.manifest, "prompts": str(built.folder / "prompts")})
    built.endpoint.take()
    ledger, _ = make(path, tmp_path / "pilot" / "corpus", limit=3, until="dialogues", has_ray=False)
    assert ledger is None
    first = built.endpoint.take()
    assert len(first) == 6
    ledger, _ = make(path, tmp_path / "pilot" / "corpus", has_ray=False)
    assert ledger is not None
    assert ledger.counts["kept"] == NUM_TOPICS
    assert len(built.endpoint.take()) == 2 * NUM_TOPICS - 6


def test_one_dialogue_from_topic_to_table(built: Built) -> None:
    folder = CorpusFolder(built.folder / "corpus")
    ledger = folder.read_ledger()
    assert ledger is not None
    row = next(row for row in folder.read_plan() if row.topic.text == "the 17 small bells of the harbour")
    assert row.topic.id == topic_id("The  17 small BELLS of the harbour")
    entry = next(entry for entry in ledger.shards if entry.shard == row.shard)
    files = {file.table: file for file in folder.read_shard_ledger(entry).files}
    import pyarrow.parquet as pq

    published = {d["id"]: d for d in pq.read_table(folder.inside(files["dialogues"].path)).to_pylist()}[row.id]
    layout = [(turn.role, list(turn.kinds)) for turn in row.slot.turns]
    assert [(t["role"], [p["kind"] for p in t["parts"]]) for t in published["turns"]] == layout
    assert published["provenance"]["calls"] == 2
    speech = {s["id"]: s for s in pq.read_table(folder.inside(files["speech"].path)).to_pylist()}
    spoken = [part for turn in published["turns"] for part in turn["parts"] if part["kind"] == "speech"]
    assert spoken
    for part in spoken:
        assert speech[part["asset"]]["transcript"] == part["text"]
    counts = ledger.counts
    assert counts["planned"] == counts["kept"] + counts["rejected"] + counts["failed"] == NUM_TOPICS
    kinds = [part for planned in folder.read_plan() for turn in planned.slot.turns for part in turn.kinds]
    assert ledger.tables == {
        "dialogues": NUM_TOPICS,
        "images": kinds.count("image"),  # type: ignore[arg-type]
        "music": kinds.count("music"),  # type: ignore[arg-type]
        "speech": kinds.count("speech"),  # type: ignore[arg-type]
    }
