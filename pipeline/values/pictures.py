"""Pictures of a dialogue by their place, and what people and language models call them.

A place is ``turn.part``, both from 0: what is written down, and what program text works with. A name counts from 1:
``the picture of turn 2``, or ``picture 3 of turn 2`` where that turn has several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.values.records import Modality

Kinds = Sequence[Sequence[str]]
"""Modalities of the parts of each turn."""


def write_place(turn: int, part: int) -> str:
    """Return the place of a part."""
    return f"{turn}.{part}"


def read_place(place: str) -> tuple[int, int]:
    """Return turn and part, both from 0.

    Raises:
        ValueError: it is no place.
    """
    turn, _, part = place.partition(".")
    return int(turn), int(part)


def name_pictures(kinds: Kinds, before: int) -> dict[str, str]:
    """Return the places of all pictures in the turns before one, by what they are called, first to last."""
    named: dict[str, str] = {}
    for index, turn in enumerate(kinds[:before]):
        parts = [part for part, kind in enumerate(turn) if kind == Modality.IMAGE]
        for number, part in enumerate(parts, start=1):
            which = "the picture" if len(parts) == 1 else f"picture {number}"
            named[f"{which} of turn {index + 1}"] = write_place(index, part)
    return named


def name_picture(kinds: Kinds, place: str) -> str | None:
    """Return what the picture at a place is called; None where no picture stands there."""
    named: Mapping[str, str] = {found: name for name, found in name_pictures(kinds, len(kinds)).items()}
    return named.get(place)


def is_earlier_picture(kinds: Kinds, turn: int, place: str) -> bool:
    """Whether a place is that of a picture in a turn before this one."""
    return place in name_pictures(kinds, turn).values()
