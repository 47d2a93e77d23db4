"""The demo from nothing: wall time by stage and peak memory of all its processes.

    python -m bench.demo            the demo manifest; goal: under 15 minutes and 6 GB
    python -m bench.demo --quick    the smoke manifest; goal: under 50 seconds and 6 GB

Model files must be there (``anyinstruct doctor --fetch MANIFEST``): their download is not timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from pipeline.adapters.shipped import shipped

MAX_GIGABYTES = 6.0
MAX_SECONDS = {"demo": 15 * 60.0, "smoke": 50.0}
POLL_SECONDS = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, measure, print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smoke manifest instead of the demo")
    name = "smoke" if parser.parse_args(arguments).quick else "demo"
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / name
        command = [sys.executable, "-m", "pipeline.cli.app", "run", str(shipped("manifests", f"{name}.yaml"))]
        started = time.monotonic()
        run = subprocess.Popen([*command, "--corpus", str(corpus)], stdout=subprocess.DEVNULL)
        peak = _watch(run)
        seconds = time.monotonic() - started
        if run.returncode:
            print(f"bench.demo: the run ended with exit code {run.returncode}")
            return 1
        for stage, first, last in stage_spans(corpus):
            print(f"{stage:10}  {first:6.0f} s to {last:6.0f} s")
        counts = json.loads((corpus / "ledger.json").read_text(encoding="utf-8"))["counts"]
    gigabytes = peak / 1e9
    is_met = seconds <= MAX_SECONDS[name] and gigabytes <= MAX_GIGABYTES and counts["kept"] > 0
    print(f"goal: at most {MAX_SECONDS[name]:.0f} s and {MAX_GIGABYTES:.0f} GB; {'met' if is_met else 'missed'}")
    print(f"{name}: {counts['kept']} dialogues kept in {seconds:.0f} s, peak memory {gigabytes:.2f} GB")
    return 0 if is_met else 1


def _watch(run: subprocess.Popen[bytes]) -> int:
    """Wait for the run; return the highest sum of unique memory over its processes, in bytes.

    Unique set size leaves out pages that processes share, among them Ray's object store, which is 0.1 GB.
    """
    family = psutil.Process(run.pid)
    peak = 0
    while run.poll() is None:
        total = 0
        for process in [family, *_children(family)]:
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue  # it ended while we looked
        peak = max(peak, total)
        time.sleep(POLL_SECONDS)
    return peak


def _children(family: psutil.Process) -> list[psutil.Process]:
    try:
        return list(family.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def stage_spans(corpus: Path) -> list[tuple[str, float, float]]:
    """When each stage's first and last record came, in seconds from the first event, by the run's event log."""
    lines = (corpus / "work" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    done: dict[str, list[tuple[float, int]]] = {}
    for event in events:
        for stage, tally in event["stages"].items():
            done.setdefault(stage, []).append((event["t"] - events[0]["t"], tally["done"]))
    spans = []
    for stage, marks in done.items():
        busy = [moment for (moment, count), (_, then) in pairwise(marks) if then > count]
        if busy:
            spans.append((stage, busy[0], busy[-1] + POLL_SECONDS))
    return spans


if __name__ == "__main__":
    sys.exit(main())
