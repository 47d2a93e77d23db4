"""Which sizes a storyboard can be drawn in."""

from __future__ import annotations

from pipeline.values.units import Pixels

MIN_SIDE: Pixels = 16
MAX_SIDE: Pixels = 2_048
MAX_ASPECT = 4.0


def refuse_size(width: Pixels, height: Pixels) -> str | None:
    """Say why a picture cannot be had in a size; None where it can."""
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        return f"{width} x {height} pixels, each side must be {MIN_SIDE} to {MAX_SIDE}"
    if max(width, height) > MAX_ASPECT * min(width, height):
        return f"{width} x {height} pixels, one side may be at most {MAX_ASPECT:g} times the other"
    return None
