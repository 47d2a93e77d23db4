"""Running what a pool of workers does, with its progress on the terminal and an orderly end on Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli.run import INTERRUPTED

PLAIN_EVERY_SECONDS = 10.0

T_co = TypeVar("T_co", covariant=True)


class Run(Protocol[T_co]):
    """What is followed."""

    on_progress: Callable[[int, int], None]

    async def execute(self) -> T_co:
        """Do it all."""
        ...

    async def drain(self) -> None:
        """End as soon as what is in hand is done."""
        ...


async def follow(run: Run[T_co], console: Console, doing: str, unit: str) -> T_co:
    """Execute a run; the first Ctrl-C drains it, the second ends the process.

    Args:
        doing: In front of the progress: ``auditing``.
        unit: Of its counts: ``readings``.
    """
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def on_interrupt() -> None:
        if draining:
            print("\nStopped at once.", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        console.print("Finishing what is in hand; press Ctrl-C again to stop at once.", markup=False)
        draining.append(loop.create_task(run.drain()))

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    if not console.is_terminal:
        run.on_progress = _PlainProgress(console, unit)
        return await run.execute()
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(doing, total=None)
        run.on_progress = lambda done, total: progress.update(task, completed=done, total=total)
        return await run.execute()


class _PlainProgress:
    """A line every ten seconds."""

    def __init__(self, console: Console, unit: str) -> None:
        self._console = console
        self._unit = unit
        self._next = time.monotonic() + PLAIN_EVERY_SECONDS

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_SECONDS
            self._console.print(f"{done:,} of {total:,} {self._unit}", markup=False)
