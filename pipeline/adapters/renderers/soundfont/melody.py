"""Melodies: a motif a theme, repeated and varied over the chords, with cadences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pipeline.adapters.renderers.soundfont.harmony import Span, chord_at
from pipeline.adapters.renderers.soundfont.metre import Metre
from pipeline.adapters.renderers.soundfont.score import Form, Note, Unit
from pipeline.adapters.renderers.soundfont.theory import SCALES, degree_pitch, fit_to_chord, nearest_pitch
from pipeline.adapters.renderers.soundfont.vocabulary import Style

# Rhythms of one group by number of notes, in steps; the plainest first.
CELLS = {
    4: {1: ((4,),), 2: ((2, 2), (3, 1)), 3: ((2, 1, 1), (1, 1, 2), (1, 2, 1)), 4: ((1, 1, 1, 1),)},
    6: {1: ((6,),), 2: ((4, 2), (2, 4)), 3: ((2, 2, 2), (3, 1, 2)), 4: ((2, 2, 1, 1), (1, 1, 2, 2)), 6: ((1,) * 6,)},
}
MIN_RATE, SPARSE_RATE, MAX_RATE = 1.4, 0.8, 7.5
"""Notes a second: slower falls apart within ten seconds (unless meant to be sparse), faster blurs."""
MAX_LEAP = 9
REPEAT_COST = 1.6
PASSING_COST = 0.3
STRONG_COSTS = {0: 0.0, 3: 0.0, 4: 0.0, 7: 1.2, 10: 1.5, 11: 1.5}
"""Chord tones on strong beats by semitones over the root: root and third tell the key and mode, the fifth does not."""


@dataclass(frozen=True, slots=True)
class Motif:
    """What the units of one theme share.

    Attributes:
        rhythm: (start, length) in steps from the unit's first step.
        contour: Scale degrees above the unit's centre, one a note.
    """

    rhythm: tuple[tuple[int, int], ...]
    contour: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Singer:
    """What a melody must respect: scale, tonic (pitch class), compass in MIDI notes and style."""

    scale: str
    tonic: int
    low: int
    high: int
    style: Style
    density: float

    @property
    def tonic_pitch(self) -> int:
        """The tonic from which degrees count: a little under the middle of the compass."""
        return nearest_pitch(self.tonic, self.low + 0.42 * (self.high - self.low))


def fitting_density(style: Style, beat_rate: float, energy: float) -> float:
    """Notes a beat: the style's, more for lively moods, within what the ear follows at ``beat_rate`` beats a second."""
    wanted = style.density * (1 + 0.25 * energy)
    least = SPARSE_RATE if style.density < 0.9 else MIN_RATE
    return max(least / beat_rate, min(MAX_RATE / beat_rate, wanted))


def write_melody(form: Form, spans: Sequence[Span], singer: Singer, rng: Random) -> list[Note]:
    """Sing the form: every unit states its theme's motif, the last one closes on the tonic."""
    motifs: dict[str, Motif] = {}
    notes: list[Note] = []
    for unit in form.units:
        key = f"{unit.theme}{unit.num_bars}"
        if key not in motifs:
            motifs[key] = _invent(unit, form.metre, singer, rng)
        lift = 0 if unit.theme == form.units[0].theme else 2
        before = notes[-1].pitch if notes else None
        notes += _sing(motifs[key], unit, _Stage(form, spans, singer), lift, before)
    return _close(notes, form, singer)


def _invent(unit: Unit, metre: Metre, singer: Singer, rng: Random) -> Motif:
    """Make a motif of one bar's rhythm, said again with a longer close, and a contour with a shape."""
    bar = _bar_rhythm(metre, singer, rng)
    rhythm: list[tuple[int, int]] = []
    for index in range(unit.num_bars):
        start = index * metre.steps
        is_close = index == unit.num_bars - 1 and unit.num_bars > 1
        own = _breathe(bar, metre) if is_close else bar
        rhythm += [(start + step, length) for step, length in own]
    return Motif(tuple(rhythm), _contour(len(rhythm), singer.style.leap, rng))


def _bar_rhythm(metre: Metre, singer: Singer, rng: Random) -> list[tuple[int, int]]:
    """Fill the groups of a bar with cells around the wanted density; the first step always sounds."""
    notes: list[tuple[int, int]] = []
    step = 0
    for place, size in enumerate(metre.groups):
        wanted = singer.density * size / metre.steps_per_beat
        if wanted < 0.95 and place % 2 == 1 and notes and rng.random() < 1.3 * (1 - wanted):
            notes[-1] = (notes[-1][0], notes[-1][1] + size)
        else:
            count = max(1, math.floor(wanted + rng.uniform(0.15, 0.85)))
            allowed = [n for n in CELLS[size] if n <= count]
            cell = rng.choice(CELLS[size][max(allowed)])
            at = step
            for length in cell:
                notes.append((at, length))
                at += length
        step += size
    notes = _syncopate(notes, metre, singer.style.sync, rng)
    return [n for n in notes if n[0] == 0 or rng.random() >= singer.style.rest]


def _syncopate(notes: list[tuple[int, int]], metre: Metre, chance: float, rng: Random) -> list[tuple[int, int]]:
    """Let some notes come an eighth before their group's start."""
    moved: list[tuple[int, int]] = []
    for start, length in notes:
        has_room = bool(moved) and moved[-1][1] > 2
        if start in metre.starts[1:] and has_room and rng.random() < chance:
            before, held = moved[-1]
            moved[-1] = (before, held - 2)
            moved.append((start - 2, length + 2))
        else:
            moved.append((start, length))
    return moved


def _breathe(bar: Sequence[tuple[int, int]], metre: Metre) -> list[tuple[int, int]]:
    """Close a phrase: the last group or two become one long note."""
    cut = metre.starts[-2] if len(metre.groups) > 3 else metre.starts[-1]
    kept = [(start, min(length, cut - start)) for start, length in bar if start < cut]
    return [*kept, (cut, metre.steps - cut)]


def _contour(num_notes: int, leap: float, rng: Random) -> tuple[int, ...]:
    """Degrees along an arch, a fall, a rise or a wave: mostly steps, now and then a leap that the next steps fill."""
    shape = rng.choice(("arch", "fall", "rise", "wave"))
    height = rng.choice((3, 4, 4, 5))
    degree, last_move = 0.0, 0
    contour: list[int] = []
    for index in range(num_notes):
        place = index / max(1, num_notes - 1)
        target = (
            height
            * {
                "arch": math.sin(math.pi * place),
                "fall": 1 - 1.2 * place,
                "rise": 1.1 * place - 0.2,
                "wave": 0.7 * math.sin(2 * math.pi * place),
            }[shape]
        )
        if index == 0:
            degree = round(target)
        else:
            pull = target - degree
            move = rng.choice((2, 3)) if rng.random() < leap and abs(last_move) < 2 else rng.choice((0, 1, 1, 1))
            direction = 1 if pull > 0.4 else -1 if pull < -0.4 else rng.choice((-1, 1))
            last_move = move * direction
            degree += last_move
        contour.append(int(degree))
    return tuple(contour)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where a motif is sung: the form, its chords and who sings."""

    form: Form
    spans: Sequence[Span]
    singer: Singer


def _sing(motif: Motif, unit: Unit, stage: _Stage, lift: int, before: int | None) -> list[Note]:
    """Put a motif over a unit's chords; a primed unit ends its contour a step lower, as an answer."""
    form, spans, singer = stage.form, stage.spans, stage.singer
    origin = unit.bar * form.metre.steps
    notes: list[Note] = []
    previous = before
    is_answer = unit.letter.endswith("'")
    for index, ((start, length), degree) in enumerate(zip(motif.rhythm, motif.contour, strict=True)):
        step = origin + start
        if step >= form.end_step:
            break
        is_tail = index >= 0.7 * len(motif.rhythm)
        wish = degree + lift - (1 if is_answer and is_tail else 0)
        weight = form.metre.weight(step)
        is_strong = weight == 3 or _is_middle(step, form.metre) or length > form.metre.groups[0]
        pitch = _choose_pitch(wish, is_strong, previous, spans, step, singer)
        length_left = min(length, form.end_step - step)
        force = 0.7 + 0.06 * weight + 0.01 * max(-4, min(4, degree))
        notes.append(Note(step, max(0.5, length_left * singer.style.legato), pitch, force))
        previous = pitch
    return notes


def _is_middle(step: int, metre: Metre) -> bool:
    """Tell whether a step begins the second half of a bar of two or four groups."""
    return len(metre.groups) in (2, 4) and step % metre.steps == metre.starts[len(metre.groups) // 2]


def _choose_pitch(
    wish: int, is_strong: bool, previous: int | None, spans: Sequence[Span], step: float, singer: Singer
) -> int:
    """The scale tone nearest to the wish: a chord tone where the beat is strong, and no wild leap before it."""
    chord = chord_at(spans, step)
    best: tuple[float, int] | None = None
    for degree in range(wish - 3, wish + 4):
        plain = degree_pitch(singer.scale, singer.tonic_pitch, degree)
        pitch = fit_to_chord(_into_compass(plain, singer), singer.scale, singer.tonic, chord)
        cost = 1.5 * abs(degree - wish)
        is_chordal = pitch % 12 in chord.tones
        if is_strong:
            cost += STRONG_COSTS.get((pitch - chord.root) % 12, 0.0) if is_chordal else 4
        elif not is_chordal:
            cost += PASSING_COST
        if previous is not None:
            leap = abs(pitch - previous)
            cost += 0.8 * max(0, leap - MAX_LEAP) + 0.12 * leap + (REPEAT_COST if leap == 0 else 0)
        if best is None or (cost, pitch) < best:
            best = (cost, pitch)
    return best[1] if best is not None else singer.tonic_pitch


def _into_compass(pitch: int, singer: Singer) -> int:
    """Fold a pitch into the compass by octaves."""
    while pitch > singer.high:
        pitch -= 12
    while pitch < singer.low:
        pitch += 12
    return pitch


def _close(notes: list[Note], form: Form, singer: Singer) -> list[Note]:
    """End on the tonic, come to it by step from the note before."""
    near = notes[-1].pitch if notes else singer.tonic_pitch
    final = _into_compass(nearest_pitch(singer.tonic, near), singer)
    closed = list(notes)
    if closed and closed[-1].pitch != final and abs(closed[-1].pitch - final) > 2:
        last = closed[-1]
        above = SCALES[singer.scale][1]
        if final + above <= singer.high and abs(final + above - last.pitch) <= MAX_LEAP:
            closed[-1] = Note(last.start, last.length, final + above, last.force)
    return [*closed, Note(form.end_step, form.num_steps - form.end_step, final, 0.8)]


def write_parallel(lead: Sequence[Note], spans: Sequence[Span], singer: Singer) -> list[Note]:
    """Accompany a melody a third below, chord tones where it rests on the beat."""
    notes: list[Note] = []
    steps = SCALES[singer.scale]
    for note in lead:
        chord = chord_at(spans, note.start)
        below = [note.pitch - gap for gap in (3, 4, 5, 8, 9)]
        in_scale = [p for p in below if (p - singer.tonic) % 12 in steps]
        in_chord = [p for p in below if p % 12 in chord.tones]
        pitch = (in_chord if note.length >= 3 and in_chord else in_scale or in_chord or [note.pitch - 12])[0]
        notes.append(Note(note.start, note.length, _into_compass(pitch, singer), note.force * 0.92))
    return notes
