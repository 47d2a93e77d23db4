"""How well audits of speech find planted faults of delivery, voices and quality.

    python -m bench.planted_delivery             on voices, lines and seeds that no limit was set on
    python -m bench.planted_delivery --tuning    on those that the limits were set on

Prints a Markdown table of the faults with recall and precision, then the audits' speed in seconds of sound a CPU
second. Exits with 1 where a recall or a precision lies under 0.95.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from pipeline.adapters.audits import speech_delivery, speech_quality, speech_voices
from tests.support.planted_delivery import (
    HELD_OUT,
    MEASURES,
    TUNING,
    Material,
    plant_delivery,
    plant_noise,
    plant_voices,
    read_short,
    score,
)
from tests.support.planted_media import Planted

GOAL = 0.95
SEEDS = (71, 72)
TUNING_SEEDS = (11, 12)

Plant = Callable[[int, int, Material], Iterator[Planted]]

PARTS: Sequence[tuple[Plant, int, Any]] = (
    (plant_delivery, 3, speech_delivery.PLUGIN),
    (plant_voices, 4, speech_voices.PLUGIN),
    (plant_noise, 5, speech_quality.PLUGIN),
)
"""What plants, how much of it a seed, and the audit that is to find it."""


def main() -> int:
    """Plant, listen and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", help="in place of the frozen ones")
    parser.add_argument("--tuning", action="store_true", help="voices and lines that the limits were set on")
    given = parser.parse_args()
    seeds = given.seeds or (TUNING_SEEDS if given.tuning else SEEDS)
    material = TUNING if given.tuning else HELD_OUT
    print("| Fault | Measures | Planted | Recall | Precision | Missed | Falsely |")
    print("|---|---|---|---|---|---|---|")
    is_good = True
    speeds = []
    for plant, count, plugin in PARTS:
        planted = list(chain.from_iterable(plant(seed, count, material) for seed in seeds))
        started = time.process_time()
        short = read_short(planted, plugin)
        spent = time.process_time() - started
        seconds = sum(len(one.item.media[0]) / one.item.media[1] for one in planted)
        speeds.append(
            f"{plugin.name}: {seconds / spent:.1f} s of sound and {len(planted) / spent:.1f} clips a CPU second"
        )
        for fault, found in score(planted, short).items():
            is_good = is_good and min(found.recall, found.precision) >= GOAL
            names = ", ".join(f"`{name}`" for name in MEASURES[fault])
            kinds = " | ".join(
                ", ".join(f"{kind} {number}" for kind, number in some.items()) for some in (found.missed, found.falsely)
            )
            figures = f"{found.planted} | {found.recall:.3f} | {found.precision:.3f}"
            print(f"| {fault} | {names} | {figures} | {kinds} |", flush=True)
    print("\n" + "\n".join(speeds))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
