"""Screen and pack: every planned dialogue ends kept, rejected or failed, and what is kept is whole."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import content_of
from pipeline.contracts.chat import ChatRequest
from pipeline.contracts.ledger import ShardEntry, ShardLedger
from pipeline.contracts.render import AudioFacts, Brief, ImageFacts, Render, RenderFailure, Voice
from pipeline.contracts.scores import Score, ShardScores
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key, normalise_text, part_id
from pipeline.values.manifest import Manifest
from pipeline.values.records import MEDIA, Modality, PlannedDialogue
from pipeline.values.render_sections import RendererChoice
from pipeline.values.writer import Price
from pipeline.work import dialogues, scenarios
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import order_renders
from pipeline.work.casting import Casting
from pipeline.work.context import Writing
from pipeline.work.dialogues import Scenario, order_dialogues, write_dialogues
from pipeline.work.packing import Screened, pack_key, pack_shard, read_rejections, reject_twins
from pipeline.work.planning import extend_plan
from pipeline.work.rendering import RenderJob, render_assets
from pipeline.work.scenarios import order_scenarios, write_scenarios
from pipeline.work.tables import RENDERS
from pipeline.work.twins import Twin
from tests.support.endpoint import fit
from tests.support.stages import Notes, ScriptedChat, damage_column, manifest, many_topics, read_book, refusal

MIX = [
    {"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]},
    {"name": "sing", "gives": ["speech"], "answers": ["speech", "music"], "rounds": [2, 2]},
]
DORA, ANNA = (
    Voice(name=name, renderer="stub", speaker=name, languages=("en",), licence="CC0-1.0") for name in ("dora", "anna")
)
PRICE = Price(input=1, output=2)
SOUND = AudioFacts(duration=0.5, sample_rate=8000, channels=1, peak=0.5, rms=0.1)


@dataclass
class Stub:
    """Makes bytes out of nothing but the brief; parts in ``blank`` fail."""

    blank: Sequence[str] = ()

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        return [self._make(brief) for brief in briefs]

    def provenance(self) -> dict[str, str]:
        return {}

    def _make(self, brief: Brief) -> Render | RenderFailure:
        if brief.id in self.blank:
            return RenderFailure(code="blank", message="there is nothing to see")
        facts = ImageFacts(width=8, height=8) if brief.modality is Modality.IMAGE else SOUND
        data = f"{brief.id} {brief.text} {brief.seed}".encode()
        return Render(data=data, extension="png" if brief.modality is Modality.IMAGE else "flac", facts=facts)


@dataclass
class Shard:
    """One shard of six dialogues, three a cell, with all stages but pack done."""

    planned: list[PlannedDialogue]
    made: Manifest
    store: ShardFolder
    folder: CorpusFolder
    scores: ShardScores = field(default_factory=ShardScores)

    def of(self, cell: str) -> list[str]:
        return [row.id for row in self.planned if row.slot.cell == cell]

    def pack(self, twins: dict[str, Twin] | None = None, planned: list[PlannedDialogue] | None = None) -> ShardEntry:
        screened = Screened(reject_twins(twins or {}), self.scores)
        return pack_shard(0, planned or self.planned, self.made, self.store, self.folder, screened)

    def read(self, entry: ShardEntry) -> tuple[ShardLedger, dict[str, list[Row]]]:
        """The ledger of a packed shard, and the rows of its tables."""
        ledger = self.folder.read_shard_ledger(entry)
        return ledger, {file.table: pq.read_table(self.folder.inside(file.path)).to_pylist() for file in ledger.files}


def say(refused: Sequence[tuple[str, str]]) -> Callable[[ChatRequest], str | Exception]:
    def script(request: ChatRequest) -> str | Exception:
        if (request.record_id, request.purpose) in refused:
            return refusal()
        return json.dumps(fit(dict(request.json_schema), Random(request.key())))

    return script


async def write(shard: Shard, refused: Sequence[tuple[str, str]]) -> None:
    book, made = read_book(), shard.made
    chat = ScriptedChat(say(refused))
    writing = Writing(made, book, {"made-up": PRICE}, chat, Notes(), asyncio.Semaphore(1))
    await write_scenarios(order_scenarios(shard.planned, made, book), shard.store, writing)
    written = {row["record_id"]: row for row in shard.store.rows(scenarios.STAGE) if row["status"] == "ok"}
    ready = [Scenario(row, written[row.id]["scenario"]) for row in shard.planned if row.id in written]
    await write_dialogues(order_dialogues(ready, made, book), shard.store, writing)


def make(
    folder: Path,
    refused: Sequence[tuple[str, str]] = (),
    blank: Sequence[str] = (),
    unwanted: Collection[str] = (),
) -> Shard:
    """Make a shard; nothing is rendered of unwanted dialogues."""
    shard = open_shard(folder)
    made = shard.made
    asyncio.run(write(shard, refused))
    written = (row for row in shard.store.rows(dialogues.STAGE) if row["status"] == "ok")
    ready = [row for row in written if row["record_id"] not in unwanted]
    for modality in MEDIA:
        wanted = order_renders(modality, ready, made, "v1", Casting({"anna": ANNA}, DORA))
        choice = RendererChoice(renderer="stub", attempts=1)
        job = RenderJob(modality, made.seed, choice, "1", True, BatchSize(4), lambda: Stub(blank), Notes())
        render_assets(wanted, shard.store, job)
    return shard


def open_shard(folder: Path) -> Shard:
    made, corpus = manifest(mix=MIX), CorpusFolder(folder)
    return Shard(extend_plan([], many_topics(6), made, read_book()), made, corpus.shard(0), corpus)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("original")).folder.root


@pytest.fixture
def shard(original: Path, tmp_path: Path) -> Shard:
    """A copy of a shard in which nothing went wrong; much quicker than making one."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return open_shard(tmp_path)


def exact(of: str) -> Twin:
    return Twin(of=of, similarity=1, is_exact=True)


def planned_ids() -> list[PlannedDialogue]:
    return extend_plan([], many_topics(6), manifest(mix=MIX), read_book())


def test_rows_from_before_there_was_a_column_are_packed_without_it(shard: Shard) -> None:
    receipt = shard.store.receipt("speech")
    assert receipt is not None
    rows = [{name: value for name, value in row.items() if name != "emotion"} for row in shard.store.rows("speech")]
    former = pa.schema([field for field in RENDERS if field.name != "emotion"])
    made = {"order_key": receipt.order_key, "num_ok": receipt.num_ok, "num_failed": receipt.num_failed}
    shard.store.commit("speech", former, rows, **made, facts=receipt.facts)
    _, tables = shard.read(shard.pack())
    assert len(tables["speech"]) == len(rows) > 0
    assert {row["emotion"] for row in tables["speech"]} == {None}


def test_a_whole_shard_is_kept_with_all_its_assets(shard: Shard) -> None:
    ledger, tables = shard.read(shard.pack())
    assert ledger.counts == {"planned": 6, "kept": 6, "rejected": 0, "failed": 0}
    assert (ledger.reasons, ledger.cells) == ({}, {"draw": 3, "sing": 3})
    assert [row["id"] for row in tables["dialogues"]] == [row.id for row in shard.planned]
    assert set(tables) == {"dialogues", "images", "music", "speech"}
    assets = {row["id"]: row for name in ("images", "music", "speech") for row in tables[name]}
    named = set()
    for row in tables["dialogues"]:
        for t, turn in enumerate(row["turns"]):
            for p, part in enumerate(turn["parts"]):
                if part["kind"] == "text":
                    assert part["asset"] is None
                    continue
                asset = assets[part["asset"]]
                named.add(asset["id"])
                assert asset["part_id"] == part_id(row["id"], t, p)
                words = asset["transcript"] if part["kind"] == "speech" else asset["description"]
                assert words == part["text"]
    assert named == set(assets)
    assert [file.num_rows for file in ledger.files] == [len(tables[file.table]) for file in ledger.files]
    assert ledger.voices == Counter(row["voice"] for row in tables["speech"])
    assert set(ledger.voices) == {"anna", "dora"}


def test_media_carry_their_bytes_under_their_own_name(shard: Shard) -> None:
    _, tables = shard.read(shard.pack())
    image, sound = tables["images"][0], tables["speech"][0]
    assert image["image"]["path"] == f"{image['id']}.png"
    assert image["image"]["bytes"].decode().startswith(f"{image['part_id']} {image['description']} ")
    assert (image["width"], image["seed"]) == (8, int(image["image"]["bytes"].split()[-1]))
    assert sound["audio"]["path"] == f"{sound['id']}.flac"
    assert (sound["duration"], sound["sample_rate"], sound["channels"]) == (0.5, 8000, 1)
    assert sound["spoken"].encode() in sound["audio"]["bytes"]


def test_a_dialogue_says_what_it_was_made_from(shard: Shard) -> None:
    _, tables = shard.read(shard.pack())
    book = read_book()
    for row, planned in zip(tables["dialogues"], shard.planned, strict=True):
        assert (row["topic"], row["topic_id"], row["meta_topic"]) == (planned.topic.text, planned.topic.id, "")
        assert (row["gives"], row["answers"]) == (list(planned.slot.gives), list(planned.slot.answers))
        assert (row["cell"], row["num_rounds"]) == (planned.slot.cell, planned.slot.num_rounds)
        assert row["scenario"]
        assert row["provenance"] == {
            "models": ["made-up"],
            "prompts": [
                book.key("scenario.system", "scenario.user", "retry.user"),
                book.key("dialogue.system", "dialogue.user", "retry.user"),
            ],
            "demonstrations": list(planned.demonstrations),
            "requirements": list(planned.requirements),
            "seed": 3,
            "calls": 2,
            "invalid_answers": 0,
            "usd": pytest.approx(2 * (1000 * 1 + 100 * 2) / 1e6),
        }


def test_stages_leave_their_facts_in_the_ledger(shard: Shard) -> None:
    ledger, _ = shard.read(shard.pack())
    assert set(ledger.stages) == {"scenarios", "dialogues", "image", "music", "speech"}
    assert ledger.stages["scenarios"]["spend"]["made-up"]["calls"] == 6
    assert ledger.stages["image"]["num_made"] == 3


def test_refused_dialogues_are_failed_with_reason_and_cost(tmp_path: Path) -> None:
    first, second = (row.id for row in planned_ids()[:2])
    shard = make(tmp_path, refused=[(first, "scenario"), (second, "dialogue")])
    ledger, tables = shard.read(shard.pack())
    assert ledger.counts == {"planned": 6, "kept": 4, "rejected": 0, "failed": 2}
    assert ledger.reasons == {"scenarios/refused": 1, "dialogues/refused": 1}
    one, two = tables["failed"]
    assert (one["id"], one["stage"], one["code"], one["message"]) == (
        first,
        "scenarios",
        "refused",
        "the call was refused",
    )
    assert (two["id"], two["stage"], two["topic"]) == (second, "dialogues", shard.planned[1].topic.text)
    assert (one["usd"], two["usd"]) == (0, pytest.approx((1000 * 1 + 100 * 2) / 1e6))
    assert {row["id"] for row in tables["dialogues"]} == {row.id for row in shard.planned[2:]}


def test_a_part_that_could_not_be_made_fails_its_dialogue(tmp_path: Path) -> None:
    victim = next(row for row in planned_ids() if row.slot.cell == "draw")
    place = next(
        (t, p) for t, turn in enumerate(victim.slot.turns) for p, kind in enumerate(turn.kinds) if kind == "image"
    )
    part = part_id(victim.id, *place)
    shard = make(tmp_path, blank=[part])
    ledger, tables = shard.read(shard.pack())
    assert ledger.counts == {"planned": 6, "kept": 5, "rejected": 0, "failed": 1}
    assert ledger.reasons == {"image/blank": 1}
    [failed] = tables["failed"]
    assert (failed["id"], failed["code"]) == (victim.id, "blank")
    assert failed["message"] == f"{part}: there is nothing to see"
    assert all(row["dialogue_id"] != victim.id for name in ("images", "speech") for row in tables[name])


def test_a_duplicate_is_rejected_with_its_words_and_without_its_media(shard: Shard) -> None:
    low, high = sorted(shard.of("draw"))[:2]
    twins = {high: exact(low)}
    ledger, tables = shard.read(shard.pack(twins))
    assert ledger.counts == {"planned": 6, "kept": 5, "rejected": 1, "failed": 0}
    assert ledger.reasons == {"screen/duplicate": 1}
    [rejected] = tables["rejected"]
    assert (rejected["id"], rejected["stage"], rejected["code"]) == (high, "screen", "duplicate")
    assert rejected["message"] == f"says word for word what {low} says"
    assert read_rejections(tables["rejected"]) == reject_twins(twins)
    assert rejected["turns"][0]["parts"][0]["text"]
    assert high not in {row["dialogue_id"] for row in tables["images"]}
    assert low in {row["dialogue_id"] for row in tables["images"]}


def test_a_failed_duplicate_is_counted_once(tmp_path: Path) -> None:
    first, second = (row.id for row in planned_ids()[:2])
    shard = make(tmp_path, refused=[(second, "dialogue")])
    ledger, tables = shard.read(shard.pack({second: exact(first)}))
    assert ledger.counts == {"planned": 6, "kept": 5, "rejected": 0, "failed": 1}
    assert "rejected" not in tables


def test_a_near_duplicate_is_rejected_with_its_likeness_whether_its_media_were_tried_or_not(tmp_path: Path) -> None:
    low, high = sorted(row.id for row in planned_ids() if row.slot.cell == "draw")[:2]
    twins = {high: Twin(of=low, similarity=0.891, is_exact=False)}
    names = [f"{high}-{turn:02d}-{part:02d}" for turn in range(2) for part in range(2)]
    tried, untried = make(tmp_path / "tried", blank=names), make(tmp_path / "untried", unwanted={high})
    for shard in (tried, untried):
        ledger, tables = shard.read(shard.pack(twins))
        assert ledger.reasons == {"screen/near_duplicate": 1}
        [rejected] = tables["rejected"]
        assert (rejected["id"], rejected["like"], rejected["score"]) == (high, low, 0.891)
        assert rejected["message"] == f"says in nearly the same words (similarity 0.89) what {low} says"
        assert read_rejections(tables["rejected"]) == reject_twins(twins)
    # Not a twin after all: whatever was not rendered is told, and not published without its media.
    ledger, tables = untried.read(untried.pack())
    assert ledger.reasons == {"image/not_made": 1}
    assert tables["failed"][0]["id"] == high


def test_topics_that_were_taken_out_leave_the_tables(shard: Shard) -> None:
    ledger, tables = shard.read(shard.pack(planned=shard.planned[1:]))
    gone = shard.planned[0].id
    assert ledger.counts["planned"] == ledger.counts["kept"] == 5
    assert gone not in {row["id"] for row in tables["dialogues"]}
    assert gone not in {row["dialogue_id"] for name in ("images", "music", "speech") for row in tables[name]}


def test_a_planned_dialogue_without_a_row_is_failed_and_not_forgotten(shard: Shard) -> None:
    extra = extend_plan(shard.planned, many_topics(7), shard.made, read_book())
    ledger, tables = shard.read(shard.pack(planned=extra))
    assert ledger.counts == {"planned": 7, "kept": 6, "rejected": 0, "failed": 1}
    assert [(row["id"], row["stage"], row["code"]) for row in tables["failed"]] == [
        (extra[6].id, "scenarios", "not_made")
    ]


def test_packing_again_makes_the_same_files(shard: Shard) -> None:
    assert shard.pack() == shard.pack()


@pytest.mark.parametrize("stage", ["scenarios", "dialogues", "image", "music", "speech"])
def test_a_stage_that_never_committed_stops_the_pack(shard: Shard, stage: str) -> None:
    (shard.store.folder / f"{stage}.json").unlink()
    with pytest.raises(CorpusError, match=f"stage file {stage}: .*run again"):
        shard.pack()


@pytest.mark.parametrize(("stage", "column"), [("scenarios", "usd"), ("dialogues", "text_key"), ("image", "data")])
def test_a_damaged_stage_file_stops_the_pack_and_publishes_nothing(shard: Shard, stage: str, column: str) -> None:
    receipt = shard.store.receipt(stage)
    assert receipt is not None
    damage_column(shard.store.folder / receipt.file, column)
    with pytest.raises(CorpusError, match=f"stage file {stage}: .*run again"):
        shard.pack()
    assert not list((shard.folder.root / "ledgers").glob("*"))
    assert len(shard.store.set_asides()) == 1


def test_equal_words_have_an_equal_key_whatever_their_case(shard: Shard) -> None:
    for row in shard.store.rows(dialogues.STAGE):
        texts = [part["text"] for turn in row["turns"] for part in turn["parts"]]
        assert row["text_key"] == content_key([normalise_text(text.upper()) for text in texts])


def test_a_pack_key_changes_with_all_that_is_packed_and_nothing_else(shard: Shard) -> None:
    receipts = {stage: r for stage in ("scenarios", "dialogues", "image") if (r := shard.store.receipt(stage))}
    planned, (a, b) = shard.planned, sorted(shard.of("draw"))[:2]
    key = pack_key(planned, receipts, {}, "")
    changed = receipts["image"].model_copy(update={"sha256": "0" * 64})
    moved = replace(planned[0], slot=planned[0].slot.model_copy(update={"cell": "renamed"}))
    others = [
        pack_key(planned[1:], receipts, {}, ""),
        pack_key([moved, *planned[1:]], receipts, {}, ""),
        pack_key(planned, {**receipts, "image": changed}, {}, ""),
        pack_key(planned, {stage: receipts[stage] for stage in ("scenarios", "dialogues")}, {}, ""),
        pack_key(planned, receipts, reject_twins({b: exact(a)}), ""),
        pack_key(planned, receipts, reject_twins({b: Twin(of=a, similarity=0.9, is_exact=False)}), ""),
        pack_key(planned, receipts, {}, "other scores"),
    ]
    assert len({key, *others}) == 8
    restated = receipts["image"].model_copy(update={"order_key": "other", "num_ok": 0})
    assert pack_key(planned, {**receipts, "image": restated}, {}, "") == key
    assert pack_key(planned, receipts, reject_twins({"in another shard": exact(a)}), "") == key


def test_scores_stand_in_the_rows_of_the_content_that_they_are_of(shard: Shard) -> None:
    _, tables = shard.read(shard.pack())
    dialogue, image = tables["dialogues"][0], tables["images"][0]
    content = content_of(dialogue)
    scores = {
        dialogue["id"]: [Score(content, "dialogue.length", 3.0), Score(content, "dialogue.a", 1.0)],
        image["id"]: [Score(image["sha256"], "image.contrast", 0.5), Score("of former bytes", "image.detail", 0.1)],
    }
    stated = ShardScores("key", scores, ("dialogue.a", "dialogue.length", "image.contrast"), '[{"name": "one"}]')
    ledger, tables = shard.read(replace(shard, scores=stated).pack())
    found = {row["id"]: row["scores"] for name in ("dialogues", "images") for row in tables[name] if row["scores"]}
    assert found == {
        dialogue["id"]: [{"measure": "dialogue.a", "value": 1.0}, {"measure": "dialogue.length", "value": 3.0}],
        image["id"]: [{"measure": "image.contrast", "value": 0.5}],
    }
    assert (ledger.scores_key, ledger.measures) == ("key", stated.measures)
    path = shard.folder.inside(next(file.path for file in ledger.files if file.table == "images"))
    assert pq.read_schema(path).metadata[b"anyinstruct_audits"] == b'[{"name": "one"}]'
