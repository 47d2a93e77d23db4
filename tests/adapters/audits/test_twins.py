from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.audits.music_twins import PLUGIN as MUSIC
from pipeline.adapters.audits.picture_twins import PLUGIN as PICTURES
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, AuditOptions, Reading, Sketch

RATE = 16_000


def compare(plugin: Any, items: list[AuditItem]) -> dict[str, Reading]:
    """The one reading of each record that was compared."""
    comparer: Any = plugin.load(AuditOptions(), ModelCache())
    (measure,) = plugin.measures(AuditOptions())
    sketches = zip(items, comparer.sketch(items), strict=True)
    kept = [Sketch(item.id, item.dialogue_id, data) for item, data in sketches if data is not None]
    return {name: readings[measure.name] for name, readings in comparer.compare(kept)}


def picture(name: str, seed: int, dialogue: str = "", edited_from: str | None = None) -> AuditItem:
    values = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return AuditItem(name, dialogue or name, {"edited_from": edited_from}, buffer.getvalue(), decode_picture)


def test_the_lowest_id_of_equal_pictures_is_no_twin() -> None:
    found = compare(PICTURES, [picture("c", 1), picture("a", 1), picture("b", 2)])
    assert {name: reading.value for name, reading in found.items()} == {"a": 8.0, "b": 8.0, "c": 0.0}
    assert found["c"].detail == "like a"


def test_an_edit_is_no_twin_of_what_its_dialogue_shows() -> None:
    first, edit = picture("a", 1, "d"), picture("b", 1, "d", edited_from="a")
    assert compare(PICTURES, [first, edit])["b"].value == 8.0
    assert compare(PICTURES, [first, picture("b", 1, "d")])["b"].value == 0.0
    assert compare(PICTURES, [first, picture("b", 1, "e", edited_from="x")])["b"].value == 0.0


def test_flat_pictures_of_other_colours_are_no_twins() -> None:
    def plain(name: str, colour: tuple[int, int, int]) -> AuditItem:
        buffer = io.BytesIO()
        Image.new("RGB", (96, 96), colour).save(buffer, "PNG")
        return AuditItem(name, name, {}, buffer.getvalue(), decode_picture)

    found = compare(PICTURES, [plain("a", (200, 10, 10)), plain("b", (10, 10, 200)), plain("c", (10, 12, 200))])
    assert [found[name].value for name in "abc"] == [8.0, 8.0, 0.0]


def melody(name: str, seed: int, gain: float = 0.3, skip: float = 0.0) -> AuditItem:
    rng = np.random.default_rng(seed)
    times = np.arange(RATE // 4) / RATE
    notes = [np.sin(2 * np.pi * 220 * 2 ** (rng.integers(0, 24) / 12) * times) * np.exp(-6 * times) for _ in range(40)]
    samples = (gain * np.concatenate(notes)).astype(np.float32)[round(skip * RATE) :, None]
    return AuditItem(name, name, {}, encode_audio(samples, RATE), decode_sound)


def test_a_piece_is_known_again_when_softer_and_cut() -> None:
    found = compare(MUSIC, [melody("a", 1), melody("b", 2), melody("c", 1, 0.1, 0.9)])
    values = {name: reading.value or 0.0 for name, reading in found.items()}
    assert values["a"] == 0.0
    assert values["b"] < 0.1
    assert values["c"] > 0.5
    assert found["c"].detail == "like a"


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0])
def test_silence_and_scraps_are_not_compared(seconds: float) -> None:
    samples = np.zeros((max(1, round(seconds * RATE)), 2), np.float32)
    item = AuditItem("a", "a", {}, encode_audio(samples, RATE), decode_sound)
    assert compare(MUSIC, [item]) == {}
    assert compare(MUSIC, []) == compare(PICTURES, []) == {}
