"""The written music: notes on a grid of sixteenth steps, before anybody has played it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.adapters.renderers.soundfont.metre import Metre


@dataclass(frozen=True, slots=True)
class Note:
    """One note.

    Attributes:
        start, length: In steps from the piece's start; fractions are allowed.
        pitch: MIDI note number; for drums a key of the kit.
        force: 0 to 1, before dynamics.
    """

    start: float
    length: float
    pitch: int
    force: float


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the score.

    Attributes:
        role: A casting role, ``drums`` or ``percussion``; it decides level and place in the mix.
        program: General MIDI program, or the kit where ``is_drums``.
    """

    name: str
    role: str
    program: int
    is_drums: bool
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A phrase: its letter (a prime marks a variation), first bar and number of bars."""

    letter: str
    bar: int
    num_bars: int

    @property
    def theme(self) -> str:
        """The letter without primes: units of one theme share a motif."""
        return self.letter.rstrip("'")


@dataclass(frozen=True, slots=True)
class Form:
    """The piece's outline.

    Attributes:
        bpm: Tempo at the start; within 3 % of the reading's, so that the piece closes on a bar.
        pace: Tempo at the end over tempo at the start.
        end_step: Where the last chord falls; it rings to ``num_steps``.
    """

    metre: Metre
    bpm: float
    pace: float
    end_step: int
    num_steps: float
    units: tuple[Unit, ...]

    @property
    def num_bars(self) -> int:
        """Bars begun before the last chord."""
        return -(-self.end_step // self.metre.steps)
