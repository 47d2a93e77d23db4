from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.audits.sound_basics import MUSIC, SPEECH, measure_clipping, measure_silence
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, AuditOptions, Measure

RATE = 16_000

Samples = npt.NDArray[np.float32]


def tone(seconds: float, level: float = 0.2) -> Samples:
    times = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[:, None]


def silence(seconds: float) -> Samples:
    return np.zeros((round(seconds * RATE), 1), np.float32)


def judge(samples: Samples, row: dict[str, Any] | None = None) -> dict[str, float | None]:
    """Readings by the measure's last word."""
    row = {"duration": len(samples) / RATE} if row is None else row
    item = AuditItem("a", "d", row, encode_audio(samples, RATE), decode_sound)
    (readings,) = MUSIC.load(AuditOptions(), ModelCache()).measure([item])
    return {name.partition(".")[2]: reading.value for name, reading in readings.items()}


def falls_short(samples: Samples, row: dict[str, Any] | None = None) -> set[str]:
    limits: dict[str, Measure] = {m.name.partition(".")[2]: m for m in MUSIC.measures(AuditOptions())}
    found = judge(samples, row)
    return {name for name, value in found.items() if value is not None and not limits[name].passes(value)}


def test_a_plain_tone_passes_everything() -> None:
    assert falls_short(tone(2.0)) == set()


def test_silence_is_told_by_loudness_and_by_its_share() -> None:
    assert {"loudness", "silent_share"} <= falls_short(silence(2.0))


def test_a_fade_out_is_not_silence() -> None:
    fading = tone(6.0, 0.5) * np.linspace(1, 0, 6 * RATE, dtype=np.float32)[:, None] ** 2
    assert falls_short(fading) == set()


def test_a_whisper_is_not_silence() -> None:
    assert falls_short(tone(2.0, 0.01)) == set()


def test_a_gap_is_measured_in_seconds() -> None:
    share, longest = measure_silence(np.concatenate([tone(1.0), silence(1.5), tone(0.5)]), RATE)
    assert (share, longest) == pytest.approx((0.5, 1.5), abs=0.05)
    assert "longest_silence" in falls_short(np.concatenate([tone(5.0), silence(3.5), tone(5.0)]))


def test_clipped_peaks_count_and_loud_ones_do_not() -> None:
    assert "clipped_share" in falls_short(np.clip(tone(2.0, 1.4), -1, 1))
    assert measure_clipping(tone(2.0, 0.998)) == 0.0
    assert measure_clipping(np.array([[1.0], [1.0], [0.0], [-1.0], [-1.0]], np.float32)) == 0.0


def test_only_the_channel_that_clips_counts() -> None:
    both = np.concatenate([np.clip(tone(1.0, 2.0), -1, 1), silence(1.0)], axis=1)
    assert measure_clipping(both) == pytest.approx(2 / 3, abs=0.02)


def test_a_wrong_length_is_told_and_an_unstated_one_is_not() -> None:
    assert "duration_error" in falls_short(tone(2.0), {"duration": 2.5})
    assert judge(tone(2.0), {})["duration_error"] is None


def test_speech_has_the_same_measures_under_its_own_name() -> None:
    names = [[m.name for m in plugin.measures(AuditOptions())] for plugin in (MUSIC, SPEECH)]
    assert [name.replace("music", "speech") for name in names[0]] == names[1]
