"""What dialogues are asked to have in them beside their modalities: which requirement fits, and which is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from pipeline.values.ids import rank_by_hash
from pipeline.values.mix import Cell
from pipeline.values.pictures import write_place
from pipeline.values.records import Modality, Requirement, Slot, TurnLayout
from pipeline.values.slots import draw_slot

EDIT = "edit"
"""The feature of a picture that is changed; a dialogue that has it says which picture starts from which."""

COMPARE = "compare_images"

NUM_REQUIREMENTS = 2

MAX_DRAWS = 64
"""Layouts drawn for a dialogue until one has room for the feature that is asked of it. Over cells of up to three
modalities a role, the requirements that ship fit a sixth of the layouts where they fit least often (an edit, in two
rounds of pictures and music): all of 64 miss in 1 of 10^5."""


class Edit(NamedTuple):
    """A picture that is changed, by the places of both.

    Attributes:
        turn, part: The changed picture's, both from 0.
        source: Place of the picture as it was.
    """

    turn: int
    part: int
    source: str


def fits(item: Requirement, slot: Slot) -> bool:
    """Whether a slot has the modalities and rounds that a requirement needs."""
    if item.feature == COMPARE:
        user_images = sum(turn.kinds.count(Modality.IMAGE) for turn in slot.turns if turn.role == "user")
        if user_images < 2:
            return False
    return (
        set(item.gives) <= set(slot.gives)
        and set(item.answers) <= set(slot.answers)
        and item.min_rounds <= slot.num_rounds
    )


def find_edit(item: Requirement, turns: Sequence[TurnLayout]) -> Edit | None:
    """Return which picture changes which where a dialogue has an edit: the first that can, and the nearest before it.

    What is changed is the user's own picture where the requirement has the user give one, else one that the assistant
    made in a turn before.
    """
    owner = "user" if Modality.IMAGE in item.gives else "assistant"
    source: str | None = None
    for index, turn in enumerate(turns):
        images = [part for part, kind in enumerate(turn.kinds) if kind is Modality.IMAGE]
        if images and turn.role == "assistant" and source is not None:
            return Edit(index, images[0], source)
        if images and turn.role == owner:
            source = write_place(index, images[-1])
    return None


def fits_wholly(item: Requirement, slot: Slot) -> bool:
    """Whether a slot also has the pictures, in the right order, that an edit is about."""
    return fits(item, slot) and (item.feature != EDIT or find_edit(item, slot.turns) is not None)


def choose_wish(cell: Cell, place: float) -> str | None:
    """Return the feature that is asked of a dialogue, by its place in [0, 1) within its cell.

    The shares are laid on that line one after another, so that a small change of one moves few dialogues.
    """
    edge = 0.0
    for feature, share in cell.features.items():
        edge += share
        if place < edge:
            return feature
    return None


def has_room(feature: str, slot: Slot, pool: Iterable[Requirement]) -> bool:
    """Whether some requirement of a feature fits a slot."""
    return any(item.feature == feature and fits_wholly(item, slot) for item in pool)


def can_have(cell: Cell, feature: str, pool: Iterable[Requirement]) -> bool:
    """Whether some layout of a cell has room for a feature."""
    items = [item for item in pool if item.feature == feature]
    return any(has_room(feature, draw_slot([cell], 0.0, Random(number)), items) for number in range(2 * MAX_DRAWS))


def draw_requirements(
    pool: Mapping[str, Requirement], slot: Slot, name: str, cell: Cell, wish: str | None
) -> tuple[str, ...]:
    """Draw requirements that fit a slot, the one that has the wanted feature first."""
    if not cell.features:
        fitting = [item.id for item in pool.values() if fits(item, slot)]
        return tuple(rank_by_hash(fitting, name, "requirements")[:NUM_REQUIREMENTS])
    whole = [item for item in pool.values() if fits_wholly(item, slot)]
    wanted = rank_by_hash([item.id for item in whole if item.feature == wish and wish], name, "requirements")[:1]
    others = [item.id for item in whole if item.feature not in cell.features]
    return (*wanted, *rank_by_hash(others, name, "requirements")[: NUM_REQUIREMENTS - len(wanted)])


def meets_wish(items: Sequence[Requirement], slot: Slot, cell: Cell, wish: str | None) -> bool:
    """Whether requirements drawn before are still what a cell asks of a dialogue."""
    asked = [item.feature for item in items if item.feature in cell.features]
    return asked == ([wish] if wish else []) and all(fits_wholly(item, slot) for item in items)


def features_of(items: Iterable[Requirement]) -> tuple[str, ...]:
    """Return the features of some requirements, each once, in their order."""
    return tuple(dict.fromkeys(item.feature for item in items if item.feature is not None))
