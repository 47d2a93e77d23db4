"""One corpus that is killed again and again while it is made, and then made to the end."""

from __future__ import annotations

import subprocess
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.chaos.corpora import count_calls, count_lines, find_faults
from tests.support.nodes import Nodes
from tests.support.runs import kill_all, kill_run, start_run
from tests.support.waiting import wait_until

TITLES = {"composer": "ray::Composer", "renderer": "ray::RenderWorker", "worker": "ray::"}
"""How Ray titles the processes of each kind of victim; a worker is any of them, idle ones and packers included."""

DRIVER, NODE = "driver", "node"
VICTIMS = (DRIVER, *TITLES, NODE)

MAX_RUNS_BESIDE = 5
"""Runs over those that were killed: work that loses five workers one after the other ends its run with an error."""

END_SECONDS = 600
SHOWN_FAULTS = 5


@dataclass
class Campaign:
    """What became of one corpus.

    Attributes:
        undisturbed: A corpus of the same manifest that nothing was killed in.
        kills: By kind of victim.
        num_runs: Runs that it took.
        num_repeated: Calls that were put to the endpoint more than once.
        faults: What is not as it would be without any kill.
    """

    manifest: Path
    undisturbed: Path
    kills: Counter[str] = field(default_factory=Counter)
    num_runs: int = 0
    num_repeated: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def corpus(self) -> Path:
        """The corpus that is killed."""
        return self.manifest.parent / "corpus"

    def describe(self) -> str:
        """Say in a line what was killed and what came of it, with the first faults in lines of their own."""
        killed = ", ".join(f"{count} {victim}" for victim, count in sorted(self.kills.items())) or "none"
        told = f"{self.num_runs} runs, {self.num_repeated} calls repeated, {len(self.faults)} faults"
        name = self.manifest.parent.name
        return "\n        ".join([f"{name:9} killed: {killed}; {told}", *self.faults[:SHOWN_FAULTS]])

    def fight(self, victims: Sequence[str], nodes: Nodes, random: Random) -> None:
        """Kill the victims one after the other at random moments, run to the end, and look for faults.

        A corpus may be whole before all of them have had their turn.
        """
        step = max(1, count_lines(self.undisturbed) // (len(victims) + 1))
        waiting = deque(victims)
        while self.num_runs <= len(victims) + MAX_RUNS_BESIDE:
            self.num_runs += 1
            run = start_run(self.manifest, self.corpus)
            try:
                while waiting and run.poll() is None:
                    lines = count_lines(self.corpus) + random.randint(0, step)
                    if not self._kill(run, waiting[0], lines, nodes, random):
                        break
                    self.kills[waiting.popleft()] += 1
                if self._ends_well(run):
                    break
            finally:
                if run.poll() is None:  # a person has stopped the measurement
                    kill_run(run)
        else:
            self.faults.append(f"not whole after {self.num_runs} runs")
            return
        calls = count_calls(self.corpus)
        self.num_repeated = calls.total() - len(calls)
        self.faults += find_faults(self.corpus, self.undisturbed, self.kills.total())

    def _kill(self, run: subprocess.Popen[bytes], victim: str, lines: int, nodes: Nodes, random: Random) -> bool:
        """Wait until the journals have so many lines, and kill; False where the run ended before that.

        Args:
            lines: No more than there are for a moment at which a run may still be starting.
        """
        wait_until(lambda: run.poll() is not None or count_lines(self.corpus) >= lines)
        if victim in TITLES:
            wait_until(lambda: run.poll() is not None or bool(nodes.find_workers(TITLES[victim])))
        if run.poll() is not None:
            return False
        if victim == DRIVER:
            kill_run(run)
        elif victim == NODE:
            nodes.replace_one(random)
        else:
            found = nodes.find_workers(TITLES[victim])
            if not found:
                return False
            kill_all([random.choice(found)])
        return True

    def _ends_well(self, run: subprocess.Popen[bytes]) -> bool:
        """Wait for the end; a run that ends with an error must say so in words."""
        if run.returncode is not None and run.returncode < 0:
            return False
        output = run.communicate(timeout=END_SECONDS)[0].decode(errors="replace")
        if run.returncode != 0 and ("Traceback (most recent call last)" in output or "error: " not in output):
            self.faults.append(f"exit code {run.returncode} without a word for people: {output[-300:]!r}")
        return run.returncode == 0
