"""Pitch: scales, roman numerals, chords and how one chord leads to the next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

NOTE_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
MAJOR_STEPS = (0, 2, 4, 5, 7, 9, 11)

# Semitones above the tonic. Raga and gamelan scales are the nearest equal-tempered ones; gamelan tunings are not
# tempered at all, so pelog and slendro are approximations.
SCALES: dict[str, tuple[int, ...]] = {
    "major": MAJOR_STEPS,
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "hijaz": (0, 1, 4, 5, 7, 8, 10),
    "double harmonic": (0, 1, 4, 5, 7, 8, 11),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 4, 5, 7, 9, 10),
    "in": (0, 1, 5, 7, 8),
    "yo": (0, 2, 5, 7, 9),
    "pelog": (0, 1, 3, 7, 8),
    "slendro": (0, 2, 4, 7, 9),
    "whole tone": (0, 2, 4, 6, 8, 10),
    "bhairav": (0, 1, 4, 5, 7, 8, 11),
    "kafi": (0, 2, 3, 5, 7, 9, 10),
    "yaman": (0, 2, 4, 6, 7, 9, 11),
}

ROMAN = {"i": 0, "ii": 1, "iii": 2, "iv": 3, "v": 4, "vi": 5, "vii": 6}
NUMERAL = re.compile(r"(?P<flat>b?)(?P<roman>[ivIV]+)(?P<colour>[a-z0-9]*)")
COLOURS: dict[str, tuple[int, ...]] = {
    "maj7": (0, 4, 7, 11),
    "m7b5": (0, 3, 6, 10),
    "dim": (0, 3, 6, 9),
    "sus4": (0, 5, 7),
    "5": (0, 7),
}
ADDED = {"": (), "6": (9,), "7": (10,), "9": (10, 14)}


@dataclass(frozen=True, slots=True)
class Key:
    """A scale of :data:`SCALES` on a tonic (pitch class, 0 is C)."""

    scale: str
    tonic: int


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord in a key.

    Attributes:
        root: Pitch class, 0 is C.
        tones: Pitch classes from the root upwards.
    """

    root: int
    tones: tuple[int, ...]

    @property
    def fifth(self) -> int:
        """Pitch class of the fifth, or of the tone nearest to one."""
        return min(self.tones, key=lambda tone: abs((tone - self.root) % 12 - 7))

    @property
    def third(self) -> int:
        """Pitch class of the third, or of the tone nearest to one."""
        return min(self.tones, key=lambda tone: abs((tone - self.root) % 12 - 4))


def is_minorish(scale: str) -> bool:
    """Tell whether a scale has the minor third and lacks the major one; without either, its sixth or second decides."""
    steps = SCALES[scale]
    if 3 in steps or 4 in steps:
        return 4 not in steps
    return 8 in steps


@lru_cache(maxsize=512)
def parse_numeral(numeral: str, tonic: int) -> Chord:
    """Read a roman numeral such as ``bVII``, ``ii7`` or ``iim7b5`` in a key.

    Raises:
        ValueError: the text is no numeral of progressions.yaml.
    """
    match = NUMERAL.fullmatch(numeral)
    if match is None or match["roman"].lower() not in ROMAN:
        raise ValueError(f"{numeral!r} is no chord; write a roman numeral such as bVII, ii7 or iim7b5")
    root = (tonic + MAJOR_STEPS[ROMAN[match["roman"].lower()]] - (1 if match["flat"] else 0)) % 12
    colour = match["colour"]
    if colour in COLOURS:
        shape = COLOURS[colour]
    elif colour in ADDED:
        shape = ((0, 4, 7) if match["roman"].isupper() else (0, 3, 7)) + ADDED[colour]
    else:
        raise ValueError(f"{numeral!r} has the unknown suffix {colour!r}; known are {[*COLOURS, *ADDED]}")
    return Chord(root, tuple((root + step) % 12 for step in shape))


def simplify(chord: Chord, colour: str) -> Chord:
    """Bring a chord to a genre's colour: power drops the third, triad everything over the fifth."""
    if colour in ("power", "drone"):
        return Chord(chord.root, (chord.root, chord.fifth))
    if colour == "triad":
        return Chord(chord.root, chord.tones[:3])
    return chord


def degree_pitch(scale: str, tonic_pitch: int, degree: int) -> int:
    """Pitch of a scale degree counted from the tonic pitch; degrees may be negative or over an octave."""
    steps = SCALES[scale]
    octave, index = divmod(degree, len(steps))
    return tonic_pitch + 12 * octave + steps[index]


def fit_to_chord(pitch: int, scale: str, tonic: int, chord: Chord) -> int:
    """Alter a scale pitch that rubs against a chromatic chord tone, e.g. the seventh degree over a minor key's V."""
    pitch_class = pitch % 12
    if pitch_class in chord.tones:
        return pitch
    in_scale = {(tonic + step) % 12 for step in SCALES[scale]}
    for shift in (1, -1):
        tone = (pitch_class + shift) % 12
        if tone in chord.tones and tone not in in_scale:
            return pitch + shift
    return pitch


def nearest_pitch(pitch_class: int, near: float) -> int:
    """Pitch of a class that lies nearest to a place on the keyboard."""
    return round((near - pitch_class) / 12) * 12 + pitch_class


def lead_voices(chord: Chord, before: Sequence[int] | None, centre: int, num_voices: int) -> tuple[int, ...]:
    """Lay a chord out near ``centre`` so that the voices move as little as they can from the chord before.

    Returns ascending pitches, at least two semitones apart. The root may be left to the bass where the chord has more
    tones than there are voices.
    """
    tones = list(dict.fromkeys(chord.tones))
    if len(tones) > num_voices:
        tones = [chord.third, chord.tones[-1], *[t for t in tones if t not in (chord.third, chord.tones[-1])]]
        tones = list(dict.fromkeys(tones))[:num_voices]
    while len(tones) < num_voices:
        tones.append(tones[len(tones) % len(set(chord.tones))])
    target = list(before) if before and len(before) == num_voices else None
    best: tuple[float, tuple[int, ...]] | None = None
    for octaves in product((-12, 0, 12), repeat=num_voices):
        pitches = tuple(sorted(nearest_pitch(t, centre) + o for t, o in zip(tones, octaves, strict=True)))
        if any(b - a < 2 for a, b in pairwise(pitches)):
            continue
        spread = max(0, pitches[-1] - pitches[0] - 14)
        drift = abs(sum(pitches) / num_voices - centre)
        motion = sum(abs(p - q) for p, q in zip(pitches, target, strict=True)) if target else 0
        cost = motion + 2 * spread + 1.5 * drift
        if best is None or (cost, pitches) < best:
            best = (cost, pitches)
    if best is None:
        return tuple(sorted({nearest_pitch(t, centre) for t in tones}))
    return best[1]
