from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.adapters.audits.speech_delivery import MEASURES, PLUGIN, QUIETEST, Delivery, is_alphabetic, measure_end
from pipeline.adapters.audits.voice_activity import RATE, WINDOW, VoiceDetector, as_mono, keep_speech
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, Auditor, Reading
from tests.support.planted_delivery import FEW, plant_delivery, read_short, score
from tests.support.spoken import Sound, speak

LINE = "The old lighthouse was painted white again after the storm last winter."
LIMITS = {measure.name: measure for measure in MEASURES}
Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    return Delivery()


@pytest.fixture(scope="module")
def clip(models: ModelCache) -> Sound:
    return speak(LINE)


def _already_decoded(sound: Sound, _: bytes) -> Sound:
    return sound


def read(auditor: Auditor, sound: Sound, **row: Any) -> dict[str, Reading]:
    item = AuditItem("a", "d", {"transcript": LINE, **row}, b"x", partial(_already_decoded, sound))
    return {name.partition(".")[2]: reading for name, reading in auditor.measure([item])[0].items()}


def falls_short(readings: dict[str, Reading]) -> set[str]:
    values = {name: reading.value for name, reading in readings.items()}
    return {n for n, value in values.items() if value is not None and not LIMITS[f"speech.{n}"].passes(value)}


def silence(seconds: float, rate: int) -> Samples:
    return np.zeros((round(seconds * rate), 1), np.float32)


def test_a_plain_clip_passes_and_its_silences_are_measured(auditor: Auditor, clip: Sound) -> None:
    samples, rate = clip
    plain = read(auditor, clip)
    assert falls_short(plain) == set()
    around = read(auditor, (np.concatenate([silence(3.2, rate), samples, silence(4.8, rate)]), rate))
    assert falls_short(around) == {"lead", "tail"}
    for name, added in (("lead", 3.2), ("tail", 4.8)):
        before, after = plain[name].value, around[name].value
        assert before is not None
        assert after == pytest.approx(before + added, abs=2.5 * WINDOW / RATE)
    assert around["pace"].value == pytest.approx(plain["pace"].value, rel=0.1)


def test_a_stated_rate_is_what_the_pace_is_held_against(auditor: Auditor, clip: Sound) -> None:
    assert "pace_error" in falls_short(read(auditor, clip, rate=2.0))
    assert "pace_error" in falls_short(read(auditor, clip, rate=0.5))
    assert "pace_error" not in falls_short(read(auditor, clip, rate=1.1))


def test_numbers_count_as_they_are_spoken(auditor: Auditor, clip: Sound) -> None:
    told = read(auditor, clip, spoken="", transcript="It is $12.50.")
    assert told["pace"].detail.startswith("30 letters in ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Yes.", "too few letters to judge"), ("私は昨日友達と映画を見ました", "no pace is known of this script")],
)
def test_a_short_clip_and_a_script_of_syllables_are_not_judged_by_pace(
    auditor: Auditor, clip: Sound, text: str, reason: str
) -> None:
    found = read(auditor, clip, spoken=text)["pace_error"]
    assert (found.value, found.detail) == (None, reason)


def test_letters_of_alphabets() -> None:
    assert is_alphabetic("Điều này, на русском, 42 grüße")
    assert not is_alphabetic("안녕하세요")


@pytest.mark.parametrize("length", [0, 1, 500])
def test_hardly_any_sound_holds_no_speech(auditor: Auditor, length: int) -> None:
    found = read(auditor, (np.full((length, 1), 0.1, np.float32), RATE))
    assert {name: reading.value for name, reading in found.items()} == {"voiced_share": 0.0}


def test_an_end_in_steady_noise_is_no_cut_and_one_in_a_vowel_is(clip: Sound) -> None:
    mono = as_mono(clip)
    is_speech = VoiceDetector().detect(mono)
    assert len(keep_speech(mono, is_speech)) == pytest.approx(is_speech.sum() * WINDOW, abs=WINDOW)
    assert measure_end(mono, is_speech) < -40
    noise = np.random.default_rng(1).normal(0, 0.02, len(mono)).astype(np.float32)
    assert measure_end(mono + noise, is_speech) < -20
    loudest = int(np.convolve(mono**2, np.ones(800), "same").argmax())
    assert measure_end(mono[:loudest], is_speech[: -(-loudest // WINDOW)]) > -10
    assert measure_end(np.zeros(10, np.float32), np.array([True])) == QUIETEST


def test_planted_faults_are_found_on_voices_and_lines_that_no_limit_was_set_on(models: ModelCache) -> None:
    planted = list(plant_delivery(73, 1, FEW, grades=(0, 2)))
    scores = score(planted, read_short(planted, PLUGIN))
    assert len(scores) == 6
    assert all(min(found.recall, found.precision) >= 0.95 for found in scores.values()), scores
