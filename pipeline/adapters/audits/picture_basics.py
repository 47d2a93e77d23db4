"""Whether a picture shows anything: contrast, fine detail, and the resolution that its row promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings, Subject

if TYPE_CHECKING:
    from PIL.Image import Image

    from pipeline.contracts.render import Licence, ModelFiles

MEASURES = (
    Measure(
        name="image.contrast",
        unit="share of full scale",
        better="higher",
        limit=0.02,
        summary="Standard deviation of luminance; near 0 for a blank or one-coloured picture.",
    ),
    Measure(
        name="image.detail",
        unit="share of full scale",
        better="higher",
        limit=0.0003,
        summary="Mean absolute difference of neighbouring pixels; a small thing on a plain ground passes.",
    ),
    Measure(
        name="image.size_error",
        unit="px",
        better="lower",
        limit=0.0,
        summary="Pixels by which width and height together differ from what the row states.",
    ),
)


class PictureBasics:
    """Measures luminance after ITU-R BT.601, scaled to [0, 1]."""

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each picture, in order."""
        return [self._measure(item) for item in items]

    def _measure(self, item: AuditItem) -> Readings:
        contrast, detail = _measure_luminance(item.media)
        return {
            "image.contrast": Reading(value=contrast),
            "image.detail": Reading(value=detail),
            "image.size_error": _compare_size(item.media, item.row),
        }


def _measure_luminance(picture: Image) -> tuple[float, float]:
    import numpy as np

    luminance = np.asarray(picture.convert("L"), dtype=np.float32) / 255.0
    steps = [np.abs(np.diff(luminance, axis=axis)) for axis in (0, 1)]
    detail = sum(float(step.mean()) for step in steps if step.size) / 2
    return float(luminance.std()), detail


def _compare_size(picture: Image, row: Mapping[str, object]) -> Reading:
    width, height = row.get("width"), row.get("height")
    if not isinstance(width, int) or not isinstance(height, int):
        return Reading(value=None, detail="the row states no size")
    difference = abs(picture.width - width) + abs(picture.height - height)
    return Reading(value=float(difference), detail=f"{picture.width} x {picture.height}, stated {width} x {height}")


class PictureBasicsPlugin:
    """Needs nothing but numpy and Pillow."""

    name = "picture-basics"
    version = "1"
    about: Subject = "image"
    is_default = True
    compares = False
    options = AuditOptions

    def measures(self, options: AuditOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return MEASURES

    def models(self, options: AuditOptions) -> Sequence[str]:
        """None."""
        return ()

    def licences(self, options: AuditOptions) -> Mapping[str, Licence]:
        """None."""
        return {}

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def load(self, options: AuditOptions, models: ModelFiles) -> PictureBasics:
        """There are no weights."""
        return PictureBasics()


PLUGIN = PictureBasicsPlugin()
