"""Ray: the only module that imports it. Actors and tasks here are thin shells around :class:`ShardWork`."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A Ray of our own listens on this machine only; a cluster's address brings its own setting.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.contracts.ledger import ShardEntry
from pipeline.contracts.remote import RemotePlugin
from pipeline.contracts.watch import Drained, Watch
from pipeline.execution.limit_screen import LimitScreen
from pipeline.execution.project import Project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.values.rejections import Rejections
from pipeline.values.units import USD
from pipeline.work.purse import Purse, PurseReport

CPU_COMPOSER = 0.5
CPU_RENDERER = 0.25
CPU_PACK = 0.25
CPU_AUDITOR = 0.25
"""Fractions of a core that actors reserve: with one composer, one renderer of each kind, an auditor and a pack task
they sum to 1.75, so that two cores hold a whole pipeline without one part waiting for ever."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Only ids and counts travel through Ray, so its store is kept near the least that Ray allows."""


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


def _pack(
    project: Project, epoch: int, shard: int, planned: Sequence[PlannedDialogue], rejections: Rejections
) -> ShardEntry:
    return ShardWork(project, epoch, Notes()).pack(shard, planned, rejections)


# Ray's own types know neither asynchronous actors nor all options, hence Any.
_remote: Any = ray.remote
_RESTART = {"max_restarts": 2, "max_task_retries": 2}
_COMPOSER = _remote(num_cpus=CPU_COMPOSER, max_concurrency=1000, **_RESTART)(Composer)
_RENDER_WORKER = _remote(num_cpus=CPU_RENDERER, max_concurrency=3, **_RESTART)(RenderWorker)
_POOL_WORKER = _remote(max_concurrency=3, **_RESTART)(PoolWorker)
_PACK_TASK = _remote(num_cpus=CPU_PACK, max_retries=2)(_pack)


class Cluster:
    """Actors for one run, on a Ray that this process started or joined."""

    def __init__(self, project: Project, epoch: int, has_budget: bool) -> None:
        self._project = project
        self._epoch = epoch
        # With a budget, a composer spends nothing before the driver has dealt it an allowance.
        self._first_allowance = 0.0 if has_budget else math.inf
        self._composers: list[Any] = []
        self._renderers: dict[Modality, list[Any]] = {}
        self._free: dict[Modality, asyncio.Queue[Any]] = {}
        self._auditors: Pool | None = None
        self._is_draining = False
        self._remote = list(project.remote_plugins())
        self._is_mine = _start_ray(project.manifest.execution.address)
        self._check_room()

    async def write_topics(self) -> None:
        """Have the topics written."""
        await _result(self._composer(0).write_topics.remote())

    async def compose(self, shard: int, planned: Sequence[PlannedDialogue], until: str | None) -> None:
        """Have a shard's text written."""
        await _result(self._composer(shard).compose.remote(shard, planned, until))

    async def describe(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        """Have descriptions of a shard written anew."""
        await _result(self._composer(shard).describe.remote(shard, planned))

    async def render(self, shard: int, modality: Modality, planned: Sequence[PlannedDialogue]) -> None:
        """Have a shard's assets of one modality rendered by whichever actor is free."""
        free = self._renderer_queue(modality)
        actor = await free.get()
        try:
            await _result(actor.render.remote(shard, planned))
        finally:
            free.put_nowait(actor)

    async def measure(self, shard: int, planned: Sequence[PlannedDialogue], epoch: int) -> None:
        """Have measured what the screen has limits for, by whichever auditor is free.

        Args:
            epoch: Of the lock on the corpus's readings.
        """
        if self._is_draining:
            raise Drained("the run is ending")
        if self._auditors is None:
            execution = self._project.manifest.execution
            build = partial(LimitScreen, self._project, epoch)
            shape = PoolShape(execution.auditors, CPU_AUDITOR, execution.auditor_gpus)
            self._auditors = Pool(build, shape)
        await self._auditors.call("measure", shard, planned)

    async def pack(self, shard: int, planned: Sequence[PlannedDialogue], rejections: Rejections) -> ShardEntry:
        """Have a shard published."""
        reference = _PACK_TASK.remote(self._project, self._epoch, shard, planned, rejections)
        entry: ShardEntry = await _result(reference)
        return entry

    async def collect(self) -> list[dict[str, Any]]:
        """Gather the notes of all actors; one that is restarting has none."""
        notes = await _collect(self._actors())
        return notes if self._auditors is None else notes + await self._auditors.collect()

    @property
    def num_spenders(self) -> int:
        """Processes that spend money, or will: composers, and those of renderers that call an endpoint."""
        manifest = self._project.manifest
        sections = [manifest.render.section(modality) for modality in self._remote]
        return manifest.execution.composers + sum(section.actors for section in sections if section)

    async def account(self, allowances: Sequence[USD]) -> list[PurseReport]:
        """Set the spenders' allowances, one each; return where their purses stand, if every one of them answers.

        Composers come first. A renderer's first process is not started before there is something to render, and until
        then has spent nothing.
        """
        spenders = self._spenders()
        if not spenders:
            return []
        asked = [
            _idle(usd) if actor is None else _result(actor.account.remote(usd))
            for actor, usd in zip(spenders, allowances, strict=True)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        reports = [answer for answer in answers if isinstance(answer, PurseReport)]
        return reports if len(reports) == len(answers) else []

    async def drain(self) -> None:
        """Tell all actors to begin nothing further."""
        self._is_draining = True
        if self._auditors is not None:
            await self._auditors.drain()
        await asyncio.gather(*[_result(actor.drain.remote()) for actor in self._actors()], return_exceptions=True)

    async def close(self) -> None:
        """Close endpoints and leave Ray."""
        if self._auditors is not None:
            await self._auditors.close()
        paying = [actor for actor in self._spenders() if actor is not None]
        closing = [_result(actor.close.remote()) for actor in paying]
        await asyncio.gather(*closing, return_exceptions=True)
        for actor in self._actors():
            ray.kill(actor)
        if self._is_mine:
            ray.shutdown()

    def _actors(self) -> list[Any]:
        return [*self._composers, *(actor for actors in self._renderers.values() for actor in actors)]

    def _spenders(self) -> list[Any]:
        """Actors that spend, in the order of their allowances; None for one that is not there yet."""
        if not self._composers and not self._renderers:
            return []
        found: list[Any] = list(self._composers) or [None] * self._project.manifest.execution.composers
        for modality in self._remote:
            section = self._project.manifest.render.section(modality)
            found += self._renderers.get(modality) or [None] * (section.actors if section else 0)
        return found

    def _composer(self, shard: int) -> Any:
        if self._is_draining:
            raise Drained("the run is ending")
        count = self._project.manifest.execution.composers
        while len(self._composers) < count:
            self._composers.append(_COMPOSER.remote(self._project, self._epoch, self._first_allowance))
        return self._composers[shard % count]

    def _renderer_queue(self, modality: Modality) -> asyncio.Queue[Any]:
        if self._is_draining:
            raise Drained("the run is ending")
        if modality not in self._free:
            choice = self._project.manifest.render.section(modality)
            actors, gpus = (choice.actors, choice.num_gpus) if choice else (1, 0)
            # Where an endpoint does the work, several shards at once keep it busy while one comes to its end.
            is_remote = modality in self._remote
            shards = self._project.manifest.execution.shards_in_flight if is_remote else 1
            shape = _RENDER_WORKER.options(num_gpus=gpus, max_concurrency=shards + 2)
            allowance = self._first_allowance if is_remote else math.inf
            made = [shape.remote(self._project, self._epoch, modality, allowance) for _ in range(actors)]
            self._renderers[modality] = made
            self._free[modality] = asyncio.Queue()
            for actor in made * shards:
                self._free[modality].put_nowait(actor)
        return self._free[modality]

    def _check_room(self) -> None:
        """Refuse a manifest whose actors can never all be placed: they would wait for each other for ever."""
        manifest = self._project.manifest
        sections = [s for m in manifest.media if (s := manifest.render.section(m)) is not None]
        cpus = manifest.execution.composers * CPU_COMPOSER + CPU_PACK + sum(s.actors for s in sections) * CPU_RENDERER
        gpus = sum(s.actors * s.num_gpus for s in sections)
        if manifest.screen.limits:
            cpus += manifest.execution.auditors * CPU_AUDITOR
            gpus += manifest.execution.auditors * manifest.execution.auditor_gpus
        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        for name, wanted, there in (("CPU", cpus, have.get("CPU", 0)), ("GPU", gpus, have.get("GPU", 0))):
            if wanted > there:
                raise CorpusError(
                    f"the manifest's actors reserve {wanted:g} {name}s and this Ray has {there:g}: lower "
                    "execution.composers, execution.auditors, render.*.actors or the GPUs of these, or give "
                    "Ray more nodes"
                )


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
        self._is_mine = _start_ray(shape.address)
        made = _POOL_WORKER.options(num_cpus=shape.cpus, num_gpus=shape.gpus)
        self._workers = [made.remote(build) for _ in range(shape.workers)]
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        for worker in self._workers:
            self._free.put_nowait(worker)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Have whichever worker is free call a method of its object."""
        worker = await self._free.get()
        try:
            return await _result(worker.call.remote(method, *arguments))
        finally:
            self._free.put_nowait(worker)

    async def collect(self) -> list[dict[str, Any]]:
        """Gather the notes of all workers; one that is restarting has none."""
        return await _collect(self._workers)

    async def drain(self) -> None:
        """Tell all workers to begin nothing further."""
        await asyncio.gather(*[_result(worker.drain.remote()) for worker in self._workers], return_exceptions=True)

    async def close(self) -> None:
        """Leave Ray."""
        for worker in self._workers:
            ray.kill(worker)
        if self._is_mine:
            ray.shutdown()


async def _idle(allowance: USD) -> PurseReport:
    """The report of a process that is not there yet; it starts without an allowance."""
    return PurseReport(owner=0, allowance=0.0, spent=0.0, held=0.0, wanted=None)


async def _collect(actors: Sequence[Any]) -> list[dict[str, Any]]:
    answers = await asyncio.gather(*[_result(actor.collect.remote()) for actor in actors], return_exceptions=True)
    return [note for notes in answers if not isinstance(notes, BaseException) for note in notes]


@contextmanager
def keeping_ray(address: str | None) -> Iterator[None]:
    """Have the clusters within use one Ray; starting one takes seconds."""
    is_mine = _start_ray(address)
    try:
        yield
    finally:
        if is_mine:
            ray.shutdown()


def _start_ray(address: str | None) -> bool:
    """Start Ray here or join a cluster's; return False where this process has a Ray already and keeps it."""
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            cores = max(2, os.cpu_count() or 1)
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as exc:
        raise CorpusError(f"Ray did not start ({exc}); check execution.address, free memory and /dev/shm") from exc
    return True


async def _result(reference: Awaitable[Any]) -> Any:
    """Await a Ray call; an error of ours comes out as itself, without Ray's wrapping."""
    try:
        return await reference
    except RayTaskError as exc:
        cause = exc.cause
        if isinstance(cause, (AnyInstructError, Drained)):
            raise cause from None
        raise
    except RayError as exc:
        raise CorpusError(f"a worker was lost for good ({type(exc).__name__}: {exc}); run again to go on") from exc
