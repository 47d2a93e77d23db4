"""What was done to mend an asset that fell short: each attempt, how far it fell short, and which one holds."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from pipeline.values.records import Record

MAX_ATTEMPT = 2**15 - 1
"""What the column of attempts holds."""


class Miss(Record):
    """A limit that an attempt fell short of; without a value it could not be measured."""

    measure: str
    limit: float
    value: float | None

    @property
    def distance(self) -> float:
        """How far the value lies from the limit, in shares of the limit, so that measures of all units compare."""
        if self.value is None:
            return float("inf")
        return abs(self.value - self.limit) / (abs(self.limit) or 1.0)


class Try(Record):
    """One attempt at an asset.

    Attributes:
        wanted: The attempt that was ordered.
        made: The attempt that came of it; later than the one wanted where the renderer's own gates refused that one.
        misses: Limits that it falls short of; none where it passes.
        failure: Why nothing came of it; empty where something did.
    """

    wanted: int = Field(ge=0, le=MAX_ATTEMPT)
    made: int = Field(ge=0, le=MAX_ATTEMPT)
    misses: tuple[Miss, ...] = ()
    failure: str = ""

    @property
    def passes(self) -> bool:
        """Whether it was made and falls short of nothing."""
        return not self.misses and not self.failure

    @property
    def badness(self) -> tuple[bool, int, float, int]:
        """Smaller is better: made at all, then fewer limits missed, then nearer to them, then earlier."""
        worst = max((miss.distance for miss in self.misses), default=0.0)
        return bool(self.failure), len(self.misses), worst, self.wanted


class Repair(Record):
    """The history of one asset.

    Attributes:
        wanted: The attempt that the render stage is to make, or to keep.
        tries: All attempts that were judged, in their order.
    """

    part_id: str
    wanted: int = Field(0, ge=0, le=MAX_ATTEMPT)
    tries: tuple[Try, ...] = ()

    def judge(self, latest: Try, attempts: int) -> Repair:
        """Take in what an attempt came to, and say which one is wanted now.

        One that passes holds. Otherwise the next is wanted, and once all are spent the best of them.

        Args:
            attempts: Renders beside the first one.
        """
        others = [one for one in self.tries if one.wanted != latest.wanted]
        tries = tuple(sorted([*others, latest], key=lambda one: one.wanted))
        if latest.passes:
            wanted = latest.wanted
        elif len(tries) <= attempts:
            wanted = max(max(one.made, one.wanted) for one in tries) + 1
        else:
            wanted = min(tries, key=lambda one: one.badness).wanted
        return self.model_copy(update={"wanted": wanted, "tries": tries})


Repairs = Mapping[str, Repair]
"""By the input key of the asset's first attempt: a history ends where its words or its renderer change."""
