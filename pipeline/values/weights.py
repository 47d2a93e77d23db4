"""Weighted choices by a number in [0, 1)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """Anything with a weight above 0."""

    @property
    def weight(self) -> float:
        """Its share, relative to the others."""
        ...


W = TypeVar("W", bound=Weighted)


def draw_placed(choices: Sequence[W], unit: float) -> tuple[W, float]:
    """Draw as :func:`draw_weighted` does; return also where in [0, 1) within the choice's own share ``unit`` lies."""
    drawn = draw_weighted(choices, unit)
    before = sum(choice.weight for choice in choices[: choices.index(drawn)])
    place = (unit * sum(choice.weight for choice in choices) - before) / drawn.weight
    return drawn, min(max(place, 0.0), 1.0 - 2**-53)


def draw_weighted(choices: Sequence[W], unit: float) -> W:
    """Lay ``unit`` in [0, 1) on the cumulative weights, so that a small change of the weights moves few records."""
    edges = list(accumulate(choice.weight for choice in choices))
    return choices[min(bisect_right(edges, unit * edges[-1]), len(choices) - 1)]
