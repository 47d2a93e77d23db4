"""How well a picture is made, whatever it shows: blur, blocks of compression, exposure and noise.

All are measured on luminance after ITU-R BT.601, scaled to [0, 1], without a reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.audits.plain import PlainAudit
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Plane = npt.NDArray[np.float32]

REFERENCE_SIDE = 512
"""Blur is stated in pixels of a picture whose longer side this is, so that it means the same at every resolution."""

FAINTEST_EDGE = 0.006
"""Full scale over 170 pixels: weaker slopes are shading, and say nothing of focus."""

NUM_TILES = 8
"""A side; each tile's steepest edge is looked at, so that one sharp thing before a soft ground counts as focus."""

GRID = 8
"""Side of JPEG's blocks."""

SMALLEST_STEP = 1.5 / 255
"""Between neighbours; anything less is rounding."""

FAINT_SHARE = 0.2
"""Tiles whose steepest slope is under this share of the picture's are not asked for focus."""

MEASURES = (
    Measure(
        name="image.blur",
        unit="px of 512",
        better="lower",
        limit=1.15,
        summary="Spread of the sharpest edges, as a standard deviation; soft focus around a sharp thing passes.",
    ),
    Measure(
        name="image.blockiness",
        better="lower",
        limit=0.35,
        summary="How much oftener luminance steps on the borders of 8 x 8 blocks than within them, as a share of both.",
    ),
    Measure(
        name="image.brightest",
        unit="share of full scale",
        better="higher",
        limit=0.25,
        summary="Luminance that the brightest hundredth reaches; a night scene with one lamp passes.",
    ),
    Measure(
        name="image.darkest",
        unit="share of full scale",
        better="lower",
        limit=0.75,
        summary="Luminance that the darkest hundredth stays under; near 1 where all is washed out.",
    ),
    Measure(
        name="image.burned_share",
        unit="share",
        better="lower",
        summary="Share of pixels at full white; a white ground has as many as an overexposed one: only reported.",
    ),
    Measure(
        name="image.noise",
        unit="share of full scale",
        better="lower",
        limit=0.02,
        summary="Standard deviation of grain in the calmer parts, after Immerkaer (1996).",
    ),
)


class PictureQuality:
    """Measures pictures one by one."""

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each picture, in order."""
        return [_measure(item) for item in items]


def _measure(item: AuditItem) -> Readings:
    import numpy as np

    plane = np.asarray(item.media.convert("L"), dtype=np.float32) / 255.0
    dark, bright = (float(level) for level in np.quantile(plane, (0.01, 0.99)))
    blur = measure_blur(plane)
    return {
        "image.blur": Reading(value=blur, detail="" if blur is not None else "no edge to judge by"),
        "image.blockiness": Reading(value=measure_blockiness(plane)),
        "image.brightest": Reading(value=bright),
        "image.darkest": Reading(value=dark),
        "image.burned_share": Reading(value=float((plane >= 254 / 255).mean())),
        "image.noise": Reading(value=measure_noise(plane)),
    }


def measure_blur(plane: Plane) -> float | None:
    """Spread of the sharpest edges in pixels of :data:`REFERENCE_SIDE`; None where there is no edge.

    Blurring a step of spread s again by s1 lowers its steepest slope to s / sqrt(s^2 + s1^2) of what it was (Zhuo and
    Sim 2011, "Defocus map estimation from a single image", equation 5), from which s follows. Above some 3 pixels the
    roundings of 8 bits hold it low, and a stronger blur may read no higher.

    Args:
        plane: (height, width) luminance in [0, 1].
    """
    import numpy as np

    again = 1.5
    before, after = _slope(plane), _slope(_blur(plane, again))
    sides = [max(1, -(-side // NUM_TILES)) for side in plane.shape]
    faintest = max(FAINTEST_EDGE, FAINT_SHARE * float(before.max()))
    ratios = []
    for top in range(0, plane.shape[0], sides[0]):
        for left in range(0, plane.shape[1], sides[1]):
            tile = before[top : top + sides[0], left : left + sides[1]]
            row, column = np.unravel_index(int(tile.argmax()), tile.shape)
            if tile[row, column] > faintest:
                ratios.append(min(0.999, float(after[top + row, left + column] / tile[row, column])))
    if not ratios:
        return None
    ratio = float(np.quantile(ratios, 0.1))
    spread = again * ratio / (1.0 - ratio * ratio) ** 0.5
    return float(spread * REFERENCE_SIDE / max(plane.shape))


def _slope(plane: Plane) -> Plane:
    import numpy as np

    slope: Plane = np.hypot(*np.gradient(plane)) if min(plane.shape) > 1 else np.zeros_like(plane)
    return slope


def _blur(plane: Plane, spread: float) -> Plane:
    """Convolve with a Gaussian, the edges repeated outwards."""
    import numpy as np

    reach = int(3 * spread + 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        size = plane.shape[axis]
        padded = np.pad(plane, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        plane = np.zeros_like(plane)
        for shift, weight in enumerate(weights):
            plane += np.float32(weight) * padded.take(range(shift, shift + size), axis)
    return plane


def measure_blockiness(plane: Plane) -> float | None:
    """How much oftener luminance steps on the borders of blocks than within them, in [-1, 1]; 0 without blocks.

    Steps are laid side by side by their place in the grid, as Wang, Bovik and Evan (2000, "Blind measurement of
    blocking artifacts in images") find the grid's period. What counts is a step steeper than those on either side of
    it: within a block, low quality leaves slow waves. Blocks stand along both axes, so the lesser of the two is taken:
    a horizon or a wall that lies on the grid is none.

    Args:
        plane: (height, width) luminance in [0, 1].

    Returns:
        None for a picture of fewer than three blocks a side.
    """
    if min(plane.shape) < 3 * GRID:
        return None
    return min(_compare_borders(plane), _compare_borders(plane.T))


def _compare_borders(plane: Plane) -> float:
    """Do so along the rows."""
    import numpy as np

    steps = np.abs(np.diff(plane, axis=1))
    middle = steps[:, 1:-1]
    is_peak = (middle > steps[:, :-2]) & (middle > steps[:, 2:]) & (middle > SMALLEST_STEP)
    at_border = np.arange(1, steps.shape[1] - 1) % GRID == GRID - 1
    border, within = float(is_peak[:, at_border].mean()), float(is_peak[:, ~at_border].mean())
    return (border - within) / (border + within + 2e-3)


def measure_noise(plane: Plane) -> float | None:
    """Standard deviation of white noise, after Immerkaer (1996, "Fast noise variance estimation").

    The mask [1 -2 1] along both axes ignores slopes and turns noise of deviation s into 6 s. Its median over blocks of
    16 x 16 that are neither black nor white stands for the calmer parts; edges and texture lie in the others.

    Args:
        plane: (height, width) luminance in [0, 1].

    Returns:
        None where no block is left.
    """
    import numpy as np

    size = 16
    masked = np.abs(np.diff(np.diff(plane, 2, axis=0), 2, axis=1))
    rows, columns = (side // size for side in masked.shape)
    if not rows or not columns:
        return None

    def blocks(values: Plane) -> Plane:
        cut = values[: rows * size, : columns * size].reshape(rows, size, columns, size)
        return np.asarray(cut.mean(axis=(1, 3)))

    level = blocks(plane[1:-1, 1:-1])
    inside = blocks(masked)[(level > 0.03) & (level < 0.97)]
    return float(np.quantile(inside, 0.3)) * (np.pi / 2) ** 0.5 / 6.0 if inside.size else None


PLUGIN = PlainAudit("picture-quality", "1", "image", MEASURES, PictureQuality)
