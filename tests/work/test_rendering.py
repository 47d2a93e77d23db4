"""The render stage: what holds is kept, what is journalled is not rendered again, what fails is tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.render import AudioFacts, Brief, ImageFacts, Render, RenderFailure, Voice
from pipeline.contracts.storage import Receipt, Row
from pipeline.contracts.watch import Drained
from pipeline.values.errors import RenderError, StaleWriter
from pipeline.values.ids import derive_seed, sha256_hex
from pipeline.values.records import Modality
from pipeline.values.render_sections import RendererChoice
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import PlacedBrief
from pipeline.work.orders import Order, order_key
from pipeline.work.rendering import RenderJob, asset_name, render_assets
from pipeline.work.replaced import SPENT
from tests.support.corpora import flip_byte
from tests.support.stages import Notes, damage_column

SEED = 3
SOUND = AudioFacts(duration=0.5, sample_rate=8000, channels=1, peak=0.5, rms=0.1)
ANNA = Voice(name="anna", renderer="painter", speaker="a", languages=("en",), licence="CC0-1.0")

Rule = Callable[[Brief], RenderFailure | None]


def paint(brief: Brief) -> bytes:
    return f"picture {brief.id} {brief.text} {brief.seed}".encode() * 20


@dataclass
class Painter:
    """Paints words; what a rule says of a brief comes first.

    Attributes:
        batches: Ids and attempts of the briefs of each call.
    """

    rule: Rule = lambda brief: None
    batches: list[list[tuple[str, int]]] = field(default_factory=list)

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        self.batches.append([(brief.id, brief.attempt) for brief in briefs])
        return [self.rule(brief) or self._make(brief) for brief in briefs]

    def provenance(self) -> dict[str, str]:
        return {"paint": "oil"}

    @property
    def rendered(self) -> list[tuple[str, int]]:
        return [one for batch in self.batches for one in batch]

    def _make(self, brief: Brief) -> Render:
        facts = SOUND if brief.voice else ImageFacts(width=64, height=32)
        return Render(data=paint(brief), extension="png", facts=facts, notes={"seed": brief.seed})


def order(number: int, text: str = "a kite", key: str = "v1", **brief: Any) -> Order[PlacedBrief]:
    name = f"d{number}-01-00"
    values: dict[str, Any] = {"modality": Modality.IMAGE, "seed": derive_seed(SEED, name, "image"), **brief}
    made = Brief(id=name, text=text, **values)
    inputs = {"renderer": key, "brief": sha256_hex(text)[:16]}
    return Order(name, inputs, PlacedBrief(made, f"d{number}", 1, 0, "assistant", f"as written: {text}"))


def orders(*numbers: int, text: str = "a kite", key: str = "v1") -> list[Order[PlacedBrief]]:
    return [order(number, text, key) for number in numbers]


def job(painter: Painter, watch: Notes | None = None, batch: int = 8, **choice: Any) -> RenderJob:
    return RenderJob(
        modality=Modality.IMAGE,
        corpus_seed=SEED,
        choice=RendererChoice.model_validate({"renderer": "painter", **choice}),
        version="1.2",
        is_draft=True,
        size=BatchSize(batch),
        load=lambda: painter,
        watch=watch or Notes(),
    )


def render(store: ShardFolder, wanted: list[Order[PlacedBrief]], painter: Painter, **choice: Any) -> Receipt:
    return render_assets(wanted, store, job(painter, **choice))


def rows_of(store: ShardFolder) -> dict[str, Row]:
    return {row["record_id"]: row for row in store.rows("image")}


@pytest.fixture
def store(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path / "00000")


def never(brief: Brief) -> RenderFailure:
    raise AssertionError(f"{brief.id} was rendered")


def test_a_row_carries_the_bytes_and_all_that_is_known_of_them(store: ShardFolder) -> None:
    watch = Notes()
    receipt = render_assets(orders(1, 2), store, job(Painter(), watch))
    row = rows_of(store)["d1-01-00"]
    brief = order(1).payload.brief
    assert row.pop("render_seconds") >= 0
    assert row == {
        "record_id": "d1-01-00",
        "inputs": f'{{"brief": "{sha256_hex("a kite")[:16]}", "renderer": "v1"}}',
        "status": "ok",
        "code": None,
        "message": None,
        "dialogue_id": "d1",
        "part_id": "d1-01-00",
        "turn": 1,
        "part": 0,
        "role": "assistant",
        "text": "as written: a kite",
        "spoken": None,
        "voice": None,
        "rate": None,
        "emotion": None,
        "renderer": "painter",
        "renderer_version": "1.2",
        "is_draft": True,
        "seed": brief.seed,
        "attempt": 0,
        "edited_from": None,
        "source_sha256": None,
        "data": paint(brief),
        "sha256": sha256_hex(paint(brief)),
        "extension": "png",
        "notes": f'{{"seed": {brief.seed}}}',
        "width": 64,
        "height": 32,
        "duration": None,
        "sample_rate": None,
        "channels": None,
        "peak": None,
        "rms": None,
        **dict.fromkeys(SPENT),
    }
    assert asset_name(row) == "d1-01-00-a0"
    assert (receipt.num_ok, receipt.num_failed, receipt.num_rows) == (2, 0, 2)
    assert receipt.order_key == order_key(orders(1, 2))
    assert receipt.facts["num_made"] == 2
    assert receipt.facts["is_draft"] is True
    assert receipt.facts["provenance"] == [{"paint": "oil"}]
    assert receipt == store.receipt("image")
    assert [note["code"] for note in watch.of("render")] == [None, None]


def test_speech_keeps_its_voice_and_what_was_said_aloud(store: ShardFolder) -> None:
    spoken = order(1, "three kites", voice=ANNA, rate=1.1, emotion="calm")
    render(store, [spoken], Painter())
    row = rows_of(store)["d1-01-00"]
    assert (row["voice"], row["rate"], row["emotion"]) == ("anna", 1.1, "calm")
    assert (row["duration"], row["sample_rate"]) == (0.5, 8000)
    assert (row["text"], row["width"]) == ("as written: three kites", None)


def test_nothing_to_do_loads_no_renderer(store: ShardFolder) -> None:
    def explode() -> Painter:
        raise AssertionError("the weights were loaded")

    first = render(store, orders(1, 2), Painter())
    idle = RenderJob(**{**vars(job(Painter())), "load": explode})
    assert render_assets(orders(1, 2), store, idle) == first
    # Only the order differs, or a row is no longer asked for.
    assert render_assets(orders(2, 1), store, idle).order_key == order_key(orders(2, 1))
    assert render_assets(orders(2), store, idle).num_ok == 1


def test_no_orders_commit_an_empty_file(store: ShardFolder) -> None:
    receipt = render(store, [], Painter(never))
    assert (receipt.num_rows, receipt.num_ok) == (0, 0)
    assert list(store.rows("image")) == []


def test_stale_rows_alone_are_rendered_again(store: ShardFolder) -> None:
    render(store, orders(1, 2, 3), Painter())
    former = rows_of(store)
    painter = Painter()
    receipt = render(store, [order(1), order(2, "another picture"), order(3), order(4)], painter)
    assert sorted(painter.rendered) == [("d2-01-00", 0), ("d4-01-00", 0)]
    now = rows_of(store)
    assert now["d1-01-00"] == former["d1-01-00"]
    assert now["d2-01-00"]["text"] == "as written: another picture"
    assert (receipt.num_ok, receipt.num_rows) == (4, 4)


def test_another_renderer_renders_everything_again_and_going_back_nothing(store: ShardFolder) -> None:
    first = render(store, orders(1, 2), Painter())
    former = rows_of(store)
    painter = Painter()
    render(store, orders(1, 2, key="v2"), painter)
    assert len(painter.rendered) == 2
    # The journal still holds what the former renderer made.
    assert render(store, orders(1, 2), Painter(never)).sha256 == first.sha256
    assert rows_of(store) == former


def test_rows_that_nobody_orders_now_are_carried_along(store: ShardFolder) -> None:
    render(store, orders(1, 2, 3), Painter())
    receipt = render(store, orders(1, 4), Painter())
    assert set(rows_of(store)) == {f"d{number}-01-00" for number in (1, 2, 3, 4)}
    assert (receipt.num_ok, receipt.num_rows) == (2, 4)
    assert receipt.facts["num_made"] == 2
    assert render(store, orders(1, 2, 3, 4), Painter(never)).num_ok == 4


def test_a_killed_run_resumes_from_the_journal(store: ShardFolder) -> None:
    def die(brief: Brief) -> None:
        if brief.id == "d4-01-00":
            raise RenderError("the GPU fell off the bus")

    first = Painter(die)
    with pytest.raises(RenderError, match="fell off"):
        render(store, orders(1, 2, 3, 4, 5), first, batch=2)
    assert store.receipt("image") is None
    second = Painter()
    render(store, orders(1, 2, 3, 4, 5), second, batch=2)
    done = {name for batch in first.batches[:-1] for name, _ in batch}
    assert done
    assert {name for name, _ in second.rendered} == set(rows_of(store)) - done
    other = ShardFolder(store.folder.parent / "whole")
    render(other, orders(1, 2, 3, 4, 5), Painter())
    assert {name: row["data"] for name, row in rows_of(other).items()} == {
        name: row["data"] for name, row in rows_of(store).items()
    }


def test_a_draining_run_keeps_what_is_rendered(store: ShardFolder) -> None:
    watch = Notes()

    def drain_after_two(brief: Brief) -> None:
        watch.is_draining = brief.id == "d2-01-00"

    with pytest.raises(Drained):
        render_assets(orders(1, 2, 3), store, job(Painter(drain_after_two), watch, batch=1))
    painter = Painter()
    render(store, orders(1, 2, 3), painter)
    assert painter.rendered == [("d3-01-00", 0)]


def test_damaged_bytes_in_the_journal_are_rendered_again(store: ShardFolder) -> None:
    render(store, orders(1, 2), Painter())
    (store.folder / "image.json").unlink()
    blobs = store.folder / "image-e00000.blob"
    flip_byte(blobs, len(paint(order(1).payload.brief)) + 3)
    painter = Painter()
    render(store, orders(1, 2), painter)
    assert painter.rendered == [("d2-01-00", 0)]
    assert {name: row["sha256"] for name, row in rows_of(store).items()} == {
        f"d{n}-01-00": sha256_hex(paint(order(n).payload.brief)) for n in (1, 2)
    }


def test_a_stage_file_that_is_damaged_while_it_is_copied_loses_no_row(store: ShardFolder) -> None:
    receipt = render(store, orders(*range(120)), Painter())
    whole = {name: row["sha256"] for name, row in rows_of(store).items()}
    damage_column(store.folder / receipt.file, "data", group=1)
    # Ids and inputs can still be read, so every row seems to hold; the bytes of the second group cannot.
    painter = Painter()
    made = render(store, orders(*range(121)), painter)
    assert painter.rendered == [("d120-01-00", 0)]
    assert (made.num_ok, made.num_rows) == (121, 121)
    now = {name: row["sha256"] for name, row in rows_of(store).items()}
    assert {name: now[name] for name in whole} == whole
    assert len(store.set_asides()) == 1


def blank_until(attempt: int) -> Rule:
    def rule(brief: Brief) -> RenderFailure | None:
        is_blank = brief.id == "d2-01-00" and brief.attempt < attempt
        return RenderFailure(code="blank", message=f"attempt {brief.attempt} is blank") if is_blank else None

    return rule


def test_a_failed_attempt_is_followed_by_the_next_seed(store: ShardFolder) -> None:
    painter, watch = Painter(blank_until(2)), Notes()
    receipt = render_assets(orders(1, 2, 3), store, job(painter, watch, attempts=3))
    assert [one for one in painter.rendered if one[0] == "d2-01-00"] == [("d2-01-00", n) for n in range(3)]
    assert len(painter.rendered) == 5
    row = rows_of(store)["d2-01-00"]
    assert (row["attempt"], row["seed"]) == (2, derive_seed(SEED, "d2-01-00", "image", 2))
    assert asset_name(row) == "d2-01-00-a2"
    assert (receipt.num_ok, receipt.num_failed) == (3, 0)
    assert len(watch.of("render")) == 3


def test_a_part_that_fails_every_attempt_is_a_failed_row(store: ShardFolder) -> None:
    watch = Notes()
    receipt = render_assets(orders(1, 2), store, job(Painter(blank_until(9)), watch, attempts=2))
    row = rows_of(store)["d2-01-00"]
    assert (row["status"], row["code"], row["message"]) == ("failed", "blank", "attempt 1 is blank")
    assert (row["attempt"], row["data"], row["sha256"], row["width"]) == (1, None, None, None)
    assert (receipt.num_ok, receipt.num_failed) == (1, 1)
    assert [note["code"] for note in watch.of("render")].count("blank") == 1
    # A failure is an outcome: it is neither tried again nor lost when something else changes.
    painter = Painter()
    again = render(store, orders(1, 2, 3), painter, attempts=2)
    assert painter.rendered == [("d3-01-00", 0)]
    assert (again.num_ok, again.num_failed) == (2, 1)


def test_batches_hold_briefs_of_like_size_and_not_more_than_asked(store: ShardFolder) -> None:
    painter = Painter()
    wanted = [order(number, "x" * size) for number, size in enumerate((50, 1, 40, 3, 60, 2, 1))]
    render(store, wanted, painter, batch=3)
    assert painter.batches == [
        [("d1-01-00", 0), ("d6-01-00", 0), ("d5-01-00", 0)],
        [("d3-01-00", 0), ("d2-01-00", 0), ("d0-01-00", 0)],
        [("d4-01-00", 0)],
    ]


def test_durations_decide_the_order_where_there_are_any(store: ShardFolder) -> None:
    painter = Painter()
    wanted = [order(1, "short", duration=9.0), order(2, "x" * 99, duration=3.0), order(3, "y", duration=6.0)]
    render(store, wanted, painter, batch=1)
    assert [name for name, _ in painter.rendered] == ["d2-01-00", "d3-01-00", "d1-01-00"]


def test_a_worker_that_outlived_its_run_commits_nothing(tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path / "work")
    store = ShardFolder(tmp_path / "00000", CorpusLock(tmp_path / "work", lock.epoch))
    lock.release()
    CorpusLock.acquire(tmp_path / "work").release()
    with pytest.raises(StaleWriter):
        render(store, orders(1), Painter())
    assert store.receipt("image") is None
    # Its journal is its own segment: the next run takes what it made.
    later = ShardFolder(tmp_path / "00000", CorpusLock(tmp_path / "work", 2))
    assert render(later, orders(1), Painter(never)).num_ok == 1
