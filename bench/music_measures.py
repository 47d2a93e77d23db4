"""What can be heard in a piece of music: tempo, key, drums and instrument families, measured off the samples alone.

Nothing here sees the description, the score or the notes of a render. The families are heard with reference notes of
the same soundfont that renders the pieces, so their figure says whether the named instruments sound in the mix, not
whether a stranger's recording would be recognised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.renderers.soundfont.sounding import Synthesiser, bundled_soundfont
from pipeline.adapters.renderers.soundfont.vocabulary import Vocabulary

FloatArray = NDArray[np.float32]
RATE = 22_050
HOP = 512
TEMPO_TOLERANCE = 0.08
LEVELS = (1.0, 2.0, 0.5, 3.0, 1 / 3, 1.5, 2 / 3)
"""Metrical levels at which a listener may tap; thirds and their ratios occur in triple and compound metres."""

# Probe-tone profiles of Krumhansl and Kessler (1982), from the tonic upwards.
PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


@dataclass(frozen=True)
class Heard:
    """What the measures found.

    Attributes:
        bpm: Strongest tempo.
        key: Tonic (pitch class) and mode of the best correlating key profile.
        mode_margin: Correlation of the best major key minus that of the best minor key.
        drum_share: Share of the energy that is percussive (vertical in the spectrogram).
        families: Share of the explained spectrum by instrument family.
        centroid: Mean spectral centroid in Hz.
        onset_rate: Onsets a second.
    """

    bpm: float
    key: tuple[int, str]
    mode_margin: float
    drum_share: float
    families: Mapping[str, float]
    centroid: float
    onset_rate: float


def to_mono(samples: FloatArray, sample_rate: int) -> FloatArray:
    """Mix down and resample to 22.05 kHz."""
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    return np.asarray(librosa.resample(mono, orig_sr=sample_rate, target_sr=RATE, res_type="soxr_mq"), dtype=np.float32)


def measure_tempo(mono: FloatArray) -> tuple[float, float]:
    """Strongest tempo by autocorrelation of the onset strength, and onsets a second."""
    strength = librosa.onset.onset_strength(y=mono, sr=RATE, hop_length=HOP)
    tempo = librosa.feature.tempo(onset_envelope=strength, sr=RATE, hop_length=HOP)
    onsets = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE, hop_length=HOP)
    return float(tempo[0]), len(onsets) / (len(mono) / RATE)


def agrees_in_tempo(bpm: float, low: float, high: float, levels: Sequence[float] = LEVELS) -> bool:
    """Tell whether a measured tempo lies in a range, or does at another metrical level."""
    return any(low * (1 - TEMPO_TOLERANCE) <= bpm * level <= high * (1 + TEMPO_TOLERANCE) for level in levels)


def measure_key(harmonic: FloatArray) -> tuple[tuple[int, str], float]:
    """Best key after Krumhansl, and how far major leads minor."""
    chroma = librosa.feature.chroma_cqt(y=harmonic, sr=RATE, hop_length=HOP, n_octaves=6).sum(axis=1)
    scores = {
        (tonic, mode): float(np.corrcoef(chroma, np.roll(profile, tonic))[0, 1])
        for mode, profile in PROFILES.items()
        for tonic in range(12)
    }
    best = {mode: max(v for (_, m), v in scores.items() if m == mode) for mode in PROFILES}
    return max(scores, key=lambda k: scores[k]), best["major"] - best["minor"]


class FamilyEar:
    """Explains a spectrogram by reference notes: non-negative factorisation with fixed templates (Kullback-Leibler)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Render reference notes of every instrument and of the drum kit."""
        synthesiser = Synthesiser(bundled_soundfont(), RATE)
        columns: list[NDArray[np.float64]] = []
        self.families: list[str] = []
        done: set[int] = set()
        for instrument in vocabulary.instruments.values():
            if instrument.program in done:
                continue
            done.add(instrument.program)
            low, high = max(28, instrument.range[0] - 7), instrument.range[1]
            for part in _reference(synthesiser, instrument.program, list(range(low, high + 1)), False):
                columns.append(part)
                self.families.append(instrument.family)
        for part in _reference(synthesiser, 0, list(range(35, 82)), True):
            columns.append(part)
            self.families.append("drum kit")
        self.templates = np.stack(columns, axis=1)
        self.templates /= self.templates.sum(axis=0)

    def listen(self, mono: FloatArray, num_rounds: int = 50) -> dict[str, float]:
        """Share of the explained magnitude by family."""
        spectrum = _spectrum(mono).astype(np.float64)
        loud = spectrum.sum(axis=0)
        spectrum = spectrum[:, loud > 0.02 * loud.max()]
        templates = self.templates
        weights = np.full((templates.shape[1], spectrum.shape[1]), spectrum.mean() * templates.shape[0] / templates.shape[1])
        for _ in range(num_rounds):
            weights *= templates.T @ (spectrum / (templates @ weights + 1e-9))
        total = weights.sum(axis=1)
        shares = {family: 0.0 for family in sorted(set(self.families))}
        for family, amount in zip(self.families, total, strict=True):
            shares[family] += float(amount / total.sum())
        return shares


def _spectrum(mono: FloatArray) -> FloatArray:
    """Magnitudes (bins, frames) with 93 ms between frames, compressed by a square root, under 8 kHz."""
    magnitude = np.abs(librosa.stft(mono, n_fft=4096, hop_length=2048))
    return np.asarray(np.sqrt(magnitude[: 4096 * 8_000 // RATE]), dtype=np.float32)


def _reference(synthesiser: Synthesiser, program: int, pitches: Sequence[int], is_drum: bool) -> list[NDArray[np.float64]]:
    """Mean spectra of single notes: attack and body of each."""
    import pretty_midi

    spacing = 0.75
    part: Any = pretty_midi.Instrument(program=program, is_drum=is_drum)
    part.notes = [
        pretty_midi.Note(velocity=92, pitch=pitch, start=i * spacing, end=i * spacing + 0.5) for i, pitch in enumerate(pitches)
    ]
    stem = synthesiser.render_stem(part, round(len(pitches) * spacing * RATE)).mean(axis=1)
    found: list[NDArray[np.float64]] = []
    for i in range(len(pitches)):
        note = stem[round(i * spacing * RATE) : round((i * spacing + 0.5) * RATE)]
        if np.abs(note).max() < 1e-4:
            continue
        spectrum = _spectrum(note).astype(np.float64)
        found.append(spectrum[:, :2].mean(axis=1) + 1e-9)
        if not is_drum:
            found.append(spectrum[:, 2:].mean(axis=1) + 1e-9)
    return found


def hear(samples: FloatArray, sample_rate: int, ear: FamilyEar) -> Heard:
    """Measure everything."""
    mono = to_mono(samples, sample_rate)
    spectrum = librosa.stft(mono)
    harmonic, percussive = librosa.decompose.hpss(spectrum, margin=1.0)
    energy = float(np.sum(np.abs(harmonic) ** 2) + np.sum(np.abs(percussive) ** 2))
    bpm, onset_rate = measure_tempo(mono)
    key, margin = measure_key(librosa.istft(harmonic, length=len(mono)))
    return Heard(
        bpm=bpm,
        key=key,
        mode_margin=margin,
        drum_share=float(np.sum(np.abs(percussive) ** 2)) / max(energy, 1e-12),
        families=ear.listen(mono),
        centroid=float(librosa.feature.spectral_centroid(S=np.abs(spectrum), sr=RATE).mean()),
        onset_rate=onset_rate,
    )
