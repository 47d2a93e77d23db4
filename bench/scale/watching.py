"""A command with all of its processes: wall time, CPU and peak memory, by what each process is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

POLL_SECONDS = 0.1

MEMORY_SECONDS = 2.0
"""Between two notes of what memory is held."""

RAY_WORKER = re.compile(r"ray::(?:IDLE_)?(\w+)")
"""How Ray titles its workers, by the actor or task that they run."""

OURS = frozenset({"driver", "Composer", "RenderWorker", "_pack", "PoolWorker"})
"""Processes that run this program's code; the others are Ray's own."""


@dataclass
class Cost:
    """What the processes of one kind took.

    Attributes:
        cpu: Seconds, all of them together.
        peak: Megabytes of resident memory, at most in one of them; shared libraries count in each.
    """

    cpu: float = 0.0
    peak: float = 0.0


@dataclass
class Watched:
    """What a command took.

    Attributes:
        output: Standard output and errors.
        memory: By kind, seconds since the start and megabytes of the largest process at that time.
    """

    wall: float = 0.0
    code: int = 0
    output: str = ""
    costs: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        """Seconds of CPU in this program's own processes."""
        return sum(cost.cpu for kind, cost in self.costs.items() if kind in OURS)

    @property
    def peak(self) -> float:
        """Megabytes of the largest of this program's own processes."""
        return max((cost.peak for kind, cost in self.costs.items() if kind in OURS), default=0.0)


def watch(words: Sequence[str], log: Path) -> Watched:
    """Run ``anyinstruct`` and look at its processes until it ends.

    Args:
        log: File that takes what the command says.
    """
    command = [sys.executable, "-m", "pipeline.cli.app", *words]
    environment = {"OPENAI_API_KEY": "none", **os.environ}
    watched, seen, started = Watched(), _Seen(), time.perf_counter()
    with log.open("wb") as output:
        run = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while run.poll() is None:
            seen.look(run.pid, time.perf_counter() - started)
            time.sleep(POLL_SECONDS)
    watched.wall, watched.code = time.perf_counter() - started, run.returncode
    watched.output = log.read_text(encoding="utf-8", errors="replace")
    for kind, cpu, peak in seen.sums():
        watched.costs[kind].cpu += cpu
        watched.costs[kind].peak = max(watched.costs[kind].peak, peak)
    watched.memory = seen.memory
    return watched


class _Seen:
    """The last look at every process; what one does between its last look and its end is not counted."""

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}
        self._cpu: dict[int, float] = {}
        self._peak: dict[int, float] = defaultdict(float)
        self._noted = -MEMORY_SECONDS
        self.memory: dict[str, list[tuple[float, float]]] = {}

    def look(self, driver: int, now: float) -> None:
        """Look at a process and at all that it has started.

        Args:
            now: Seconds since the start.
        """
        held: dict[str, float] = defaultdict(float)
        try:
            family = psutil.Process(driver)
            processes = [family, *family.children(recursive=True)]
        except psutil.Error:
            return  # it ended while we looked
        for process in processes:
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
                    kind = "driver" if process.pid == driver else _kind(process.cmdline())
            except psutil.Error:
                continue
            # An idle worker stays what it was, and one that is ending has no title any more.
            if kind in OURS or process.pid not in self._kinds:
                self._kinds[process.pid] = kind
            self._cpu[process.pid] = times.user + times.system
            self._peak[process.pid] = max(self._peak[process.pid], memory.rss / 1e6)
            held[self._kinds[process.pid]] = max(held[self._kinds[process.pid]], memory.rss / 1e6)
        if now - self._noted >= MEMORY_SECONDS:
            self._noted = now
            for kind in held.keys() & OURS:
                self.memory.setdefault(kind, []).append((round(now, 1), round(held[kind], 1)))

    def sums(self) -> list[tuple[str, float, float]]:
        """Kind, CPU seconds and peak megabytes of every process."""
        return [(kind, self._cpu[pid], self._peak[pid]) for pid, kind in self._kinds.items()]


def _kind(command: Sequence[str]) -> str:
    title = command[0] if command else ""
    if title.startswith("ray::IDLE"):
        return "idle"
    if found := RAY_WORKER.match(title):
        return found.group(1).partition(".")[0]
    return "Ray"
