"""Exports: what turns a finished corpus into the form that a trainer reads, and how one is registered.

An export is one module plus one entry point line in the group ``anyinstruct.exports``:

    [project.entry-points."anyinstruct.exports"]
    webdataset = "pipeline.adapters.exports.webdataset:PLUGIN"

The module is imported to list exports and to check options, so what is heavy to import belongs into
:meth:`ExportPlugin.open`, which runs in the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline.contracts.storage import Row
from pipeline.values.records import Record
from pipeline.values.units import Bytes


@dataclass(frozen=True)
class Medium:
    """An asset of a dialogue.

    Attributes:
        kind: ``image``, ``music`` or ``speech``.
        row: Its published row without the bytes.
        data: Encoded media.
        extension: After its content, never after a name that the corpus states: ``png``, ``flac``.
    """

    kind: str
    row: Row
    data: bytes
    extension: str


@dataclass(frozen=True)
class Piece:
    """A part of a dialogue in its place, with its medium where it is one.

    Attributes:
        turn, part: Both from 0.
        text: Words as written, or the description of a picture or a piece of music.
    """

    turn: int
    part: int
    role: str
    kind: str
    text: str
    medium: Medium | None

    @property
    def place(self) -> str:
        """``turn-part`` in two digits each: unique in the dialogue, and fit for a file name."""
        return f"{self.turn:02d}-{self.part:02d}"


@dataclass(frozen=True)
class Sample:
    """A dialogue with its media.

    Attributes:
        row: Its published row.
        media: By asset id; a part whose asset is not in the corpus has none.
    """

    row: Row
    media: Mapping[str, Medium]

    @property
    def id(self) -> str:
        """The dialogue's id, which is fit for a file name: :mod:`pipeline.work.exporting` refuses others."""
        return str(self.row["id"])

    def pieces(self) -> Iterator[Piece]:
        """Yield all parts in order."""
        for turn_index, turn in enumerate(self.row["turns"]):
            for index, part in enumerate(turn["parts"]):
                medium = self.media.get(part.get("asset") or "")
                yield Piece(turn_index, index, turn["role"], part["kind"], part["text"] or "", medium)


class ExportedFile(Record):
    """A file of a part: its path below the output folder, with forward slashes.

    Attributes:
        sha256: Where it was asked for: of files that stay beside their corpus and are verified with it.
    """

    path: str
    num_bytes: Bytes
    num_rows: int
    sha256: str | None = Field(default=None, exclude_if=lambda value: value is None)


class ExportPart(Record):
    """What one shard of the corpus came to in one split.

    Attributes:
        num_media: Assets written, by kind.
    """

    split: str
    shard: int
    num_dialogues: int
    num_media: Mapping[str, int]
    files: tuple[ExportedFile, ...]


class ExportSummary(Record):
    """All that an export wrote.

    Attributes:
        corpus: The corpus's own name.
        licences: Of what made the media, by name; empty where the corpus does not say.
        remarks: What the export's plug-in has to say of it.
    """

    corpus: str
    parts: tuple[ExportPart, ...]
    licences: Mapping[str, str] = {}
    remarks: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, list[ExportPart]]:
        """Parts by split, in order."""
        found: dict[str, list[ExportPart]] = {}
        for part in self.parts:
            found.setdefault(part.split, []).append(part)
        return found


class PartWriter(Protocol):
    """Writes the samples of one shard and split, in a staging folder that is thrown away after a kill."""

    def add(self, sample: Sample) -> None:
        """Write a sample."""
        ...

    def close(self) -> Mapping[str, int]:
        """End all files; return the rows of each by its path below the staging folder."""
        ...


class ExportOptions(BaseModel):
    """Base of an export's options: closed. All of them are part of its fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_published(self) -> dict[str, Any]:
        """Return what is written into the export's index: all of them, but no paths of this machine."""
        return self.model_dump(mode="json")

    def identity(self) -> dict[str, Any]:
        """Return what the export's output depends on, for receipts: all of them."""
        return self.model_dump(mode="json")

    @classmethod
    def found_beside(cls, corpus: Path) -> dict[str, Any]:
        """Return options that follow from what lies in a corpus's folder; those that a person states go before them."""
        return {}


class ExportPlugin(Protocol):
    """What an entry point names. Cheap to import; everything but :meth:`open` and :meth:`finish` is instant."""

    name: str
    version: str
    summary: str
    """Who reads it, in a line."""
    usage: str
    """A line of Python that reads it, with ``FOLDER`` for its place."""
    options: type[ExportOptions]

    def missing(self) -> str | None:
        """Say which Python package is missing and how to get it, or None."""
        ...

    def open(self, options: Any, staging: Path, split: str, shard: int) -> PartWriter:
        """Begin a part. File names below ``staging`` are those below the output folder; no two parts may share one."""
        ...

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """Return what the card's header tells the Hub to load; nothing where it is not for the Hub."""
        ...

    def finish(self, options: Any, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Write what stands beside the parts and the card, such as an index.

        Returns:
            Remarks for people, a sentence each: what the form had no room for, how long rows are.
        """
        ...
