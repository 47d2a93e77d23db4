"""How many bars fit, where the last chord falls and which phrases repeat."""

from __future__ import annotations

from pipeline.adapters.renderers.soundfont.metre import Metre
from pipeline.adapters.renderers.soundfont.score import Form, Unit
from pipeline.values.units import Seconds

BEST_TAIL: Seconds = 1.6
LETTERS = "ABCDEFG"
STATED_SLACK = (0.0, 0.01, -0.01, 0.015, -0.015)
FREE_SLACK = (0.0, 0.01, -0.01, 0.02, -0.02, 0.03, -0.03)


def plan_form(metre: Metre, bpm: float, is_bpm_stated: bool, pace: float, duration: Seconds) -> Form:
    """Fit whole bars (or half ones, where bars are long) into a duration so that the last chord can ring.

    The tempo may give by 1.5 % where the text states it and by 3 % elsewhere; both are under what a listener notices
    (just noticeable differences of tempo are about 2 to 5 %).
    """
    least_tail = max(min(0.9, 0.3 * duration), min(1.4, 0.12 * duration))
    best: tuple[float, float, int] | None = None
    for slack in STATED_SLACK if is_bpm_stated else FREE_SLACK:
        candidate = bpm * (1 + slack)
        total = duration / step_seconds(metre, candidate, pace)
        for unit, cost in ((metre.steps, 0.0), (_half(metre), 0.5), (metre.groups[0], 1.0)):
            room = total - least_tail / step_seconds(metre, candidate, pace)
            end = int(room // unit) * unit
            if end <= 0:
                continue
            tail = (total - end) * step_seconds(metre, candidate, pace)
            score = abs(tail - min(BEST_TAIL, 0.2 * duration)) + cost + 8 * abs(slack)
            if best is None or score < best[0]:
                best = (score, candidate, end)
    tempo, end_step = (best[1], best[2]) if best else (bpm, 0)
    return Form(
        metre=metre,
        bpm=tempo,
        pace=pace,
        end_step=end_step,
        num_steps=duration / step_seconds(metre, tempo, pace),
        units=_plan_units(-(-end_step // metre.steps)),
    )


def step_seconds(metre: Metre, bpm: float, pace: float) -> Seconds:
    """Mean length of a step; a tempo that moves evenly from 1 to ``pace`` averages near their middle."""
    return 60.0 / (bpm * (1 + pace) / 2) / metre.steps_per_beat


def _half(metre: Metre) -> int:
    """Steps after which a bar may break off: its middle, where it has one."""
    return metre.steps // 2 if len(metre.groups) % 2 == 0 else metre.steps


def _plan_units(num_bars: int) -> tuple[Unit, ...]:
    """Lay phrases of one, two or four bars out as A A' B A', then B B' C B' and so on for long pieces."""
    length = 1 if num_bars < 5 else 2 if num_bars < 20 else 4
    units: list[Unit] = []
    bar = 0
    while bar < num_bars:
        section, place = divmod(len(units), 4)
        first = LETTERS[section % (len(LETTERS) - 1)]
        second = LETTERS[section % (len(LETTERS) - 1) + 1]
        letter = (first, first + "'", second, first + "'")[place]
        size = min(length, num_bars - bar)
        units.append(Unit(letter, bar, size))
        bar += size
    return tuple(units)
