"""Dialogues that were taken down: which, when and why. Of what they said nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from pipeline.values.records import Record

MAX_REASON = 2_000
"""Characters of a reason."""


class Takedown(Record):
    """One dialogue that is not to be in the corpus again.

    Attributes:
        id: Of the dialogue.
        time: When it was asked for, in UTC, as ``2026-11-23T13:05:00Z``.
        reason: The words of whoever asked for it.
        twin_of: The dialogue that it was rejected as a twin of, where it went with that one: both say the same.
        rows: Rows that were taken out of published tables, by table.
        is_done: False from when it is asked for until nothing of it is left.
    """

    id: str
    time: str
    reason: str = Field(max_length=MAX_REASON)
    twin_of: str = ""
    rows: Mapping[str, int] = Field(default_factory=dict)
    is_done: bool = False
