"""Whether sound is heard: loudness, silence, clipping, and the length that its row promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pipeline.adapters.loudness import SILENCE_LUFS, measure_loudness
from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings, Subject
from pipeline.values.units import LUFS, Hertz

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.contracts.render import Licence, ModelFiles

    Samples = npt.NDArray[np.float32]

QUIET_FRAME = 10 ** (-60 / 20)
"""A frame of 50 ms whose root mean square lies under -60 dBFS is silent: rooms hiss louder than that."""

QUIETEST: Mapping[str, LUFS] = {"music": -45.0, "speech": -55.0}
"""A whisper recorded at a voice's gain lies near -45 LUFS, and can be brought up; a tune so faint has gone wrong."""

FULL_SCALE = 0.999
CLIPPED_RUN = 3
"""So many neighbouring samples at full scale of one sign are a clipped peak; one or two are a loud one."""


def _measures(subject: Literal["music", "speech"]) -> tuple[Measure, ...]:
    return (
        Measure(
            name=f"{subject}.loudness",
            unit="LUFS",
            better="higher",
            limit=QUIETEST[subject],
            summary="Integrated loudness after ITU-R BS.1770-4; -70 stands for silence.",
        ),
        Measure(
            name=f"{subject}.silent_share",
            unit="share",
            better="lower",
            limit=0.5,
            summary="Share of frames of 50 ms under -60 dBFS.",
        ),
        Measure(
            name=f"{subject}.longest_silence",
            unit="s",
            better="lower",
            limit=3.0 if subject == "music" else 2.0,
            summary="Longest stretch of silent frames, those before the first and after the last sound included.",
        ),
        Measure(
            name=f"{subject}.clipped_share",
            unit="share",
            better="lower",
            limit=0.0005,
            summary="Share of samples in runs of three or more at full scale.",
        ),
        Measure(
            name=f"{subject}.duration_error",
            unit="s",
            better="lower",
            limit=0.05,
            summary="Seconds by which the sound differs from the duration that the row states.",
        ),
    )


class SoundBasics:
    """Measures sound of one subject."""

    def __init__(self, subject: Literal["music", "speech"]) -> None:
        self._subject = subject

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each sound, in order."""
        return [{f"{self._subject}.{name}": found for name, found in _read(item).items()} for item in items]


def _read(item: AuditItem) -> Readings:
    samples, sample_rate = item.media
    if not len(samples):
        # Nothing at all is the utmost silence, and must not pass for want of a value.
        heard = {"loudness": Reading(value=SILENCE_LUFS), "silent_share": Reading(value=1.0)}
        return {**heard, "duration_error": _compare_duration(0.0, item.row)}
    share, longest = measure_silence(samples, sample_rate)
    return {
        "loudness": Reading(value=measure_loudness(samples, sample_rate)),
        "silent_share": Reading(value=share),
        "longest_silence": Reading(value=longest),
        "clipped_share": Reading(value=measure_clipping(samples)),
        "duration_error": _compare_duration(len(samples) / sample_rate, item.row),
    }


def measure_silence(samples: Samples, sample_rate: Hertz) -> tuple[float, float]:
    """Return the share of silent frames, and the longest stretch of them in seconds.

    Args:
        samples: (num_frames, num_channels), at least one frame; the loudest channel counts.
    """
    import numpy as np

    size = max(1, sample_rate // 20)
    count = -(-len(samples) // size)
    padded = np.zeros((count * size, samples.shape[1]), np.float32)
    padded[: len(samples)] = samples
    blocks = padded.reshape(count, size, -1)
    lengths = np.minimum(size, len(samples) - size * np.arange(count))
    loudness = np.sqrt(np.square(blocks, dtype=np.float64).sum(axis=1) / lengths[:, None]).max(axis=1)
    is_silent = np.concatenate([[False], loudness < QUIET_FRAME, [False]])
    edges = np.flatnonzero(np.diff(is_silent.astype(np.int8)))
    stretches = edges[1::2] - edges[::2]
    longest = float(stretches.max()) * size / sample_rate if stretches.size else 0.0
    return float(is_silent[1:-1].mean()), min(longest, len(samples) / sample_rate)


def measure_clipping(samples: Samples) -> float:
    """Return the share of samples that stand in runs at full scale, the worst channel's.

    Args:
        samples: (num_frames, num_channels), at least one frame.
    """
    import numpy as np

    worst = 0.0
    for channel in samples.T:
        clipped = 0
        for side in (channel >= FULL_SCALE, channel <= -FULL_SCALE):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], side.astype(np.int8), [0]])))
            runs = edges[1::2] - edges[::2]
            clipped += int(runs[runs >= CLIPPED_RUN].sum())
        worst = max(worst, clipped / len(channel))
    return worst


def _compare_duration(seconds: float, row: Mapping[str, object]) -> Reading:
    stated = row.get("duration")
    if not isinstance(stated, (int, float)):
        return Reading(value=None, detail="the row states no duration")
    return Reading(value=abs(seconds - stated), detail=f"{seconds:.3f} s, stated {stated:.3f} s")


class SoundBasicsPlugin:
    """Needs nothing but numpy."""

    version = "1"
    is_default = True
    compares = False
    options = AuditOptions

    def __init__(self, subject: Literal["music", "speech"]) -> None:
        self.name = f"{subject}-basics"
        self.about: Subject = subject
        self._subject = subject

    def measures(self, options: AuditOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return _measures(self._subject)

    def models(self, options: AuditOptions) -> Sequence[str]:
        """None."""
        return ()

    def licences(self, options: AuditOptions) -> Mapping[str, Licence]:
        """None."""
        return {}

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def load(self, options: AuditOptions, models: ModelFiles) -> SoundBasics:
        """There are no weights."""
        return SoundBasics(self._subject)


MUSIC = SoundBasicsPlugin("music")
SPEECH = SoundBasicsPlugin("speech")
