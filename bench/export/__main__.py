"""How fast are corpora exported, beside what must be read and written for it in any case?

    python -m bench.export            1 GB of media, three times each, the median counts; memory at a quarter of it too
    python -m bench.export --quick    64 MB, once each, without memory: a check with slack, no measurement
    python -m bench.export hf         only this one

A worker's own part is measured, in a process of its own: reading the published tables, writing the parts, moving them
into place. What it is held against does the same reading and writing with pyarrow and the standard library alone, right
before it, so that whatever else the machine does meanwhile slows both; ``peer`` says what. Both end in the page cache.
The last line is the figure; exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.export.worker import Measured
from bench.made_corpora import write_corpus
from pipeline.values.units import Bytes


@dataclass(frozen=True)
class Goal:
    """What an export is held against.

    Attributes:
        form: Of the peer that writes the same.
        share: Of the peer's speed, at least.
    """

    form: str
    share: float


GOALS = {
    "webdataset": Goal("tars", 0.6),
    "anyinstruct": Goal("tars", 0.6),
    "messages": Goal("files", 0.5),
    "hf": Goal("parquet", 0.5),
    "parquet": Goal("parquet", 0.5),
}
MEMORY_SLACK = 32.0
"""Megabytes that four times the corpus may cost more: the allocator's own ups and downs."""
QUICK_SLACK = 0.4
"""Of a goal, in a single short run: what starts once, such as a worker's locks, weighs more there."""
PICTURE: Bytes = 200_000
PER_SHARD = 250


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, once each")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"only these of {', '.join(GOALS)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.formats) - GOALS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(GOALS)}")
    num_dialogues, repeats, slack = (160, 1, QUICK_SLACK) if options.quick else (2500, 3, 1.0)
    verdicts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        num_bytes = write_corpus(folder / "large", num_dialogues, PER_SHARD, PICTURE)
        if not options.quick:
            write_corpus(folder / "small", num_dialogues // 4, PER_SHARD, PICTURE)
        copy = statistics.median(measure(folder, "large", "peer", "copy").seconds for _ in range(repeats))
        print(
            f"{num_bytes / 1e6:,.0f} MB of media in {num_dialogues:,} dialogues; "
            f"a bare copy of their files within the page cache: {num_bytes / 1e6 / copy:,.0f} MB/s",
            flush=True,
        )
        for to, goal in ((to, goal) for to, goal in GOALS.items() if to in (options.formats or GOALS)):
            pairs = [
                (measure(folder, "large", "peer", goal.form), measure(folder, "large", "worker", to))
                for _ in range(repeats)
            ]
            share = statistics.median(peer.seconds / ours.seconds for peer, ours in pairs)
            grown = None if options.quick else pairs[-1][1].peak - measure(folder, "small", "worker", to).peak
            is_met = share >= goal.share * slack and (grown is None or grown <= MEMORY_SLACK)
            verdicts.append((to, share, is_met))
            _print(to, Goal(goal.form, goal.share * slack), pairs, num_bytes, grown, is_met)
    met = sum(is_met for _, _, is_met in verdicts)
    figures = ", ".join(f"{to} {share:.2f}" for to, share, _ in verdicts)
    print(f"{met} of {len(verdicts)} goals met; shares of the peers' speed: {figures}")
    return 0 if met == len(verdicts) else 1


def measure(folder: Path, corpus: str, part: str, form: str) -> Measured:
    """Have a module of this package export, in a process of its own."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", f"bench.export.{part}", str(folder / corpus), str(out), form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout))


def _print(
    to: str, goal: Goal, pairs: Sequence[tuple[Measured, Measured]], num_bytes: Bytes, grown: float | None, is_met: bool
) -> None:
    peer, ours = (num_bytes / 1e6 / statistics.median(pair[i].seconds for pair in pairs) for i in range(2))
    share = statistics.median(peer.seconds / ours.seconds for peer, ours in pairs)
    peak = pairs[-1][1].peak
    memory = f"{peak:,.0f} MB"
    if grown is not None:
        memory += f", {grown:+.0f} MB for four times the corpus (at most {MEMORY_SLACK:g})"
    print(
        f"{to:12} {ours:6,.0f} MB/s, {goal.form} alone {peer:6,.0f}: {share:.2f} (at least {goal.share:g}); {memory}: "
        f"{'met' if is_met else 'MISSED'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
