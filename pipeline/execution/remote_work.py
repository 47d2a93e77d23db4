"""The remote renderers of one process: one event loop, a few threads, and the purse that they all pay from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import Any

from pipeline.contracts.remote import RemoteRenderer
from pipeline.execution.loop_thread import LoopThread
from pipeline.values.records import Modality
from pipeline.values.units import USD
from pipeline.work.call_loop import Paying
from pipeline.work.purse import Purse, PurseReport
from pipeline.work.render_loop import FINISHERS


class RemoteWork:
    """Opens remote renderers and what they share; safe across threads, and nothing is started before it is needed."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._lock = Lock()
        self._renderers: dict[Modality, RemoteRenderer] = {}
        self._paying: dict[Modality, Paying] = {}

    def paying(self, modality: Modality, in_flight: int) -> Paying:
        """Return what a modality's calls share, over all shards of this process."""
        with self._lock:
            if modality not in self._paying:
                gate = asyncio.Semaphore(in_flight)
                self._paying[modality] = Paying(self._purse, gate, self._finishers, self._loop.run)
            return self._paying[modality]

    def renderer(self, modality: Modality, build: Callable[[], RemoteRenderer]) -> RemoteRenderer:
        """Return a modality's renderer, built at the first call."""
        with self._lock:
            if modality not in self._renderers:
                self._renderers[modality] = build()
            return self._renderers[modality]

    def account(self, allowance: USD) -> PurseReport:
        """Take a new allowance and say where the purse stands."""

        async def settle() -> PurseReport:
            self._purse.allow(allowance)
            return self._purse.report()

        return self._run(settle)

    def drain(self) -> None:
        """Let no call wait for money any longer."""

        async def close() -> PurseReport:
            self._purse.close()
            return self._purse.report()

        self._run(close)

    def close(self) -> None:
        """Write down what was found out about endpoints, close them, and end the threads; nothing may be running."""
        for renderer in self._renderers.values():
            self._loop.run(_closed(renderer))
        if "_loop" in self.__dict__:
            self._loop.close()
        if "_finishers" in self.__dict__:
            self._finishers.shutdown()

    def _run(self, work: Callable[[], Coroutine[Any, Any, PurseReport]]) -> PurseReport:
        """Run on the loop, which is where the purse lives."""
        with self._lock:
            loop = self._loop
        return loop.run(work())

    @cached_property
    def _loop(self) -> LoopThread:
        return LoopThread()

    @cached_property
    def _finishers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(FINISHERS)


async def _closed(renderer: RemoteRenderer) -> None:
    await renderer.close()
