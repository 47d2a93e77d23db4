"""Rows of the published layout as dialogues: tags in the words are descriptions, and media stand beside by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pipeline.contracts.foreign import (
    Fetch,
    ForeignDialogue,
    ForeignMedium,
    ForeignPart,
    ForeignTurn,
    RawDialogue,
    Unreadable,
)
from pipeline.contracts.storage import Row
from pipeline.values.records import Modality, Part, Turn
from pipeline.work.foreign_rows import name_of
from pipeline.work.published_shapes import (
    PublishedScenario,
    Reason,
    Unfit,
    find_origin,
    parse_description,
    parse_scenario,
    parse_turns,
)

Described = Mapping[str, Mapping[str, Any]]
"""By modality and key: what image.json and music.json have."""


def shape_published(raw: RawDialogue) -> ForeignDialogue:
    """Read a row: ``chat`` with roles and messages, and in each turn the names of its media by kind."""
    row: Row = raw.value["row"]
    try:
        turns = parse_turns(row, {})
        topic, scenario = find_origin(row, _read_scenario(raw.value["scenario"]))
    except Unfit as exc:
        raise Unreadable(exc.reason, str(exc)) from exc
    name = raw.value["name"] or name_of(row, raw)
    media = _Media(str(row.get("key")), raw.value["described"], raw.fetch)
    found = tuple(media.attach(turn, named) for turn, named in zip(turns, _list_names(row, len(turns)), strict=True))
    about = {key: row.get(key) for key in ("meta_topic", "language", "cell")}
    return ForeignDialogue(name, {**about, "topic": topic, "scenario": scenario}, found)


class _Media:
    """Puts media to the parts of a dialogue's turns, in order.

    Args:
        key: What the names of its media begin with where they are numbered, both kinds together, from 1.
    """

    def __init__(self, key: str, described: Described, fetch: Fetch) -> None:
        self._described = described
        self._fetch = fetch
        self._key = key
        self._numbered = re.compile(rf"{re.escape(key)}_\d+")
        self._number = 0

    def attach(self, turn: Turn, named: Mapping[str, list[str]]) -> ForeignTurn:
        clips = named["speech"]
        if len(clips) > 1:
            raise Unreadable(Reason.UNKNOWN_SHAPE, f"a turn has {len(clips)} clips of speech")
        spoken = [ForeignMedium(self._fetch("speech", name)) for name in clips]
        parts = []
        for part in turn.parts:
            if part.kind is Modality.TEXT:
                kind = Modality.SPEECH if spoken else Modality.TEXT
                parts.append(ForeignPart(kind, part.text, medium=spoken.pop() if spoken else None))
            else:
                parts.append(self._attach_one(part, named[part.kind]))
        if spoken:
            parts.insert(0, ForeignPart(Modality.SPEECH, "", medium=spoken.pop()))
        return ForeignTurn(turn.role, tuple(parts))

    def _attach_one(self, part: Part, names: list[str]) -> ForeignPart:
        self._number += 1
        wanted = f"{self._key}_{self._number}"
        stems = [PurePosixPath(name).stem for name in names]
        medium = None
        if wanted in stems:
            medium = ForeignMedium(self._fetch(part.kind, names.pop(stems.index(wanted))))
        elif names and not any(map(self._numbered.fullmatch, stems)):
            medium = ForeignMedium(self._fetch(part.kind, names.pop(0)))
        return ForeignPart(part.kind, self._describe(part, wanted), medium=medium)

    def _describe(self, part: Part, key: str) -> str:
        """Return the whole description where one is listed: in a tag, brackets would have ended it."""
        listed = self._described.get(part.kind, {}).get(key)
        if listed is None:
            return part.text
        try:
            return parse_description(listed)
        except Unfit:
            return part.text


def _list_names(row: Row, num_turns: int) -> list[dict[str, list[str]]]:
    """Return the names of media of each turn, where its turns are objects; such as have a text each have none."""
    chat = next((value for value in row.values() if isinstance(value, list) and len(value) == num_turns), [])
    turns = [turn if isinstance(turn, dict) else {} for turn in chat] or [{}] * num_turns
    return [{kind: _names(turn.get(kind)) for kind in ("image", "music", "speech")} for turn in turns]


def _names(value: Any) -> list[str]:
    return [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str) and name]


def _read_scenario(value: Any) -> PublishedScenario | None:
    try:
        return None if value is None else parse_scenario(value)
    except Unfit:
        return None  # a dialogue is whole without
