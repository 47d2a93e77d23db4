"""Pictures that look alike: a perceptual hash each, and the nearest of all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.adapters.audits.hamming import MAX_DISTANCE, near_pairs
from pipeline.adapters.audits.plain import PlainAudit
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings, Sketch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

SIDE = 8
"""The hash keeps so many frequencies a side: 64 bits."""

COLOURS = 8
"""Mean colours are kept of a grid of so many cells a side."""

MAX_COLOUR_STEP = 32
"""Largest difference in any cell, of 255, between a picture and the same one saved again or brightened a little."""

MEASURES = (
    Measure(
        name="image.twin_distance",
        unit="bits of 64",
        better="higher",
        limit=7.0,
        summary="Bits by which the perceptual hash differs from the likest picture with a lower id; 8 for none.",
    ),
)


class _Kept(NamedTuple):
    """A sketch, read."""

    id: str
    dialogue_id: str
    is_edit: bool
    bits: int
    colours: bytes


class PictureTwins:
    """Compares hashes. The picture with the lowest id of those that look alike is no twin, so that one is left to keep.

    A picture that was made out of another one is no twin of those of its own dialogue: they are meant to look alike.
    """

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return the hash, whether it is an edit, and its colours: 201 bytes a picture."""
        return [_sketch(item) for item in items]

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield one reading a picture, in order of their ids."""
        import numpy as np

        kept = sorted(_read(sketch) for sketch in sketches)
        bits = np.array([one.bits for one in kept], np.uint64)
        nearest: dict[int, tuple[int, int]] = {}
        for earlier, later, distance in near_pairs(bits):
            found = (distance, earlier)
            if found < nearest.get(later, (MAX_DISTANCE + 1, 0)) and _are_alike(kept[earlier], kept[later]):
                nearest[later] = found
        for index, one in enumerate(kept):
            distance, twin = nearest.get(index, (MAX_DISTANCE + 1, index))
            detail = "" if twin == index else f"like {kept[twin].id}"
            yield one.id, {"image.twin_distance": Reading(value=float(distance), detail=detail)}


def _sketch(item: AuditItem) -> bytes:
    is_edit = b"\1" if item.row.get("edited_from") else b"\0"
    small = item.media.resize((COLOURS, COLOURS), 4)  # Pillow's BOX: the mean of each cell
    return hash_picture(item.media).to_bytes(8, "little") + is_edit + bytes(small.tobytes())


def _read(sketch: Sketch) -> _Kept:
    data = sketch.data
    bits = int.from_bytes(data[:8], "little")
    return _Kept(sketch.id, sketch.dialogue_id, data[8] == 1, bits, data[9:])


def _are_alike(first: _Kept, second: _Kept) -> bool:
    import numpy as np

    if first.dialogue_id == second.dialogue_id and (first.is_edit or second.is_edit):
        return False
    left, right = (np.frombuffer(one.colours, np.uint8).astype(np.int16) for one in (first, second))
    # The hash hardly sees a small thing before the same ground, nor a flat picture's colour; the cells do.
    return int(np.abs(left - right).max()) <= MAX_COLOUR_STEP


def hash_picture(picture: Image) -> int:
    """Hash a picture to 64 bits: the signs of its lowest frequencies about their median.

    The discrete cosine transform of 32 x 32 mean luminances, of which the 8 x 8 lowest but the constant row and column
    are kept (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1).
    """
    import numpy as np

    side = 4 * SIDE
    plane = np.asarray(picture.convert("L").resize((side, side), 4), np.float64)
    waves = _waves(side)
    # Rounded, or the signs of a flat picture would be those of its rounding errors.
    low = np.round(waves @ plane @ waves.T, 3).ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def _waves(side: int) -> npt.NDArray[np.float64]:
    """Rows 1 to 8 of the discrete cosine transform (type II) of a length."""
    import numpy as np

    return np.asarray(np.cos(np.pi * np.outer(np.arange(1, SIDE + 1), np.arange(side) + 0.5) / side))


PLUGIN = PlainAudit("picture-twins", "1", "image", MEASURES, PictureTwins, compares=True)
