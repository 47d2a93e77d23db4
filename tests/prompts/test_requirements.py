"""The requirements that ship: each can be met by some slot, and all are drawn."""

from __future__ import annotations

import re
from itertools import combinations
from random import Random

import pytest

from pipeline.values.ids import normalise_text
from pipeline.values.mix import Cell
from pipeline.values.records import Modality, Requirement, Slot
from pipeline.values.slots import draw_slot
from pipeline.work.features import fits
from tests.support.stages import FEATURES, read_book

REQUIREMENTS = list(read_book().requirements.values())
SUBSETS = [kinds for size in range(1, 5) for kinds in combinations(Modality, size)]


def slots() -> list[Slot]:
    """Two and four rounds of every pair of sets, with up to two pictures."""
    return [
        draw_slot(
            [Cell(name="c", gives=gives, answers=answers, rounds=(rounds, rounds), images=(2, 2))], 0.5, Random(0)
        )
        for gives in SUBSETS
        for answers in SUBSETS
        for rounds in (2, 4)
    ]


def test_there_are_several_dozen_of_them() -> None:
    assert len(REQUIREMENTS) >= 48
    assert len({normalise_text(one.text) for one in REQUIREMENTS}) == len(REQUIREMENTS)


@pytest.mark.parametrize("one", REQUIREMENTS, ids=lambda one: one.id)
def test_each_keeps_the_form_that_the_file_states(one: Requirement) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
    assert len(set(one.gives)) == len(one.gives)
    assert len(set(one.answers)) == len(one.answers)
    assert one.feature is None or one.feature in FEATURES
    assert 1 <= one.min_rounds <= 8
    assert 5 <= len(one.text.split()) <= 30
    assert one.text.endswith(".")
    assert one.text.isprintable()


def test_each_fits_some_slot_and_none_that_lacks_its_modalities() -> None:
    drawn = slots()
    for one in REQUIREMENTS:
        fitting = [slot for slot in drawn if fits(one, slot)]
        assert fitting, one.id
        for slot in fitting:
            assert set(one.gives) <= set(slot.gives)
            assert set(one.answers) <= set(slot.answers)
            assert one.min_rounds <= slot.num_rounds


def test_every_slot_has_a_choice_of_them() -> None:
    assert min(sum(fits(one, slot) for one in REQUIREMENTS) for slot in slots()) >= 10


def test_every_feature_can_be_asked_for() -> None:
    assert {one.feature for one in REQUIREMENTS} - {None} == FEATURES
