"""What runs in processes of Ray: thin shells around :class:`ShardWork`, and how Ray is to start them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import ray

from pipeline.contracts.ledger import ShardEntry
from pipeline.contracts.remote import RemotePlugin
from pipeline.contracts.watch import Drained, Watch
from pipeline.execution.project import Project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.values.rejections import Rejections
from pipeline.values.units import USD
from pipeline.work.purse import Purse, PurseReport


class Notes:
    """A worker's watch: gathers what stages tell until the driver collects it. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: list[dict[str, Any]] = []
        self._is_draining = False

    def note(self, event: str, **facts: Any) -> None:
        """Keep a note for the next collection."""
        with self._lock:
            self._notes.append({"event": event, **facts})

    def check(self) -> None:
        """Raise Drained once the run is ending."""
        if self._is_draining:
            raise Drained("the run is ending")

    def collect(self) -> list[dict[str, Any]]:
        """Hand over the notes and forget them."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def drain(self) -> None:
        """Let nothing further begin."""
        self._is_draining = True


class Composer:
    """Writes topics and whole shards with many calls in flight."""

    def __init__(self, project: Project, epoch: int, allowance: USD) -> None:
        self._notes = Notes()
        self._work = ShardWork(project, epoch, self._notes, Purse(allowance))

    async def write_topics(self) -> None:
        """Write the topics."""
        await self._work.write_topics()

    async def compose(self, shard: int, planned: Sequence[PlannedDialogue], until: str | None) -> None:
        """Write a shard's scenarios and dialogues."""
        await self._work.compose(shard, planned, until)

    async def describe(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        """Write descriptions of a shard anew."""
        await self._work.describe(shard, planned)

    async def collect(self) -> list[dict[str, Any]]:
        """Hand over the notes."""
        return self._notes.collect()

    async def account(self, allowance: USD) -> PurseReport:
        """Take a new allowance and say where the purse stands."""
        self._work.purse.allow(allowance)
        return self._work.purse.report()

    async def drain(self) -> None:
        """Begin no further call."""
        self._notes.drain()
        self._work.purse.close()

    async def close(self) -> None:
        """Close the endpoint."""
        await self._work.close()


class RenderWorker:
    """Renders one modality; loads its weights once. The driver gives it one shard at a time.

    One that calls an endpoint in place of loading weights is given several shards, and pays from an allowance.
    """

    def __init__(self, project: Project, epoch: int, modality: Modality, allowance: USD = math.inf) -> None:
        self._notes = Notes()
        self._modality = modality
        self._work = ShardWork(project, epoch, self._notes, Purse(allowance))
        self._is_remote = isinstance(project.plugin(modality), RemotePlugin)

    def render(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        """Render a shard's assets."""
        self._work.render(shard, self._modality, planned)

    def collect(self) -> list[dict[str, Any]]:
        """Hand over the notes."""
        return self._notes.collect()

    def account(self, allowance: USD) -> PurseReport:
        """Take a new allowance and say where the purse stands; for one that calls an endpoint."""
        return self._work.remote.account(allowance)

    def drain(self) -> None:
        """Begin no further batch and no further call."""
        self._notes.drain()
        if self._is_remote:
            self._work.remote.drain()

    def close(self) -> None:
        """Close the endpoint, if one was opened."""
        self._work.remote.close()


class PoolWorker:
    """Holds one object and calls its methods, one at a time; for work that is no stage of a run."""

    def __init__(self, build: Callable[[Watch], Any]) -> None:
        self._notes = Notes()
        self._work = build(self._notes)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method."""
        return getattr(self._work, method)(*arguments)

    def collect(self) -> list[dict[str, Any]]:
        """Hand over the notes."""
        return self._notes.collect()

    def drain(self) -> None:
        """Begin nothing further."""
        self._notes.drain()

    def close(self) -> None:
        """Nothing is held open."""


def _pack(
    project: Project, epoch: int, shard: int, planned: Sequence[PlannedDialogue], rejections: Rejections
) -> ShardEntry:
    return ShardWork(project, epoch, Notes()).pack(shard, planned, rejections)


# Ray's own types know neither asynchronous actors nor all options, hence Any. Whoever is lost is replaced by its crew,
# on whichever node there is, and not by Ray, which would count each lost node against the actor.
remote: Any = ray.remote
COMPOSER = remote(max_concurrency=1000, max_restarts=0, max_task_retries=0)(Composer)
RENDER_WORKER = remote(max_restarts=0, max_task_retries=0)(RenderWorker)
POOL_WORKER = remote(max_concurrency=3, max_restarts=0, max_task_retries=0)(PoolWorker)
PACK_TASK = remote(_pack)
