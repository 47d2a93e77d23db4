"""What becomes of dialogues once they are made: which of them are published, and how others are mended."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Any, Literal

from pydantic import Field, field_validator

from pipeline.values.section import Section

NEAR_DUPLICATES = 0.6
"""Finds the light rewordings of ``bench/data/dialogue_pairs.yaml``, the held-out ones too, and nothing else there: the
estimate's standard deviation is 0.04, and pairs that shall stay have 0.32 at most."""


class Screen(Section):
    """What becomes of dialogues that were written. Changes no word and no media, only which of them are published.

    Attributes:
        near_duplicates: Share of common shingles (``pipeline/work/twins.py``) from which on two dialogues say the same,
            so that one of them is rejected, before it is rendered where that can be known; ``off`` leaves it at
            dialogues whose words are all equal. Below 0.6 pairs begin to be missed.
        limits: By measure of an audit, the worst value that is published; which direction is bad is the measure's own.
            Each audit that takes such a measure is taken of whatever was rendered, before anything is packed.
        audits: Options of those audits, by name.
    """

    near_duplicates: float | Literal["off"] = NEAR_DUPLICATES
    # Left out where unstated, so that a manifest without them is written as it was before there were such keys.
    limits: Mapping[str, float] = Field(default={}, exclude_if=not_)
    audits: Mapping[str, Mapping[str, Any]] = Field(default={}, exclude_if=not_)

    @field_validator("near_duplicates", mode="before")
    @classmethod
    def _is_a_share_or_off(cls, value: Any) -> Any:
        if value is False:
            return "off"  # what YAML makes of an unquoted off
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value != "off" and not (is_number and 0.5 <= value <= 1):
            raise ValueError(f"must be 0.5 to 1, or off (is {value!r:.40})")
        return value

    @property
    def min_similarity(self) -> float | None:
        """The share as a number; None where only equal words count."""
        return None if self.near_duplicates == "off" else self.near_duplicates


class RepairPlan(Section):
    """How ``anyinstruct repair`` mends assets that fall short of the screen's limits. Concerns no other command.

    Attributes:
        attempts: Renders of an asset beside its first one, each with another seed; as many of a rewritten description.
        rewrite: After those, have the writer's LLM write the description of a picture or a piece of music anew.
    """

    attempts: int = Field(2, ge=1, le=100)
    rewrite: bool = True
