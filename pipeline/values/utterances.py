"""What a published dialogue says, part by part: ours or a stranger's, so that nothing but the shape is relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.values.records import Modality
from pipeline.values.voice_sets import base_language

WORDS = (Modality.TEXT, Modality.SPEECH)
"""Modalities whose text is said to the reader or listener; that of the others describes what to render."""


@dataclass(frozen=True)
class Utterance:
    """One part with words.

    Attributes:
        place: ``turn.part``, both from 0.
        kind: Its modality as the row says.
        text: As written; empty where the row has none.
        spoken: What the voice was given, where the row says so.
    """

    place: str
    role: str
    kind: str
    text: str
    spoken: str = ""

    @property
    def is_said(self) -> bool:
        """True for text and speech, false for descriptions."""
        return self.kind in WORDS


def list_utterances(row: Mapping[str, Any]) -> list[Utterance]:
    """Return the parts of a dialogue's row in order. Turns or parts of an unknown shape are left out."""
    found = []
    for turn_index, turn in enumerate(_list(row.get("turns"))):
        for index, part in enumerate(_list(turn.get("parts"))):
            place, role, kind = f"{turn_index}.{index}", str(turn.get("role")), str(part.get("kind"))
            found.append(Utterance(place, role, kind, _text(part.get("text")), _text(part.get("spoken"))))
    return found


def language_of(row: Mapping[str, Any]) -> str:
    """Return the base tag of the language that a row states, or an empty text."""
    return base_language(_text(row.get("language")))


def _list(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
