"""Chat JSON Lines (``messages``), with media as files beside them or inside the lines."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.adapters.foreign.folder import SourceFolder
from pipeline.adapters.foreign.lines import read_lines
from pipeline.contracts.foreign import ForeignUnit, RawDialogue, Unreadable
from pipeline.values.errors import ManifestError


class ChatLinesReader:
    """Reads lines; the paths that they name count from the source folder."""

    def __init__(self, source: SourceFolder) -> None:
        self._source = source

    def units(self) -> list[ForeignUnit]:
        """Return all JSON Lines files, each on its own.

        Raises:
            ManifestError: there is none.
        """
        units = [ForeignUnit(self._source.name(path), (path,)) for path in self._source.find("*.jsonl", "*/*.jsonl")]
        if not units:
            raise ManifestError(f"{self._source.root}: holds no JSON Lines files; check the path and --from")
        return units

    def read(self, unit: ForeignUnit) -> Iterator[RawDialogue | Unreadable]:
        """Yield rows in order."""

        def fetch(kind: str, name: str) -> bytes:
            return self._source.read_named(self._source.root, name)

        for number, value in read_lines(unit.files[0]):
            place = f"{unit.name} line {number}"
            yield value if isinstance(value, Unreadable) else RawDialogue(place, value, fetch)
