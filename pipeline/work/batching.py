"""How many briefs a renderer is given at once: found by trying, on the work itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.values.units import Seconds

LARGEST = 256
"""No renderer has been seen to gain from more, and a drain waits for a batch."""

WORTHWHILE = 0.95
"""A doubled batch is kept if an item's share of the time falls to this or less; anything above is noise."""

SHORT: Seconds = 0.05
"""A batch that takes less is doubled whatever that brings: to hand batches on costs more than such a one."""

TRIALS = 2
"""Batches measured a size; the faster counts, since the first one of a size pays for kernels that are chosen then."""


@dataclass
class BatchSize:
    """The size of the next batch: doubled while that pays, halved where memory runs out.

    Args:
        wanted: A fixed size, or ``auto``. A fixed one too is halved by :meth:`halve`.
    """

    wanted: int | Literal["auto"]
    value: int = field(init=False)
    _is_settled: bool = field(init=False)
    _largest: int = LARGEST
    _best: float = float("inf")
    _trials: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._is_settled = self.wanted != "auto"
        self.value = 1 if self.wanted == "auto" else self.wanted

    def learn(self, amount: float, count: int, seconds: Seconds) -> None:
        """Learn from a batch that was made.

        Args:
            amount: The batch's work, in the unit that its time grows with: pixels, seconds of music, characters.
            count: Briefs in it; a batch that was not full says nothing about its size.
            seconds: What it took.
        """
        if self._is_settled or count != self.value:
            return
        self._trials.append(seconds / max(amount, 1e-9))
        if len(self._trials) < TRIALS:
            return
        pace, self._trials = min(self._trials), []
        if pace > self._best * WORTHWHILE and seconds > SHORT:
            self.value //= 2
            self._is_settled = True
            return
        self._best = min(self._best, pace)
        if self.value * 2 > self._largest:
            self._is_settled = True
        else:
            self.value *= 2

    def halve(self) -> bool:
        """Take half after memory ran out, and never grow beyond it; False where one brief alone does not fit."""
        if self.value == 1:
            return False
        self.value //= 2
        self._largest = self.value
        self._is_settled = True
        return True
