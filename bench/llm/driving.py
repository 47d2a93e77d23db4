"""Starting the endpoint and composers, each in a process of its own, and taking down what they say."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.llm.composer import Outcome, Task
from bench.llm.server import Behaviour, Counts
from pipeline.adapters.llm.memory import EndpointMemory


@dataclass(frozen=True)
class RunningServer:
    """The endpoint as others reach it."""

    port: int

    @property
    def url(self) -> str:
        """Base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def setup(self, behaviour: Behaviour) -> None:
        """Have it behave in a way, and forget what it counted."""
        self._call("/setup", json.dumps(asdict(behaviour)).encode())

    def counts(self) -> Counts:
        """What it has counted since; JSON has made strings of the numbers of calls."""
        value: dict[str, Any] = json.loads(self._call("/counts", None))
        for name in ("answered", "bad"):
            value[name] = {int(number): times for number, times in value[name].items()}
        return Counts(**value)

    def _call(self, path: str, body: bytes | None) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=30) as response:
            return bytes(response.read())


@contextmanager
def running_server(module: str = "bench.llm.server") -> Iterator[RunningServer]:
    """Serve for as long as the context lasts."""
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield RunningServer(int(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


@dataclass(frozen=True)
class Load:
    """Calls to be made.

    Attributes:
        in_flight: Over all composers.
        is_warm: The endpoint's ceiling is known from a run before.
        marks: Calls after which memory is measured.
        is_bare: The client alone, without the engine.
    """

    calls: int
    in_flight: int
    composers: int = 1
    is_warm: bool = True
    marks: tuple[int, ...] = ()
    is_bare: bool = False


@dataclass
class Result:
    """What came of a load.

    Attributes:
        span: Seconds from the start of the first composer's first call to the end of the last one's last.
        cpu: Seconds of all composers together.
    """

    span: float
    cpu: float
    kept: int
    failed: dict[str, int]
    resident: dict[int, float]
    counts: Counts = field(default_factory=Counts)


class Driver:
    """Puts loads on the endpoint.

    Args:
        folder: For journals and what is remembered of the endpoint.
    """

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def run(self, load: Load, behaviour: Behaviour) -> Result:
        """Put a load on the endpoint."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            composers = [Running(task) for task in self.tasks(load, Path(folder))]
            for composer in composers:
                composer.wait_until_ready()
            self._server.setup(behaviour)
            for composer in composers:
                composer.go()
            result = _sum_up([composer.finish() for composer in composers])
            result.counts = self._server.counts()
            return result

    def tasks(self, load: Load, folder: Path) -> list[Task]:
        """Split a load among its composers; numbers start at 1, so that the first call is neither slow nor bad."""
        memory = folder / "memory"
        each, in_flight = load.calls // load.composers, load.in_flight // load.composers
        if load.is_warm:
            known = EndpointMemory(memory, f"127.0.0.1:{self._server.port}", "bench")
            known.learn(reached=in_flight, form="json_schema")
        return [
            Task(
                url=self._server.url,
                first=1 + index * each,
                count=each,
                in_flight=in_flight,
                journals=str(folder / "journals"),
                memory=str(memory) if load.is_warm else None,
                marks=load.marks,
                is_bare=load.is_bare,
            )
            for index in range(load.composers)
        ]


class Running:
    """A composer at work."""

    def __init__(self, task: Task) -> None:
        command = [sys.executable, "-m", "bench.llm.composer"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._say(json.dumps(asdict(task)))

    def wait_until_ready(self) -> None:
        """Wait until everything is imported and open."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("bench.llm: a composer did not start; its error stands above")

    def go(self) -> None:
        """Start the calls."""
        self._say("")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def finish(self) -> Outcome:
        """Wait for the end."""
        output, _ = self.process.communicate()
        if self.process.returncode:
            raise SystemExit("bench.llm: a composer failed; its error stands above")
        return Outcome(**json.loads(output))

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


def _sum_up(outcomes: Sequence[Outcome]) -> Result:
    failed: dict[str, int] = {}
    resident: dict[int, float] = {}
    for outcome in outcomes:
        for code, count in outcome.failed.items():
            failed[code] = failed.get(code, 0) + count
        resident |= {int(mark): megabytes for mark, megabytes in outcome.resident.items()}
    return Result(
        span=max(outcome.ended for outcome in outcomes) - min(outcome.started for outcome in outcomes),
        cpu=sum(outcome.cpu for outcome in outcomes),
        kept=sum(outcome.kept for outcome in outcomes),
        failed=failed,
        resident=resident,
    )
