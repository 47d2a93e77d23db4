"""The shapes that records of the published AnyInstruct set have, and what becomes of them here.

Its paper describes the dialogues and no page describes the files, so several shapes are known for each: those of its
speech_conv rows, of AnyGPT's training rows, and the plain ones next to them. Records are hostile input.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality, Part, Record, Role, Turn

MAX_TURNS = 64
MAX_CHARACTERS = 4_000
"""Longest turn, scenario or description; published utterances have 5 to 15 words."""

Descriptions = Mapping[Modality, Mapping[str, str]]

ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "anygpt", "mmgpt", "chatbot", "bot", "gpt", "ai", "model"), "assistant"),
}
"""What data sets call who speaks."""

_TURNS_KEYS = ("chat", "text_chat", "conversation", "conversations", "dialogue", "dialog", "messages", "turns")
_ROLE_KEYS = ("role", "from", "speaker")
_WORDS_KEYS = ("message", "content", "value", "text", "utterance")
_SCENARIO_KEYS = ("scenario", "scene", "description", "text", "content")
_DESCRIPTION_KEYS = ("description", "caption", "prompt", "text", "content")
_ID_KEYS = ("id", "uid", "chat_id", "scenario_id", "idx", "index")

_LABEL = re.compile(rf"^[ \t]*[\[*]*({'|'.join(ROLES)})[\]*]*[ \t]*:\**", re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"\[ ?(image|music)(?:[ _]?\d{1,2})? ?: ?([^\[\]]+)\]", re.IGNORECASE)
_TAG_LEFT = re.compile(r"\[ ?/? ?(image|music|speech|audio|video)\b", re.IGNORECASE)
_MEDIA_KEY = re.compile(r"([0-9a-f]{8}_\d{1,3})(?:\.\w{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE_BEFORE_MARK = re.compile(r" ([.,;:!?])")


class Reason(StrEnum):
    """Why a record is left out."""

    UNKNOWN_SHAPE = "unknown_shape"
    ID_TWICE = "id_twice"
    NO_TURNS = "no_turns"
    ROLES = "roles_do_not_alternate"
    EMPTY_TURN = "empty_turn"
    BROKEN_TAG = "broken_tag"
    CONTROL = "control_characters"
    TOO_LONG = "too_long"


class Unfit(Exception):
    """A record is left out, and counted under its reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class PublishedScenario(Record):
    """A scenario, and the topic it was written for where the record says so."""

    text: str
    topic: str | None = None


class PublishedDialogue(Record):
    """A dialogue in our turns and parts.

    Attributes:
        id: Its published id, or its place in the file, from 1, where it has none. Unique within the file.
        file: The file it stands in, below the folder that was imported.
        topic, scenario: None where nothing links the dialogue to one.
        turns: Words first in each turn, then media in the order of their tags.
    """

    id: str
    file: str
    topic: str | None
    scenario: str | None
    turns: tuple[Turn, ...]


@dataclass
class RecordCount:
    """What became of the records of one kind, in one file or several."""

    num_read: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)

    @property
    def num_kept(self) -> int:
        """Records that were not left out."""
        return self.num_read - self.skipped.total()

    def add(self, other: RecordCount) -> None:
        """Add another file's counts."""
        self.num_read += other.num_read
        self.skipped += other.skipped


@dataclass
class FileCount(RecordCount):
    """The counts of one file, which tell a few odd records from a file of a shape that nobody knows."""

    first_unknown: str = ""

    def skip(self, unfit: Unfit, place: str) -> None:
        """Count a record that is left out."""
        self.skipped[unfit.reason] += 1
        if unfit.reason is Reason.UNKNOWN_SHAPE and not self.first_unknown:
            self.first_unknown = f"{place}: {unfit}"

    def check(self, file: object) -> None:
        """Refuse a file of which not one record has a known shape.

        Raises:
            ManifestError: names the file, its first record, and the key at fault.
        """
        if self.num_read and self.skipped[Reason.UNKNOWN_SHAPE] == self.num_read:
            raise ManifestError(f"{file}: {self.first_unknown}; no record of this file has a known shape")


def find_id(key: str | None, value: Any) -> str | None:
    """Return a record's id: its key in the file, or what it says itself; None for none."""
    if key is None and isinstance(value, dict):
        own = next((value[name] for name in _ID_KEYS if name in value), None)
        key = str(own) if isinstance(own, str) or type(own) is int else None
    return None if key is None else _clean("id", key)


def parse_scenario(value: Any) -> PublishedScenario:
    """Read a scenario: its text, or an object that holds it.

    Raises:
        Unfit: it has another shape, is too long, or holds control characters.
    """
    if isinstance(value, str):
        return PublishedScenario(text=_clean("scenario", value))
    text = _find_text("scenario", value, _SCENARIO_KEYS)
    topic = value.get("topic")
    return PublishedScenario(text=text, topic=_clean("topic", topic) if isinstance(topic, str) else None)


def parse_description(value: Any) -> str:
    """Read a description of an image or a piece of music: its text, or an object that holds it.

    Raises:
        Unfit: it has another shape, is too long, or holds control characters.
    """
    return _clean("description", value) if isinstance(value, str) else _find_text("entry", value, _DESCRIPTION_KEYS)


def find_origin(value: Any, listed: PublishedScenario | None) -> tuple[str | None, str | None]:
    """Return a dialogue's topic and scenario: what its own record says goes before what is listed for its id.

    Raises:
        Unfit: its own scenario has another shape, or one of them is too long or holds control characters.
    """
    topic, scenario = (listed.topic, listed.text) if listed else (None, None)
    own = value if isinstance(value, dict) else {}
    if isinstance(own.get("scenario"), str | dict):
        found = parse_scenario(own["scenario"])
        topic, scenario = found.topic or topic, found.text
    if isinstance(own.get("topic"), str):
        topic = _clean("topic", own["topic"])
    return topic, scenario


def parse_turns(value: Any, descriptions: Descriptions) -> tuple[Turn, ...]:
    """Read a dialogue's turns; media tags in their words become parts.

    Args:
        value: A list of turns, an object that holds one, or a text with a role in front of each turn.
        descriptions: By modality and key, for tags that give a key in place of a description.

    Raises:
        Unfit: it has another shape, or is no dialogue that begins with the user and ends with the assistant.
    """
    turns: list[Turn] = []
    for role, words in _said(_find_turns(value)):
        if len(turns) == MAX_TURNS:
            raise Unfit(Reason.TOO_LONG, f"over {MAX_TURNS} turns")
        turns.append(_parse_turn(role, words, descriptions))
    if not turns:
        raise Unfit(Reason.NO_TURNS, "no turns")
    expected: tuple[Role, ...] = ("user", "assistant")
    if len(turns) % 2 or any(turn.role != expected[i % 2] for i, turn in enumerate(turns)):
        raise Unfit(Reason.ROLES, "does not go from user to assistant, turn by turn")
    return tuple(turns)


def _find_turns(value: Any) -> list[Any] | str:
    if isinstance(value, dict):
        key = next((name for name in _TURNS_KEYS if name in value), None)
        if key is None:
            raise Unfit(Reason.UNKNOWN_SHAPE, f"none of the keys {', '.join(_TURNS_KEYS)} ({_say_keys(value)})")
        value = value[key]
    # AnyGPT's training rows hold a list of lists.
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list | str):
        return value
    raise Unfit(Reason.UNKNOWN_SHAPE, f"its turns are neither a list nor a text ({type(value).__name__})")


def _said(turns: list[Any] | str) -> Iterator[tuple[Role, str]]:
    if isinstance(turns, str):
        yield from _labelled(turns)
        return
    for turn in turns:
        if isinstance(turn, str):
            yield from _labelled(turn)
        elif isinstance(turn, dict):
            yield from _keyed(turn)
        else:
            raise Unfit(Reason.UNKNOWN_SHAPE, f"a turn is neither an object nor a text ({type(turn).__name__})")


def _labelled(text: str) -> Iterator[tuple[Role, str]]:
    """Split ``User: … Assistant: …``; a role counts at the beginning of a line only."""
    labels = list(_LABEL.finditer(text))
    if text[: labels[0].start() if labels else None].strip():
        raise Unfit(Reason.UNKNOWN_SHAPE, f"no role stands in front of {text.strip()[:40]!r}")
    ends = [label.start() for label in labels[1:]] + [len(text)]
    for label, end in zip(labels, ends, strict=False):
        yield ROLES[label.group(1).casefold()], text[label.end() : end]


def _keyed(turn: dict[str, Any]) -> Iterator[tuple[Role, str]]:
    """Read ``{"role": "USER", "message": "…"}`` or ``{"USER": "…"}``."""
    role = next((turn[name] for name in _ROLE_KEYS if name in turn), None)
    words = next((turn[name] for name in _WORDS_KEYS if name in turn), None)
    pairs: list[tuple[Any, Any]] = [(role, words)]
    if role is None and turn and all(_role(key) for key in turn):
        pairs = list(turn.items())
    for name, said in pairs:
        known = _role(name)
        if known is None:
            # Never the value as it stands: to write out what is nested deep may take more stack than reading it did.
            is_there = repr(name[:40]) if isinstance(name, str) else type(name).__name__
            raise Unfit(Reason.UNKNOWN_SHAPE, f"a turn's role is {is_there} ({_say_keys(turn)})")
        if not isinstance(said, str):
            raise Unfit(Reason.UNKNOWN_SHAPE, f"a turn has no text under {', '.join(_WORDS_KEYS)} ({_say_keys(turn)})")
        yield known, said


def _role(name: Any) -> Role | None:
    return ROLES.get(name.strip(" []*:").casefold()) if isinstance(name, str) else None


def _parse_turn(role: Role, words: str, descriptions: Descriptions) -> Turn:
    text = _clean("turn", words, or_empty=True)
    media = [_parse_media(Modality(tag.group(1).lower()), tag.group(2), descriptions) for tag in _TAG.finditer(text)]
    rest = _SPACE_BEFORE_MARK.sub(r"\1", " ".join(_TAG.sub(" ", text).split()))
    if found := _TAG_LEFT.search(rest):
        raise Unfit(Reason.BROKEN_TAG, f"holds {rest[found.start() :][:40]!r}")
    # A full stop left over behind a tag is no utterance.
    said = [Part(kind=Modality.TEXT, text=rest)] if any(c.isalnum() for c in rest) else []
    if not (said or media):
        raise Unfit(Reason.EMPTY_TURN, "a turn without words and media")
    return Turn(role=role, parts=(*said, *media))


def _parse_media(kind: Modality, text: str, descriptions: Descriptions) -> Part:
    text = text.strip()
    if found := _MEDIA_KEY.fullmatch(text):
        text = descriptions.get(kind, {}).get(found.group(1), "")
    if not any(c.isalnum() for c in text):
        raise Unfit(Reason.BROKEN_TAG, f"the tag of {kind} gives no description")
    return Part(kind=kind, text=text)


def _find_text(what: str, value: Any, keys: tuple[str, ...]) -> str:
    if not isinstance(value, dict):
        raise Unfit(Reason.UNKNOWN_SHAPE, f"the {what} is neither a text nor an object ({type(value).__name__})")
    text = next((value[name] for name in keys if isinstance(value.get(name), str)), None)
    if text is None:
        raise Unfit(Reason.UNKNOWN_SHAPE, f"no text under the keys {', '.join(keys)} ({_say_keys(value)})")
    return _clean(what, text)


def _clean(what: str, text: str, *, or_empty: bool = False) -> str:
    """Fold white space; refuse what is too long, empty, or cannot be shown or written."""
    if len(text) > MAX_CHARACTERS:
        raise Unfit(Reason.TOO_LONG, f"the {what} has {len(text):,} characters, over {MAX_CHARACTERS:,}")
    folded = " ".join(text.split())
    if found := _CONTROL.search(folded):
        raise Unfit(Reason.CONTROL, f"the {what} holds {found.group(0)!r}")
    if not (folded or or_empty):
        raise Unfit(Reason.UNKNOWN_SHAPE, f"the {what} is empty")
    return folded


def _say_keys(value: dict[str, Any]) -> str:
    return "has " + (", ".join(repr(key[:40]) for key in list(value)[:6]) or "no keys")
