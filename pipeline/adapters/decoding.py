"""Decoding pictures and sound whole, with limits: what lies in a corpus may come from anywhere.

The limits are those of a manifest (4,096 pixels a side, 300 s of music) with room above, so that bytes which unpack
to gigabytes are refused by their header.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

MAX_PIXELS = 2 * 4096 * 4096
MAX_SECONDS: Seconds = 3600
MAX_CHANNELS = 8
MAX_SAMPLES = 2**26
"""Held in memory at once: 256 MB, or 11 minutes of stereo at 48 kHz."""
_FRAMES_A_READ = 2**16

IMAGE_FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "AVIF": "avif"}
SOUND_FORMATS = {"FLAC": "flac", "WAV": "wav", "WAVEX": "wav", "MP3": "mp3", "MPEG": "mp3", "OGG": "ogg"}
"""The library's names of what is read, and ours."""


def open_picture(data: bytes) -> Image:
    """Decode every pixel of a PNG, JPEG, WebP or AVIF.

    Raises:
        ValueError: it is none of these, is cut off or damaged, or has more than :data:`MAX_PIXELS`.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns of a bomb where it does not yet refuse; here the warning is refusal enough.
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=tuple(IMAGE_FORMATS)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ValueError(f"{width} x {height} pixels, at most {MAX_PIXELS:,} are decoded")
                image.load()
                return image
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        OverflowError,
        MemoryError,
        Warning,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as exc:
        raise ValueError(f"{len(data)} bytes cannot be decoded as a picture: {exc}") from exc


def decode_picture(data: bytes) -> Image:
    """Decode a picture to RGB; transparency is laid on white, as viewers do. Raises as :func:`open_picture`."""
    from PIL import Image

    image = open_picture(data)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def decode_sound(data: bytes) -> tuple[npt.NDArray[np.float32], Hertz]:
    """Decode a FLAC, WAV, MP3 or Ogg file of at most :data:`MAX_SAMPLES`.

    Returns:
        Samples of shape (num_frames, num_channels), full scale being [-1, 1], and frames per second.

    Raises:
        ValueError: it is none of these, is cut off or damaged, or is too long.
    """
    import numpy as np

    parts: list[npt.NDArray[np.float32]] = []
    sound = scan_sound(data, parts.append, MAX_SAMPLES)
    samples = np.concatenate(parts) if parts else np.zeros((0, sound.channels), np.float32)
    return samples, sound.sample_rate


@dataclass(frozen=True)
class ScannedSound:
    """What was read from the first frame to the last; the extension is that of the format."""

    num_frames: int
    sample_rate: Hertz
    channels: int
    extension: str


def decode_integers(data: bytes) -> tuple[npt.NDArray[np.int16], Hertz]:
    """Decode as :func:`decode_sound` does, to 16 bits, and raise as it does."""
    import numpy as np

    parts: list[npt.NDArray[np.int16]] = []
    sound = scan_sound(data, parts.append, MAX_SAMPLES, "int16")
    samples = np.concatenate(parts) if parts else np.zeros((0, sound.channels), np.int16)
    return samples, sound.sample_rate


def scan_sound(
    data: bytes,
    take: Callable[[npt.NDArray[Any]], object],
    max_samples: int | None = None,
    kind: Literal["float32", "int16"] = "float32",
) -> ScannedSound:
    """Decode a FLAC, WAV, MP3 or Ogg file a second or so at a time.

    Args:
        take: Is given each block, of shape (num_frames, num_channels).
        max_samples: Frames times channels; None for as many as :data:`MAX_SECONDS` and 8 channels hold.
        kind: Of the samples that are given.

    Raises:
        ValueError: it is none of these, is cut off or damaged, or is too long.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels, claimed = file.samplerate, file.channels, file.frames
            if claimed > MAX_SECONDS * rate or channels > MAX_CHANNELS:
                raise ValueError(f"{claimed / rate:,.0f} s of {channels} channels, at most {MAX_SECONDS:,} s of 8")
            if max_samples is not None and claimed * channels > max_samples:
                raise ValueError(f"{claimed * channels:,} samples, at most {max_samples:,} are decoded")
            num_frames = 0
            while len(block := file.read(_FRAMES_A_READ, dtype=kind, always_2d=True)):
                num_frames += len(block)
                take(block)
            name = file.format
    except (soundfile.SoundFileError, ValueError, TypeError, ZeroDivisionError, MemoryError) as exc:
        raise ValueError(f"{len(data)} bytes cannot be decoded as sound: {exc}") from exc
    # An MP3 states no exact length; its row's duration is compared all the same.
    if num_frames != claimed and SOUND_FORMATS.get(name) != "mp3":
        raise ValueError(f"sound is cut off: {num_frames:,} of {claimed:,} frames can be decoded")
    if name not in SOUND_FORMATS:
        raise ValueError(f"sound of format {name} is none of flac, wav, mp3 and ogg")
    return ScannedSound(num_frames, int(rate), channels, SOUND_FORMATS[name])
