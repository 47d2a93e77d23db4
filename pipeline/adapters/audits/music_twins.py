"""Pieces that are the same recording: landmarks of the spectrum, and how many of them another piece has in step.

A landmark is a pair of spectral peaks: both frequencies and the time between them (Wang 2003, "An industrial-strength
audio search algorithm"). It outlives another loudness, a cut at the ends and soft noise. A lossy format moves many
peaks, and leaves a share of 0.15 to 0.3; two pieces to the same words, in one key, tempo and cast, may have 0.1 to 0.2
of theirs in step, so the limit lies above that and most copies in such a format pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.audits.plain import PlainAudit
from pipeline.adapters.resampling import resample
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings, Sketch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]
    Marks = npt.NDArray[np.uint32]

RATE = 8_000
WINDOW = 2_048
HOP = 256
"""Frames every 32 ms, bins of 3.9 Hz; landmarks keep half of either, since a codec moves peaks by one."""

PEAKS_A_SECOND = 12
NUM_PARTNERS = 4
MAX_GAP = 63
"""Frames from a peak to its partners, at most: 2 s, and five bits of the landmark."""

MAX_MARKS = 256
"""Kept of a piece: those whose scrambled values are lowest, so that two copies keep the same ones. 2 KB a piece."""

MIN_MARKS = 12
"""With fewer, a share says nothing."""

MIN_SHARED = 8
"""Fewer landmarks in step are chance, and read as none."""

MAX_SHARERS = 64
"""Of pieces with the same landmark, only so many of the lowest ids are looked at: the work stays linear."""

MEASURES = (
    Measure(
        name="music.twin_share",
        unit="share",
        better="lower",
        limit=0.25,
        summary="Share of landmarks that the likest piece with a lower id has too, in the same step.",
    ),
)


class MusicTwins:
    """Compares landmarks. The piece with the lowest id of those that sound alike is no twin, so that one is left."""

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return landmarks and their times, 8 bytes each; None for a piece with too few to judge by."""
        found = [find_landmarks(*item.media) for item in items]
        return [marks.astype("<u4").tobytes() if len(marks) >= MIN_MARKS else None for marks in found]

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield one reading a piece, in order of their ids."""
        import numpy as np

        kept = sorted((sketch.id, sketch.data) for sketch in sketches)
        marks = [np.frombuffer(data, "<u4").reshape(-1, 2) for _, data in kept]
        index = _Index(marks)
        for place, (name, _) in enumerate(kept):
            twin, share = index.find_twin(place, marks[place])
            detail = "" if twin is None else f"like {kept[twin][0]}"
            yield name, {"music.twin_share": Reading(value=share, detail=detail)}


class _Index:
    """All landmarks of a corpus, sorted; those of one value lie by the order of their pieces."""

    def __init__(self, marks: Sequence[Marks]) -> None:
        import numpy as np

        self._sizes = np.array([len(some) for some in marks])
        joined = np.concatenate([np.zeros((0, 2), np.uint32), *marks])
        owners = np.repeat(np.arange(len(marks), dtype=np.int64), self._sizes) if len(marks) else np.zeros(0, np.int64)
        order = np.argsort(joined[:, 0], kind="stable")
        self._values = joined[order, 0]
        self._times = joined[order, 1].astype(np.int64)
        self._owners = owners[order]

    def find_twin(self, place: int, marks: Marks) -> tuple[int | None, float]:
        """Return the likest piece before a place, and the share of landmarks that it has in step."""
        import numpy as np

        starts = np.searchsorted(self._values, marks[:, 0], "left")
        counts = np.minimum(np.searchsorted(self._values, marks[:, 0], "right") - starts, MAX_SHARERS)
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        at = np.repeat(starts, counts) + offsets
        owners = self._owners[at]
        steps = self._times[at] - np.repeat(marks[:, 1].astype(np.int64), counts)
        is_before = owners < place
        if not is_before.any():
            return None, 0.0
        # One number a pair of piece and step; neighbouring steps are the same one, rounded otherwise.
        votes, tally = np.unique(owners[is_before] * 2**20 + steps[is_before] + 2**19, return_counts=True)
        joined = tally.copy()
        is_next = np.diff(votes) == 1
        joined[:-1][is_next] += tally[1:][is_next]
        best = int(joined.argmax())
        if joined[best] < MIN_SHARED:
            return None, 0.0
        twin = int(votes[best] >> 20)
        # Of the shorter one: a piece cut out of another has all its landmarks there.
        return twin, min(1.0, float(joined[best]) / float(min(self._sizes[place], self._sizes[twin])))


def find_landmarks(samples: Samples, sample_rate: int) -> Marks:
    """Return the landmarks of a piece.

    Args:
        samples: (num_frames, num_channels).

    Returns:
        (num_marks, 2): the landmark as 23 bits (9 of each frequency, 5 of the gap), and its time in steps of 32 ms.
    """
    import numpy as np

    mono = resample(samples.mean(axis=1, keepdims=True), sample_rate, RATE)[:, 0] if len(samples) else samples[:, 0]
    if len(mono) < WINDOW:
        return np.zeros((0, 2), np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP] * np.hanning(WINDOW).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(frames, axis=1))[:, 4 : WINDOW // 2].astype(np.float32)
    times, bins = _find_peaks(spectrum)
    rows = []
    for skip in range(1, NUM_PARTNERS + 1):
        gaps = times[skip:] - times[:-skip]
        is_close = (gaps > 0) & (gaps <= MAX_GAP)
        values = (bins[:-skip] // 2 << 14 | bins[skip:] // 2 << 5 | np.clip(gaps, 0, MAX_GAP) // 2)[is_close]
        rows.append(np.stack([values, times[:-skip][is_close]], axis=1))
    marks = np.concatenate(rows).astype(np.uint32)
    # Knuth's multiplicative hash: an order that has nothing to do with pitch or time.
    scrambled = marks[:, 0] * np.uint32(2_654_435_761)
    return marks[np.argsort(scrambled, kind="stable")[:MAX_MARKS]]


def _find_peaks(spectrum: Samples) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return times and bins, in order of time, of the strongest peaks: the largest within 0.2 s and 60 Hz around."""
    import numpy as np

    around = spectrum
    for axis, reach in ((0, 6), (1, 16)):
        widths = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(around, widths)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis).max(axis=-1)
    times, bins = np.nonzero((spectrum == around) & (spectrum > 1e-3 * spectrum.max()))
    wanted = int(PEAKS_A_SECOND * len(spectrum) * HOP / RATE)
    strongest = np.argsort(-spectrum[times, bins], kind="stable")[:wanted]
    chosen = np.sort(strongest)
    return times[chosen], bins[chosen]


PLUGIN = PlainAudit("music-twins", "1", "music", MEASURES, MusicTwins, compares=True)
