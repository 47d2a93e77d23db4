"""Tars with a sample a dialogue (``webdataset``): its JSON, and its media as the members that follow."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.adapters.foreign.folder import SourceFolder
from pipeline.adapters.foreign.lines import parse_json
from pipeline.adapters.foreign.tars import Member, scan_tar
from pipeline.contracts.foreign import Fetch, ForeignUnit, Lost, RawDialogue, Unreadable
from pipeline.values.errors import ManifestError

JSON = "json"


class WebDatasetReader:
    """Reads samples: neighbours of one name up to its first dot, as readers of the format group them."""

    def __init__(self, source: SourceFolder) -> None:
        self._source = source

    def units(self) -> list[ForeignUnit]:
        """Return all tars, each on its own.

        Raises:
            ManifestError: there is none.
        """
        units = [ForeignUnit(self._source.name(path), (path,)) for path in self._source.find("**/*.tar")]
        if not units:
            raise ManifestError(f"{self._source.root}: holds no tars; check the path and --from")
        return units

    def read(self, unit: ForeignUnit) -> Iterator[RawDialogue | Unreadable]:
        """Yield samples in the order of the tar.

        Raises:
            ManifestError: it is no tar, or compressed.
        """
        key, fields = None, dict[str, Member]()
        for name, member in scan_tar(unit.files[0]):
            folder, _, base = name.rpartition("/")
            stem, _, field = base.partition(".")
            if key is not None and key != (folder, stem):
                yield _open_sample(unit, key[1], fields)
                fields = {}
            key = (folder, stem)
            fields.setdefault(field, member)
        if key is not None:
            yield _open_sample(unit, key[1], fields)


def _open_sample(unit: ForeignUnit, key: str, fields: dict[str, Member]) -> RawDialogue | Unreadable:
    place = f"{unit.name} sample {key[:60]!r}"
    if JSON not in fields:
        return Unreadable(Lost.ROW, f"{place} has no {JSON}")
    try:
        value = parse_json(fields[JSON].read())
    except Unreadable as exc:
        return exc
    return value if isinstance(value, Unreadable) else RawDialogue(place, value, _fetch_from(fields))


def _fetch_from(fields: dict[str, Member]) -> Fetch:
    def fetch(kind: str, name: str) -> bytes:
        if name not in fields:
            raise Unreadable(Lost.MISSING, f"the sample has no field {name!r:.40}")
        return fields[name].read()

    return fetch
