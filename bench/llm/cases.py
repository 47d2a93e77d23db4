"""The cases: what is asked of the engine, what is ideal, and which goal it has to meet."""

from __future__ import annotations

import heapq
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from bench.llm.driving import Driver, Load, Result, Running, RunningServer
from bench.llm.server import Behaviour
from pipeline.values.words import say_count

IN_FLIGHT_AT_KILL = 50
MEMORY_SLACK = 8.0
"""Megabytes that a process may have more after ten times the calls: the allocator's own ups and downs."""


@dataclass(frozen=True)
class Finding:
    """What a case came to.

    Attributes:
        figure: What was measured, in words.
        goal: What it had to be.
        notes: What else was seen: spans, the server's share of the CPU.
    """

    case: str
    figure: str
    goal: str
    is_met: bool
    notes: str = ""


@dataclass(frozen=True)
class Scale:
    """How thoroughly it is measured.

    Attributes:
        repeats: Runs of a case, of which the median counts.
        share: Of the calls of each case; where it is under 1, slow calls are less slow and nothing else is compared.
        slack: Factor on goals of time; a short run on a busy machine is a check, no measurement.
        start: Seconds that the first connections may take on top; they count for little in a long run.
        composers: Numbers of processes that are tried; a node has as many as help.
    """

    repeats: int = 5
    share: float = 1.0
    slack: float = 1.0
    start: float = 0.0
    composers: tuple[int, ...] = (1, 2)

    def of(self, load: Load) -> Load:
        """Scale a load, in whole rounds."""
        rounds = max(2, round(load.calls * self.share / load.in_flight))
        return load if self.share == 1.0 else replace(load, calls=rounds * load.in_flight)


def ideal_span(load: Load, behaviour: Behaviour) -> float:
    """Seconds that a client without any cost needs: each call starts the moment an earlier one has made room.

    Without slow calls that is ceil(calls / in flight) times the latency. A slow call near the end is waited for by
    everybody, so with them it is more than the sum of all latencies over the calls in flight.
    """
    ends = [0.0] * min(load.in_flight, behaviour.admits)
    for number in range(1, load.calls + 1):
        is_slow = bool(behaviour.slow_every) and number % behaviour.slow_every == 0
        heapq.heapreplace(ends, ends[0] + (behaviour.slow_latency if is_slow else behaviour.latency))
    return max(ends)


class Fastest(NamedTuple):
    """The number of composers that took the least time.

    Attributes:
        ratio: Median span, in shares of the ideal.
        cpu: Median milliseconds of CPU a call.
        others: What each number of composers came to.
    """

    ratio: float
    cpu: float
    load: Load
    results: list[Result]
    others: str


def run_by_composers(driver: Driver, load: Load, behaviour: Behaviour, scale: Scale) -> Fastest:
    """Put a load on the endpoint from as many composers as are tried; a cold endpoint from one."""
    found = []
    for composers in scale.composers if load.is_warm else (1,):
        tried = scale.of(replace(load, composers=composers))
        results = [driver.run(tried, behaviour) for _ in range(scale.repeats)]
        ratio = statistics.median(result.span for result in results) / ideal_span(tried, behaviour)
        cpu = statistics.median(result.cpu for result in results) / tried.calls * 1e3
        found.append(Fastest(ratio, cpu, tried, results, f"{composers}: {ratio:.3f} and {cpu:.2f} ms"))
    return min(found, key=lambda one: one.ratio)._replace(others="; ".join(one.others for one in found))


def measure_span(driver: Driver, load: Load, behaviour: Behaviour, goal: float, scale: Scale) -> Finding:
    """Measure how much longer than ideal a load takes, by the number of composers that takes least."""
    fastest = run_by_composers(driver, load, behaviour, scale)
    ratio, load, results = fastest.ratio, fastest.load, fastest.results
    ideal = ideal_span(load, behaviour)
    num_slow = load.calls // behaviour.slow_every if behaviour.slow_every else 0
    limit = 1 + (goal - 1) * scale.slack + scale.start / ideal
    work = (load.calls - num_slow) * behaviour.latency + num_slow * behaviour.slow_latency
    kind = "warm" if load.is_warm else "cold"
    tail = f", {100 / behaviour.slow_every:g} % take {behaviour.slow_latency:g} s" if behaviour.slow_every else ""
    is_whole = all(result.kept == load.calls for result in results)
    composers = say_count(load.composers, "composer")
    return Finding(
        f"{load.calls:,} at {load.in_flight:,}, {behaviour.latency:g} s{tail}, {kind}, {composers}",
        f"{ratio:.3f} of the ideal {ideal:.2f} s",
        f"at most {limit:.3g}" if math.isfinite(goal) else "reported",
        ratio <= limit and is_whole,
        f"{_notes(results, load)}; by composers {fastest.others}"
        + (f"; {ratio * ideal * load.in_flight / work:.2f} of the work" if num_slow else ""),
    )


def measure_floor(driver: Driver, load: Load, behaviour: Behaviour, scale: Scale) -> Finding:
    """The same load by the client alone: what of the time and of the CPU is not the engine's."""
    load = scale.of(replace(load, is_bare=True))
    results = [driver.run(load, behaviour) for _ in range(scale.repeats)]
    ratio = statistics.median(result.span for result in results) / ideal_span(load, behaviour)
    split = f", {load.composers} processes" if load.composers > 1 else ""
    case = f"  the client alone, {load.calls:,} at {load.in_flight:,}{split}"
    return Finding(case, f"{ratio:.3f} of the ideal", "reported", True, _notes(results, load))


def measure_many(driver: Driver, scale: Scale) -> list[Finding]:
    """4,000 calls at 1,024 in flight, and their CPU a call."""
    behaviour = Behaviour(latency=0.5)
    fastest = run_by_composers(driver, Load(4000, 1024), behaviour, scale)
    load, ratio, cpu = fastest.load, fastest.ratio, fastest.cpu
    case = f"{load.calls:,} at 1,024, 0.5 s, warm, {say_count(load.composers, 'composer')}"
    limits = 1 + 1.5 * scale.slack, 1.0 * scale.slack
    notes = f"{_notes(fastest.results, load)}; by composers {fastest.others}"
    findings = [
        Finding(case, f"{ratio:.2f} of the ideal", f"at most {limits[0]:.3g}", ratio <= limits[0], notes),
        Finding("CPU a call, there", f"{cpu:.2f} ms", f"at most {limits[1]:g} ms", cpu <= limits[1]),
    ]
    if scale.share == 1.0:
        findings.append(measure_floor(driver, Load(4000, 1024, load.composers), behaviour, scale))
    return findings


def measure_capped(driver: Driver, scale: Scale) -> Finding:
    """An endpoint that admits half of what is wanted, met for the first time."""
    load, behaviour = scale.of(Load(500, 32, is_warm=False)), Behaviour(latency=0.2, admits=16)
    results = [driver.run(load, behaviour) for _ in range(scale.repeats)]
    span = statistics.median(result.span for result in results)
    refusals = statistics.median(result.counts.refusals for result in results)
    limit = 9 * scale.slack * load.calls / 500
    is_met = span <= limit and refusals <= 18 and all(result.kept == load.calls for result in results)
    goal = f"at most {limit:.3g} s and 18 refusals"
    figure = f"{span:.1f} s, {refusals:g} refusals"
    case = f"{load.calls:,} of 0.2 s wanted at 32, 16 admitted, cold"
    return Finding(case, figure, goal, is_met, _notes(results, load))


def measure_bad(driver: Driver, scale: Scale) -> Finding:
    """One call in a hundred is answered with 400."""
    load, behaviour = Load(1000, 64), Behaviour(latency=0.2, bad_every=100)
    results = [driver.run(load, behaviour) for _ in range(scale.repeats)]
    twice = max(sum(times > 1 for times in result.counts.bad.values()) for result in results)
    # The worst run, not the median: none may lose a call.
    worst = min(results, key=lambda result: (result.kept, result.failed == {"bad_request": 10}))
    is_met = worst.kept == 990 and worst.failed == {"bad_request": 10} and twice == 0
    figure = f"{worst.kept} kept, {worst.failed} failed, {twice} tried twice"
    return Finding("1,000 with 1 % answered 400", figure, "990, 10 with their reason, none", is_met)


def measure_kill(server: RunningServer, driver: Driver, scale: Scale) -> Finding:
    """SIGKILL in the middle, and the same again on the same journals."""
    worst, is_whole = 0, True
    for _ in range(scale.repeats):
        with tempfile.TemporaryDirectory() as folder:
            load, behaviour = scale.of(Load(1000, IN_FLIGHT_AT_KILL)), Behaviour(latency=0.2)
            (task,) = driver.tasks(load, Path(folder))
            server.setup(behaviour)
            first = Running(task)
            first.wait_until_ready()
            first.go()
            while len(server.counts().answered) < load.calls // 2:
                time.sleep(0.02)
            first.kill()
            second = Running(task)
            second.wait_until_ready()
            second.go()
            is_whole = is_whole and second.finish().kept == load.calls
            answered = server.counts().answered
            worst = max(worst, sum(times - 1 for times in answered.values()))
    goal = f"at most {IN_FLIGHT_AT_KILL}, nothing lost"
    figure = f"{worst} repeated calls{'' if is_whole else ', and calls were lost'}"
    case = f"SIGKILL in the middle at {IN_FLIGHT_AT_KILL} in flight, resumed; the worst"
    return Finding(case, figure, goal, is_whole and worst <= IN_FLIGHT_AT_KILL)


def measure_memory(driver: Driver, marks: tuple[int, int], scale: Scale) -> Finding:
    """Unique memory of a composer after so many calls and after ten times as many; the run that grew by the median."""
    results = [driver.run(Load(marks[1], 256, marks=marks), Behaviour(latency=0.01)) for _ in range(scale.repeats)]
    sizes = sorted(
        ([result.resident[mark] for mark in marks] for result in results), key=lambda pair: pair[1] - pair[0]
    )
    before, after = sizes[len(sizes) // 2]
    figure = f"{before:.0f} MB after {marks[0]:,}, {after:.0f} MB after {marks[1]:,}"
    notes = f"grew by {' '.join(f'{pair[1] - pair[0]:.1f}' for pair in sizes)} MB"
    return Finding("memory", figure, f"at most {MEMORY_SLACK:g} MB more", after - before <= MEMORY_SLACK, notes)


def all_cases(server: RunningServer, driver: Driver, scale: Scale) -> Sequence[Callable[[], list[Finding]]]:
    """The table, row by row."""

    def span(calls: int, in_flight: int, behaviour: Behaviour, goal: float, is_warm: bool = True) -> list[Finding]:
        load = Load(calls, in_flight, is_warm=is_warm)
        findings = [measure_span(driver, load, behaviour, goal, scale)]
        if is_warm and not behaviour.slow_every and not is_quick:
            findings.append(measure_floor(driver, load, behaviour, scale))
        return findings

    is_quick = scale.share < 1
    cold: list[Callable[[], list[Finding]]] = [
        lambda: span(2000, 64, Behaviour(latency=0.2), math.inf, is_warm=False),
        lambda: span(4000, 256, Behaviour(latency=0.5), math.inf, is_warm=False),
        lambda: span(4000, 1024, Behaviour(latency=0.5), math.inf, is_warm=False),
    ]
    return [
        lambda: span(2000, 64, Behaviour(latency=0.2), 1.03),
        lambda: span(4000, 256, Behaviour(latency=0.5), 1.15),
        lambda: measure_many(driver, scale),
        lambda: span(2000, 64, Behaviour(latency=0.2, slow_every=50, slow_latency=1.0 if is_quick else 4.0), 1.2),
        lambda: [measure_capped(driver, scale)],
        lambda: [measure_bad(driver, scale)],
        lambda: [measure_kill(server, driver, scale)],
        lambda: [measure_memory(driver, (300, 3000) if is_quick else (10_000, 100_000), scale)],
        *([] if is_quick else cold),
    ]


def _notes(results: Sequence[Result], load: Load) -> str:
    spans = " ".join(f"{result.span:.2f}" for result in results)
    server = statistics.median(result.counts.cpu / result.span for result in results)
    cpu = statistics.median(result.cpu for result in results) / load.calls * 1e3
    return f"spans {spans} s; {cpu:.2f} ms of CPU a call; the server held {server:.0%} of a core"
