"""Names the instrument family of a single part.

A forest learns frames of single notes and chords, played by every instrument of the soundfont outside any piece, and
votes over the frames of what it is asked about. It hears parts one by one: over a full mix of several instruments
neither this nor a non-negative factorisation with reference notes named families reliably. Its references come from the
soundfont that renders the pieces, so a finding says that a part sounds like the instrument it should be, not that a
stranger's recording would be recognised.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence

import librosa
import numpy as np
import pretty_midi
import soundfile
from numpy.typing import NDArray

from pipeline.adapters.hearing import RATE, FloatArray, to_mono
from pipeline.adapters.renderers.soundfont.sounding import Synthesiser, bundled_soundfont
from pipeline.adapters.renderers.soundfont.vocabulary import Vocabulary
from pipeline.contracts.render import Render

DRUMS = "drums or percussion"
HOP = 512
SLOT = 24
"""Frames from one reference note to the next: 0.56 s."""
DRUM_SOURCES = ((0, 35, 81, True), (25, 35, 81, True), (40, 35, 59, True), (116, 40, 56, False))
"""Program, lowest and highest key, and whether it is a kit: standard, TR-808 and brush kits, and the taiko."""
LOUD = 0.05
"""Frames under this share of the loudest are not asked: they hold reverberation and rests."""


class InstrumentEar:
    """Knows the sound of every family of instruments.yaml, and of drums."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Play reference notes of every instrument and learn them; about 20 s."""
        synthesiser = Synthesiser(bundled_soundfont(), RATE)
        rows: list[FloatArray] = []
        names: list[str] = []
        programs: dict[int, tuple[str, int, int]] = {}
        for instrument in vocabulary.instruments.values():
            family, (low, high) = instrument.family, instrument.range
            before = programs.get(instrument.program, (family, low, high))
            programs[instrument.program] = (family, min(low, before[1]), max(high, before[2]))
        for program, (family, low, high) in sorted(programs.items()):
            found = _reference(synthesiser, program, max(26, low - 5), high, False)
            rows.append(found)
            names += [family] * len(found)
        for program, low, high, is_drum in (
            (0, 35, 81, True),
            (25, 35, 81, True),
            (40, 35, 59, True),
            (116, 40, 56, False),
        ):
            found = _reference(synthesiser, program, low, high, is_drum)
            rows.append(found)
            names += [DRUMS] * len(found)
        # scikit-learn has no types of its own; it comes with librosa.
        ensemble = importlib.import_module("sklearn.ensemble")
        self._forest = ensemble.ExtraTreesClassifier(
            150, min_samples_leaf=3, max_features=0.3, class_weight="balanced", random_state=0, n_jobs=2
        )
        self._forest.fit(np.concatenate(rows), names)

    def listen(self, mono: FloatArray) -> dict[str, float]:
        """Mean certainty over the loud frames by family, the largest first; certainties add up to one."""
        certain: NDArray[np.float64] = self._forest.predict_proba(loud_frames(mono)).mean(axis=0)
        found = {str(name): float(value) for name, value in zip(self._forest.classes_, certain, strict=True)}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def decode(render: Render) -> FloatArray:
    """Samples of a render as 22.05 kHz mono."""
    samples, sample_rate = soundfile.read(io.BytesIO(render.data), dtype="float32", always_2d=True)
    return to_mono(samples, sample_rate)


def loud_frames(mono: FloatArray) -> FloatArray:
    """Features (frames, 80) of all but faint frames: 60 mel bands over their mean, the change of 20 within 0.2 s."""
    mel = librosa.feature.melspectrogram(y=mono, sr=RATE, n_fft=2048, hop_length=HOP, n_mels=60, fmin=40, fmax=10_000)
    level = np.sqrt(mel.sum(axis=0))
    bands = 10 * np.log10(mel + 1e-5 * mel.max(axis=0, keepdims=True) + 1e-12)
    ahead = np.roll(bands, -8, axis=1)
    ahead[:, -8:] = bands[:, -1:]
    pooled = (ahead - bands).reshape(20, 3, -1).mean(axis=1)
    features = np.concatenate([bands - bands.mean(axis=0, keepdims=True), pooled]).T.astype(np.float32)
    return np.asarray(features[level > LOUD * level.max()])


def _reference(synthesiser: Synthesiser, program: int, low: int, high: int, is_drum: bool) -> FloatArray:
    """Frames of notes a whole tone apart, long and short, and of triads between them; drums stroke by stroke."""
    part = pretty_midi.Instrument(program=program, is_drum=is_drum)
    step = 1 if is_drum else 2
    seconds = SLOT * HOP / RATE
    chords: Sequence[tuple[int, ...]] = ((0,),) if is_drum else ((0,), (0,), (0, 4, 7), (0, 3, 7, 12))
    pitches = list(range(low, high + 1, step))
    for i, pitch in enumerate(pitches):
        length = (0.95, 0.4)[i % 2] * seconds
        for shift in chords[i % len(chords)]:
            start = i * seconds
            part.notes.append(
                pretty_midi.Note(velocity=75 + 10 * (i % 4), pitch=pitch + shift, start=start, end=start + length)
            )
    stem = synthesiser.render_stem(part, SLOT * HOP * len(pitches)).mean(axis=1)
    return loud_frames(stem)
