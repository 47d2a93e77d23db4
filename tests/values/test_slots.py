"""Slots: every set of modalities lays out, and a small change of the mix moves few records."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.values.ids import derive_random
from pipeline.values.mix import Cell
from pipeline.values.records import Modality, Slot
from pipeline.values.slots import draw_slot, in_order
from pipeline.values.weights import draw_weighted

SUBSETS = [frozenset(kinds) for size in range(1, 5) for kinds in combinations(Modality, size)]
WORDS = {Modality.TEXT, Modality.SPEECH}


def spans(lowest: int, highest: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(lowest, highest), st.integers(lowest, highest)).map(
        lambda ends: (min(ends), max(ends))
    )


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    gives, answers = draw(st.sampled_from(SUBSETS)), draw(st.sampled_from(SUBSETS))
    fewest = 2 if gives >= WORDS or answers >= WORDS else 1
    return Cell(
        name="c",
        gives=tuple(draw(st.permutations(sorted(gives)))),
        answers=tuple(draw(st.permutations(sorted(answers)))),
        rounds=draw(spans(fewest, 8)),
        images=draw(spans(1, 8)),
        music=draw(spans(1, 4)),
    )


def held(slot: Slot, role: str) -> set[Modality]:
    return {kind for turn in slot.turns if turn.role == role for kind in turn.kinds}


@settings(max_examples=300, deadline=None)
@given(cells(), st.integers(0, 2**32))
def test_any_legal_cell_lays_out_to_its_own_sets(cell: Cell, seed: int) -> None:
    slot = draw_slot([cell], 0.5, Random(seed))
    assert [turn.role for turn in slot.turns] == ["user", "assistant"] * slot.num_rounds
    assert cell.rounds[0] <= slot.num_rounds <= cell.rounds[1]
    assert held(slot, "user") == set(cell.gives) == set(slot.gives)
    assert held(slot, "assistant") == set(cell.answers) == set(slot.answers)
    for role, kinds in (("user", slot.gives), ("assistant", slot.answers)):
        turns = [turn.kinds for turn in slot.turns if turn.role == role]
        assert all(turns)
        for turn in turns:
            words = [kind for kind in turn if kind in WORDS]
            # Words come first, one kind a turn, and in every turn of a role that has words at all.
            assert len(words) == bool(WORDS & set(kinds))
            assert list(turn[: len(words)]) == words
        for kind, (fewest, most) in ((Modality.IMAGE, cell.images), (Modality.MUSIC, cell.music)):
            count = sum(turn.count(kind) for turn in turns)
            if kind in kinds and WORDS & set(kinds):
                assert fewest <= count <= most
            elif kind in kinds:  # without words, a turn that would be empty gets one more piece
                assert fewest <= count <= most + len(turns)
            else:
                assert count == 0


@settings(max_examples=50, deadline=None)
@given(cells(), st.integers(0, 2**32))
def test_the_same_inputs_draw_the_same_slot(cell: Cell, seed: int) -> None:
    assert draw_slot([cell], 0.5, Random(seed)) == draw_slot([cell], 0.5, Random(seed))


def test_pieces_are_spread_before_they_are_stacked() -> None:
    cell = Cell(
        name="c",
        gives=(Modality.TEXT, Modality.IMAGE),
        answers=(Modality.TEXT,),
        rounds=(3, 3),
        images=(4, 4),
    )
    for seed in range(20):
        slot = draw_slot([cell], 0.0, Random(seed))
        counts = sorted(turn.kinds.count(Modality.IMAGE) for turn in slot.turns if turn.role == "user")
        assert counts == [1, 1, 2]


def test_sets_are_written_in_one_order() -> None:
    assert in_order((Modality.MUSIC, Modality.TEXT, Modality.IMAGE)) == ("text", "image", "music")
    assert in_order([]) == ()


def weighted(*weights: float) -> list[Cell]:
    return [
        Cell(name=f"c{index}", weight=weight, gives=(Modality.TEXT,), answers=(Modality.TEXT,))
        for index, weight in enumerate(weights)
    ]


@pytest.mark.parametrize(
    ("unit", "name"), [(0.0, "c0"), (0.2499, "c0"), (0.25, "c1"), (0.7499, "c1"), (0.75, "c2"), (1 - 2**-53, "c2")]
)
def test_a_place_falls_into_the_cell_that_covers_it(unit: float, name: str) -> None:
    assert draw_weighted(weighted(1, 2, 1), unit).name == name


def test_weights_are_relative() -> None:
    units = [index / 100 for index in range(100)]
    few, many = weighted(0.1, 0.2, 0.1), weighted(100, 200, 100)
    assert [draw_weighted(few, unit).name for unit in units] == [draw_weighted(many, unit).name for unit in units]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.floats(0, 1, exclude_max=True))
def test_every_place_has_a_cell(weights: list[float], unit: float) -> None:
    assert draw_weighted(weighted(*weights), unit).name in {f"c{index}" for index in range(len(weights))}


def test_a_small_change_of_the_mix_moves_few_records() -> None:
    records = [(f"record {index}", (index + 0.5) / 1000) for index in range(1000)]

    def draw(mix: list[Cell]) -> list[Slot]:
        return [draw_slot(mix, unit, derive_random(1, name, "slot")) for name, unit in records]

    before, after = draw(weighted(50, 30, 20)), draw(weighted(52, 30, 18))
    # Two edges move by two hundredths each; whoever stays in a cell keeps its whole layout.
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 40
