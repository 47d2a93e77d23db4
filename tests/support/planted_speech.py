"""Clips with known faults in what is said and in the sound, at graded severity, among sound ones easily mistaken.

Piper says sentences that are put together by a seed; the faults are put in afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random

import numpy as np
import numpy.typing as npt

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.decoding import decode_sound
from pipeline.contracts.audit import AuditItem
from pipeline.contracts.storage import Row
from pipeline.values.spoken import spoken_form
from tests.support.planted_media import Planted
from tests.support.spoken import Sound, speak

Samples = npt.NDArray[np.float32]

OPENINGS = (
    "Before the bakery opens on Saturday,",
    "When the rain stopped last night,",
    "On the long road to the harbour,",
    "As soon as the lamps were lit,",
    "While the children were still asleep,",
)
ENDINGS = (
    "the baker carries two sacks of flour down to the cellar.",
    "we could hear an owl calling from the tall pine trees.",
    "my brother found a silver coin under a flat stone.",
    "somebody painted a yellow sun on the garden wall.",
    "an old woman was selling warm chestnuts near the bridge.",
    "the band began to play a slow waltz for the guests.",
)
SHORT = ("Yes.", "Sure.", "Not today.", "Thank you!", "Why not?")
MISTAKABLE = (
    "The ticket from Vienna to Graz costs $38.40 for two, or $19.20 each.",
    "In 1987 the tower was 52 metres high; today it is 61.",
    "Professor Lindqvist and Mrs. Okafor met Tomasz in Valparaiso.",
    "Dr. Hughes wrote to Saoirse and Ibrahim about the concert in Leeds.",
)
GERMAN = (
    "Der Bäcker trägt am frühen Morgen zwei Säcke Mehl in den Keller hinunter.",
    "Wir hörten gestern Abend eine Eule in den hohen Bäumen am Fluss rufen.",
    "Mein Bruder fand unter einem flachen Stein eine alte silberne Münze.",
)
OTHER_WORDS = ("pepper", "window", "thunder", "carpet", "seventeen", "orange", "gently", "mountain", "borrow", "signal")

MEASURES: Mapping[str, tuple[str, ...]] = {
    "wrong_words": ("speech.wrong_words",),
    "swapped": ("speech.wrong_words",),
    "other_language": ("speech.wrong_words",),
    "end_missing": ("speech.wrong_words", "speech.missing_end"),
    "silent": ("speech.loudness", "speech.silent_share"),
    "clipped": ("speech.clipped_share",),
    "cut_short": ("speech.duration_error",),
}
"""Which measures are to fall short of their limits for a fault."""


def plant_speech(seed: int, count: int) -> Iterator[Planted]:
    """Yield clips, sound ones first: ``count`` long ones, ones easily mistaken, and every fault in each long one.

    Args:
        count: At most 30, as many as there are sentences.
    """
    rng = Random(seed)
    lines = rng.sample([f"{opening} {ending}" for opening in OPENINGS for ending in ENDINGS], count)
    for place, line in enumerate(lines):
        yield Planted("", "clean", _say(f"{seed}-a{place:02d}", line))
    yield from _plant_mistakable(seed, lines, rng)
    for place, line in enumerate(lines):
        yield from _plant_words(f"{seed}-w{place:02d}", line, lines[place - 1], rng)
        yield from _plant_sound(f"{seed}-s{place:02d}", line, place % 3)


def _plant_mistakable(seed: int, lines: Sequence[str], rng: Random) -> Iterator[Planted]:
    """Short ones, numbers and names; quiet lines, loud ones just under full scale, and ones after a breath."""
    for place, text in enumerate((*rng.sample(SHORT, 3), *MISTAKABLE)):
        yield Planted("", "short" if text in SHORT else "numbers or names", _say(f"{seed}-h{place:02d}", text))
    for place, line in enumerate(lines[: max(2, len(lines) // 3)]):
        samples, rate = _sound(line)
        peak = float(np.abs(samples).max())
        breath = np.zeros((rate // 2, samples.shape[1]), np.float32)
        changed = {
            "quiet": samples * np.float32(0.05),
            "loud": samples * np.float32(0.98 / peak),
            "after a breath": np.concatenate([breath, samples]),
        }
        for kind, made in changed.items():
            yield Planted("", kind, _as_item(f"{seed}-q{place:02d}-{kind}", line, (made, rate)))


def _plant_words(name: str, line: str, other: str, rng: Random) -> Iterator[Planted]:
    """Words replaced in a third, in half and in all places; another clip; German words to it; its end left out."""
    words = line.split()
    for share in (0.33, 0.5, 1.0):
        changed = list(words)
        for place in rng.sample(range(len(words)), round(share * len(words))):
            changed[place] = rng.choice(OTHER_WORDS)
        wrong = _as_item(f"{name}-words-{share}", " ".join(changed), _sound(line))
        yield Planted("wrong_words", f"{share:.0%} of the words", wrong)
    yield Planted("swapped", "swapped", _as_item(f"{name}-swapped", line, _sound(other)))
    yield Planted("other_language", "German", _as_item(f"{name}-german", rng.choice(GERMAN), _sound(line)))
    for share in (0.3, 0.5, 0.7):
        kept = _keep(_sound(line), 1 - share)
        yield Planted("end_missing", f"last {share:.0%}", _as_item(f"{name}-end-{share}", line, kept))


def _plant_sound(name: str, line: str, grade: int) -> Iterator[Planted]:
    """Next to nothing and nothing heard, peaks cut off, and an end that is missing in the file alone."""
    samples, rate = _sound(line)
    peak = float(np.abs(samples).max())
    faint = samples * np.float32((0.001, 0.0003, 0.0)[grade])
    clipped = np.clip(samples * np.float32((2.0, 3.0, 6.0)[grade] / peak), -1, 1)
    yield Planted("silent", f"silent {grade}", _as_item(f"{name}-silent", line, (faint, rate)))
    yield Planted("clipped", f"clipped {grade}", _as_item(f"{name}-clipped", line, (clipped, rate)))
    left = len(samples) / rate - (0.1, 0.5, 1.5)[grade]
    short = _keep((samples, rate), left * rate / len(samples))
    duration = len(samples) / rate
    yield Planted("cut_short", f"cut short {grade}", _as_item(f"{name}-short", line, short, duration))


def _keep(sound: Sound, share: float) -> Sound:
    return sound[0][: round(share * len(sound[0]))], sound[1]


@cache
def _sound(line: str) -> Sound:
    return speak(spoken_form(line))


def _say(name: str, line: str) -> AuditItem:
    return _as_item(name, line, _sound(line))


def _as_item(name: str, line: str, sound: Sound, duration: float | None = None) -> AuditItem:
    """A clip whose row states a line, and its own length unless another is given."""
    samples, rate = sound
    stated = len(samples) / rate if duration is None else duration
    row: Row = {"transcript": line, "spoken": spoken_form(line), "duration": stated}
    return AuditItem(name, name, row, encode_audio(samples, rate), decode_sound)
