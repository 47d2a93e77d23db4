"""What `doctor` says, one thing at a time."""

from __future__ import annotations

from typing import Literal

from pipeline.values.records import Record


class Fact(Record):
    """One thing looked at.

    Attributes:
        state: ``problem`` where something cannot be used as it is, ``note`` where that may be all right.
        advice: What to do about it.
    """

    area: str
    name: str
    state: Literal["ok", "note", "problem"]
    text: str
    advice: str = ""
