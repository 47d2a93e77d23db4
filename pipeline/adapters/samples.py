"""Dialogues of a published shard together with their media, one after another.

The tables of a shard keep the order of its dialogues, so one pass over each is enough, and no more than one
dialogue's media are held. In a stranger's tables the order may be another: what comes early waits for its dialogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.adapters.published import MEDIUM_OF, PublishedShard
from pipeline.contracts.audit import Subject
from pipeline.contracts.export import Medium, Sample
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.units import Bytes

MAX_WAITING: Bytes = 2**30
"""Media that wait for their dialogue before the tables count as unsorted."""

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpg"),
    (8, b"WEBP", "webp"),
    (4, b"ftypavif", "avif"),
    (0, b"fLaC", "flac"),
    (8, b"WAVE", "wav"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
)


def extension_of(data: bytes) -> str | None:
    """Tell a media file's kind by its first bytes; None for one that is not known."""
    for offset, magic, name in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return name
    # An MPEG audio frame begins with eleven bits set, and layer III has 01 in bits 13 and 14.
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:
        return "mp3"
    return None


def read_samples(shard: PublishedShard, wanted: Mapping[str, Row]) -> Iterator[Sample]:
    """Yield the wanted dialogues in the order of their table.

    Args:
        wanted: Published rows by id, in that order.

    Raises:
        CorpusError: media are of no known kind, or too many of them wait for their dialogues.
    """
    kinds: tuple[Subject, ...] = ("image", "music", "speech")
    tracks = [_Track(shard, kind, wanted) for kind in kinds]
    for row in wanted.values():
        assets = {part["asset"] for turn in row["turns"] for part in turn["parts"] if part.get("asset")}
        media: dict[str, Medium] = {}
        for track in tracks:
            media |= track.take(assets)
        yield Sample(row, media)


class _Track:
    """One table's assets, as they are asked for."""

    def __init__(self, shard: PublishedShard, kind: Subject, wanted: Mapping[str, Row]) -> None:
        self._kind = kind
        self._ids = {
            part["asset"]
            for row in wanted.values()
            for turn in row["turns"]
            for part in turn["parts"]
            if part["kind"] == kind and part.get("asset")
        }
        self._rows = shard.rows(kind)
        self._waiting: dict[str, Medium] = {}
        self._held: Bytes = 0

    def take(self, assets: set[str]) -> dict[str, Medium]:
        """Return those of some assets that this table has, reading on until all are there."""
        missing = (assets & self._ids) - self._waiting.keys()
        while missing and (row := next(self._rows, None)) is not None:
            if row["id"] in self._ids:
                self._hold(row)
                missing.discard(row["id"])
        found = {name: self._waiting.pop(name) for name in assets if name in self._waiting}
        self._held -= sum(len(medium.data) for medium in found.values())
        return found

    def _hold(self, row: Row) -> None:
        data = (row.pop(MEDIUM_OF[self._kind]) or {}).get("bytes") or b""
        extension = extension_of(data)
        if extension is None:
            raise CorpusError(
                f"{row['id']}: {len(data)} bytes are of no known kind of {self._kind}; run `verify` on it"
            )
        self._waiting[row["id"]] = Medium(self._kind, row, data, extension)
        self._held += len(data)
        if self._held > MAX_WAITING:
            raise CorpusError(
                f"over {MAX_WAITING // 2**20} MiB of {self._kind} wait for their dialogues: the tables are in "
                "different orders; sort the assets' tables by the dialogues' order"
            )
