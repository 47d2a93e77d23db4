"""Lines of the export `messages` as dialogues, in all of its styles.

A chat line does not say whether a sound is speech or music. The names that the export gives to its files say which part
a medium is, and the words of a turn are its first part; where a name says nothing, the export's own options do.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.foreign import (
    Fetch,
    ForeignDialogue,
    ForeignMedium,
    ForeignPart,
    ForeignTurn,
    Lost,
    RawDialogue,
    Shape,
    Unreadable,
)
from pipeline.contracts.storage import Row
from pipeline.values.records import Modality
from pipeline.work.foreign_rows import list_of, name_of, read_role
from pipeline.work.published_shapes import Reason

_TAGS = re.compile(r"(<image>|<audio>)")
_PLACE = re.compile(r"-\d{2}-(\d{2})\.[a-z0-9]{1,5}$")
_TRANSCRIBED = {"nobody": (), "assistant": ("assistant",), "everybody": ("user", "assistant")}


@dataclass(frozen=True)
class _Item:
    """A text, or a medium with the place in its turn that its name states."""

    kind: str
    text: str = ""
    data: bytes = b""
    place: int | None = None


def shape_messages(index: Mapping[str, Any]) -> Shape:
    """Return what reads the lines of an export, by the options that its index states."""
    stated = index.get("options")
    options = stated if isinstance(stated, Mapping) else {}
    transcribed = _TRANSCRIBED.get(str(options.get("transcripts")), _TRANSCRIBED["assistant"])
    has_descriptions = options.get("descriptions") is True

    def shape(raw: RawDialogue) -> ForeignDialogue:
        row = raw.value if isinstance(raw.value, dict) else {"messages": raw.value}
        tagged = {"image": _refs(row.get("images")), "audio": _refs(row.get("audios"))}
        turns = []
        for message in list_of(row.get("messages"), "messages"):
            if not isinstance(message, dict):
                raise Unreadable(Reason.UNKNOWN_SHAPE, f"a message is no object ({type(message).__name__})")
            role = read_role(message.get("role"))
            items = _read_content(message.get("content"), tagged, raw.fetch)
            turns.append(ForeignTurn(role, tuple(_join(items, role in transcribed, has_descriptions))))
        return ForeignDialogue(name_of(row, raw), {}, tuple(turns))

    return shape


def _join(items: Iterator[_Item], is_transcribed: bool, has_descriptions: bool) -> Iterator[ForeignPart]:
    """Yield the parts of a turn: a text before a medium is a part of its own, or the medium's words."""
    number, pending = 0, ""
    for item in items:
        if item.kind == Modality.TEXT:
            if pending:
                yield ForeignPart(Modality.TEXT, pending)
                number += 1
            pending = item.text
            continue
        is_first = number == 0 and not pending if item.place is None else item.place == 0
        if item.place is not None:
            is_own = bool(pending) and item.place == number
        else:
            is_own = bool(pending) and (has_descriptions or (item.kind == "audio" and is_transcribed and number == 0))
            is_first = is_first or (is_own and item.kind == "audio" and number == 0 and not has_descriptions)
        if pending and not is_own:
            yield ForeignPart(Modality.TEXT, pending)
            number += 1
        kind = _tell_sound(is_first, is_own, is_transcribed) if item.kind == "audio" else Modality.IMAGE
        yield ForeignPart(kind, pending if is_own else "", medium=ForeignMedium(item.data))
        number, pending = number + 1, ""
    if pending:
        yield ForeignPart(Modality.TEXT, pending)


def _tell_sound(is_first: bool, is_own: bool, is_transcribed: bool) -> Modality:
    """Say what a sound is: a turn is spoken by its first part, and with a transcript where its role has them."""
    return Modality.SPEECH if is_first and is_own == is_transcribed else Modality.MUSIC


def _read_content(content: Any, tagged: Mapping[str, Iterator[str]], fetch: Fetch) -> Iterator[_Item]:
    if isinstance(content, str):
        for piece in _TAGS.split(content):
            if piece in ("<image>", "<audio>"):
                kind = piece[1:-1]
                yield _medium(kind, next(tagged[kind], None), fetch)
            elif words := piece.strip("\n"):
                yield _Item(Modality.TEXT, words)
        return
    for item in list_of(content, "the content of a message"):
        yield _read_item(item if isinstance(item, dict) else {}, fetch)


def _read_item(item: Row, fetch: Fetch) -> _Item:
    kind = item.get("type")
    inner = item.get(kind) if isinstance(kind, str) else None
    if kind == "text" and isinstance(inner, str):
        return _Item(Modality.TEXT, inner)
    if kind in ("image", "audio"):
        return _medium(kind, inner, fetch)
    if kind in ("image_url", "audio_url"):
        return _medium(kind[:5], inner.get("url") if isinstance(inner, dict) else inner, fetch)
    if kind == "input_audio" and isinstance(inner, dict):
        return _Item("audio", data=_decode(inner.get("data")))
    raise Unreadable(Reason.UNKNOWN_SHAPE, f"a content part is of type {kind!r:.40}")


def _medium(kind: str, ref: Any, fetch: Fetch) -> _Item:
    if not isinstance(ref, str) or not ref:
        raise Unreadable(Lost.MISSING, f"a tag or a part of {kind} names no file")
    if ref.startswith("data:"):
        return _Item(kind, data=_decode(ref.partition(",")[2]))
    place = _PLACE.search(ref)
    return _Item(kind, data=fetch(kind, ref), place=int(place.group(1)) if place else None)


def _decode(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as exc:
        raise Unreadable(Lost.UNDECODABLE, f"a medium in the line is no base64: {exc}") from exc


def _refs(value: Any) -> Iterator[str]:
    return iter(value if isinstance(value, list) else [])
