from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.audits.music_brief import PLUGIN
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, AuditOptions, Readings

pytest.importorskip("librosa")

RATE = 22_050


def chords(bpm: float, roots: tuple[int, ...], third: int, seconds: float = 10.0) -> Any:
    """A triad struck on every beat, the roots in turn, as semitones over middle C."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    beat = round(60 / bpm * RATE)
    times = np.arange(beat) / RATE
    for index, start in enumerate(range(0, len(samples) - beat, beat)):
        root = roots[index // 2 % len(roots)]
        for step in (0, third if root == 0 else 4, 7):
            tone = np.sin(2 * np.pi * 261.63 * 2 ** ((root + step) / 12) * times) * np.exp(-5 * times)
            samples[start : start + beat] += (0.15 * tone).astype(np.float32)
    return samples[:, None]


def read(text: str, samples: Any) -> Readings:
    item = AuditItem("a", "a", {"description": text}, encode_audio(samples, RATE), decode_sound)
    auditor: Any = PLUGIN.load(AuditOptions(), ModelCache())
    (readings,) = auditor.measure([item])
    found: Readings = readings
    return found


def falls_short(text: str, samples: Any) -> set[str]:
    limits = {measure.name: measure for measure in PLUGIN.measures(AuditOptions())}
    values = {name: reading.value for name, reading in read(text, samples).items()}
    return {name for name, value in values.items() if value is not None and not limits[name].passes(value)}


@pytest.mark.parametrize("stated", [100, 50, 200])
def test_the_stated_tempo_passes_at_any_level(stated: int) -> None:
    assert falls_short(f"chords at {stated} BPM in C major", chords(100, (0, 5, 7, 0), 4)) == set()


@pytest.mark.parametrize("stated", [85, 118])
def test_another_tempo_does_not(stated: int) -> None:
    assert falls_short(f"chords at {stated} BPM", chords(100, (0, 5, 7, 0), 4)) == {"music.tempo_support"}


def test_a_key_far_away_does_not_pass() -> None:
    readings = read("chords in F sharp major", chords(100, (0, 5, 7, 0), 4))
    assert falls_short("chords in F sharp major", chords(100, (0, 5, 7, 0), 4)) == {"music.key_margin"}
    assert "heard C major" in readings["music.key_margin"].detail


def test_what_no_description_states_is_not_read() -> None:
    assert read("a gentle piece with a minor role for the flute", chords(100, (0, 5), 4)) == {}


def test_a_word_for_the_tempo_is_reported_and_never_judged() -> None:
    readings = read("adagio", chords(66, (0, 5, 7, 0), 4))
    assert set(readings) == {"music.pace_error"}
    assert falls_short("presto", chords(66, (0, 5, 7, 0), 4)) == set()


@pytest.mark.parametrize("seconds", [0.1, 12.0])
def test_scraps_and_silence_are_not_judged(seconds: float) -> None:
    samples = np.zeros((round(seconds * RATE), 1), np.float32)
    assert all(reading.value is None for reading in read("in D minor at 80 BPM", samples).values())
