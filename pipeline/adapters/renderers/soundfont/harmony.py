"""Chords: which one sounds when, and how instruments that play chords lay them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pipeline.adapters.renderers.soundfont.metre import Metre
from pipeline.adapters.renderers.soundfont.score import Form, Note
from pipeline.adapters.renderers.soundfont.theory import (
    SCALES,
    Chord,
    is_minorish,
    lead_voices,
    nearest_pitch,
    parse_numeral,
    simplify,
)

SHORT_PIECE = 5
"""Bars up to which the last bar begins at home, so that a short piece is heard to be in its key."""

Progressions = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Span:
    """A chord from one step to another."""

    start: float
    end: float
    chord: Chord


def plan_chords(
    form: Form, progressions: Progressions, scale: str, tonic: int, colour: str, rng: Random
) -> tuple[Span, ...]:
    """Lay a progression over the bars, cadence before the end, and close on the tonic."""
    bars = choose_progression(progressions, scale, rng)
    closing, home = _cadence(bars, scale, colour), _home(bars, scale)
    steps = form.metre.steps
    spans: list[Span] = []
    for bar in range(form.num_bars):
        start, end = bar * steps, min((bar + 1) * steps, form.end_step)
        is_last = bar == form.num_bars - 1
        numerals = bars[bar % len(bars)].split()
        if is_last:
            # The classical close: home (or the bar's own chord, where home has been heard enough), dominant, home.
            numerals = [home if form.num_bars <= SHORT_PIECE else numerals[0], closing]
        cuts = _cuts(form.metre, start, end, len(numerals))
        for numeral, (low, high) in zip(numerals, cuts, strict=False):
            spans.append(Span(low, high, simplify(parse_numeral(numeral, tonic), colour)))
    spans.append(Span(form.end_step, form.num_steps, simplify(parse_numeral(home, tonic), colour)))
    return tuple(spans)


def choose_progression(progressions: Progressions, scale: str, rng: Random) -> list[str]:
    """Draw a progression for a scale: its own, or one for major or minor whose roots the scale has."""
    kind = "minor" if is_minorish(scale) else "major"
    options = progressions.get(scale) or progressions.get(kind) or next(iter(progressions.values()))
    bars = rng.choice(options).split("|")
    steps = SCALES[scale]
    if scale in ("major", "minor", "harmonic minor", "blues") or scale in progressions:
        return bars
    # Other scales: a chord whose root is foreign to the scale would sound like a wrong turn.
    tonic_chord = ("i" if kind == "minor" else "I") if {3, 4} & set(steps) else "I5"
    kept = [" ".join(n if parse_numeral(n, 0).root in steps else tonic_chord for n in bar.split()) for bar in bars]
    return kept


def _home(bars: Sequence[str], scale: str) -> str:
    """The tonic chord as the progression itself writes it, else a plain one."""
    kind = "i" if is_minorish(scale) else "I"
    first = bars[0].split()[0]
    return first if parse_numeral(first, 0).root == 0 else kind


def _cadence(bars: Sequence[str], scale: str, colour: str) -> str:
    """The chord before the last: the dominant, or what stands for it in the scale."""
    flat = [numeral for bar in bars for numeral in bar.split()]
    if all(parse_numeral(n, 0).root == 0 for n in flat):
        return flat[0]
    steps = SCALES[scale]
    if scale in ("hijaz", "phrygian", "double harmonic", "bhairav"):
        return "bII"
    dominant = next((n for n in flat if parse_numeral(n, 0).root == 7), None)
    if dominant is not None:
        return dominant
    if scale in ("dorian", "mixolydian") and 10 in steps:
        return "bVII"
    return "V7" if colour == "seventh" else "V"


def _cuts(metre: Metre, start: int, end: int, num: int) -> list[tuple[int, int]]:
    """Split a bar between chords at group starts."""
    if num == 1 or end - start < 2 * metre.groups[0]:
        return [(start, end)]
    inner = [start + s for s in metre.starts[1:] if start + s < end]
    middle = min(inner, key=lambda step: (abs(2 * step - start - end), -step))
    return [(start, middle), (middle, end)]


def chord_at(spans: Sequence[Span], step: float) -> Chord:
    """The chord that sounds at a step."""
    return next((s.chord for s in spans if s.start <= step < s.end), spans[-1].chord)


def write_chords(
    spans: Sequence[Span], pattern: str, metre: Metre, centre: int, num_voices: int, is_power: bool
) -> list[Note]:
    """Play a comping pattern of one bar over the chords; the last chord is held."""
    notes: list[Note] = []
    before: tuple[int, ...] | None = None
    for index, span in enumerate(spans):
        voicing = _power(span.chord, centre) if is_power else lead_voices(span.chord, before, centre, num_voices)
        before = voicing
        if index == len(spans) - 1:
            notes += [Note(span.start, span.end - span.start, pitch, 0.74) for pitch in voicing]
            continue
        notes += _pattern_notes(span, voicing, pattern, metre)
    return notes


def _pattern_notes(span: Span, voicing: Sequence[int], pattern: str, metre: Metre) -> list[Note]:
    """Notes of one chord span; a span that begins inside a held chord strikes anew."""
    notes: list[Note] = []
    step = int(span.start)
    while step < span.end:
        place = step % metre.steps
        sign = pattern[place]
        if sign == "-" and step == span.start:
            sign = next((c for c in reversed(pattern[:place]) if c not in "-."), "x")
        if sign not in ".-":
            length = 1
            while step + length < span.end and place + length < len(pattern) and pattern[place + length] == "-":
                length += 1
            force = 0.5 if sign == "o" else 0.72 + 0.05 * metre.weight(place)
            pitches = [_tone(voicing, int(sign))] if sign.isdigit() else voicing
            held = max(0.9, length - 0.1)
            notes += [
                Note(step + 0.03 * i * (not sign.isdigit()), held, pitch, force) for i, pitch in enumerate(pitches)
            ]
            step += length
        else:
            step += 1
    return notes


def _tone(voicing: Sequence[int], index: int) -> int:
    """The index-th tone from below, going on in the next octave."""
    octave, place = divmod(index, len(voicing))
    return voicing[place] + 12 * octave


def _power(chord: Chord, centre: int) -> tuple[int, ...]:
    """Root, fifth and octave low on the neck."""
    root = nearest_pitch(chord.root, centre - 8)
    return (root, root + 7, root + 12)


def hold_voice(spans: Sequence[Span], low: int, high: int, index: int) -> list[Note]:
    """One inner voice of the chords, held as long as each lasts, within a compass of MIDI notes."""
    notes: list[Note] = []
    before: tuple[int, ...] | None = None
    for span in spans:
        before = lead_voices(span.chord, before, (low + high) // 2, 3)
        pitch = before[index % len(before)]
        pitch += 12 * -(-max(0, low - pitch) // 12) - 12 * -(-max(0, pitch - high) // 12)
        notes.append(Note(span.start, span.end - span.start - 0.15, pitch, 0.68))
    return notes
