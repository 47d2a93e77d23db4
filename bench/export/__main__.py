"""How fast are corpora exported, beside a plain copy of the same bytes?

    python -m bench.export            1 GB of media, three times each, the median counts; memory at a quarter of it too
    python -m bench.export --quick    64 MB, once each: a check with slack, no measurement

A worker's own part is measured, in a process of its own for each format: reading the published tables, writing the
parts, moving them into place. The copy reads and writes the tables' files, 1 MiB at a time. Both end in the page cache.
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
import time
from collections.abc import Sequence
from pathlib import Path

from bench.export.worker import Measured
from bench.made_corpora import write_corpus

GOALS = {"webdataset": 0.25, "parquet": 0.2, "hf": 0.2, "messages": 0.2, "anyinstruct": 0.25}
"""Least share of a copy's speed. A tar and a Parquet file are written in one pass, but every byte is also read out of
Parquet pages, checked, and turned into a Python object and back."""
MEMORY_SLACK = 32.0
"""Megabytes that four times the corpus may cost more: the allocator's own ups and downs."""
PICTURE = 200_000
PER_SHARD = 250


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, once each")
    options = parser.parse_args(arguments)
    num_dialogues, repeats, slack = (160, 1, 0.5) if options.quick else (2500, 3, 1.0)
    verdicts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        num_bytes = write_corpus(folder / "large", num_dialogues, PER_SHARD, PICTURE)
        write_corpus(folder / "small", num_dialogues // 4, PER_SHARD, PICTURE)
        copied = num_bytes / statistics.median(copy(folder / "large", folder / "copy") for _ in range(repeats)) / 1e6
        print(f"{num_bytes / 1e6:,.0f} MB of media in {num_dialogues:,} dialogues; a copy: {copied:,.0f} MB/s")
        for to, goal in GOALS.items():
            small = measure(folder / "small", folder / "out", to)
            runs = [measure(folder / "large", folder / "out", to) for _ in range(repeats)]
            speed = num_bytes / statistics.median(run.seconds for run in runs) / 1e6
            growth = statistics.median(run.peak for run in runs) - small.peak
            is_met = speed >= goal * slack * copied and (options.quick or growth <= MEMORY_SLACK)
            verdicts.append((to, speed / copied, is_met))
            print(
                f"{to:12} {speed:6,.0f} MB/s, {speed / copied:.2f} of a copy (at least {goal * slack:g}); "
                f"{runs[-1].peak:,.0f} MB, {growth:+.0f} MB for four times the corpus (at most {MEMORY_SLACK:g}): "
                f"{'met' if is_met else 'MISSED'}",
                flush=True,
            )
    met = sum(is_met for _, _, is_met in verdicts)
    figures = ", ".join(f"{to} {share:.2f}" for to, share, _ in verdicts)
    print(f"{met} of {len(verdicts)} goals met; shares of a copy's speed: {figures}")
    return 0 if met == len(verdicts) else 1


def copy(source: Path, target: Path) -> float:
    """Copy all files of a folder piece by piece; return the seconds."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    started = time.perf_counter()
    for number, path in enumerate(sorted(source.rglob("*.parquet"))):
        with path.open("rb") as reader, (target / f"{number}.parquet").open("wb") as writer:
            while piece := reader.read(2**20):
                writer.write(piece)
    return time.perf_counter() - started


def measure(corpus: Path, out: Path, to: str) -> Measured:
    """Export in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "bench.export.worker", str(corpus), str(out), to]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
