"""What a corpus's row states of a medium's bytes, found by decoding them once and holding little of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.adapters.decoding import scan_sound
from pipeline.adapters.probes import probe_image
from pipeline.contracts.probe import Probed

if TYPE_CHECKING:
    import numpy.typing as npt


def measure_medium(kind: str, data: bytes) -> Probed:
    """Decode a picture or a sound whole.

    Returns:
        Its extension and the columns of its table: sound has ``peak`` and ``rms`` too, as renders state them.

    Raises:
        ValueError: it cannot be decoded within the limits of :mod:`pipeline.adapters.decoding`, or is silent for want
            of a single frame.
    """
    return probe_image(data) if kind == "image" else _measure_sound(data)


def _measure_sound(data: bytes) -> Probed:
    import numpy as np

    peak, power = 0.0, 0.0

    def take(block: npt.NDArray[Any]) -> None:
        nonlocal peak, power
        peak = max(peak, float(np.max(np.abs(block))))
        power += float(np.sum(np.square(block, dtype=np.float64)))

    sound = scan_sound(data, take)
    if not sound.num_frames:
        raise ValueError(f"{len(data)} bytes hold no sound")
    columns = {
        "duration": sound.num_frames / sound.sample_rate,
        "sample_rate": sound.sample_rate,
        "channels": sound.channels,
        "peak": round(peak, 6),
        "rms": round(math.sqrt(power / (sound.num_frames * sound.channels)), 6),
    }
    if not all(map(math.isfinite, columns.values())):
        raise ValueError(f"{len(data)} bytes hold samples that are not finite")
    return Probed(extension=sound.extension, columns=columns)
