"""Workers of one kind for work that is no stage of a run: audits, exports, the trial of a screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from pipeline.contracts.watch import Watch
from pipeline.execution.cluster.actors import POOL_WORKER
from pipeline.execution.cluster.crew import Crew, CrewShape
from pipeline.execution.cluster.joining import Actor, start_ray
from pipeline.execution.cluster.room import Need
from pipeline.values.workers import Workers


@dataclass(frozen=True)
class PoolShape:
    """How many workers a pool has, and what each of them reserves."""

    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None


class Pool:
    """Workers of one kind, each of which takes one call at a time.

    Args:
        build: Makes the object that a worker holds, in the worker.
    """

    def __init__(self, build: Callable[[Watch], Any], shape: PoolShape) -> None:
        self._is_mine = start_ray(shape.address)
        made = POOL_WORKER.options(num_cpus=shape.cpus, num_gpus=shape.gpus)
        crew = CrewShape(Workers.exactly(shape.workers), Need(shape.cpus, shape.gpus))
        self._crew = Crew(lambda: Actor(made.remote(build)), crew, lambda: True)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Have whichever worker is free call a method of its object."""
        return await self._crew.work("call", method, *arguments)

    async def collect(self) -> list[dict[str, Any]]:
        """Gather the notes of all workers."""
        return await self._crew.collect()

    async def drain(self) -> None:
        """Tell all workers to begin nothing further."""
        await self._crew.drain()

    async def close(self) -> None:
        """Leave Ray."""
        await self._crew.close()
        if self._is_mine:
            ray.shutdown()
