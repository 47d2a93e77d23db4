"""Metres and the grid of steps on which everything is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metre:
    """A bar as groups of sixteenth steps.

    Attributes:
        name: As written, e.g. ``6/8``.
        groups: Steps of each felt group, e.g. (6, 6) for 6/8 and (4, 4, 6) for 7/8 as 2+2+3.
        steps_per_beat: Steps of the beat that a tempo counts: a quarter, or a dotted quarter in compound metres.
    """

    name: str
    groups: tuple[int, ...]
    steps_per_beat: int

    @property
    def steps(self) -> int:
        """Steps of a bar."""
        return sum(self.groups)

    @property
    def starts(self) -> tuple[int, ...]:
        """First step of each group."""
        return tuple(sum(self.groups[:i]) for i in range(len(self.groups)))

    def weight(self, step: int) -> int:
        """Metrical weight of a step: 3 the bar's start, 2 a group's, 1 an eighth, 0 a sixteenth."""
        place = step % self.steps
        if place == 0:
            return 3
        if place in self.starts:
            return 2
        return 1 if place % 2 == 0 else 0


METRES = {
    metre.name: metre
    for metre in (
        Metre("4/4", (4, 4, 4, 4), 4),
        Metre("3/4", (4, 4, 4), 4),
        Metre("2/4", (4, 4), 4),
        Metre("5/4", (4, 4, 4, 4, 4), 4),
        Metre("6/8", (6, 6), 6),
        Metre("9/8", (6, 6, 6), 6),
        Metre("12/8", (6, 6, 6, 6), 6),
        Metre("7/8", (4, 4, 6), 4),
    )
}
