"""Pictures that change an earlier one of their dialogue: how a model says so, and how that is checked.

Written whole, a dialogue has a field ``image_edits`` before each picture that could start from an earlier one: the
model names that one or says ``none``. Written turn by turn, the plan decides, and the model is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.contracts.prompts import PromptBook
from pipeline.values.ids import normalise_text
from pipeline.values.pictures import name_picture, name_pictures, read_place, write_place
from pipeline.values.records import Modality, Part, PlannedDialogue, Turn, TurnLayout
from pipeline.work.answers import check_overlap, field_names, turn_name
from pipeline.work.asking import InvalidAnswer
from pipeline.work.features import EDIT, Edit, find_edit

TEMPLATES = {"turns": "turn.edit", "whole": "dialogue.edits"}
"""By style; shown only in dialogues that have an edit, so that it stands with what is the record's own."""

SUFFIX = "_edits"
NONE = "none"


@dataclass(frozen=True)
class Choice:
    """A picture of which a model says where it starts from.

    Attributes:
        turn, part: Its place, both from 0.
        field: Its field in an answer; the choice stands in a field of that name and :data:`SUFFIX`.
        names: What may be said.
        places: Of the pictures that can be named.
    """

    turn: int
    part: int
    field: str
    names: tuple[str, ...]
    places: Mapping[str, str]


def has_edit(planned: PlannedDialogue) -> bool:
    """Whether a dialogue is to say which picture changes which."""
    return EDIT in planned.features


def find_choices(turns: Sequence[TurnLayout]) -> list[Choice]:
    """Return the assistant's pictures that come after another one. Where there is one alone, it must name a picture."""
    kinds = [turn.kinds for turn in turns]
    found = []
    for index, turn in enumerate(turns):
        places = name_pictures(kinds, index)
        if turn.role != "assistant" or not places:
            continue
        for part, (field, kind) in enumerate(zip(field_names(turn), turn.kinds, strict=True)):
            if kind is Modality.IMAGE:
                found.append(Choice(index, part, field, (NONE, *places), places))
    return [replace(one, names=one.names[1:]) for one in found] if len(found) == 1 else found


def add_choices(schema: Mapping[str, Any], turns: Sequence[TurnLayout], choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the schema of a whole dialogue with a field before each picture that has a choice."""
    properties = dict(schema["properties"])
    for index, layout in enumerate(turns):
        mine = {choice.field: choice for choice in choices if choice.turn == index}
        name = turn_name(index, layout)
        fields: dict[str, Any] = {}
        for field, about in properties[name]["properties"].items():
            if field in mine:
                fields[field + SUFFIX] = {"type": "string", "enum": list(mine[field].names)}
            fields[field] = about
        properties[name] = {**properties[name], "properties": fields, "required": list(fields)}
    return {**schema, "properties": properties}


def list_fields(index: int, layout: TurnLayout, choices: Sequence[Choice]) -> list[str]:
    """Name a turn's fields in their order, those of choices with them."""
    mine = {choice.field for choice in choices if choice.turn == index}
    return [name for field in field_names(layout) for name in ((field + SUFFIX, field) if field in mine else (field,))]


def take_choices(value: Any, index: int, choices: Sequence[Choice]) -> tuple[Any, dict[int, str]]:
    """Split a turn's answer into what it says and the places of the pictures that its own start from, by part.

    Raises:
        InvalidAnswer: names the field and what it may say.
    """
    mine = [choice for choice in choices if choice.turn == index]
    if not mine or not isinstance(value, dict):
        return value, {}
    rest, sources = dict(value), {}
    for choice in mine:
        said = rest.pop(choice.field + SUFFIX, None)
        if not isinstance(said, str) or said not in choice.names:
            raise InvalidAnswer(
                f"the field {choice.field}{SUFFIX} of turn {index + 1} must be one of: {', '.join(choice.names)}"
            )
        if said != NONE:
            sources[choice.part] = choice.places[said]
    return rest, sources


def say_choices(
    turns: Sequence[Turn], index: int, fields: Mapping[str, str], choices: Sequence[Choice]
) -> dict[str, str]:
    """Return a written turn's fields as a model answers them, each choice before its picture."""
    mine = {choice.field: choice for choice in choices if choice.turn == index}
    said: dict[str, str] = {}
    for field, text in fields.items():
        if field in mine:
            source = turns[index].parts[mine[field].part].edits
            names = {place: name for name, place in mine[field].places.items()}
            said[field + SUFFIX] = names[source] if source else NONE
        said[field] = text
    return said


def with_sources(turn: Turn, sources: Mapping[int, str]) -> Turn:
    """Return a turn whose pictures say which ones they start from."""
    parts = [
        part.model_copy(update={"edits": sources[index]}) if index in sources else part
        for index, part in enumerate(turn.parts)
    ]
    return turn.model_copy(update={"parts": tuple(parts)})


def check_some_edit(turns: Sequence[Turn], choices: Sequence[Choice]) -> None:
    """Refuse a dialogue in which no picture starts from another.

    Raises:
        InvalidAnswer: names the fields.
    """
    if choices and not any(part.edits for turn in turns for part in turn.parts):
        fields = ", ".join(f"{choice.field}{SUFFIX} of turn {choice.turn + 1}" for choice in choices)
        raise InvalidAnswer(f"no picture changes an earlier one; one of these must name it: {fields}")


def check_turn(turn: Turn, turns: Sequence[Turn], known: Sequence[str] = ()) -> None:
    """Refuse a turn that repeats what was said or shown before, as far as it is not a picture that was changed.

    Args:
        known: Texts beside the dialogue's own that are not to be repeated either.

    Raises:
        InvalidAnswer: names the field and its overlap.
    """
    for part in turn.parts:
        alike = _family(turns, part.edits)
        texts = [
            other.text
            for index, said in enumerate(turns)
            for place, other in enumerate(said.parts)
            if write_place(index, place) not in alike
        ]
        check_overlap(part.kind, part.text, [*known, *texts])
        if any(normalise_text(_part(turns, place).text) == normalise_text(part.text) for place in alike):
            raise InvalidAnswer(f"the field {part.kind} describes the picture that it changes, unchanged")


def plan_edit(planned: PlannedDialogue, book: PromptBook) -> Edit | None:
    """Return which picture changes which in a dialogue that is written turn by turn."""
    items = [book.requirements[name] for name in planned.requirements]
    found = [find_edit(item, planned.slot.turns) for item in items if has_edit(planned) and item.feature == EDIT]
    return next((edit for edit in found if edit is not None), None)


def say_edit(book: PromptBook, index: int, turns: Sequence[TurnLayout], edit: Edit | None) -> str:
    """Word what the order for a turn says of the change: before it and where it is made; empty elsewhere."""
    if edit is None or index not in (edit.turn - 1, edit.turn):
        return ""
    layout = turns[index]
    picture = name_picture([turn.kinds for turn in turns], edit.source)
    field = field_names(layout)[edit.part] if index == edit.turn else ""
    return "\n" + book.text(TEMPLATES["turns"], role=layout.role, picture=picture, field=field)


def _part(turns: Sequence[Turn], place: str) -> Part:
    turn, part = read_place(place)
    return turns[turn].parts[part]


def _family(turns: Sequence[Turn], source: str | None) -> set[str]:
    """Places of the pictures that share their beginning with a source, itself among them."""
    if source is None:
        return set()
    origins: dict[str, str] = {}
    for index, turn in enumerate(turns):
        for place, part in enumerate(turn.parts):
            if part.kind is Modality.IMAGE:
                here = write_place(index, place)
                origins[here] = origins[part.edits] if part.edits else here
    return {place for place, origin in origins.items() if origin == origins[source]}
