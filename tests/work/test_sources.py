"""Pictures that start from others: after them, with their bytes, and again whenever those are others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.adapters.store import ShardFolder
from pipeline.contracts.render import Brief, ImageFacts, Render, RenderFailure
from pipeline.contracts.storage import Receipt, Row
from pipeline.contracts.watch import Drained
from pipeline.values.errors import CorpusError
from pipeline.values.ids import derive_seed, sha256_hex
from pipeline.values.records import Modality
from pipeline.values.render_sections import RendererChoice
from pipeline.work import tables
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import PlacedBrief, order_renders
from pipeline.work.orders import Order
from pipeline.work.rendering import RenderJob, render_assets
from pipeline.work.sources import SOURCE_FAILED, split_waves
from tests.support.stages import Notes, manifest

MADE = manifest()
Rule = Callable[[Brief], RenderFailure | None]


def turns(*pictures: tuple[str, str | None]) -> list[dict[str, Any]]:
    """A picture a round by the assistant: its description, and the place of the one that it changes."""
    said: list[dict[str, Any]] = []
    for text, edits in pictures:
        said.append({"role": "user", "parts": [{"kind": "text", "text": "Please.", "spoken": None, "edits": None}]})
        image = {"kind": "image", "text": text, "spoken": None, "edits": edits}
        said.append({"role": "assistant", "parts": [image]})
    return said


DAY, NIGHT, RAIN = ("a harbour", None), ("a harbour at night", "1.0"), ("a harbour at night in rain", "3.0")


def orders(dialogues: dict[str, list[Any]], key: str = "v1", edit_key: str | None = "e1") -> list[Order[PlacedBrief]]:
    rows: list[Row] = [{"record_id": name, "turns": said} for name, said in dialogues.items()]
    return order_renders(Modality.IMAGE, rows, MADE, key, None, edit_key)


def chain(name: str = "d1", **changes: Any) -> list[Order[PlacedBrief]]:
    return orders({name: turns(DAY, NIGHT, RAIN)}, **changes)


@dataclass
class Painter:
    """Paints words; what it starts from is part of what it makes.

    Attributes:
        rule: What it says of a brief comes first.
        edits: False for one that was given a source and did not use it.
        salt: Other bytes for the same briefs.
    """

    rule: Rule = lambda brief: None
    edits: bool = True
    salt: str = ""
    batches: list[list[str]] = field(default_factory=list)
    sources: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        self.batches.append([brief.id for brief in briefs])
        return [self.rule(brief) or self._make(brief) for brief in briefs]

    def provenance(self) -> dict[str, str]:
        return {"paint": "oil"}

    @property
    def rendered(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def _make(self, brief: Brief) -> Render:
        under = b""
        if brief.source is not None:
            under = brief.source.load()
            self.sources[brief.id] = (brief.source.asset, brief.source.text, brief.source.seed)
            assert sha256_hex(under) == brief.source.sha256
        data = f"{brief.text} {brief.seed} {self.salt}|".encode() + under
        is_edit = self.edits and brief.source is not None
        return Render(data=data, extension="png", facts=ImageFacts(width=8, height=8), is_edit=is_edit)


def render(
    store: ShardFolder, wanted: list[Order[PlacedBrief]], painter: Painter, watch: Notes | None = None, **choice: Any
) -> Receipt:
    job = RenderJob(
        modality=Modality.IMAGE,
        corpus_seed=MADE.seed,
        choice=RendererChoice.model_validate({"renderer": "painter", "batch": 8, **choice}),
        version="1",
        is_draft=True,
        size=BatchSize(8),
        load=lambda: painter,
        watch=watch or Notes(),
    )
    return render_assets(wanted, store, job)


def rows_of(store: ShardFolder) -> dict[str, Row]:
    return {row["record_id"]: row for row in store.rows("image")}


@pytest.fixture
def store(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path / "00000")


A, B, C = "d1-01-00", "d1-03-00", "d1-05-00"


def test_waves_keep_the_order_of_changes() -> None:
    both = orders({"d1": turns(DAY, NIGHT, RAIN), "d2": turns(DAY, ("a mill", None), ("a mill at dusk", "3.0"))})
    names = [[order.record_id for order in wave] for wave in split_waves(both)]
    assert names == [[A, "d2-01-00", "d2-03-00"], [B, "d2-05-00"], [C]]
    assert split_waves([]) == []


def test_without_an_edit_key_every_picture_is_made_from_its_words() -> None:
    plain, edited = chain(edit_key=None), chain()
    assert [order.payload.source for order in plain] == [None, None, None]
    assert [order.payload.source for order in edited] == [None, A, B]
    assert [set(order.inputs) for order in edited] == [{"brief", "renderer"}, *[{"brief", "renderer", "source"}] * 2]
    assert [dict(order.inputs, source="") for order in plain] == [dict(order.inputs, source="") for order in edited]
    none = orders({"d1": turns(DAY, ("a harbour at night", None), ("a harbour at night in rain", None))})
    assert [order.input_key for order in none] == [order.input_key for order in plain]


def test_a_reference_that_leads_nowhere_is_no_source() -> None:
    for place in ("0.0", "3.0", "5.0", "9.9", "x", ""):
        assert [order.payload.source for order in orders({"d1": turns(DAY, ("x", place))})] == [None, None]


def test_a_chain_is_made_in_order_and_each_gets_the_bytes_of_the_one_before(store: ShardFolder) -> None:
    painter, watch = Painter(), Notes()
    receipt = render(store, chain(), painter, watch)
    assert painter.batches == [[A], [B], [C]]
    rows = rows_of(store)
    assert rows[C]["data"].count(b"|") == 3
    assert rows[B]["data"].endswith(rows[A]["data"])
    assert [rows[name]["edited_from"] for name in (A, B, C)] == [None, f"{A}-a0", f"{B}-a0"]
    assert [rows[name]["source_sha256"] for name in (A, B, C)] == [None, rows[A]["sha256"], rows[B]["sha256"]]
    first = derive_seed(MADE.seed, A, "image")
    assert painter.sources == {B: (f"{A}-a0", DAY[0], first), C: (f"{B}-a0", NIGHT[0], first)}
    assert (receipt.num_ok, receipt.num_failed) == (3, 0)
    assert len(watch.of("render")) == 3
    never = Painter(lambda brief: pytest.fail(f"{brief.id} was rendered"))
    assert render(store, chain(), never) == receipt


def test_new_and_changed_pictures_share_no_batch(store: ShardFolder) -> None:
    painter = Painter()
    render(store, orders({"d1": turns(DAY, NIGHT), "d2": turns(("a mill", None), ("a mill at dusk", "1.0"))}), painter)
    assert sorted(map(sorted, painter.batches)) == [[A, "d2-01-00"], [B, "d2-03-00"]]


def test_a_changed_source_takes_its_versions_with_it_and_a_changed_version_nothing(store: ShardFolder) -> None:
    render(store, chain(), Painter())
    former = rows_of(store)
    painter = Painter()
    render(store, orders({"d1": turns(DAY, ("a harbour at noon", "1.0"), RAIN)}), painter)
    assert painter.rendered == [B, C]
    assert rows_of(store)[A] == former[A]
    # The source comes from the stage file, since it was not made now.
    assert painter.sources[B][0] == f"{A}-a0"
    painter = Painter()
    render(store, orders({"d1": turns(("a quay", None), NIGHT, RAIN)}), painter)
    assert painter.rendered == [A, B, C]
    painter = Painter()
    render(store, chain(edit_key="e2"), painter)
    assert painter.rendered == [B, C]  # the journal still has the first


def test_a_source_whose_bytes_were_lost_and_made_anew_takes_its_versions_with_it(store: ShardFolder) -> None:
    """The same inputs, other bytes: some endpoint or kernel that is not exact."""
    other = orders({"d2": turns(("a mill", None))})
    render(store, [*chain(), *other], Painter())
    kept = [row for row in store.rows("image") if row["record_id"] != A]
    store.commit("image", tables.RENDERS, kept, order_key="", num_ok=3, num_failed=0)
    for path in store.folder.glob("image-e*"):
        path.unlink()
    painter = Painter(salt="other bytes")
    render(store, [*chain(), *other], painter)
    assert painter.rendered == [A, B, C]
    rows = rows_of(store)
    assert rows[C]["data"].endswith(rows[A]["data"])


def test_a_failed_source_fails_its_versions_without_rendering_them(store: ShardFolder) -> None:
    def no_day(brief: Brief) -> RenderFailure | None:
        return RenderFailure(code="blank", message="white") if brief.id == A else None

    painter, watch = Painter(no_day), Notes()
    receipt = render(store, chain(), painter, watch, attempts=2)
    assert painter.rendered == [A, A]
    rows = rows_of(store)
    assert [rows[name]["code"] for name in (A, B, C)] == ["blank", SOURCE_FAILED, SOURCE_FAILED]
    assert A in rows[B]["message"]
    assert (receipt.num_ok, receipt.num_failed) == (0, 3)
    assert len(watch.of("render")) == 3
    # With more attempts the input keys stay, so nothing is tried again; with another renderer all is.
    assert render(store, chain(), painter) == receipt
    healed = Painter()
    assert render(store, chain(key="v2"), healed).num_ok == 3
    assert healed.rendered == [A, B, C]


def test_a_second_attempt_of_a_source_is_what_its_versions_start_from(store: ShardFolder) -> None:
    def first_fails(brief: Brief) -> RenderFailure | None:
        return RenderFailure(code="blank", message="white") if brief.id == A and brief.attempt == 0 else None

    painter = Painter(first_fails)
    render(store, chain(), painter)
    assert painter.sources[B] == (f"{A}-a1", DAY[0], derive_seed(MADE.seed, A, "image", 1))
    assert rows_of(store)[B]["edited_from"] == f"{A}-a1"


def test_a_failed_version_fails_alone(store: ShardFolder) -> None:
    painter = Painter(lambda brief: RenderFailure(code="nan", message="x") if brief.id == C else None)
    receipt = render(store, chain(), painter, attempts=1)
    assert (receipt.num_ok, receipt.num_failed) == (2, 1)
    row = rows_of(store)[C]
    assert (row["code"], row["edited_from"]) == ("nan", None)
    never = Painter(lambda brief: pytest.fail(f"{brief.id} was rendered"))
    assert render(store, [*chain(), *orders({})], never) == receipt


def test_who_did_not_use_the_source_is_said_to_have_made_it_from_words(store: ShardFolder) -> None:
    render(store, chain(), Painter(edits=False))
    rows = rows_of(store)
    assert [rows[name]["edited_from"] for name in (A, B, C)] == [None, None, None]
    assert rows[B]["source_sha256"] == rows[A]["sha256"]


def test_a_kill_between_waves_goes_on_from_the_journal(store: ShardFolder) -> None:
    def drain(brief: Brief) -> RenderFailure | None:
        if brief.id == B:
            raise Drained("the run is ending")
        return None

    with pytest.raises(Drained):
        render(store, chain(), Painter(drain))
    painter = Painter()
    render(store, chain(), painter)
    assert painter.rendered == [B, C]
    assert rows_of(store)[C]["data"].count(b"|") == 3


def test_bytes_that_are_not_those_that_were_rendered_are_an_error(store: ShardFolder) -> None:
    render(store, chain(), Painter())

    class Damaged(ShardFolder):
        def row(self, stage: str, record_id: str, columns: Sequence[str] | None = None) -> Row | None:
            return {"data": b"something else"}

    with pytest.raises(CorpusError, match=f"{A}: its bytes are gone or damaged, and another picture starts from it"):
        render(Damaged(store.folder), chain(edit_key="e2"), Painter())


def test_one_row_is_read_without_the_others(store: ShardFolder) -> None:
    render(store, orders({f"d{number:03d}": turns(DAY) for number in range(130)}), Painter())
    assert store.row("image", "d120-01-00", ["record_id", "role"]) == {
        "record_id": "d120-01-00", "role": "assistant"
    }  # fmt: skip
    whole = store.row("image", "d003-01-00")
    assert whole == rows_of(store)["d003-01-00"]
    assert store.row("image", "d999-01-00") is None
    assert store.row("music", "d003-01-00") is None
    assert json.loads(rows_of(store)["d003-01-00"]["inputs"]).keys() == {"brief", "renderer"}


def test_a_stage_file_from_before_there_were_sources_is_kept(store: ShardFolder) -> None:
    wanted = orders({"d1": turns(DAY)})
    render(store, wanted, Painter())
    old = pa.schema([column for column in tables.RENDERS if column.name not in ("edited_from", "source_sha256")])
    rows = [{name: row[name] for name in old.names} for row in store.rows("image")]
    store.commit("image", old, rows, order_key="", num_ok=1, num_failed=0)
    for path in store.folder.glob("image-e*"):
        path.unlink()
    painter = Painter()
    render(store, [*wanted, *orders({"d2": turns(DAY, NIGHT)})], painter)
    assert painter.rendered == ["d2-01-00", "d2-03-00"]
