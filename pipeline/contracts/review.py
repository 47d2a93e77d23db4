"""What a person says of a dialogue: accepted or rejected, why, and a note."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from pipeline.values.records import Record

MAX_NOTE = 2_000
"""Characters of a note."""

MAX_ID = 200
"""Characters of a record's id; ours have 16, a stranger's may be longer."""

Decision = Literal["accept", "reject"]


class Reason(StrEnum):
    """What is wrong with a dialogue, in the order of the keys 1 to 9."""

    WRONG_PICTURE = "wrong_picture"
    POOR_PICTURE = "poor_picture"
    WRONG_SPEECH = "wrong_speech"
    POOR_SPEECH = "poor_speech"
    WRONG_MUSIC = "wrong_music"
    INCOHERENT = "incoherent"
    NOT_FOLLOWED = "not_followed"
    NEEDLESS_MEDIUM = "needless_medium"
    UNSAFE = "unsafe"


REASONS: Mapping[Reason, str] = {
    Reason.WRONG_PICTURE: "Picture shows something else",
    Reason.POOR_PICTURE: "Picture is broken or ugly",
    Reason.WRONG_SPEECH: "Speech says other words",
    Reason.POOR_SPEECH: "Speech sounds broken",
    Reason.WRONG_MUSIC: "Music does not fit",
    Reason.INCOHERENT: "Dialogue does not hang together",
    Reason.NOT_FOLLOWED: "Answer misses the request",
    Reason.NEEDLESS_MEDIUM: "A medium serves no purpose",
    Reason.UNSAFE: "Harmful, private or untrue",
}


class Verdict(Record):
    """One reviewer's word on one dialogue.

    Attributes:
        decision: None takes back what the reviewer had said.
        reasons: What is wrong; an accepted dialogue may have flaws, too.
        note: The reviewer's own words. It stays beside the corpus and is packed into no table.
        seen: Content key of what the reviewer was shown, so that a later change of the dialogue can be told.
    """

    dialogue_id: str = Field(min_length=1, max_length=MAX_ID)
    decision: Decision | None
    reasons: tuple[Reason, ...] = Field(default=(), max_length=len(Reason))
    note: str = Field(default="", max_length=MAX_NOTE)
    seen: str = Field(default="", max_length=64)
