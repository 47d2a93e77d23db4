"""What was done to mend an asset that fell short: each attempt, how far it fell short, and which one holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from pipeline.values.records import Record

MAX_ATTEMPT = 2**15 - 1
"""What the column of attempts holds."""


class Miss(Record):
    """A limit that an attempt fell short of; without a value it could not be measured.

    Attributes:
        better: Which direction is good.
        summary: What the measure says, in one sentence for people and LLMs.
    """

    measure: str
    better: Literal["higher", "lower"]
    unit: str = ""
    summary: str = ""
    limit: float
    value: float | None

    @property
    def distance(self) -> float:
        """How far the value lies from the limit, in shares of the limit, so that measures of all units compare."""
        if self.value is None:
            return float("inf")
        return abs(self.value - self.limit) / (abs(self.limit) or 1.0)

    def say(self) -> str:
        """Return e.g. ``image.contrast is 0.03, must be at least 0.08``."""
        unit = f" {self.unit}" if self.unit else ""
        if self.value is None:
            return f"{self.measure} cannot be measured"
        bound = "at least" if self.better == "higher" else "at most"
        return f"{self.measure} is {self.value:.6g}{unit}, must be {bound} {self.limit:.6g}"


class Try(Record):
    """One attempt at an asset.

    Attributes:
        wanted: The attempt that was ordered.
        made: The attempt that came of it; later than the one wanted where the renderer's own gates refused that one.
        input_key: Of the order that it was made for.
        text: The rewritten description that it was made from; empty for the dialogue's own words.
        misses: Limits that it falls short of; none where it passes.
        failure: Why nothing came of it; empty where something did.
    """

    wanted: int = Field(ge=0, le=MAX_ATTEMPT)
    made: int = Field(ge=0, le=MAX_ATTEMPT)
    input_key: str
    text: str = ""
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


class Rewrite(Record):
    """A description that an LLM is to write anew, since no seed has mended the asset.

    Attributes:
        misses: What it is told of: those of the best attempt until then.
        text: What it wrote; empty as long as it has not, and where it could not.
        problem: Why it could not.
        inputs: Of the row that the text was taken from, so that it is never asked for again.
    """

    misses: tuple[Miss, ...]
    text: str = ""
    problem: str = ""
    inputs: Mapping[str, str] = {}

    @property
    def is_settled(self) -> bool:
        """Whether the LLM was asked, with or without success."""
        return bool(self.text or self.problem)


class Repair(Record):
    """The history of one asset.

    Attributes:
        wanted: The attempt that the render stage is to make, or to keep.
        tries: All attempts that were judged, in their order.
        rewrite: The description that later attempts are made from; None as long as the dialogue's own is.
    """

    part_id: str
    wanted: int = Field(0, ge=0, le=MAX_ATTEMPT)
    tries: tuple[Try, ...] = ()
    rewrite: Rewrite | None = None

    @property
    def text(self) -> str:
        """The rewritten description that the wanted attempt is made from; empty for the dialogue's own words."""
        known = next((one.text for one in self.tries if one.wanted == self.wanted), None)
        return self._new_text if known is None else known

    @property
    def lost(self) -> tuple[Try, ...]:
        """The judged attempts that are not, or no longer, the one that holds."""
        return tuple(one for one in self.tries if one.wanted != self.wanted)

    @property
    def is_done(self) -> bool:
        """Whether the wanted attempt was judged and nothing else is asked for, as far as this history tells.

        Where all others came to nothing, none of them can turn out better.
        """
        is_judged = any(one.wanted == self.wanted for one in self.tries) or all(one.failure for one in self.tries)
        return is_judged and (self.rewrite is None or self.rewrite.is_settled)

    def awaits_text(self, can_rewrite: bool) -> bool:
        """Tell whether the LLM is to be asked before anything else is made."""
        return can_rewrite and self.rewrite is not None and not self.rewrite.is_settled

    def judge(self, latest: Try, attempts: int, can_rewrite: bool) -> Repair:
        """Take in what an attempt came to, and say which one is wanted now.

        One that passes holds. Otherwise the next is wanted. Once all are spent the description is rewritten, where it
        can be, and has as many attempts; once those are spent, too, the best of all is wanted.

        Args:
            latest: The attempt that is wanted, as it turned out.
            attempts: Renders beside the first one, and of a rewritten description.
            can_rewrite: Whether there is a description, and somebody to write it.
        """
        others = [one for one in self.tries if one.wanted != latest.wanted]
        tries = tuple(sorted([*others, latest], key=lambda one: one.wanted))
        known = self.model_copy(update={"tries": tries})
        best = min(tries, key=lambda one: one.badness)
        if latest.passes:
            # Limits may have been let out since a description was found wanting.
            rewrite = self.rewrite if self.rewrite is not None and self.rewrite.is_settled else None
            return known.model_copy(update={"wanted": latest.wanted, "rewrite": rewrite})
        if known.awaits_text(can_rewrite):
            return known
        text = known._new_text
        if sum(one.text == text for one in tries) < attempts + (not text):
            return known.model_copy(update={"wanted": max(max(one.made, one.wanted) for one in tries) + 1})
        if known.rewrite is None and can_rewrite:
            return known.model_copy(update={"rewrite": Rewrite(misses=best.misses)})
        return known.model_copy(update={"wanted": best.wanted})

    def try_again(self, latest: Try) -> Repair:
        """Take in an attempt of which nothing came, and want the one after it and all before."""
        tries = [one for one in self.tries if one.wanted != latest.wanted] + [latest]
        tries.sort(key=lambda one: one.wanted)
        after = max(max(one.made, one.wanted) for one in tries) + 1
        return self.model_copy(update={"tries": tuple(tries), "wanted": after})

    @property
    def _new_text(self) -> str:
        return self.rewrite.text if self.rewrite is not None else ""


Repairs = Mapping[str, Repair]
"""By the input key of the asset's first attempt: a history ends where its words or its renderer change."""
