"""An instrument recogniser for pieces of the soundfont renderer.

It is trained on pieces of random genres and instruments, made for the purpose, and never sees a description, a score or
a piece that it is asked about. Since it learns from the renderer's own sounds, its findings say that the named
instruments can be told apart in the mix, not that a stranger's recording would be recognised.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from random import Random
from typing import Any

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from bench.music_measures import RATE, FloatArray, to_mono
from pipeline.adapters.renderers.soundfont.vocabulary import Vocabulary
from pipeline.contracts.render import Brief, Render, Renderer
from pipeline.values.records import Modality

DRUMS = "drums or percussion"
FALSE_ALARMS = 0.1
"""Share of the training pieces without a family in which it may be heard, out of bag; it fixes each threshold."""
SECONDS = 8.0


def describe_sound(mono: FloatArray) -> FloatArray:
    """Statistics over time of a mel spectrogram: level, spread, peaks, attacks and decays in 64 bands; 448 values."""
    mel = librosa.feature.melspectrogram(y=mono, sr=RATE, n_fft=2048, hop_length=512, n_mels=64, fmin=40, fmax=10_000)
    level = librosa.power_to_db(mel, ref=float(mel.max()), top_db=80.0)
    change = np.diff(level, axis=1)
    cepstrum = librosa.feature.mfcc(S=level, n_mfcc=32)
    bands = [
        level.mean(axis=1),
        level.std(axis=1),
        np.quantile(level, 0.9, axis=1),
        np.maximum(change, 0).mean(axis=1),
        np.quantile(change, 0.98, axis=1),
        -np.quantile(change, 0.25, axis=1),
    ]
    return np.concatenate([*bands, cepstrum.mean(axis=1), cepstrum.std(axis=1)]).astype(np.float32)


def decode(render: Render) -> FloatArray:
    """Samples of a render as 22.05 kHz mono."""
    samples, sample_rate = soundfile.read(io.BytesIO(render.data), dtype="float32", always_2d=True)
    return to_mono(samples, sample_rate)


def families_of(notes: Any, vocabulary: Vocabulary) -> set[str]:
    """Families that a render's notes name."""
    found = {vocabulary.instruments[name].family for name in notes["instruments"]}
    return found | ({DRUMS} if notes["percussion"] else set())


class InstrumentEar:
    """One forest for all families; a family is heard above the threshold that its false alarms allow."""

    def __init__(self, renderer: Renderer, vocabulary: Vocabulary, num_pieces: int = 700) -> None:
        """Render training pieces and learn from them; about 0.3 s a piece."""
        rng = Random(20_260)
        rows: list[FloatArray] = []
        labels: list[set[str]] = []
        for index in range(num_pieces):
            brief = Brief(
                id=f"ear-{index}",
                modality=Modality.MUSIC,
                text=_random_description(vocabulary, rng),
                seed=rng.getrandbits(40),
                duration=SECONDS,
            )
            outcome = renderer.render([brief])[0]
            if isinstance(outcome, Render):
                rows.append(describe_sound(decode(outcome)))
                labels.append(families_of(outcome.notes, vocabulary))
        self.families = sorted({family for label in labels for family in label})
        wanted = np.array([[family in label for family in self.families] for label in labels])
        self._forest = ExtraTreesClassifier(
            400, max_features=0.2, min_samples_leaf=2, bootstrap=True, oob_score=True, random_state=0, n_jobs=2
        )
        self._forest.fit(np.stack(rows), wanted)
        unseen = self._forest.oob_decision_function_[:, 1, :]
        self.thresholds = np.array(
            [np.quantile(unseen[~wanted[:, i], i], 1 - FALSE_ALARMS) for i in range(len(self.families))]
        )
        self.recall = {f: float(np.mean(unseen[wanted[:, i], i] > self.thresholds[i])) for i, f in enumerate(self.families)}

    def listen(self, mono: FloatArray) -> dict[str, float]:
        """Certainty over threshold by family; a family is heard where this is positive."""
        certain: Sequence[NDArray[np.float64]] = self._forest.predict_proba(describe_sound(mono)[None])
        return {f: float(p[0, 1] - t) for f, p, t in zip(self.families, certain, self.thresholds, strict=True)}


def _random_description(vocabulary: Vocabulary, rng: Random) -> str:
    """A genre with one to four instruments drawn family by family, with or without drums, at any tempo."""
    by_family: dict[str, list[str]] = {}
    for name, instrument in vocabulary.instruments.items():
        by_family.setdefault(instrument.family, []).append(name)
    chosen = rng.sample(sorted(by_family), rng.choice((1, 1, 2, 2, 3, 4)))
    players = [rng.choice(by_family[family]) for family in chosen]
    if rng.random() < 0.35:
        players.append(rng.choice(sorted(vocabulary.percussion)))
    genre = rng.choice(sorted(vocabulary.genres))
    link = rng.choice(("for", "with"))
    solo = "solo " if len(players) == 1 and rng.random() < 0.6 else ""
    return f"{genre} {link} {solo}{', '.join(players)}, {rng.randrange(54, 170)} BPM"
