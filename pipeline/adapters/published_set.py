"""The ``data_construction/`` files of the published AnyInstruct set, read piece by piece.

They come from the net, so nothing in them is trusted: only files of the known names are opened, none of them through
a link out of the folder that was named, no text of theirs becomes a path, and memory is bounded by one record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pipeline.values.errors import ManifestError

TOPICS, SCENARIOS, DIALOGUES = "topics.txt", "scenario.json", "text_chat.json"
IMAGES, MUSIC = "image.json", "music.json"
KNOWN = (TOPICS, SCENARIOS, DIALOGUES, IMAGES, MUSIC)

MAX_FILE_BYTES = 512 * 2**20
"""About nine times the largest file published, text_chat.json of part1 with 56 MB."""

MAX_TOPICS_BYTES = 32 * 2**20
"""About eighty times the larger topics.txt published, 0.4 MB; it is read at once."""

MAX_RECORD_CHARACTERS = 2**20
"""About a thousand times a published dialogue."""

_PLACES = ("", "data_construction", "part1/data_construction", "part2/data_construction")
_PIECE_CHARACTERS = 2**20
_AHEAD = 3
"""Characters to know behind a value: a number that is cut before its last digits (``1.5e+``) reads as a shorter one."""

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_LIST_MARK = re.compile(r"^(?:\d{1,6}[.)]|[-*•])\s+")


@dataclass(frozen=True)
class PublishedFolder:
    """One folder of the published files.

    Attributes:
        name: Its path below the source folder, ``.`` for that folder itself.
        files: By their published names; those that are not there are left out.
    """

    name: str
    files: dict[str, Path]


@dataclass(frozen=True)
class RawRecord:
    """A record as it stands in a file.

    Attributes:
        number: Its place, from 1.
        key: Its key where the file is an object of records; None in a list.
        value: Any JSON value.
    """

    number: int
    key: str | None
    value: Any

    @property
    def place(self) -> str:
        """How error texts name it."""
        return f"record {self.number}" if self.key is None else f"record {self.number} ({self.key[:40]!r})"


def find_published(source: Path) -> list[PublishedFolder]:
    """Find the folders with published files: ``source`` itself, or those of its two parts.

    Raises:
        ManifestError: there is none, or a file of theirs is a link out of ``source`` or larger than any published.
    """
    folders = []
    for place in _PLACES:
        files = {name: path for name in KNOWN if (path := source / place / name).is_file()}
        for path in files.values():
            _check_file(path, source)
        if files:
            folders.append(PublishedFolder(place or ".", files))
    if not folders:
        raise ManifestError(
            f"{source}: holds none of {', '.join(KNOWN)}; name a data_construction folder of the published set, "
            "or the folder with part1 and part2"
        )
    return folders


def read_published_topics(path: Path) -> list[str]:
    """Return the topics of a published topics.txt, one a line; numbers and bullets in front are dropped.

    Raises:
        ManifestError: the file is too large, or no UTF-8 text.
    """
    try:
        if path.stat().st_size > MAX_TOPICS_BYTES:
            raise ManifestError(f"{path}: over {MAX_TOPICS_BYTES // 2**20} MiB, which no list of topics should be")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise ManifestError(f"{path}: cannot be read as UTF-8 text: {exc}") from exc
    return [_LIST_MARK.sub("", text) for line in lines if (text := line.strip())]


def read_published_records(path: Path) -> Iterator[RawRecord]:
    """Yield the records of an object, a list, or of objects one behind the other (JSON Lines).

    Raises:
        ManifestError: the file cannot be read, is none of these, or has a record that is too large or nested too deep.
    """
    try:
        # utf-8-sig: a byte order mark in front, which some editors put there, is no part of the text.
        with path.open(encoding="utf-8-sig") as file:
            yield from scan_records(path, file)
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def scan_records(path: Path, file: TextIO) -> Iterator[RawRecord]:
    """Yield the records of a file that is open already; see :func:`read_published_records`.

    Raises:
        ManifestError: as there; names ``path``.
    """
    return _Scanner(path, file).records()


def _check_file(path: Path, source: Path) -> None:
    try:
        is_inside = path.resolve().is_relative_to(source.resolve())
        size = path.stat().st_size
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if not is_inside:
        raise ManifestError(f"{path}: is a link out of {source}; put the file itself there")
    if size > MAX_FILE_BYTES:
        raise ManifestError(f"{path}: over {MAX_FILE_BYTES // 2**20} MiB, many times the size of the published file")


class _Scanner:
    """Walks through the outermost object or list of a JSON file; what lies inside is decoded value by value."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._text = ""
        self._at = 0
        self._is_whole = False
        self._number = 0

    def records(self) -> Iterator[RawRecord]:
        opening = self._peek()
        if opening == "[":
            yield from self._list()
        elif opening == "{" and self._has_lines():
            yield from self._lines()
        elif opening == "{":
            yield from self._object()
        else:
            raise self._wrong(f"begins with {opening!r}; an object or a list of records is expected")

    def _list(self) -> Iterator[RawRecord]:
        for _ in self._items("[", "]"):
            yield RawRecord(self._number, None, self._value())

    def _object(self) -> Iterator[RawRecord]:
        for _ in self._items("{", "}"):
            if self._peek() != '"':
                raise self._wrong("a key in quotation marks is expected")
            key = self._value()
            self._take(":")
            yield RawRecord(self._number, key, self._value())

    def _lines(self) -> Iterator[RawRecord]:
        while self._peek():
            self._number += 1
            yield RawRecord(self._number, None, self._value())

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        """Pause wherever an item begins; the caller takes it."""
        self._take(opening)
        if self._peek() != closing:
            self._number = 1
            yield
            while self._peek() != closing:
                self._take(",")
                self._number += 1
                yield
        self._take(closing)
        if self._peek():
            raise self._wrong("goes on behind the end of its records")

    def _has_lines(self) -> bool:
        """Whether a second object follows the first. A record fits into the first piece, or is refused later."""
        try:
            _, end = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return False
        return self._text[end : end + 100].lstrip().startswith("{")

    def _peek(self) -> str:
        """Return the next character that is no space, or nothing at the end of the file."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._is_whole:
                return self._text[self._at : self._at + 1]
            self._read_more()

    def _take(self, expected: str) -> None:
        found = self._peek()
        if found != expected:
            is_there = repr(found) if found else "the end of the file"
            raise self._wrong(f"not JSON: {expected!r} is expected where {is_there} stands")
        self._at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            problem = "it has no end"
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as exc:
                raise self._wrong("nested too deep") from exc
            except ValueError as exc:
                problem = exc.msg if isinstance(exc, json.JSONDecodeError) else str(exc)
                if self._is_whole:
                    raise self._wrong(f"not JSON: {problem}") from exc
            else:
                if end + _AHEAD <= len(self._text) or self._is_whole:
                    self._at = end
                    return value
            if len(self._text) - self._at > MAX_RECORD_CHARACTERS:
                raise self._wrong(f"not JSON, or over {MAX_RECORD_CHARACTERS:,} characters: {problem}")
            self._read_more()

    def _read_more(self) -> None:
        try:
            piece = self._file.read(_PIECE_CHARACTERS)
        except UnicodeDecodeError as exc:
            raise self._wrong(f"not UTF-8 ({exc.reason})") from exc
        self._is_whole = not piece
        self._text = self._text[self._at :] + piece
        self._at = 0

    def _wrong(self, what: str) -> ManifestError:
        where = f"{self._path}: record {self._number}" if self._number else str(self._path)
        return ManifestError(f"{where}: {what}")
