"""The records that stages hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Modality(StrEnum):
    """What a part is made of, in the order in which sets of them are written."""

    TEXT = "text"
    SPEECH = "speech"
    IMAGE = "image"
    MUSIC = "music"


MEDIA = (Modality.IMAGE, Modality.MUSIC, Modality.SPEECH)
"""Modalities that a renderer makes; each has a table of its own in the corpus."""

Role = Literal["user", "assistant"]


class Record(BaseModel):
    """Base of all records: frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_unstated(value: object) -> bool:
    return not value


class MetaTopic(Record):
    """A scene of life out of which topics are drawn."""

    id: str
    name: str
    area: str
    scope: str
    seeds: tuple[str, ...]


class Topic(Record):
    """One to ten words that a dialogue is about."""

    id: str
    text: str
    meta_topic: str


class TurnLayout(Record):
    """What one turn must hold: its role and the modalities of its parts, words first."""

    role: Role
    kinds: tuple[Modality, ...]


class Slot(Record):
    """A dialogue's cell of the modality matrix, laid out to single turns.

    Attributes:
        cell: Label of the manifest's mix entry that it was drawn from.
        gives: Modalities over all user turns.
        answers: Modalities over all assistant turns.
        turns: One layout a turn, user first, roles alternating.
    """

    cell: str
    gives: tuple[Modality, ...]
    answers: tuple[Modality, ...]
    turns: tuple[TurnLayout, ...]

    @property
    def num_rounds(self) -> int:
        """Number of user turns."""
        return len(self.turns) // 2


class Part(Record):
    """One text or media piece of a turn.

    Attributes:
        kind: Its modality.
        text: Words as written (text, speech) or the description to render (image, music).
        spoken: Speech only: the words in a form fit for a voice; numbers, symbols and markup spelled out or dropped.
        edits: Image only: the place of the earlier picture that it is a changed version of, as ``turn.part``, both from
            0; see :mod:`pipeline.values.pictures`. Its text describes the whole picture all the same.
    """

    kind: Modality
    text: str
    spoken: str | None = None
    # Left out where unstated, so that parts without it are keyed as they were before there was such a field.
    edits: str | None = Field(default=None, pattern=r"^\d{1,2}\.\d{1,2}$", exclude_if=_is_unstated)


class Turn(Record):
    """One role's contribution."""

    role: Role
    parts: tuple[Part, ...]


class Demonstration(Record):
    """A hand-written example: scenario and full dialogue. The shape in which it stands in the prompts folder."""

    id: str
    topic: str
    gives: tuple[Modality, ...]
    answers: tuple[Modality, ...]
    features: tuple[str, ...] = ()
    scenario: str
    turns: tuple[Turn, ...]


class Requirement(Record):
    """A sentence that steers a scenario, offered where the slot has all of ``gives`` and ``answers``."""

    id: str
    gives: tuple[Modality, ...] = ()
    answers: tuple[Modality, ...] = ()
    min_rounds: int = 1
    feature: str | None = None
    text: str


_UNDRAWN = Slot(cell="", gives=(), answers=(), turns=())


@dataclass(frozen=True, slots=True)
class PlannedDialogue:
    """A dialogue's line in the plan. Written once; only a changed slot draws its examples anew.

    A driver holds a line for every dialogue of the corpus, and a :class:`Record` takes three times the memory. So what
    stands in a line is checked where the plan is read, column by column.

    Attributes:
        ordinal: Which dialogue about its topic, from 0.
        shard: Where its rows live, for good.
        unit: Its place in [0, 1) on the cumulative mix.
        needed_at: None for a dialogue that the manifest asks for; for one that replaces a loss, the number of
            dialogues wanted when it was planned.
        demonstrations, requirements: Ids, in the order of use.
        features: Of the requirements, where its cell of the mix asks for features; elsewhere none is stated.
    """

    id: str
    topic: Topic
    ordinal: int
    shard: int
    unit: float
    needed_at: int | None = None
    slot: Slot = _UNDRAWN
    demonstrations: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
