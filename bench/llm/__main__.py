"""How fast and how careful is the writing engine?

    python -m bench.llm            every case five times, the median counts (about twenty minutes)
    python -m bench.llm --quick    short runs, once each, within 50 s: a check with slack, no measurement
    python -m bench.llm --peers    other tools too, on the same endpoint, each in an environment of its own

The engine is the pipeline's own client, pace, asker and journal files, one process a composer; the endpoint is a server
on loopback in a process of its own. The ideal is the time of a client without any cost: ceil(calls / in flight) times
the latency, and the end of the last call of all where some are slow. Measure on an idle machine: times taken on a busy
one say nothing. The last line is the figure; exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.llm import event_loop
from bench.llm.cases import Finding, Scale, all_cases
from bench.llm.driving import Driver, running_server
from bench.llm.peers import measure_peers

QUICK = Scale(repeats=1, share=0.25, slack=2.0, start=0.15, composers=(1,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs, once each")
    parser.add_argument("--peers", action="store_true", help="measure other tools after ours")
    options = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, the event loop is {event_loop.NAME}'s")
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        print(f"load average {load:.1f} on {os.cpu_count()} cores: take times as preliminary")
    findings = []
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        driver = Driver(server, Path(folder))
        for measure in all_cases(server, driver, QUICK if options.quick else Scale()):
            for finding in measure():
                findings.append(finding)
                show(finding)
    if options.peers:
        measure_peers()
    met = sum(finding.is_met for finding in findings)
    figures = "; ".join(f"{finding.case}: {finding.figure}" for finding in findings if finding.goal != "reported")
    print(f"{met} of {len(findings)} goals met; {figures}")
    return 0 if met == len(findings) else 1


def show(finding: Finding) -> None:
    """Print one row of the table."""
    verdict = "" if finding.goal == "reported" else f"  ({finding.goal}: {'met' if finding.is_met else 'MISSED'})"
    print(f"{finding.case:62}  {finding.figure}{verdict}", flush=True)
    if finding.notes:
        print(f"{'':62}  {finding.notes}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
