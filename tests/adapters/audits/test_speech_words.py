"""Real clips by Piper, heard by Whisper base; limits were chosen on other sentences than these."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest

from pipeline.adapters.audits.speech_words import (
    MEASURES,
    MIN_WORDS,
    PLUGIN,
    SpeechWordsOptions,
    WordListener,
    count_errors,
    count_missing_end,
    find_language,
    lower_bound,
    normalise,
    weigh_errors,
)
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, Reading
from tests.support.spoken import Sound, speak

LINES = (
    "The ferry leaves from the north pier at half past six tomorrow morning.",
    "Please add two cups of flour, a pinch of salt and 250 grams of butter.",
    "Dr. Novak's garden has roses, tulips and a small pond with goldfish.",
    "I would like a calm piano tune that I can listen to while I read.",
    "The old lighthouse was painted white again after the storm last winter.",
    "Here is your picture; the dragon is asleep on top of the library roof.",
)
SHORT = ("Yes.", "Of course!", "Thanks a lot.")
JUDGED, ENDED = [measure for measure in MEASURES if measure.limit is not None]


@pytest.fixture(scope="module")
def listener(models: ModelCache) -> WordListener:
    return PLUGIN.load(SpeechWordsOptions(), models)


@pytest.fixture(scope="module")
def clips(models: ModelCache) -> dict[str, Sound]:
    return {line: speak(line) for line in (*LINES, *SHORT)}


def _already_decoded(sound: Sound, _: bytes) -> Sound:
    return sound


def judge(listener: WordListener, clips: list[tuple[str, Sound]]) -> list[Reading]:
    """The verdicts of clips, each with the words that it should say."""
    items = [
        AuditItem(str(number), "d", {"transcript": words}, b"x", partial(_already_decoded, sound))
        for number, (words, sound) in enumerate(clips)
    ]
    return [readings[JUDGED.name] for readings in listener.measure(items)]


def test_what_is_said_right_passes_and_what_is_not_falls_short(listener: WordListener, clips: dict[str, Sound]) -> None:
    right = judge(listener, [(line, clips[line]) for line in LINES])
    assert all(JUDGED.passes(reading.value) for reading in right if reading.value is not None)
    swapped = judge(listener, [(line, clips[other]) for line, other in zip(LINES, LINES[1:] + LINES[:1], strict=True)])
    silent = judge(listener, [(line, (np.zeros((48_000, 1), np.float32), 24_000)) for line in LINES[:2]])
    noise = np.random.default_rng(1).normal(0, 0.1, (48_000, 1)).astype(np.float32)
    noisy = judge(listener, [(LINES[0], (noise, 24_000))])
    cut = judge(listener, [(line, (clips[line][0][: len(clips[line][0]) // 2], clips[line][1])) for line in LINES])
    for wrong in (swapped, silent, noisy, cut):
        assert not any(JUDGED.passes(reading.value) for reading in wrong if reading.value is not None)
        assert all(reading.value is not None for reading in wrong)


def test_a_short_clip_is_heard_and_never_judged(listener: WordListener, clips: dict[str, Sound]) -> None:
    (alone,) = judge(listener, [("Yes.", clips["Of course!"])])
    assert (alone.value, alone.detail) == (None, "too few words to judge")
    assert lower_bound(MIN_WORDS - 1, MIN_WORDS - 1) is None
    # Wilson's interval for 4 of 10 by hand: (0.4 + 0.1353 - 0.2885) / 1.2706.
    assert lower_bound(4, 10) == pytest.approx(0.1942, abs=1e-4)


def test_numbers_names_and_spellings_are_the_same_words() -> None:
    pairs = (
        ("Dr. Smith paid twenty-five dollars.", "doctor smith paid $25"),
        ("It's the colour grey!", "it is the color gray"),
    )
    for wanted, heard in pairs:
        assert count_errors(normalise(wanted, "en"), normalise(heard, "en")) == 0
    assert count_errors(["a", "b"], ["c", "d", "e", "f"]) == 2
    assert find_language("東京へ行きます", "en") == "ja"
    assert find_language("我们去北京", "en") == "zh"
    assert find_language("Grüße aus Köln", "de") == "de"
    assert normalise("東京。", "ja") == ["東", "京"]


def test_words_changed_more_than_a_listener_would_mishear_fall_short(
    listener: WordListener, clips: dict[str, Sound]
) -> None:
    found = []
    for seed, line in enumerate(LINES):
        words = line.split()
        for place in Random(seed).sample(range(len(words)), k=len(words) // 2):
            words[place] = "window"
        found += judge(listener, [(" ".join(words), clips[line])])
    short = [reading for reading in found if reading.value is not None and not JUDGED.passes(reading.value)]
    assert len(short) == len(LINES)


def test_a_misheard_name_counts_by_its_letters_and_another_word_nearly_whole() -> None:
    words = ["professor", "lindqvist", "and", "okafor", "met", "tomasz", "in", "valparaiso"]
    heard = ["professor", "lindquist", "and", "oka", "for", "met", "thomas", "in", "valparaiso"]
    assert count_errors(words, heard) == 4
    # Of 48 letters one is another, and Thomas has an h more and a z less.
    assert weigh_errors(words, heard) == pytest.approx(8 * 3 / 48)
    assert weigh_errors(["a", "red", "kite", "over", "the", "hill"], ["a", "red", "boat", "under", "the", "hill"]) > 1.0
    assert weigh_errors(words, []) == len(words)


@pytest.mark.parametrize(
    ("heard", "missing"),
    [
        ("the band began to play a slow waltz", 0),
        ("the band began to play a slow walls", 0),
        ("the band began to play a", 2),
        ("the band began two play a sl", 1),
        ("", 8),
        ("ein ganz anderer satz", 4),
    ],
)
def test_words_are_missing_after_the_last_that_was_heard(heard: str, missing: int) -> None:
    assert count_missing_end(["the", "band", "began", "to", "play", "a", "slow", "waltz"], heard.split()) == missing


def test_a_clip_whose_last_words_are_cut_off_is_told_by_its_end(
    listener: WordListener, clips: dict[str, Sound]
) -> None:
    samples, rate = clips[LINES[3]]
    items = [
        AuditItem(f"{share}", "d", {"transcript": LINES[3]}, b"x", partial(_already_decoded, (kept, rate)))
        for share in (1.0, 0.75)
        for kept in [samples[: round(share * len(samples))]]
    ]
    whole, cut = (readings[ENDED.name].value for readings in listener.measure(items))
    assert whole is not None
    assert cut is not None
    assert ENDED.passes(whole)
    assert not ENDED.passes(cut)
