"""Loudness, measured, set and compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.adapters.loudness import SILENCE_LUFS, is_quieter, measure_loudness, set_loudness
from tests.adapters.test_audio import sine

NOISE = np.random.default_rng(1).normal(0.0, 0.1, (96_000, 2)).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [22_050, 24_000, 44_100, 48_000])
def test_the_reference_tone_of_the_standard_measures_as_it_says(sample_rate: int) -> None:
    # BS.1770-4: 997 Hz at 0 dBFS in one channel reads -3.01; EBU Tech 3341, case 1: stereo at -23 dBFS reads -23.
    assert measure_loudness(sine(997, 2.0, sample_rate, amplitude=1.0), sample_rate) == pytest.approx(-3.01, abs=0.05)
    stereo = sine(1000, 2.0, sample_rate, amplitude=10 ** (-23 / 20), channels=2)
    assert measure_loudness(stereo, sample_rate) == pytest.approx(-23.0, abs=0.1)


def test_silence_between_words_does_not_lower_the_loudness() -> None:
    tone = sine(997, 2.0, 24_000)
    with_pause = np.concatenate([tone, np.zeros((96_000, 1), dtype=np.float32), tone])
    assert measure_loudness(with_pause, 24_000) == pytest.approx(measure_loudness(tone, 24_000), abs=0.5)


def test_silence_and_very_short_clips_have_a_loudness() -> None:
    assert measure_loudness(np.zeros((24_000, 1), dtype=np.float32), 24_000) == SILENCE_LUFS
    assert -20 < measure_loudness(sine(997, 0.1, 24_000), 24_000) < 0


def test_loudness_is_set_and_the_peak_ceiling_holds() -> None:
    quiet = set_loudness(sine(997, 1.0, 24_000, amplitude=0.01), 24_000, target=-20.0)
    assert measure_loudness(quiet.samples, 24_000) == pytest.approx(-20.0, abs=0.05)
    clicks = sine(997, 1.0, 24_000, amplitude=0.01)
    clicks[::6_000] = 0.9
    assert float(np.max(np.abs(set_loudness(clicks, 24_000, target=-10.0).samples))) == pytest.approx(0.891, abs=1e-3)


def test_setting_the_loudness_of_silence_changes_nothing() -> None:
    assert not set_loudness(np.zeros((2_400, 1), dtype=np.float32), 24_000, target=-20.0).samples.any()


@pytest.mark.parametrize("target", [-60.0, -23.0, -12.0])
def test_the_loudness_that_was_set_is_told_without_measuring_again(target: float) -> None:
    swelling = NOISE * np.linspace(0.0, 1.0, len(NOISE), dtype=np.float32)[:, None] ** 4
    levelled = set_loudness(swelling, 24_000, target)
    assert levelled.loudness == pytest.approx(measure_loudness(levelled.samples, 24_000), abs=1e-4)


def _one_word() -> npt.NDArray[np.float32]:
    clip = np.zeros((96_000, 1), dtype=np.float32)
    clip[40_000:44_000] = sine(440, 4_000 / 24_000, 24_000)
    return clip


@pytest.mark.parametrize("gain", [1.0, 0.03, 0.003, 0.0])
@pytest.mark.parametrize(
    "clip",
    [NOISE, NOISE[:5_000], _one_word(), sine(5, 4.0, 24_000), np.full((96_000, 1), 0.5, dtype=np.float32)],
    ids=["noise", "short", "one word", "under hearing", "constant"],
)
def test_quieter_is_what_measuring_says(clip: npt.NDArray[np.float32], gain: float) -> None:
    samples = clip * np.float32(gain)
    loudness = measure_loudness(samples, 24_000)
    thresholds = (-65.0, -55.0, loudness - 0.01, loudness + 0.01)
    assert [is_quieter(samples, 24_000, one) for one in thresholds] == [loudness < one for one in thresholds]


def test_a_loud_clip_is_told_without_weighting_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.adapters.loudness.measure_loudness", None)
    assert not is_quieter(NOISE, 24_000, -55.0)
