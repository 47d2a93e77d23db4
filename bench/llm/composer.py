"""One composer as the pipeline has it, without the rest of it: the real client, pace, asker and journal files.

Reads one :class:`Task` as JSON from standard input, says ``ready``, waits for a line, and prints what came of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.llm.event_loop import run
from pipeline.adapters.collecting import spare_collector
from pipeline.adapters.journal import FileJournal
from pipeline.adapters.llm.openai_chat import OpenAIChat
from pipeline.contracts.chat import ChatRequest, Message
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import derive_seed
from pipeline.values.writer import Price, Writer
from pipeline.work.answers import string_schema
from pipeline.work.asking import Asker
from pipeline.work.purse import Purse

CALLS_PER_SHARD = 256
PROMPT = "You plan short dialogues between a person and an assistant that can draw, play music and speak. " * 24
"""About 600 tokens, as many as a scenario's prompt has with its demonstrations."""

PRICE = Price(input=0.15, output=0.6)


@dataclass(frozen=True)
class Task:
    """A share of a measurement.

    Attributes:
        first, count: Numbers of the calls.
        journals: Folder; what is journalled there already is not asked again.
        memory: Folder in which the endpoint's ceiling is remembered; None makes every run a cold one.
        marks: Numbers of calls after which memory is measured.
        is_bare: The client alone sends, see :mod:`bench.llm.bare`.
    """

    url: str
    first: int
    count: int
    in_flight: int
    journals: str
    memory: str | None = None
    marks: tuple[int, ...] = ()
    is_bare: bool = False


@dataclass
class Outcome:
    """What came of a task.

    Attributes:
        started, ended: Seconds of the machine's monotonic clock.
        cpu: Seconds of CPU from start to end.
        failed: Calls by failure code.
        resident: Megabytes by mark, unique to this process.
        limit: Calls in flight that the pace allowed in the end.
    """

    started: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    kept: int = 0
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    resident: dict[int, float] = field(default_factory=dict)
    limit: int = 0


class Quiet:
    """A watch that nobody reads."""

    def note(self, event: str, **facts: Any) -> None:
        """Hear nothing."""

    def check(self) -> None:
        """Never end."""


def build_request(number: int) -> ChatRequest:
    """A call like those for scenarios."""
    messages = (Message(role="system", content=PROMPT), Message(role="user", content=f"Topic #{number}: harbour walks"))
    return ChatRequest(
        record_id=f"r{number:08d}",
        purpose="scenario",
        model="bench",
        messages=messages,
        json_schema=string_schema("scenario", 420),
        schema_name="scenario",
        max_tokens=300,
        seed=derive_seed(1, str(number), "scenario"),
    )


class Composer:
    """Works through a task shard by shard, so many shards at once that calls never run out."""

    def __init__(self, task: Task, chat: OpenAIChat) -> None:
        self._task = task
        self._chat = chat
        self._gate = asyncio.Semaphore(task.in_flight)
        self._window = asyncio.Semaphore(2 + 2 * task.in_flight // CALLS_PER_SHARD)
        self._purse = Purse()
        self._num_done = 0
        self.outcome = Outcome()

    async def run(self) -> None:
        """Make all calls."""
        numbers = range(self._task.first, self._task.first + self._task.count)
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(numbers), CALLS_PER_SHARD):
                await self._window.acquire()
                group.create_task(self._run_shard(numbers[start : start + CALLS_PER_SHARD]))

    async def _run_shard(self, numbers: range) -> None:
        journal = FileJournal(Path(self._task.journals) / f"{numbers[0]:08d}", "scenarios", 1)
        asker = Asker(self._chat, journal, Quiet(), {"bench": PRICE}, self._purse)
        await asyncio.gather(*[self._ask(asker, number) for number in numbers])
        journal.close()
        self._window.release()

    async def _ask(self, asker: Asker, number: int) -> None:
        async with self._gate:
            try:
                await asker.ask(build_request(number))
            except ChatFailure as exc:
                self.outcome.failed[exc.code] += 1
            else:
                self.outcome.kept += 1
        self._num_done += 1
        if self._num_done in self._task.marks:
            self.outcome.resident[self._num_done] = psutil.Process().memory_full_info().uss / 1e6


def open_writer(task: Task) -> Writer:
    """A manifest's writer as the task wants it."""
    return Writer(engine="openai", model="bench", base_url=task.url, in_flight=task.in_flight, timeout_seconds=30)


async def start_with_the_others() -> None:
    """Say that everything is imported and open, and wait for the start."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def work(task: Task) -> Outcome:
    """Do a task."""
    chat = OpenAIChat(open_writer(task), Path(task.memory) if task.memory else None)
    composer = Composer(task, chat)
    spare_collector()
    await start_with_the_others()
    started, cpu = time.monotonic(), time.process_time()
    await composer.run()
    outcome = composer.outcome
    outcome.started, outcome.ended, outcome.cpu = started, time.monotonic(), time.process_time() - cpu
    outcome.limit = chat.states()["bench"].limit
    await chat.close()
    return outcome


def main() -> None:
    """Do the task that standard input states."""
    from bench.llm.bare import work_bare

    task = Task(**json.loads(sys.stdin.readline()))
    print(json.dumps(vars(run(work_bare(task) if task.is_bare else work(task)))))


if __name__ == "__main__":
    main()
