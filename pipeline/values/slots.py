"""The modality matrix: from a number in [0, 1) to a cell, and from a cell to single turns."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pipeline.values.mix import Cell, Range
from pipeline.values.records import Modality, Role, Slot, TurnLayout
from pipeline.values.weights import draw_weighted

WORDS = (Modality.TEXT, Modality.SPEECH)


def draw_slot(mix: Sequence[Cell], unit: float, random: Random) -> Slot:
    """Draw a dialogue's cell by ``unit`` and lay it out to turns by ``random``."""
    cell = draw_weighted(mix, unit)
    num_rounds = random.randint(*cell.rounds)
    user = _lay_out_role(cell, cell.gives, num_rounds, random)
    assistant = _lay_out_role(cell, cell.answers, num_rounds, random)
    roles: tuple[tuple[Role, list[tuple[Modality, ...]]], ...] = (("user", user), ("assistant", assistant))
    turns = tuple(TurnLayout(role=role, kinds=kinds[i]) for i in range(num_rounds) for role, kinds in roles)
    return Slot(cell=cell.name, gives=in_order(cell.gives), answers=in_order(cell.answers), turns=turns)


def in_order(kinds: Sequence[Modality]) -> tuple[Modality, ...]:
    """Return a set of modalities in the one order in which sets are written."""
    return tuple(kind for kind in Modality if kind in kinds)


def _lay_out_role(cell: Cell, kinds: Sequence[Modality], num_rounds: int, random: Random) -> list[tuple[Modality, ...]]:
    turns: list[list[Modality]] = [[] for _ in range(num_rounds)]
    _place_words([kind for kind in WORDS if kind in kinds], turns, random)
    ranges: list[tuple[Modality, Range]] = [(Modality.IMAGE, cell.images), (Modality.MUSIC, cell.music)]
    media = [(kind, span) for kind, span in ranges if kind in kinds]
    for kind, span in media:
        _place_media(kind, random.randint(*span), turns, random)
    for turn in turns:
        # A role without words speaks in media alone: none of its turns may be empty.
        if not turn:
            turn.append(random.choice([kind for kind, _ in media]))
    return [tuple(turn) for turn in turns]


def _place_words(words: Sequence[Modality], turns: list[list[Modality]], random: Random) -> None:
    """Give every turn words of one kind; where both are in the set, each stands at least once."""
    if not words:
        return
    drawn = [random.choice(words) for _ in turns]
    for place, kind in zip(random.sample(range(len(turns)), len(words)), words, strict=True):
        drawn[place] = kind
    for turn, kind in zip(turns, drawn, strict=True):
        turn.append(kind)


def _place_media(kind: Modality, count: int, turns: list[list[Modality]], random: Random) -> None:
    """Spread ``count`` pieces over the turns, one each before any turn gets its second."""
    while count > 0:
        taken = min(count, len(turns))
        for place in random.sample(range(len(turns)), taken):
            turns[place].append(kind)
        count -= taken
