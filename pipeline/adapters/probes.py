"""Decoding pictures and sound whole, with limits: what lies in a corpus may come from anywhere.

The limits are those of a manifest (4,096 pixels a side, 300 s of music) with room above, so that bytes which unpack
to gigabytes are refused by their header.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping

from pipeline.contracts.probe import Probe, Probed
from pipeline.values.units import Seconds

MAX_PIXELS = 2 * 4096 * 4096
MAX_SECONDS: Seconds = 3600
MAX_CHANNELS = 8
_FRAMES_A_READ = 2**16

_IMAGE_FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "AVIF": "avif"}
_SOUND_FORMATS = {"FLAC": "flac", "WAV": "wav", "WAVEX": "wav", "MP3": "mp3", "MPEG": "mp3", "OGG": "ogg"}


def probe_image(data: bytes) -> Probed:
    """Decode a PNG, JPEG, WebP or AVIF.

    Raises:
        ValueError: it is none of these, is cut off or damaged, or has more than :data:`MAX_PIXELS`.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns of a bomb where it does not yet refuse; here the warning is refusal enough.
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=tuple(_IMAGE_FORMATS)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ValueError(f"{width} x {height} pixels, at most {MAX_PIXELS:,} are decoded")
                image.load()
                name = image.format or ""
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
    return Probed(extension=_IMAGE_FORMATS[name], columns={"width": width, "height": height})


def probe_sound(data: bytes) -> Probed:
    """Decode a FLAC, WAV, MP3 or Ogg file, a second or so at a time.

    Raises:
        ValueError: it is none of these, is cut off or damaged, or is longer than :data:`MAX_SECONDS`.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels, claimed = file.samplerate, file.channels, file.frames
            if claimed > MAX_SECONDS * rate or channels > MAX_CHANNELS:
                raise ValueError(f"{claimed / rate:,.0f} s of {channels} channels, at most {MAX_SECONDS:,} s of 8")
            num_frames = 0
            while count := len(file.read(_FRAMES_A_READ, dtype="float32", always_2d=True)):
                num_frames += count
            name = file.format
    except (soundfile.SoundFileError, ValueError, TypeError, ZeroDivisionError, MemoryError) as exc:
        raise ValueError(f"{len(data)} bytes cannot be decoded as sound: {exc}") from exc
    # An MP3 states no exact length; its row's duration is compared all the same.
    if num_frames != claimed and _SOUND_FORMATS.get(name) != "mp3":
        raise ValueError(f"sound is cut off: {num_frames:,} of {claimed:,} frames can be decoded")
    if name not in _SOUND_FORMATS:
        raise ValueError(f"sound of format {name} is none of flac, wav, mp3 and ogg")
    columns = {"duration": num_frames / rate, "sample_rate": rate, "channels": channels}
    return Probed(extension=_SOUND_FORMATS[name], columns=columns)


PROBES: Mapping[str, Probe] = {"images": probe_image, "music": probe_sound, "speech": probe_sound}
"""How the assets of a table are decoded."""
