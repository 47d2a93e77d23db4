"""Rows of the exports `hf`, `parquet` and `webdataset` as dialogues; nothing beyond their shape is relied on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pipeline.contracts.foreign import ForeignDialogue, ForeignMedium, ForeignPart, ForeignTurn, RawDialogue, Unreadable
from pipeline.contracts.storage import Row
from pipeline.values.records import MEDIA, Role
from pipeline.work.published_shapes import Reason
from pipeline.work.tables import TABLE_OF

MAX_PARTS = 64
"""Of a turn; more would be no turn. As many turns a dialogue may have."""

Find = Callable[[Row], ForeignMedium | None]
"""Returns the medium of a part's row, or None."""


def shape_hf(raw: RawDialogue) -> ForeignDialogue:
    """Read a row of ``hf``: a part's ``place`` is that of its medium in the column of its kind."""
    row = _object(raw.value, "a row")

    def find(part: Row) -> ForeignMedium | None:
        place, column = part.get("place"), row.get(TABLE_OF[part["kind"]])
        if type(place) is not int or not isinstance(column, list) or not 0 <= place < len(column):
            return None
        data = column[place].get("bytes") if isinstance(column[place], dict) else None
        return ForeignMedium(data, {"id": part.get("asset"), "voice": part.get("voice")}) if data else None

    return ForeignDialogue(name_of(row, raw), row, read_turns(row.get("turns"), find))


def shape_parts(raw: RawDialogue) -> ForeignDialogue:
    """Read the rows of ``parquet`` that have one dialogue id, a row a part."""
    rows = [_object(row, "a row") for row in raw.value]
    turns: dict[int, list[ForeignPart]] = {}
    roles: dict[int, Role] = {}
    for row in rows:
        turn, index = row.get("turn"), row.get("part")
        # In any other order, or with one missing, the rows say something else than the dialogue did.
        if type(turn) is not int or not isinstance(index, int) or turn not in (len(turns) - 1, len(turns)):
            raise Unreadable(Reason.UNKNOWN_SHAPE, f"turn {turn!r:.20} follows turn {len(turns) - 1}")
        if index != len(turns.setdefault(turn, [])):
            raise Unreadable(Reason.UNKNOWN_SHAPE, f"part {index} of turn {turn} follows {len(turns[turn])} parts")
        roles[turn] = read_role(row.get("role"))
        facts = {"id": row.get("asset"), "voice": row.get("voice")}
        medium = ForeignMedium(row["media"], facts) if row.get("media") and row.get("kind") in MEDIA else None
        turns[turn].append(ForeignPart(str(row.get("kind")), row.get("text") or "", medium=medium))
    found = tuple(ForeignTurn(roles[turn], tuple(parts)) for turn, parts in turns.items())
    return ForeignDialogue(name_of({"id": rows[0].get("dialogue_id")}, raw), rows[0], found)


def shape_webdataset(raw: RawDialogue) -> ForeignDialogue:
    """Read a sample's JSON: a part's ``field`` is that of its medium, and ``media`` has the rows of assets by id."""
    row = _object(raw.value, "a sample")
    media = row.get("media")
    stated = media if isinstance(media, Mapping) else {}

    def find(part: Row) -> ForeignMedium | None:
        field, asset = part.get("field"), part.get("asset")
        if not isinstance(field, str):
            return None
        facts = stated.get(asset) if isinstance(asset, str) else None
        return ForeignMedium(
            raw.fetch(part["kind"], field), {**(facts if isinstance(facts, dict) else {}), "id": asset}
        )

    return ForeignDialogue(name_of(row, raw), row, read_turns(row.get("turns"), find))


def name_of(row: Row, raw: RawDialogue) -> str:
    """Return a row's id, or its place where it has none."""
    name = row.get("id")
    return str(name) if isinstance(name, str | int) and str(name) else raw.place


def read_role(value: Any) -> Role:
    """Return a role of ours.

    Raises:
        Unreadable: it is another.
    """
    if value not in get_args(Role):
        raise Unreadable(Reason.ROLES, f"a turn's role is {value!r:.40}")
    role: Role = value
    return role


def read_turns(value: Any, find: Find) -> tuple[ForeignTurn, ...]:
    """Read turns with parts as our tables have them.

    Raises:
        Unreadable: they have another shape.
    """
    return tuple(
        ForeignTurn(
            read_role(_object(turn, "a turn").get("role")),
            tuple(_read_part(part, find) for part in list_of(turn.get("parts"), "the parts of a turn")),
        )
        for turn in list_of(value, "turns")
    )


def _read_part(value: Any, find: Find) -> ForeignPart:
    part = _object(value, "a part")
    text, kind = part.get("text"), part.get("kind")
    if not isinstance(text, str | None) or not isinstance(kind, str):
        raise Unreadable(Reason.UNKNOWN_SHAPE, "a part has no kind, or no text")
    spoken, edits = (part.get(name) if isinstance(part.get(name), str) else None for name in ("spoken", "edits"))
    return ForeignPart(kind, text or "", spoken, edits, find(part) if kind in MEDIA else None)


def list_of(value: Any, what: str) -> list[Any]:
    """Return a list that is not too long.

    Raises:
        Unreadable: it is none, or has over :data:`MAX_PARTS` entries.
    """
    if not isinstance(value, list):
        raise Unreadable(Reason.UNKNOWN_SHAPE, f"{what} are no list ({type(value).__name__})")
    if len(value) > MAX_PARTS:
        raise Unreadable(Reason.TOO_LONG, f"{what} are {len(value):,}, over {MAX_PARTS}")
    return value


def _object(value: Any, what: str) -> Row:
    if not isinstance(value, Mapping):
        raise Unreadable(Reason.UNKNOWN_SHAPE, f"{what} is no object ({type(value).__name__})")
    return dict(value)
