"""What is asked of a run's growth, of its own cost, and of a finished corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.scale.manifests import DIALOGUES_PER_TOPIC
from bench.scale.measuring import ADDED, IDLE, MORE_TOPICS, Made
from bench.scale.watching import Cost, Watched
from pipeline.values.units import Seconds

MAX_CURVE = 1.25
"""CPU a dialogue from the second size to the third, over that from the first to the second; 1 is a straight line."""

MAX_WORKER_GROWTH = 64.0
"""Megabytes that a worker may hold more at sixteen times the size: allocators' ups and downs."""

MAX_DRIVER_GROWTH = 12.0
"""Kilobytes of the driver a dialogue, which holds the plan and the sketches of all words."""

MAX_CALL = 2.0
"""Milliseconds of a composer's CPU a call: request, client, journal, stage file; checks of the words left out."""

MAX_ASSET = 0.3
"""Milliseconds of CPU to render and pack an asset, media encoding left out."""

MAX_PLAN: Seconds = 3.0
MAX_IDLE: Seconds = 15.0
MAX_START: Seconds = 25.0
"""For Ray to start and end, and for the corpus to be looked at, when there is little to do."""

MEDIA_KINDS = ("RenderWorker", "_pack")


@dataclass(frozen=True)
class Goal:
    """A measured value and the most that it may be."""

    name: str
    value: float
    limit: float
    unit: str


def judge_growth(made: Sequence[Made]) -> list[Goal]:
    """Hold three sizes against each other, which rise."""
    first, last = made[0], made[-1]
    slopes = [_slope(a, b, a.run.cpu, b.run.cpu) for a, b in pairwise(made)]
    goals = [Goal("CPU a dialogue, growing", slopes[-1] / slopes[-2], MAX_CURVE, "")]
    for kind in sorted({"Composer", *MEDIA_KINDS} & last.run.costs.keys()):
        grown = _cost(last, kind).peak - _cost(first, kind).peak
        goals.append(Goal(f"peak memory of {kind}, growing", grown, MAX_WORKER_GROWTH, "MB"))
    driver = _slope(first, last, _cost(first, "driver").peak, _cost(last, "driver").peak) * 1e3
    return [*goals, Goal("memory of the driver a dialogue", driver, MAX_DRIVER_GROWTH, "kB")]


def judge_overhead(made: Sequence[Made], checks: Seconds) -> Goal:
    """Say what a call costs beside its work, by what the largest size took more than the smallest.

    Args:
        checks: CPU seconds of checking the words of the largest size.
    """
    first, last = made[0], made[-1]
    calls = _cost(last, "Composer").cpu - _cost(first, "Composer").cpu
    own = calls / (last.num_calls - first.num_calls) - checks / last.num_calls
    return Goal("CPU a call in composers, less checks of words", 1e3 * own, MAX_CALL, "ms")


def judge_asset(seconds: Seconds) -> Goal:
    """Say what an asset costs beside its encoding."""
    return Goal("CPU to render and pack an asset, encoding left out", 1e3 * seconds, MAX_ASSET, "ms")


def judge_use(made: Made, steps: Mapping[str, Watched]) -> list[Goal]:
    """Say what a finished corpus costs whoever comes back to it."""
    share = MORE_TOPICS * DIALOGUES_PER_TOPIC / made.shape.num_dialogues
    most = {"plan": MAX_PLAN, IDLE: MAX_IDLE, ADDED: MAX_START + 1.5 * share * made.run.wall}
    return [Goal(name, steps[name].wall, limit, "s") for name, limit in most.items() if name in steps]


def _slope(first: Made, last: Made, before: float, after: float) -> float:
    return (after - before) / (last.shape.num_dialogues - first.shape.num_dialogues)


def _cost(made: Made, kind: str) -> Cost:
    return made.run.costs.get(kind, Cost())
