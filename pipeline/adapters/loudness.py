"""Loudness after ITU-R BS.1770-4, measured and set: for renderers, audits and gates.

numpy and scipy are imported inside the functions: this module is imported to validate manifests.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pipeline.adapters.audio import as_frames
from pipeline.values.units import LUFS, Hertz

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.adapters.audio import Samples

SILENCE_LUFS: LUFS = -70.0
"""The absolute gate of BS.1770-4: anything quieter counts as silence, and silence is reported as this."""


def measure_loudness(samples: Samples, sample_rate: Hertz) -> LUFS:
    """Integrated loudness after ITU-R BS.1770-4, at least :data:`SILENCE_LUFS`.

    K-weighting, blocks of 0.4 s every 0.1 s, an absolute gate at -70 LUFS and a relative one 10 LU under what passed
    the first. All channels weigh 1.0 (the standard's 1.41 is for surround channels). A clip shorter than a block is
    measured as one block.

    Args:
        samples: (num_frames, num_channels), or (num_frames,) for one channel.
        sample_rate: 8,000 Hz at least; under that the shelf of the filter lies over half the rate.
    """
    return _gate(_measure_powers(as_frames(samples), sample_rate))


def is_quieter(samples: Samples, sample_rate: Hertz, threshold: LUFS) -> bool:
    """Whether :func:`measure_loudness` would lie under a threshold, for most clips at a fraction of the cost.

    The gates leave out what lies under the mean, so a clip of n blocks is at least as loud as one of them at 1/n of its
    power. The block with most energy is weighted alone, with half a second before it: the filter's memory.
    """
    import numpy as np

    frames = as_frames(samples)
    block, memory = round(0.4 * sample_rate), sample_rate // 2
    if frames.shape[0] > 2 * (block + memory):
        energies = np.concatenate([[0.0], np.cumsum(np.sum(np.square(frames, dtype=np.float64), axis=1))])
        starts = _begin_blocks(frames.shape[0], block, sample_rate)
        first = int(starts[np.argmax(energies[starts + block] - energies[starts])])
        weighted = _weight_by_hearing(frames[max(0, first - memory) : first + block], sample_rate)[-block:]
        if float(np.sum(np.square(weighted))) / block >= starts.size * _power_of(threshold):
            return False
    return measure_loudness(frames, sample_rate) < threshold


class Levelled(NamedTuple):
    """Samples of (num_frames, num_channels), and their loudness as :func:`measure_loudness` has it."""

    samples: Samples
    loudness: LUFS


def set_loudness(samples: Samples, sample_rate: Hertz, target: LUFS, peak_ceiling: float = 0.891) -> Levelled:
    """Scale to a loudness, or to the peak ceiling where that is reached first.

    gain = min(10^((target - loudness) / 20), peak_ceiling / peak); one gain for the clip, so nothing is compressed or
    clipped. Silence is returned as it is.

    Args:
        peak_ceiling: Largest absolute sample allowed; 0.891 is -1 dBFS (sample peak, not oversampled true peak).
    """
    import numpy as np

    frames = as_frames(samples)
    powers = _measure_powers(frames, sample_rate)
    loudness = _gate(powers)
    peak = float(np.max(np.abs(frames)))
    if loudness <= SILENCE_LUFS or peak <= 0.0:
        return Levelled(frames, loudness)
    gain = np.float32(min(10.0 ** ((target - loudness) / 20.0), peak_ceiling / peak))
    # One gain for all scales the power of every block by its square: there is nothing to weight a second time.
    return Levelled(np.asarray(frames * gain, dtype=np.float32), _gate(powers * float(gain) ** 2))


def _begin_blocks(num_frames: int, block: int, sample_rate: Hertz) -> npt.NDArray[np.int64]:
    """Where the blocks of BS.1770-4 begin: every 0.1 s."""
    import numpy as np

    return np.arange(0, num_frames - block + 1, max(1, round(0.1 * sample_rate)), dtype=np.int64)


def _measure_powers(frames: Samples, sample_rate: Hertz) -> npt.NDArray[np.float64]:
    """K-weighted power of every block, all channels together."""
    import numpy as np

    weighted = _weight_by_hearing(frames, sample_rate)
    energies = np.concatenate([[0.0], np.cumsum(np.sum(np.square(weighted), axis=1))])
    block = min(round(0.4 * sample_rate), weighted.shape[0])
    starts = _begin_blocks(weighted.shape[0], block, sample_rate)
    powers: npt.NDArray[np.float64] = (energies[starts + block] - energies[starts]) / block
    return powers


def _gate(powers: npt.NDArray[np.float64]) -> LUFS:
    """Loudness of the blocks that pass the absolute gate, and then the relative one."""
    import numpy as np

    powers = powers[powers > _power_of(SILENCE_LUFS)]
    if powers.size == 0:
        return SILENCE_LUFS
    powers = powers[powers > float(np.mean(powers)) / 10.0]
    return _loudness_of(float(np.mean(powers)))


def _weight_by_hearing(frames: Samples, sample_rate: Hertz) -> npt.NDArray[np.float64]:
    """Apply the K-weighting of BS.1770-4."""
    import numpy as np
    from scipy.signal import sosfilt

    weighted: npt.NDArray[np.float64] = sosfilt(_hearing_sections(sample_rate), frames.astype(np.float64), axis=0)
    return weighted


def _hearing_sections(sample_rate: Hertz) -> tuple[tuple[float, ...], ...]:
    """K-weighting in two sections: a high shelf (the head), then a high-pass (revised low-frequency B curve).

    The standard prints coefficients for 48 kHz only. The analogue parameters behind them, from which those of any
    other rate follow by the bilinear transform, are those of B. De Man, "Evaluation of implementations of the EBU
    R128 loudness measurement" (2018), as in libebur128.

    Returns:
        Rows of b0, b1, b2, a0, a1, a2 with a0 = 1.
    """
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    high = 10.0 ** (3.999843853973347 / 20.0)
    middle = high**0.4996667741545416
    a0 = 1.0 + k / q + k * k
    shelf = (
        *((high + middle * k / q + k * k) / a0, 2.0 * (k * k - high) / a0, (high - middle * k / q + k * k) / a0),
        *(1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0),
    )
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a0 = 1.0 + k / q + k * k
    # The standard's second filter keeps b = (1, -2, 1) without the usual division by a0.
    high_pass = (1.0, -2.0, 1.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0)
    return shelf, high_pass


def _power_of(loudness: LUFS) -> float:
    return float(10.0 ** ((loudness + 0.691) / 10.0))


def _loudness_of(power: float) -> LUFS:
    return -0.691 + 10.0 * math.log10(power)
