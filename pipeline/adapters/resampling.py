"""Another sample rate, for formats that do not take every one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

_MARGIN: Seconds = 0.05
"""Silence appended before the transform, since it joins a clip's end to its beginning."""


def choose_rate(sample_rate: Hertz, allowed: Sequence[Hertz]) -> Hertz:
    """Return the rate itself where it is allowed, else the next higher one, which loses nothing, else the highest."""
    return min((rate for rate in allowed if rate >= sample_rate), default=max(allowed))


def resample(samples: Samples, sample_rate: Hertz, wanted: Hertz) -> Samples:
    """Resample through the frequency domain: all that lies under half of the lower rate is kept as it is.

    Args:
        samples: (num_frames, num_channels).

    Returns:
        (ceil(num_frames * wanted / sample_rate), num_channels).
    """
    import numpy as np

    if sample_rate == wanted:
        return samples
    common = math.gcd(sample_rate, wanted)
    up, down = wanted // common, sample_rate // common
    # A multiple of `down` frames comes to a whole number of frames at the new rate.
    num_blocks = math.ceil((samples.shape[0] + _MARGIN * sample_rate) / down)
    size_in, size_out = num_blocks * down, num_blocks * up
    spectrum = np.fft.rfft(samples.astype(np.float64), n=size_in, axis=0)
    num_kept = min(size_in, size_out) // 2 + 1
    kept = np.zeros((size_out // 2 + 1, samples.shape[1]), dtype=np.complex128)
    kept[:num_kept] = spectrum[:num_kept]
    if size_in % 2 == 0 and size_out > size_in:
        # The bin at half of the old rate stands for itself and for its mirror image.
        kept[num_kept - 1] *= 0.5
    resampled = np.fft.irfft(kept, n=size_out, axis=0) * (up / down)
    return np.asarray(resampled[: math.ceil(samples.shape[0] * up / down)], dtype=np.float32)
