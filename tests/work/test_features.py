"""Features that a cell asks for: who is asked, that the slot has room, and that nothing else moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.execution.project import load_project
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest
from pipeline.values.mix import Cell
from pipeline.values.records import Demonstration, MetaTopic, Modality, PlannedDialogue, Requirement, Slot, TurnLayout
from pipeline.values.slots import draw_slot
from pipeline.values.weights import draw_placed
from pipeline.work.dialogues import Scenario, order_dialogues
from pipeline.work.features import (
    EDIT,
    NUM_REQUIREMENTS,
    can_have,
    choose_wish,
    find_edit,
    fits_wholly,
    has_room,
)
from pipeline.work.planning import extend_plan
from pipeline.work.scenarios import order_scenarios
from tests.support.projects import describe, write_manifest
from tests.support.stages import manifest, many_topics, read_book

BOOK = read_book()
POOL = list(BOOK.requirements.values())
PLAIN: list[dict[str, Any]] = [
    {"name": "draw", "weight": 3, "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 3], "images": [1, 3]},
    {"name": "note", "weight": 1, "gives": ["speech"], "answers": ["text"], "rounds": [1, 2]},
]


def asking(draw: dict[str, float] | None = None, note: dict[str, float] | None = None, **changes: Any) -> Manifest:
    mix = [{**cell, "features": asked} if asked else cell for cell, asked in zip(PLAIN, (draw, note), strict=True)]
    return manifest(mix=mix, size={"dialogues_per_shard": 4}, **changes)


def plan(made: Manifest, count: int = 80, former: list[PlannedDialogue] | None = None) -> list[PlannedDialogue]:
    return extend_plan(former or [], many_topics(count), made, BOOK)


def asked_of(row: PlannedDialogue) -> list[str | None]:
    return [BOOK.requirements[name].feature for name in row.requirements]


def count(rows: list[PlannedDialogue], cell: str, feature: str) -> int:
    return sum(feature in asked_of(row) for row in rows if row.slot.cell == cell)


def turns(*kinds: str) -> tuple[TurnLayout, ...]:
    roles = ("user", "assistant")
    return tuple(
        TurnLayout.model_validate({"role": roles[index % 2], "kinds": kind.split()}) for index, kind in enumerate(kinds)
    )


def wanting(*gives: str) -> Requirement:
    return Requirement.model_validate({"id": "x", "gives": gives, "answers": ["image"], "feature": EDIT, "text": "x"})


def test_a_cell_without_features_is_planned_and_keyed_as_before_there_were_any() -> None:
    """Of the state before features: the plan and the keys of all that is written for a mix of every shape."""
    mix = [
        {"name": "draw", "weight": 3, "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 3]},
        {"name": "pair", "weight": 2, "gives": ["speech", "image"], "answers": ["image", "music"], "images": [2, 2]},
        {"name": "talk", "weight": 1, "gives": ["text", "speech"], "answers": ["speech"], "rounds": [2, 4]},
    ]
    made = manifest(mix=mix, size={"dialogues_per_topic": 2})
    assert all("features" not in cell for cell in made.model_dump(mode="json")["mix"])
    fixed = _FixedBook()
    rows = extend_plan([], many_topics(40), made, fixed)
    assert {row.features for row in rows} == {()}
    said = TypeAdapter(list[PlannedDialogue]).dump_python(rows, mode="json", exclude={"__all__": {"features"}})
    assert content_key(said) == "6fbf29469a7dbebc"
    scenarios = order_scenarios(rows, made, fixed)
    dialogues = order_dialogues([Scenario(row, "A child asks for a kite.") for row in rows], made, fixed)
    assert content_key([order.input_key for order in scenarios]) == "5a094568d6ac6304"
    assert content_key([order.input_key for order in dialogues]) == "e9cd8359627452a2"


class _FixedBook:
    """Prompts that no editing of the shipped ones changes: the first by id, without what came with features."""

    def __init__(self) -> None:
        abouts: list[dict[str, Any]] = [
            {},
            {"answers": ["image"], "feature": "edit"},
            {"gives": ["speech"]},
            {"feature": "refer_back"},
        ]
        self.meta_topics: Mapping[str, MetaTopic] = {}
        self.requirements: Mapping[str, Requirement] = {
            f"r{number}": Requirement.model_validate(
                {"id": f"r{number}", "text": f"Number {number}.", "min_rounds": 1 + number % 3, **about}
            )
            for number, about in enumerate(abouts * 3)
        }
        self.demonstrations: Mapping[str, Demonstration] = {
            name: _demonstration(name, gives, answers)
            for name, gives, answers in (
                ("d1", "text", "image"),
                ("d2", "speech", "speech"),
                ("d3", "image", "music"),
                ("d4", "music", "text"),
                ("d5", "text", "text"),
                ("d6", "image", "image"),
            )
        }

    def text(self, template: str, **values: Any) -> str:
        return template

    def key(self, *templates: str) -> str:
        return "-".join(templates)


def _demonstration(name: str, gives: str, answers: str) -> Demonstration:
    # What a demonstration says of edits is not shown, and changes no key, where no dialogue is asked for one.
    source = {"edits": "0.0"} if gives == answers == "image" else {}
    parts = [{"kind": gives, "text": "One."}], [{"kind": answers, "text": "Two.", **source}]
    said = [{"role": role, "parts": some} for role, some in zip(("user", "assistant"), parts, strict=True)]
    about = {"id": name, "topic": "a kite", "scenario": "Someone asks.", "turns": said}
    return Demonstration.model_validate({**about, "gives": [gives], "answers": [answers]})


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 1.0])
def test_a_share_of_a_cells_dialogues_has_the_feature_and_no_other_has(share: float) -> None:
    rows = plan(asking({EDIT: share}))
    assert Counter(row.slot.cell for row in rows) == {"draw": 60, "note": 20}
    assert count(rows, "draw", EDIT) == round(60 * share)
    for row in rows:
        assert len(set(row.requirements)) == NUM_REQUIREMENTS
        stated = tuple(dict.fromkeys(name for name in asked_of(row) if name))
        assert row.features == (stated if row.slot.cell == "draw" else ())


def test_several_features_share_a_cell_and_no_dialogue_is_asked_for_two() -> None:
    rows = plan(asking({EDIT: 0.25, "clarify": 0.5}, {"transcribe": 0.5}))
    assert (count(rows, "draw", EDIT), count(rows, "draw", "clarify")) == (15, 30)
    assert count(rows, "note", "transcribe") == 10
    assert not any({EDIT, "clarify"} <= set(asked_of(row)) for row in rows if row.slot.cell == "draw")


def test_a_share_of_nothing_keeps_a_feature_out() -> None:
    assert count(plan(asking()), "note", "transcribe") > 0
    assert count(plan(asking(note={"transcribe": 0.0})), "note", "transcribe") == 0


def test_whoever_is_asked_has_room_for_it() -> None:
    rows = plan(asking({EDIT: 0.5}))
    asked = [row for row in rows if EDIT in row.features]
    assert {row.slot.num_rounds for row in asked} == {2, 3}
    for row in asked:
        item = BOOK.requirements[row.requirements[0]]
        assert item.feature == EDIT
        found = find_edit(item, row.slot.turns)
        assert found is not None
        turn, part = map(int, found.source.split("."))
        assert turn < found.turn
        assert row.slot.turns[turn].kinds[part] == row.slot.turns[found.turn].kinds[found.part] == Modality.IMAGE


def test_a_demonstration_of_the_feature_comes_first() -> None:
    for row in plan(asking({EDIT: 0.5})):
        if EDIT in row.features:
            assert EDIT in BOOK.demonstrations[row.demonstrations[0]].features
            assert len(set(row.demonstrations)) == len(row.demonstrations) == 5


def test_a_small_change_of_a_share_moves_few_dialogues_and_going_back_none() -> None:
    before, after = asking({EDIT: 0.5}), asking({EDIT: 0.55})
    rows = plan(before)
    moved = plan(after, former=rows)
    changed = [new for old, new in zip(rows, moved, strict=True) if new != old]
    assert len(changed) == 3  # a twentieth of 60
    assert all(EDIT in row.features for row in changed)
    assert [(row.id, row.shard, row.unit) for row in moved] == [(row.id, row.shard, row.unit) for row in rows]
    assert plan(before, former=moved) == rows
    assert plan(after, former=moved) == moved == plan(after)


def test_asking_for_features_moves_no_other_cell_and_taking_them_back_restores_every_slot() -> None:
    rows = plan(asking())
    asked = plan(asking({EDIT: 0.5}), former=rows)
    for old, new in zip(rows, asked, strict=True):
        assert new.slot.cell == old.slot.cell
        if new.slot.cell == "note":
            assert new == old
        elif EDIT not in new.features and EDIT not in asked_of(old):
            assert replace(new, features=()) == old
    assert asked == plan(asking({EDIT: 0.5}))
    back = plan(asking(), former=asked)
    assert {row.features for row in back} == {()}
    assert [row.slot for row in back] == [row.slot for row in rows]
    # Who only lost a requirement keeps the one that came for it: nothing says any more that it was ever another.
    same = [new == old for old, new in zip(rows, back, strict=True)]
    lost = [EDIT in asked_of(old) and not new.features for old, new in zip(rows, asked, strict=True)]
    assert all(is_same or has_lost for is_same, has_lost in zip(same, lost, strict=True))
    assert sum(same) > 60


def test_shares_lie_on_a_line_in_their_order() -> None:
    cell = Cell(name="c", gives=(Modality.TEXT,), answers=(Modality.IMAGE,), features={"a": 0.25, "b": 0.5})
    assert [choose_wish(cell, place) for place in (0.0, 0.2499, 0.25, 0.7499, 0.75, 0.999)] == [
        "a", "a", "b", "b", None, None
    ]  # fmt: skip
    cells = [cell.model_copy(update={"weight": weight}) for weight in (1.0, 3.0)]
    drawn, place = draw_placed(cells, 0.625)
    assert (drawn.weight, place) == (3.0, 0.5)
    assert draw_placed(cells, 0.0) == (cells[0], 0.0)
    assert draw_placed(cells, 1 - 2**-53)[1] < 1


@pytest.mark.parametrize(
    ("gives", "layout", "edit"),
    [
        ((), ("text", "image", "text", "text image"), (3, 1, "1.0")),
        ((), ("text", "image image", "text", "image image"), (3, 0, "1.1")),
        ((), ("text", "image", "text", "image", "text", "image"), (3, 0, "1.0")),
        ((), ("text image", "image"), None),
        ((), ("text", "image", "text image", "text"), None),
        (("image",), ("text image", "image"), (1, 0, "0.1")),
        (("image",), ("text image image", "image"), (1, 0, "0.2")),
        (("image",), ("text", "image", "image", "text", "text", "text image"), (5, 1, "2.0")),
        (("image",), ("text", "image", "text image", "text"), None),
    ],
)
def test_the_first_picture_that_can_changes_the_nearest_one(
    gives: tuple[str, ...], layout: tuple[str, ...], edit: tuple[int, int, str] | None
) -> None:
    assert find_edit(wanting(*gives), turns(*layout)) == edit


def test_a_cell_can_have_what_some_layout_of_it_has_room_for() -> None:
    def cell(**about: Any) -> Cell:
        return Cell.model_validate({"name": "c", "gives": ["text"], "answers": ["text", "image"], **about})

    assert not can_have(cell(rounds=[1, 1]), EDIT, POOL)
    assert not can_have(cell(rounds=[2, 2]), EDIT, POOL)  # one picture alone
    assert can_have(cell(rounds=[2, 2], images=[1, 2]), EDIT, POOL)
    assert can_have(cell(rounds=[1, 1], gives=["text", "image"]), EDIT, POOL)
    assert not can_have(cell(rounds=[8, 8]), "transcribe", POOL)
    assert not can_have(cell(gives=["text", "image"]), "compare_images", POOL)
    assert can_have(cell(gives=["text", "image"], images=[1, 2]), "compare_images", POOL)


def test_requirements_that_fit_seldom_still_fit_often_enough() -> None:
    """The tries of a draw are enough: no feature that a cell can have fits less than a tenth of its layouts."""
    worst = 1.0
    for gives in (["text"], ["text", "image"], ["speech", "image"], ["image"], ["text", "music"]):
        for answers in (["image"], ["text", "image"], ["speech", "image", "music"]):
            for images in ([1, 1], [1, 2]):
                about = {"name": "c", "gives": gives, "answers": answers, "rounds": [1, 3], "images": images}
                cell = Cell.model_validate(about)
                slots: list[Slot] = [draw_slot([cell], 0.0, Random(number)) for number in range(100)]
                for feature in sorted({item.feature for item in POOL if item.feature}):
                    share = sum(has_room(feature, slot, POOL) for slot in slots) / len(slots)
                    worst = min(worst, share or 1.0)
    assert worst > 0.1


def test_an_edit_fits_only_where_there_are_pictures_for_it() -> None:
    answers, said = (Modality.TEXT, Modality.IMAGE), turns("text", "text image", "text", "text")
    slot = Slot(cell="c", gives=(Modality.TEXT,), answers=answers, turns=said)
    items = [item for item in POOL if item.feature == EDIT]
    assert not any(fits_wholly(item, slot) for item in items)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"features": {"edits": 0.5}}, ["mix.0.features.edits: no requirement has such a feature; did you mean edit?"]),
        (
            {"features": {EDIT: 0.5}, "rounds": [1, 1]},
            ["mix.0.features.edit: no dialogue of this cell can have it; it needs ", "2 rounds"],
        ),
        ({"features": {EDIT: 0.6, "refuse": 0.5}}, ["mix.0: features add up to 1.1", "at most 1"]),
        ({"features": {EDIT: 1.5}}, ["mix.0.features.edit"]),
        ({"features": {EDIT: -0.1}}, ["mix.0.features.edit"]),
    ],
)
def test_wrong_features_are_refused_with_their_key(tmp_path: Path, cell: dict[str, Any], words: list[str]) -> None:
    mix = [{**PLAIN[0], **cell}]
    path = write_manifest(tmp_path, describe("http://localhost:1/v1", mix=mix))
    with pytest.raises(ManifestError) as caught:
        load_project(path, tmp_path / "corpus")
    for word in words:
        assert word in str(caught.value)
    assert "manifest.yaml:" in str(caught.value)
