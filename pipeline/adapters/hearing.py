"""What can be heard in a piece of music: tempo and key, measured off the samples alone.

Nothing here sees the description, the score or the notes of a render. Importing this imports librosa.
"""

from __future__ import annotations

from collections.abc import Sequence

import librosa
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
RATE = 22_050
HOP = 256
TEMPI: NDArray[np.float64] = np.geomspace(35, 250, 500)
"""Beats a minute that are listened for; neighbours are 0.4 % apart."""

TEMPO_TOLERANCE = 0.04
LEVELS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
"""Metrical levels at which a listener may tap; with the tolerance, this is accuracy 2 of the MIREX tempo task."""

# Probe-tone profiles of Krumhansl and Kessler (1982), from the tonic upwards.
PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def to_mono(samples: FloatArray, sample_rate: int) -> FloatArray:
    """Mix down and resample to 22.05 kHz."""
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    return np.asarray(librosa.resample(mono, orig_sr=sample_rate, target_sr=RATE, res_type="soxr_mq"), dtype=np.float32)


def measure_tempo(mono: FloatArray) -> tuple[float, float]:
    """Strongest tempo, and onsets a second.

    A tempo scores as in :func:`beat_strengths`, under a broad preference for about 105 beats a minute (one
    octave wide).
    """
    strength = _onset_strength(mono)
    onsets = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE, hop_length=HOP)
    score = _beat_strengths(strength) * np.exp(-0.5 * np.log2(TEMPI / 105) ** 2)
    return float(TEMPI[np.argmax(score)]), len(onsets) / (len(mono) / RATE)


def beat_strengths(mono: FloatArray) -> NDArray[np.float64]:
    """How strongly each of :data:`TEMPI` is heard.

    The onset strength is correlated with itself; a tempo scores what its beat and the next three multiples of it score.
    """
    return _beat_strengths(_onset_strength(mono))


def _onset_strength(mono: FloatArray) -> FloatArray:
    return np.asarray(librosa.onset.onset_strength(y=mono, sr=RATE, hop_length=HOP), dtype=np.float32)


def _beat_strengths(strength: FloatArray) -> NDArray[np.float64]:
    raised = np.maximum(0.0, strength - np.convolve(strength, np.ones(43) / 43, "same"))
    length = len(raised)
    spectrum = np.abs(np.fft.rfft(raised, 2 * length)) ** 2
    similar = np.fft.irfft(spectrum)[:length] / np.maximum(0.3, 1 - np.arange(length) / length)
    lags = 60 * RATE / HOP / TEMPI
    score = np.zeros(len(TEMPI))
    for multiple, weight in ((1, 1.0), (2, 0.8), (3, 0.6), (4, 0.6)):
        at = multiple * lags
        score += weight * np.where(at < 0.7 * length, np.interp(at, np.arange(length), similar), 0.0)
    return score


def agrees_in_tempo(bpm: float, low: float, high: float, levels: Sequence[float] = LEVELS) -> bool:
    """Tell whether a measured tempo lies in a range, or does at another metrical level."""
    return any(low * (1 - TEMPO_TOLERANCE) <= bpm * level <= high * (1 + TEMPO_TOLERANCE) for level in levels)


def measure_key(mono: FloatArray) -> tuple[int, str]:
    """Tonic and mode of the key that fits best."""
    scores = fit_keys(mono)
    return max(scores, key=lambda key: scores[key])


def fit_keys(mono: FloatArray) -> dict[tuple[int, str], float]:
    """Correlation, in [-1, 1], of the pitch class profile with the profile of every key, by tonic and mode."""
    profile = pitch_classes(mono)
    if not profile.any():
        return {(tonic, mode): 0.0 for mode in PROFILES for tonic in range(12)}
    return {
        (tonic, mode): float(np.corrcoef(profile, np.roll(known, tonic))[0, 1])
        for mode, known in PROFILES.items()
        for tonic in range(12)
    }


def pitch_classes(mono: FloatArray) -> NDArray[np.float64]:
    """Harmonic pitch class profile (Gomez 2006), 12 values from C.

    Every spectral peak up to 2.5 kHz votes for the
    pitches whose first to fourth harmonic it may be; every frame counts alike.
    """
    size = 8192
    magnitude = np.abs(librosa.stft(mono, n_fft=size, hop_length=2048))
    magnitude = magnitude / max(1e-9, float(magnitude.max()))
    lower, middle, upper = magnitude[:-2], magnitude[1:-1], magnitude[2:]
    is_peak = (middle > lower) & (middle > upper) & (middle > 1e-3)
    a, b, c = (np.log(part + 1e-9) for part in (lower, middle, upper))
    shift = np.where(is_peak, 0.5 * (a - c) / (a - 2 * b + c - 1e-12), 0.0)
    frequency = (np.arange(1, magnitude.shape[0] - 1)[:, None] + shift) * RATE / size
    rows, frames = np.nonzero(is_peak & (frequency > 60) & (frequency < 2_500))
    strength = np.sqrt(middle[rows, frames])
    votes = np.zeros((12, magnitude.shape[1]))
    for harmonic in (1, 2, 3, 4):
        semitones = 12 * np.log2(frequency[rows, frames] / harmonic / 261.6256)
        nearest = np.round(semitones)
        weight = np.cos(np.pi * (semitones - nearest)) ** 2 * 0.6 ** (harmonic - 1) * strength
        np.add.at(votes, (nearest.astype(int) % 12, frames), weight)
    return np.asarray((votes / (votes.max(axis=0) + 1e-4)).sum(axis=1))
