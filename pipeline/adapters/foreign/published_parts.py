"""The published layout (``anyinstruct``): folders with ``metadata.json``, tars of media and ``data_construction/``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from pipeline.adapters.foreign.folder import SourceFolder
from pipeline.adapters.foreign.lines import read_lines
from pipeline.adapters.foreign.tars import TarIndex
from pipeline.adapters.published_set import IMAGES, MUSIC, SCENARIOS, read_published_records
from pipeline.contracts.foreign import Fetch, ForeignUnit, RawDialogue, Unreadable
from pipeline.values.errors import ManifestError

METADATA = ("metadata.json", "metadata.jsonl")
"""The parts have the first and speech_conv the second; both hold a row a dialogue."""
_BESIDE = "data_construction"
_TURNS = ("chat", "conversation", "conversations", "messages")
"""Keys of which a row has one, and an object of rows has none."""


class PublishedReader:
    """Reads the parts one after another; scenarios, descriptions and names in tars are held for one part."""

    def __init__(self, source: SourceFolder) -> None:
        self._source = source

    def units(self) -> list[ForeignUnit]:
        """Return the folders with metadata, each with its tars.

        Raises:
            ManifestError: there is none.
        """
        found = [path for name in METADATA for path in self._source.find(name, f"*/{name}")]
        if not found:
            raise ManifestError(
                f"{self._source.root}: holds no {METADATA[0]}, neither itself nor its folders; name the folder with "
                "part1 and part2, or one of them"
            )
        return [
            ForeignUnit(self._source.name(path), (path, *self._find_beside(path.parent)))
            for path in dict.fromkeys(sorted(found))
        ]

    def read(self, unit: ForeignUnit) -> Iterator[RawDialogue | Unreadable]:
        """Yield rows in order, each with what ``data_construction/`` says of it under keys of ours.

        Raises:
            ManifestError: a file is damaged.
        """
        metadata, *others = unit.files
        fetch = self._fetch_from(metadata.parent, TarIndex([path for path in others if path.suffix == ".tar"]))
        beside = {path.name: path for path in others if path.suffix == ".json"}
        scenarios = _read_object(beside.get(SCENARIOS))
        described = {kind: _read_object(beside.get(name)) for kind, name in (("image", IMAGES), ("music", MUSIC))}
        for place, key, found in _read_rows(metadata):
            if isinstance(found, Unreadable):
                yield found
                continue
            row = found if isinstance(found, dict) else {"chat": found}
            value = {"row": row, "name": key, "scenario": scenarios.get(key or str(row.get("id")))}
            yield RawDialogue(f"{unit.name} {place}", {**value, "described": described}, fetch)

    def _find_beside(self, folder: Path) -> Iterator[Path]:
        below = "" if folder == self._source.root else f"{escape(self._source.name(folder))}/"
        names = (SCENARIOS, IMAGES, MUSIC)
        yield from self._source.find(f"{below}*.tar", *(f"{below}{_BESIDE}/{name}" for name in names))

    def _fetch_from(self, folder: Path, tars: TarIndex) -> Fetch:
        def fetch(kind: str, name: str) -> bytes:
            member = tars.find(name)
            return self._source.read_named(folder, name) if member is None else member.read()

        return fetch


def _read_rows(path: Path) -> Iterator[tuple[str, str | None, Any]]:
    """Yield place, key and value of each row: of JSON Lines, in which a broken one costs no other, or of one value."""
    _, first = next(read_lines(path), (0, None))
    if isinstance(first, dict) and any(name in first for name in _TURNS):
        for number, value in read_lines(path):
            yield f"line {number}", None, value
        return
    for record in read_published_records(path):
        yield record.place, record.key, record.value


def _read_object(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    return {record.key: record.value for record in read_published_records(path) if record.key is not None}
