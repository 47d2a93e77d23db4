"""Dialogues of another layout in the columns of a corpus: ids, places, and what decoding their media shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.contracts.foreign import ForeignDialogue, ForeignMedium, ForeignPart, Lost, Unreadable
from pipeline.contracts.probe import Probed
from pipeline.contracts.scores import SCORES
from pipeline.contracts.storage import Row
from pipeline.values.ids import ID_DIGITS, asset_id, content_key, part_id, sha256_hex, topic_id
from pipeline.values.pictures import Kinds, is_earlier_picture, read_place
from pipeline.values.records import MEDIA, Modality
from pipeline.values.slots import in_order
from pipeline.work.published_shapes import Reason
from pipeline.work.tables import PUBLISHED, REPAIRS, TABLE_OF

MEDIUM_COLUMN = {"image": "image", "music": "audio", "speech": "audio"}
UNREADABLE = "unreadable"
"""Cell of what came to no dialogue."""
STAGE = "import"

_OURS = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")
_STATED = ("topic", "topic_id", "meta_topic", "language", "cell", "scenario")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

_NO_PROVENANCE: Row = {
    **{name: [] for name in ("models", "prompts", "demonstrations", "requirements")},
    "seed": None,
    "calls": 0,
    "invalid_answers": 0,
    "usd": 0.0,
}

Measure = Callable[[str, bytes], Probed]
"""Decodes a medium of a kind; raises ValueError where it cannot be decoded."""


@dataclass(frozen=True)
class Adopted:
    """A dialogue's rows: its own, and those of its assets by table, in order."""

    dialogue: Row
    assets: tuple[tuple[str, Row], ...]


def adopt_id(name: str) -> str:
    """Return the id that a source's dialogue has here: its own where it is one of ours, else one derived from it."""
    return name if _OURS.fullmatch(name) else content_key("imported", name)


def adopt_dialogue(found: ForeignDialogue, measure: Measure, language: str | None) -> Adopted:
    """Give a dialogue the columns of a corpus.

    Args:
        language: Of its words where the source states none; None for not known.

    Raises:
        Unreadable: it is no dialogue that a corpus can hold, or a medium cannot be decoded.
    """
    _check_turns(found)
    name = adopt_id(found.id)
    turns: list[dict[str, Any]] = []
    assets: list[tuple[str, Row]] = []
    kinds = [[part.kind for part in turn.parts] for turn in found.turns]
    for turn_index, turn in enumerate(found.turns):
        parts: list[Row] = []
        for index, part in enumerate(turn.parts):
            _check_edit(part, kinds, turn_index)
            row: Row = {"kind": part.kind, "text": _clean(part.text), "spoken": _clean_or_none(part.spoken)}
            row |= {"edits": part.edits, "asset": None}
            if part.kind in MEDIA:
                place = part_id(name, turn_index, index)
                where = {"dialogue_id": name, "part_id": place, "turn": turn_index, "part": index, "role": turn.role}
                asset = _adopt_asset(part, where, measure)
                row["asset"] = asset["id"]
                asset["edited_from"] = _keep_source(part, asset, turns)
                table = TABLE_OF[Modality(part.kind)]
                fitted = fit(asset, PUBLISHED[table])
                assets.append((table, {**fitted, REPAIRS: fitted[REPAIRS] or [], SCORES: []}))
            parts.append(row)
        turns.append({"role": turn.role, "parts": parts})
    return Adopted(_adopt_row(found, name, turns, language), tuple(assets))


def fit(row: Row, schema: pa.Schema) -> Row:
    """Return a row of exactly the columns of a schema; what is missing or of another type is left empty."""
    return {field.name: _fit(row.get(field.name), field.type) for field in schema}


def describe_lost(place: str, key: tuple[Any, ...], loss: Unreadable) -> Row:
    """Return the row of ``failed`` that tells of a row of the source."""
    message = f"{place}: {_CONTROL.sub(' ', str(loss))}"[:500]
    about = {"stage": STAGE, "code": str(loss.reason), "message": message, "id": content_key("unreadable", *key)}
    return {**about, "topic": "", "topic_id": "", "meta_topic": "", "cell": UNREADABLE, "usd": 0.0}


def _check_turns(found: ForeignDialogue) -> None:
    roles = [turn.role for turn in found.turns]
    if not roles:
        raise Unreadable(Reason.NO_TURNS, "no turns")
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise Unreadable(Reason.ROLES, "does not go from user to assistant, turn by turn")
    for turn in found.turns:
        if not turn.parts:
            raise Unreadable(Reason.EMPTY_TURN, "a turn without words and media")
        for part in turn.parts:
            if part.kind not in set(Modality):
                raise Unreadable(Reason.UNKNOWN_SHAPE, f"a part's kind is {part.kind!r:.40}")
            if part.kind in MEDIA and part.medium is None:
                raise Unreadable(Lost.MISSING, f"a part of {part.kind} has no medium")
            if part.kind == Modality.TEXT and not part.text:
                raise Unreadable(Lost.EMPTY, "a text without words")


def _check_edit(part: ForeignPart, kinds: Kinds, turn: int) -> None:
    if part.edits is None:
        return
    if part.kind != Modality.IMAGE or not is_earlier_picture(kinds, turn, part.edits):
        raise Unreadable(Lost.PLACE, f"a part edits {part.edits!r:.20}, which is no earlier picture")


def _adopt_row(found: ForeignDialogue, name: str, turns: list[dict[str, Any]], language: str | None) -> Row:
    about = {key: value for key in _STATED if (value := _clean_or_none(found.about.get(key))) is not None}
    gives, answers = (_list_kinds(turns, role) for role in ("user", "assistant"))
    topic = about.get("topic", "")
    row: Row = {
        **about,
        "id": name,
        "topic": topic,
        "topic_id": about.get("topic_id") or (topic_id(topic) if topic else ""),
        "meta_topic": about.get("meta_topic", ""),
        "language": about.get("language") or language,
        "cell": about.get("cell") or f"{'-'.join(gives)}-to-{'-'.join(answers)}",
        "scenario": about.get("scenario", ""),
        "gives": list(gives),
        "answers": list(answers),
        "num_rounds": len(turns) // 2,
        "turns": turns,
        "provenance": found.about.get("provenance"),
    }
    fitted = {**fit(row, PUBLISHED["dialogues"]), SCORES: []}
    # Readers add these up: what nobody states is nothing, and not unknown.
    fitted["provenance"] = {
        **_NO_PROVENANCE,
        **{k: v for k, v in (fitted["provenance"] or {}).items() if v is not None},
    }
    return fitted


def _list_kinds(turns: list[dict[str, Any]], role: str) -> tuple[Modality, ...]:
    return in_order([Modality(part["kind"]) for turn in turns if turn["role"] == role for part in turn["parts"]])


def _adopt_asset(part: ForeignPart, where: Row, measure: Measure) -> Row:
    medium = part.medium or ForeignMedium(b"")
    try:
        probed = measure(part.kind, medium.data)
    except ValueError as exc:
        raise Unreadable(Lost.UNDECODABLE, f"{part.kind} of part {where['part_id']}: {exc}") from exc
    attempt = medium.facts.get("attempt")
    number = attempt if type(attempt) is int and 0 <= attempt < 2**15 else _read_attempt(medium, where)
    name = asset_id(where["part_id"], number)
    words = "transcript" if part.kind == Modality.SPEECH else "description"
    return {
        **medium.facts,
        **where,
        "id": name,
        MEDIUM_COLUMN[part.kind]: {"bytes": medium.data, "path": f"{name}.{probed.extension}"},
        words: _clean(part.text),
        "spoken": medium.facts.get("spoken") or part.spoken,
        "sha256": sha256_hex(medium.data),
        "attempt": number,
        **probed.columns,
    }


def _read_attempt(medium: ForeignMedium, where: Row) -> int:
    """Return the attempt that a source's name of an asset states where it is one of ours, else 0."""
    found = re.fullmatch(rf"{re.escape(where['part_id'])}-a(\d{{1,4}})", str(medium.facts.get("id")))
    return int(found.group(1)) if found else 0


def _keep_source(part: ForeignPart, asset: Row, turns: list[dict[str, Any]]) -> str | None:
    """Return the asset that a picture was made out of: what its row says, where its part says the same."""
    if part.edits is None or not asset.get("edited_from"):
        return None
    turn, index = read_place(part.edits)
    source: str | None = turns[turn]["parts"][index]["asset"]
    return source


def _fit(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    try:
        pa.scalar(value, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    return value


def _clean(text: str) -> str:
    return _CONTROL.sub(" ", text)


def _clean_or_none(value: Any) -> str | None:
    return _clean(value) if isinstance(value, str) and value else None
