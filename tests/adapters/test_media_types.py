from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline.adapters.media_types import UNKNOWN, find_media_type


def picture(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "teal").save(file, name)
    return file.getvalue()


def sound(name: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(4800, np.float32), 24000, format=name)
    return file.getvalue()


@pytest.mark.parametrize(("name", "kind"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("AVIF", "avif")])
def test_pictures_are_known_by_their_first_bytes(name: str, kind: str) -> None:
    assert find_media_type(picture(name)) == f"image/{kind}"


@pytest.mark.parametrize(("name", "kind"), [("FLAC", "flac"), ("WAV", "wav"), ("MP3", "mpeg"), ("OGG", "ogg")])
def test_sound_is_known_by_its_first_bytes(name: str, kind: str) -> None:
    assert find_media_type(sound(name)) == f"audio/{kind}"


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"<svg onload=alert(1)>", b"<!doctype html>", b"RIFF1234AVI ", b"%PDF-1.7"]
)
def test_nothing_that_a_browser_would_run_gets_a_type(data: bytes) -> None:
    assert find_media_type(data) == UNKNOWN
