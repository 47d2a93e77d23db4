from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.decoding import MAX_SECONDS
from pipeline.adapters.probes import probe_image, probe_sound


def picture(name: str, width: int = 40, height: int = 30) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=name)
    return buffer.getvalue()


def sound(extension: str, seconds: float = 0.5, rate: int = 16_000) -> bytes:
    times = np.arange(round(seconds * rate)) / rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    return encode_audio(np.stack([tone, tone], axis=1), rate, extension)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few dozen bytes whose header claims any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("name", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("AVIF", "avif")])
def test_a_picture_shows_what_it_is_and_how_large(name: str, extension: str) -> None:
    probed = probe_image(picture(name))
    assert probed.extension == extension
    assert probed.columns == {"width": 40, "height": 30}


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_picture_that_is_cut_off_is_refused(name: str) -> None:
    data = picture(name)
    with pytest.raises(ValueError, match="cannot be decoded as a picture"):
        probe_image(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("size", [(8000, 8000), (12_000, 12_000), (60_000, 60_000), (0, 5)])
def test_a_picture_that_would_unpack_to_gigabytes_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be decoded as a picture"):
        probe_image(bomb(*size))


@pytest.mark.parametrize("data", [b"", b"hello", picture("GIF"), picture("BMP"), sound("wav")])
def test_what_is_no_picture_of_a_kind_that_a_corpus_holds_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be decoded as a picture"):
        probe_image(data)


@pytest.mark.parametrize("extension", ["flac", "wav", "mp3"])
def test_sound_shows_what_it_is_and_how_long(extension: str) -> None:
    probed = probe_sound(sound(extension))
    assert probed.extension == extension
    assert probed.columns["duration"] == pytest.approx(0.5, abs=0.1 if extension == "mp3" else 0)
    assert probed.columns["sample_rate"] == 16_000
    assert probed.columns["channels"] == 2


def test_flac_that_is_cut_off_is_refused() -> None:
    data = sound("flac", seconds=4)
    with pytest.raises(ValueError, match=r"cut off|cannot be decoded"):
        probe_sound(data[: len(data) // 2])


def test_wav_that_is_cut_off_is_shorter_than_it_claims() -> None:
    data = sound("wav", seconds=4)
    assert probe_sound(data[: len(data) // 2]).columns["duration"] < 3


def test_sound_of_unreasonable_length_is_refused_without_decoding_it() -> None:
    silence = np.zeros(round((MAX_SECONDS + 1) * 8), dtype=np.float32)
    with pytest.raises(ValueError, match="at most 3,600 s"):
        probe_sound(encode_audio(silence, 8, "wav"))


@pytest.mark.parametrize("data", [b"", b"hello", picture("PNG")])
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be decoded as sound"):
        probe_sound(data)
