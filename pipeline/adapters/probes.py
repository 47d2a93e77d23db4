"""What decoding an asset's bytes shows, for whoever holds it against what its row claims."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.adapters.decoding import IMAGE_FORMATS, open_picture, scan_sound
from pipeline.contracts.probe import Probe, Probed


def probe_image(data: bytes) -> Probed:
    """Decode a PNG, JPEG, WebP or AVIF.

    Raises:
        ValueError: it cannot be decoded within the limits of :mod:`pipeline.adapters.decoding`.
    """
    image = open_picture(data)
    columns = {"width": image.width, "height": image.height}
    return Probed(extension=IMAGE_FORMATS[image.format or ""], columns=columns)


def probe_sound(data: bytes) -> Probed:
    """Decode a FLAC, WAV, MP3 or Ogg file.

    Raises:
        ValueError: it cannot be decoded within the limits of :mod:`pipeline.adapters.decoding`.
    """
    sound = scan_sound(data, lambda block: None)
    duration = sound.num_frames / sound.sample_rate
    columns = {"duration": duration, "sample_rate": sound.sample_rate, "channels": sound.channels}
    return Probed(extension=sound.extension, columns=columns)


PROBES: Mapping[str, Probe] = {"images": probe_image, "music": probe_sound, "speech": probe_sound}
"""How the assets of a table are decoded."""
