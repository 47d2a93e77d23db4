"""From a score to MIDI: swing, tempo, touch and a player's small errors, all drawn from the seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pretty_midi

from pipeline.adapters.renderers.soundfont.arranging import Score
from pipeline.adapters.renderers.soundfont.reading import Reading
from pipeline.adapters.renderers.soundfont.score import Form, Note, Part
from pipeline.values.ids import derive_random
from pipeline.values.units import Seconds

TIMING_SPREAD: Seconds = 0.006
"""Standard deviation of onsets. Trained ensembles spread by some 10 to 30 ms, which sounds late on sampled attacks."""
VELOCITY_SPREAD = 0.035
RELEASE: Seconds = 0.35
"""Held notes end this much before the piece, so that their release is heard before the fade."""
MIN_LENGTH: Seconds = 0.06


def play(score: Score, reading: Reading, duration: Seconds, seed: int) -> Any:
    """Return a ``pretty_midi.PrettyMIDI`` with one instrument a part, in the score's order."""
    form = score.form
    midi = pretty_midi.PrettyMIDI(initial_tempo=form.bpm)
    player = _Player(tempo_clock(form, reading.genre.swing), reading, form, duration)
    for index, part in enumerate(score.parts):
        rng = derive_random(seed, "music", f"touch {index}")
        instrument = pretty_midi.Instrument(program=part.program, is_drum=part.is_drums, name=part.name)
        for note in part.notes:
            start, end, velocity = _touch(note, part, player, rng)
            if start < duration - 0.1:
                instrument.notes.append(pretty_midi.Note(velocity=velocity, pitch=note.pitch, start=start, end=end))
        instrument.notes = _without_collisions(instrument.notes)
        midi.instruments.append(instrument)
    return midi


def tempo_clock(form: Form, swing: float) -> Callable[[float], Seconds]:
    """Return a function from steps to seconds.

    Swing delays the off-beat eighth (in metres of quarters) from half of the beat to two thirds of it at 1. The tempo
    moves evenly from the start to ``pace`` times itself at the end.
    """
    seconds_per_step = 60.0 / form.bpm / form.metre.steps_per_beat
    slope = (form.pace - 1) / max(1.0, form.num_steps)

    def clock(step: float) -> Seconds:
        warped = _swing(step, swing) if form.metre.steps_per_beat == 4 else step
        if abs(slope) < 1e-9:
            return warped * seconds_per_step
        # The integral of one over the linearly moving tempo.
        return seconds_per_step * math.log1p(slope * warped) / slope

    return clock


def _swing(step: float, swing: float) -> float:
    """Warp a place within its beat of four steps: the middle moves from 2 towards 8/3."""
    beat, place = divmod(step, 4)
    middle = 2 + swing * 2 / 3
    warped = place * middle / 2 if place < 2 else middle + (place - 2) * (4 - middle) / 2
    return beat * 4 + warped


@dataclass(frozen=True, slots=True)
class _Player:
    """What touch depends on beside the note."""

    clock: Callable[[float], Seconds]
    reading: Reading
    form: Form
    duration: Seconds


def _touch(note: Note, part: Part, player: _Player, rng: Random) -> tuple[Seconds, Seconds, int]:
    """Start, end and velocity (1 to 127) of one note as played."""
    clock, reading, duration = player.clock, player.reading, player.duration
    is_mechanical = reading.genre.mechanical or reading.genre.kit in (24, 25)
    spread = 0.0 if is_mechanical else TIMING_SPREAD * (0.5 if part.role == "drums" else 1.0)
    shift = max(-2.2 * spread, min(2.2 * spread, rng.gauss(0.0, spread)))
    start = max(0.0, clock(note.start) + shift)
    end = min(duration - RELEASE if duration > 2 * RELEASE else duration, clock(note.start + note.length))
    place = note.start / max(1.0, float(player.form.end_step))
    force = note.force * arc(place, reading.growth) * (0.86 + 0.14 * reading.loudness)
    force += rng.gauss(0.0, VELOCITY_SPREAD) if not is_mechanical else 0.0
    return start, max(start + MIN_LENGTH, end), max(18, min(124, round(127 * force)))


def arc(place: float, growth: int) -> float:
    """Loudness over a piece, ``place`` from 0 to 1: a gentle arch, or a steady growth or fading."""
    if growth > 0:
        return 0.55 + 0.45 * min(1.0, place)
    if growth < 0:
        return 1.0 - 0.45 * min(1.0, place)
    return 0.9 + 0.1 * math.sin(math.pi * min(1.0, place) ** 1.4)


def _without_collisions(notes: list[Any]) -> list[Any]:
    """Order notes and end each before its key is struck again, so that no release silences a new note."""
    ordered = sorted(notes, key=lambda n: (n.start, n.pitch))
    last: dict[int, Any] = {}
    kept: list[Any] = []
    for note in ordered:
        before = last.get(note.pitch)
        if before is not None and note.start - before.start < 0.02:
            before.end = max(before.end, note.end)
            continue
        if before is not None and before.end > note.start - 0.01:
            before.end = max(before.start + 0.02, note.start - 0.01)
        last[note.pitch] = note
        kept.append(note)
    return kept
