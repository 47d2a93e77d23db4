"""What decoding an asset's bytes shows, apart from what its row claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pipeline.values.records import Record


class Probed(Record):
    """An asset that could be decoded from its first byte to its last.

    Attributes:
        extension: What the bytes are, in the words of ``Render.extension``.
        columns: By column of the asset's table: ``width`` and ``height`` in pixels, or ``duration`` in seconds,
            ``sample_rate`` in hertz and ``channels``.
    """

    extension: str
    columns: Mapping[str, float]


class Probe(Protocol):
    """Decodes the assets of one table."""

    def __call__(self, data: bytes) -> Probed:
        """Decode every pixel or sample; raise ValueError where that cannot be done, or would take unreasonable room."""
        ...
