"""How fast is the render stage beside the bare model?

    python -m bench.render                full-size random weights where there is a GPU, else small ones; 21 rounds
    python -m bench.render --case sdxl    one of them alone, within ten minutes
    python -m bench.render --quick        small ones, three rounds, within 50 s: a check with slack, no measurement

Ours is the render stage: orders, journal, gates, encoding, the committed stage file. Beside it stand (a) the bare loop
over the same model object in batches of its best size, which encodes and writes a file an item in threads, and (b) one
prompt a call. Each round runs all three; the fastest round of each counts. Random weights cost what trained ones cost.
Measure on an idle machine. The last line is the figure; exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.render.cases import Case, cpu_cases, full_cases, small_cases
from bench.render.measuring import Figures, Pace, measure
from pipeline.values.records import Modality

GOAL = 0.97
"""Of the bare loop's rate."""

QUICK_GOAL = 0.8
"""Short runs on a busy machine are a check that nothing broke."""


QUICK_SHARE = 4
"""Divisor of what the quick run renders."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a goal is missed."""
    has_gpu = torch.cuda.is_available()
    options = _parse(arguments, has_gpu)
    warnings.simplefilter("ignore")  # libraries about each other
    where = torch.cuda.get_device_name() if has_gpu else f"{os.cpu_count()} cores"
    print(f"{where}, Python {platform.python_version()}, torch {torch.__version__}")
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        print(f"load average {load:.1f} on {os.cpu_count()} cores: take times as preliminary")
    cases = small_cases(QUICK_SHARE) if options.quick else _cases(has_gpu)
    goal, rounds = (QUICK_GOAL, 3) if options.quick else (GOAL, 21)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            if options.case in (None, case.key):
                results.append(measure(case, rounds, Path(folder)))
                print(describe(results[-1], goal), flush=True)
    if not has_gpu:
        print("owed: full-size weights on a GPU; run python -m bench.render where there is one")
    met = sum(is_met(result, goal) for result in results)
    figures = "; ".join(f"{result.case} {result.ratio:.3f}" for result in results)
    print(f"{met} of {len(results)} goals met; of the bare loop's rate: {figures}")
    return 0 if met == len(results) else 1


def _parse(arguments: Sequence[str] | None, has_gpu: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small models, few rounds")
    parser.add_argument("--case", help=f"of {', '.join(case.key for case in [*cpu_cases(), *full_cases()])}")
    options = parser.parse_args(arguments)
    known = [case.key for case in (small_cases() if options.quick else _cases(has_gpu))]
    if options.case is not None and options.case not in known:
        needs = "; full sizes need a GPU" if options.case in [case.key for case in full_cases()] else ""
        parser.error(f"--case {options.case!r}: must be one of {', '.join(known)} here{needs}")
    return options


def _cases(has_gpu: bool) -> list[Case]:
    return full_cases() if has_gpu else cpu_cases()


def is_met(result: Figures, goal: float) -> bool:
    """Whether ours keeps up with the bare loop, is faster than one prompt a call, and lost nothing."""
    return result.ratio >= goal and result.ours.rate > result.single.rate and result.num_failed == 0


def describe(result: Figures, goal: float) -> str:
    """Return a case's figures in lines."""
    unit = "images/s" if result.modality is Modality.IMAGE else f"s of {result.modality}/s"
    verdict = "met" if is_met(result, goal) else "MISSED"
    ways = {"ours": result.ours, "bare loop": result.bare, "one prompt a call": result.single}
    return "\n".join(
        [
            f"{result.case}, batches of {result.batch}, {result.num_rounds} rounds: {result.ratio:.3f} of the bare "
            f"loop (goal {goal:.2f}: {verdict}), {result.ours.rate / result.single.rate:.1f} times one prompt a call; "
            f"{result.num_failed} refused",
            *(f"    {name:18}  {_describe_pace(pace, result.item, unit)}" for name, pace in ways.items()),
        ]
    )


def _describe_pace(pace: Pace, item: float, unit: str) -> str:
    text = f"{pace.rate * item:9.2f} {unit}"
    if pace.busy is not None:
        text += f", GPU busy {pace.busy:.0f} %"
    if pace.gigabytes is not None:
        text += f", peak {pace.gigabytes:.1f} GB"
    return text


if __name__ == "__main__":
    sys.exit(main())
