from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pipeline.adapters.audits.picture_quality import MEASURES, PLUGIN, measure_blockiness, measure_blur, measure_noise
from pipeline.adapters.decoding import decode_picture
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, AuditOptions

SIDE = 256
LIMIT = {measure.name: measure.limit or 0.0 for measure in MEASURES}["image.blur"]


def shapes() -> Image.Image:
    """Discs of many colours on a shaded ground."""
    axis = np.arange(SIDE) / SIDE
    values = np.repeat((0.3 + 0.4 * axis)[:, None], SIDE, axis=1)[..., None] * np.array([0.8, 0.9, 1.0])
    rng = np.random.default_rng(3)
    for _ in range(12):
        (x, y, radius), colour = rng.uniform(0.1, 0.9, 3) * np.array([1, 1, 0.2]), rng.uniform(0, 1, 3)
        values = np.where((np.hypot(axis - x, axis[:, None] - y) < radius)[..., None], colour, values)
    return Image.fromarray((values * 255).astype(np.uint8))


def plane(picture: Image.Image) -> Any:
    return np.asarray(picture.convert("L"), np.float32) / 255


@pytest.mark.parametrize("spread", [2.0, 3.0, 5.0])
def test_blur_is_told_and_not_overstated(spread: float) -> None:
    blurred = plane(shapes().filter(ImageFilter.GaussianBlur(spread)))
    # A picture of 256 pixels stands for one of 512.
    assert LIMIT < (measure_blur(blurred) or 0.0) < 2.5 * spread
    assert (measure_blur(plane(shapes())) or 9.0) < LIMIT


def test_one_sharp_thing_before_a_blurred_ground_is_in_focus() -> None:
    picture = shapes().filter(ImageFilter.GaussianBlur(5.0))
    picture.paste(shapes().crop((60, 60, 130, 130)), (60, 60))
    assert (measure_blur(plane(picture)) or 9.0) < LIMIT


def test_shading_has_no_edge_to_judge_by() -> None:
    assert measure_blur(np.tile(np.linspace(0, 1, SIDE, dtype=np.float32), (SIDE, 1))) is None
    assert measure_blur(np.zeros((1, 1), np.float32)) is None


def test_blocks_are_told_by_their_grid() -> None:
    readings = []
    for quality in (95, 30, 5):
        buffer = io.BytesIO()
        shapes().save(buffer, "JPEG", quality=quality)
        readings.append(measure_blockiness(plane(decode_picture(buffer.getvalue()))) or 0.0)
    assert readings == sorted(readings)
    assert abs(measure_blockiness(plane(shapes())) or 0.0) < 0.1
    assert measure_blockiness(np.zeros((20, 200), np.float32)) is None


@pytest.mark.parametrize("level", [0.02, 0.05, 0.1])
def test_noise_is_measured_as_its_deviation(level: float) -> None:
    noise = np.random.default_rng(1).normal(0, level, (SIDE, SIDE)).astype(np.float32)
    assert measure_noise(0.5 + 0.2 * plane(shapes()) + noise) == pytest.approx(level, rel=0.2)
    assert measure_noise(plane(shapes())) == pytest.approx(0.0, abs=0.003)
    assert measure_noise(np.zeros((SIDE, SIDE), np.float32)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 3), (30, 30)])
def test_pictures_of_any_size_are_read(size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, (90, 10, 200)).save(buffer, "PNG")
    auditor: Any = PLUGIN.load(AuditOptions(), ModelCache())
    (readings,) = auditor.measure([AuditItem("a", "a", {}, buffer.getvalue(), decode_picture)])
    assert set(readings) == {measure.name for measure in PLUGIN.measures(AuditOptions())}
