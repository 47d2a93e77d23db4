"""How much faster is a run on more nodes, where it waits for its endpoint?

    python -m bench.cluster            1, 2, 3 and 4 nodes
    python -m bench.cluster --quick    1 and 2 nodes, within 50 s on an idle machine: a check with slack

The nodes are Ray's and lie on one machine, each with a daemon and processes of its own; the run is the command's, with
one composer a node. An endpoint on loopback answers every call after 0.5 s, and a composer has four calls out at once,
so few that the machine's cores do not bind: what is measured is whether shards reach all composers and keep them busy.
A corpus grows with the nodes. The pace is taken from when all composers are at work, since their processes start one
after the other on few cores, to the last answer; how long they took to start is told beside it. The last line is the
figure; exits with 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.cluster.scaling import CPUS_PER_NODE, IN_FLIGHT, LATENCY, Pace, measure
from bench.llm.driving import running_server
from tests.support.nodes import running_nodes

ENDPOINT = "bench.cluster.endpoint"
GOAL = 0.9
QUICK_GOAL = 0.8
FULL, QUICK = 96, 16
"""Dialogues a node, of two calls each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 2 nodes")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OPENAI_API_KEY", "none")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}")
    most, per_node = (2, QUICK) if options.quick else (4, FULL)
    found: list[Pace] = []
    with tempfile.TemporaryDirectory() as folder, running_server(ENDPOINT) as server, running_nodes(0) as nodes:
        for count in range(1, most + 1):
            nodes.add(CPUS_PER_NODE)
            pace = measure(Path(folder) / f"{count}", server, nodes, per_node)
            found.append(pace)
            print(
                f"{count} nodes: {pace.calls:,} calls, {pace.rate:.2f}/s over {pace.span:.1f} s, {scale(found):.3f} of "
                f"linear; all composers at work {pace.start:.1f} s after the first call",
                flush=True,
            )
    return tell(found, QUICK_GOAL if options.quick else GOAL)


def scale(found: Sequence[Pace]) -> float:
    """Return the last pace as a share of the first one's, times the nodes."""
    return found[-1].rate / (found[0].rate * found[-1].nodes / found[0].nodes)


def tell(found: Sequence[Pace], goal: float) -> int:
    """Print the figure; return 1 where it is under the goal."""
    share = scale(found)
    print(
        f"{found[0].nodes} to {found[-1].nodes} nodes, {IN_FLIGHT} calls of {LATENCY} s a composer: "
        f"{share:.3f} of linear (at least {goal}): {'met' if share >= goal else 'MISSED'}"
    )
    return 0 if share >= goal else 1


if __name__ == "__main__":
    sys.exit(main())
