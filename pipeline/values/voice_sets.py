"""Sets of voices, as a manifest or a command names them.

``language:en`` is every voice that speaks English, ``language:en+gender:female`` those of them that are female, and
``39 of language:en`` is thirty-nine drawn out of the set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from pipeline.values.records import Record

KEYS = ("language", "gender", "age", "renderer", "licence")
"""What a set can ask of a voice, by the names of the voices file."""

GENDERS = ("female", "male")

HOW_TO = "language:en, gender:female, renderer:kokoro, language:en+gender:female or 39 of language:en"

_NAME = re.compile(r"[^\s:+]+")
_COUNTED = re.compile(r"(\d{1,6})\s+of\s+(\S.*)")
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")


class Describable(Protocol):
    """What a set looks at; a voice of the contracts has it all."""

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP 47 tags."""
        ...

    @property
    def gender(self) -> str | None:
        """``female``, ``male`` or unknown."""
        ...

    @property
    def age(self) -> str | None:
        """As its makers state it."""
        ...

    @property
    def renderer(self) -> str:
        """What speaks it."""
        ...

    @property
    def licence(self) -> str:
        """Of its weights."""
        ...


class VoiceSet(Record):
    """All of some conditions, and how many of the voices that meet them.

    Attributes:
        conditions: Pairs of a key out of :data:`KEYS` and a value; a voice meets all of them.
        count: How many are drawn; None for all.
    """

    conditions: tuple[tuple[str, str], ...]
    count: int | None = None

    def holds(self, voice: Describable) -> bool:
        """Whether a voice meets every condition; a set counts as a whole, whatever is drawn out of it."""
        return all(_meets(voice, key, wanted) for key, wanted in self.conditions)


def parse_voice_set(text: str) -> VoiceSet | None:
    """Read an entry of a manifest.

    Returns:
        The set, or None where the entry is the name of a voice.

    Raises:
        ValueError: it is neither; the text says what a set looks like.
    """
    counted = _COUNTED.fullmatch(text.strip())
    words = counted[2] if counted else text.strip()
    if counted is None and _NAME.fullmatch(words):
        return None
    count = int(counted[1]) if counted else None
    if count == 0:
        raise ValueError(f"{text!r}: draws no voice; state 1 or more")
    return VoiceSet(conditions=tuple(_parse_condition(one, text) for one in words.split("+")), count=count)


def speaks(languages: Sequence[str], wanted: str) -> bool:
    """Whether a voice of these languages speaks one; ``en`` is met by ``en-US``, and ``en-US`` not by ``en``."""
    return any(f"{tag.casefold()}-".startswith(f"{wanted.casefold()}-") for tag in languages)


def base_language(tag: str) -> str:
    """Return e.g. ``en`` of ``en-US``."""
    return tag.partition("-")[0].lower()


def find_problem(key: str, value: str) -> str | None:
    """Say why no voice can meet a condition, whatever the file, or None."""
    if key == "gender" and value not in GENDERS:
        return f"{value!r}: gender is {' or '.join(GENDERS)}"
    if key == "language" and not _TAG.fullmatch(value):
        return f"{value!r} is no language tag such as en, en-GB or ja"
    return None


def _parse_condition(text: str, whole: str) -> tuple[str, str]:
    key, colon, value = (piece.strip() for piece in text.partition(":"))
    if not colon or key not in KEYS or not value:
        raise ValueError(f"{whole!r}: {text.strip()!r} is no set of voices; write e.g. {HOW_TO}")
    if problem := find_problem(key, value):
        raise ValueError(f"{whole!r}: {problem}")
    return key, value


def _meets(voice: Describable, key: str, wanted: str) -> bool:
    if key == "language":
        return speaks(voice.languages, wanted)
    found: str | None = getattr(voice, key)
    return found is not None and found.casefold() == wanted.casefold()
