"""What an import hands on: dialogues of a layout that is not a corpus's own, before they are given its columns.

Readers know files and shapes know rows; both meet in these values. All of it is hostile input: no text in it becomes a
path, and media are fetched through a :class:`Fetch` that reads inside the source alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pipeline.contracts.storage import Row
from pipeline.values.records import Role


class Lost(StrEnum):
    """Why a row of a source comes to no dialogue; beside these there are the reasons of the published shapes."""

    ROW = "row_unreadable"
    MISSING = "medium_missing"
    OUTSIDE = "medium_outside"
    ELSEWHERE = "medium_elsewhere"
    UNDECODABLE = "medium_undecodable"
    PLACE = "edit_dangling"
    EMPTY = "part_empty"


class Unreadable(Exception):
    """A row comes to no dialogue, and is counted under its reason.

    Attributes:
        reason: Stable code, of :class:`Lost` or of the published shapes.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Fetch = Callable[[str, str], bytes]
"""Returns a medium by its kind and the name that a row gives it; raises :class:`Unreadable` where it cannot be had."""


@dataclass(frozen=True)
class RawDialogue:
    """A row, or the rows, that a dialogue stands in.

    Attributes:
        place: Where, as error texts name it.
        value: Any JSON-like value; its media may lie in it.
        fetch: For media that lie beside it.
    """

    place: str
    value: Any
    fetch: Fetch


@dataclass(frozen=True)
class ForeignMedium:
    """Encoded media, and what the source states of them under the names of our columns."""

    data: bytes
    facts: Row = field(default_factory=dict)


@dataclass(frozen=True)
class ForeignPart:
    """A part of a turn; the words of a medium are empty where the source does not say them."""

    kind: str
    text: str
    spoken: str | None = None
    edits: str | None = None
    medium: ForeignMedium | None = None


@dataclass(frozen=True)
class ForeignTurn:
    """What one role says."""

    role: Role
    parts: tuple[ForeignPart, ...]


@dataclass(frozen=True)
class ForeignDialogue:
    """A dialogue as its source has it.

    Attributes:
        id: As the source names it, or its place where it has no name.
        about: Columns of our table that the source states.
    """

    id: str
    about: Row
    turns: tuple[ForeignTurn, ...]


@dataclass(frozen=True)
class ForeignUnit:
    """Files that are read together, one row after another.

    Attributes:
        name: Of the first, below the source.
        files: All that are hashed; media files that rows name are not, for each has a hash of its own in its table.
    """

    name: str
    files: tuple[Path, ...]


Shape = Callable[[RawDialogue], ForeignDialogue]
"""Reads a row; raises :class:`Unreadable`."""


class SourceReader(Protocol):
    """Reads one layout."""

    def units(self) -> Sequence[ForeignUnit]:
        """Return what there is to read, in order; raise ManifestError where there is nothing."""
        ...

    def read(self, unit: ForeignUnit) -> Iterator[RawDialogue | Unreadable]:
        """Yield its rows in order, always the same; a row that cannot be read at all is told, with its place."""
        ...
