"""How does a run grow with its corpus, and what does a finished corpus cost whoever comes back to it?

    python -m bench.scale                       2,000 dialogues of the published recipe; a quarter, a sixteenth of that
    python -m bench.scale --dialogues 108000    the published size; takes hours on two cores
    python -m bench.scale --folder F            keeps corpora and figures; killed, it goes on with the size it was at
    python -m bench.scale --plot growth.svg     draws CPU by size and memory over the largest run
    python -m bench.scale --text-only           typed words alone, without media
    python -m bench.scale --quick               one small corpus, within 50 s on an idle machine: a check with slack

The stages are the real ones, under Ray, from the command line. Only what they wait for is not: an endpoint on loopback
answers at once, pictures have 64 pixels a side, sound lasts 0.3 s. What is left is the pipeline's own cost, and that of
checking words and encoding media: checks are measured by themselves and taken off, and what an asset costs is measured
with media that are ready. CPU is of this program's processes; Ray's own are listed beside them. The last line is the
figure; exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.llm.driving import running_server
from bench.scale.assets import measure_assets
from bench.scale.goals import Goal, judge_asset, judge_growth, judge_overhead, judge_use
from bench.scale.keeping import make_or_recall
from bench.scale.manifests import Shape
from bench.scale.measuring import READING, Made, measure_checks, read_raw, use
from bench.scale.plot import draw
from pipeline.values.units import Seconds

ENDPOINT = "bench.scale.endpoint"
FULL = 2000
QUICK = 240
QUICK_PER_SHARD = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small corpus")
    parser.add_argument("--dialogues", type=int, default=FULL, help="of the largest corpus")
    parser.add_argument("--text-only", action="store_true", help="without media")
    parser.add_argument("--folder", type=Path, help="for the corpora, which stay there; a temporary one otherwise")
    parser.add_argument("--plot", type=Path, help="draw growth and memory here, as .svg, .png or .pdf")
    options = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}")
    largest = QUICK if options.quick else options.dialogues
    shares = (1,) if options.quick else (16, 4, 1)
    # The smallest corpus, too, has shards for all workers, so that sizes differ in what is made and not in who starts.
    per_shard = QUICK_PER_SHARD if options.quick else min(512, max(largest // 32, 16))
    shapes = [Shape(largest // share, not options.text_only, per_shard) for share in shares]
    with tempfile.TemporaryDirectory() as temporary, running_server(ENDPOINT) as server:
        folder = options.folder or Path(temporary)
        made = [make_and_tell(folder / f"{shape.num_dialogues}", shape, server.url) for shape in shapes]
        checks = measure_checks(folder / f"{largest}" / "corpus", largest)
        print(f"in these, checks of words CPU {checks:.1f} s")
        goals = [*judge_growth(made), judge_overhead(made, checks)] if len(made) > 1 else []
        if made[-1].num_media:
            goals.append(judge_asset(measure_assets(folder / f"{largest}", Path(temporary) / "assets")))
        steps = {}
        for name, took in use(made[-1], folder / f"{largest}", options.quick):
            steps[name] = took
            speed = tell_speed(folder / f"{largest}" / "corpus", took.wall) if name in READING else ""
            print(f"{name:24} {took.wall:8.1f} s, CPU {took.cpu:8.1f} s, peak {took.peak:6,.0f} MB{speed}", flush=True)
    goals += judge_use(made[-1], steps)
    if options.plot:
        draw(made, options.plot)
    return tell(goals, made[-1], slack=2.0 if options.quick else 1.0)


def make_and_tell(folder: Path, shape: Shape, url: str) -> Made:
    """Make a corpus, unless that was done, and print what it took."""
    made = make_or_recall(folder, shape, url)
    assets = ", ".join(f"{count:,} {table}" for table, count in made.num_assets.items()) or "no media"
    rate = shape.num_dialogues / made.run.wall
    print(
        f"\n{shape.num_dialogues:,} dialogues, {made.num_calls:,} calls, {assets}: {made.run.wall:.1f} s, {rate:.1f}/s"
    )
    for kind, cost in sorted(made.run.costs.items()):
        print(f"  {kind:14} CPU {cost.cpu:8.1f} s, peak {cost.peak:6,.0f} MB")
    for stage, first, last in made.spans:
        print(f"  {stage:14} {first:6.0f} s to {last:6.0f} s")
    size = made.size
    print(
        f"  {size.num_files:,} files, {size.published / 1e6:,.1f} MB published, {size.total / 1e6:,.1f} MB in all",
        flush=True,
    )
    return made


def tell_speed(corpus: Path, wall: Seconds) -> str:
    """Say how fast all that is published was gone through, beside a raw read of it right after."""
    num_bytes, raw = read_raw(corpus)
    return f", {num_bytes / 1e6 / wall:.1f} MB/s; a raw read {num_bytes / 1e6 / raw:.1f} MB/s"


def tell(goals: Sequence[Goal], made: Made, slack: float) -> int:
    """Print what was reached; return 1 where a goal is missed.

    Args:
        slack: Factor on every goal, for a check that is no measurement.
    """
    print()
    met = 0
    for goal in goals:
        is_met = goal.value <= goal.limit * slack
        met += is_met
        bound = f"(at most {goal.limit * slack:g}): {'met' if is_met else 'MISSED'}"
        print(f"{goal.name:52} {goal.value:9.2f} {goal.unit:4} {bound}")
    count, wall = made.shape.num_dialogues, made.run.wall
    print(f"{met} of {len(goals)} goals met; {count:,} dialogues in {wall:.0f} s, {count / wall:.1f}/s")
    return 0 if met == len(goals) else 1


if __name__ == "__main__":
    sys.exit(main())
