"""The crews of one run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import Any

import ray

from pipeline.contracts.ledger import ShardEntry
from pipeline.contracts.watch import Drained
from pipeline.execution.cluster.actors import COMPOSER, PACK_TASK, POOL_WORKER, RENDER_WORKER
from pipeline.execution.cluster.crew import MAX_LOSSES, NOBODY, Crew, CrewShape, WorkerLost
from pipeline.execution.cluster.joining import Actor, result, start_ray
from pipeline.execution.cluster.placement import Placement
from pipeline.execution.cluster.room import Need
from pipeline.execution.limit_screen import LimitScreen
from pipeline.execution.project import Project
from pipeline.values.errors import CorpusError
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.values.rejections import Rejections
from pipeline.values.units import USD
from pipeline.values.workers import ONE, Workers
from pipeline.work.purse import PurseReport

CPU_COMPOSER = 0.5
CPU_RENDERER = 0.25
CPU_PACK = 0.25
CPU_AUDITOR = 0.25
"""Fractions of a core that actors reserve: with one composer, one renderer of each kind, an auditor and a pack task
they sum to 1.75, so that two cores hold a whole pipeline without one part waiting for ever."""

COMPOSERS, AUDITORS = "composers", "auditors"
"""Kinds of crews; the others are called after their modality."""

SHARDS_BESIDE = 2
"""Shards that a composer has beyond those that keep it busy, so that its calls do not run out at the end of one."""


class Cluster:
    """Crews for one run, on a Ray that this process started or joined."""

    def __init__(self, project: Project, epoch: int, has_budget: bool) -> None:
        self._project = project
        self._epoch = epoch
        # With a budget, whoever spends has nothing before the driver has dealt it an allowance.
        self._first_allowance = 0.0 if has_budget else math.inf
        self._remote = list(project.remote_plugins())
        self._shapes = self._shape_crews(has_budget)
        self._crews: dict[str, Crew] = {}
        self._readings_epoch: int | None = None
        self._left_notes: list[dict[str, Any]] = []
        self._is_draining = False
        self._is_mine = start_ray(project.ray_address)
        self._placement = Placement(self._shapes, self._crews, Need(CPU_PACK), project.ray_address is not None)
        self._looking = asyncio.Lock()
        self._has_room = False

    async def write_topics(self) -> None:
        """Have the topics written."""
        await self._work(COMPOSERS, "write_topics")

    async def compose(self, shard: int, planned: Sequence[PlannedDialogue], until: str | None) -> None:
        """Have a shard's text written."""
        await self._work(COMPOSERS, "compose", shard, planned, until)

    async def describe(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        """Have descriptions of a shard written anew."""
        await self._work(COMPOSERS, "describe", shard, planned)

    async def render(self, shard: int, modality: Modality, planned: Sequence[PlannedDialogue]) -> None:
        """Have a shard's assets of one modality rendered by whichever actor is free."""
        await self._work(modality, "render", shard, planned)

    async def measure(self, shard: int, planned: Sequence[PlannedDialogue], epoch: int) -> None:
        """Have measured what the screen has limits for, by whichever auditor is free.

        Args:
            epoch: Of the lock on the corpus's readings; auditors of a former one may write no longer.
        """
        if epoch != self._readings_epoch:
            self._readings_epoch = epoch
            if former := self._crews.pop(AUDITORS, None):
                self._left_notes += await former.collect()
                await former.close()
        await self._work(AUDITORS, "call", "measure", shard, planned)

    async def pack(self, shard: int, planned: Sequence[PlannedDialogue], rejections: Rejections) -> ShardEntry:
        """Have a shard published."""
        await self._find_room()
        task = PACK_TASK.options(num_cpus=CPU_PACK, max_retries=MAX_LOSSES)
        try:
            entry: ShardEntry = await result(task.remote(self._project, self._epoch, shard, planned, rejections))
        except WorkerLost as exc:
            raise CorpusError(f"shard {shard} was not packed ({exc}); run again to go on") from exc
        return entry

    async def collect(self) -> list[dict[str, Any]]:
        """Gather the notes of all workers, and have crews grow or shrink with what waits."""
        told = await asyncio.gather(*[crew.collect() for crew in self._crews.values()])
        self._placement.ask_for_nodes()
        notes, self._left_notes = self._left_notes, []
        return notes + [note for some in told for note in some]

    @property
    def num_spenders(self) -> int:
        """Processes that may spend money at one time: composers, and those of renderers that call an endpoint."""
        return sum(self._shapes[kind].workers.max for kind in self._spending)

    async def account(self, allowances: Sequence[USD]) -> list[PurseReport]:
        """Set the spenders' allowances, one each; return where their purses stand, once there are any.

        Composers come first. A process that is not there has nothing and has spent nothing.
        """
        if not any(kind in self._crews for kind in self._spending):
            return []
        left, reports = list(allowances), []
        for kind in self._spending:
            count, crew = self._shapes[kind].workers.max, self._crews.get(kind)
            own, left = left[:count], left[count:]
            reports += [NOBODY] * count if crew is None else await crew.account(own)
        return reports

    async def drain(self) -> None:
        """Tell all workers to begin nothing further."""
        self._is_draining = True
        await asyncio.gather(*[crew.drain() for crew in self._crews.values()])

    async def close(self) -> None:
        """Close endpoints and leave Ray."""
        await asyncio.gather(*[crew.close() for crew in self._crews.values()])
        self._placement.release()
        if self._is_mine:
            ray.shutdown()

    @property
    def _spending(self) -> list[str]:
        return [COMPOSERS, *self._remote]

    async def _work(self, kind: str, method: str, *arguments: Any) -> None:
        await self._find_room()
        if self._is_draining:
            raise Drained("the run is ending")
        if kind not in self._crews:
            self._crews[kind] = Crew(
                partial(self._hire, kind), self._shapes[kind], partial(self._placement.admits, kind)
            )
        await self._crews[kind].work(method, *arguments)

    async def _find_room(self) -> None:
        """Refuse a manifest whose actors can never all be placed, before the first of them is."""
        async with self._looking:
            if not self._has_room:
                patience = self._project.manifest.execution.node_wait_seconds
                await self._placement.wait_for_room(patience, lambda: self._is_draining)
                self._has_room = True

    def _shape_crews(self, has_budget: bool) -> dict[str, CrewShape]:
        manifest = self._project.manifest
        execution = manifest.execution
        # So many shards keep all calls in flight that a composer may have.
        share = ceil(manifest.writer.records_in_flight / execution.composers.max)
        full = ceil(share / manifest.size.dialogues_per_shard)
        shapes = {COMPOSERS: CrewShape(execution.composers, Need(CPU_COMPOSER), full, SHARDS_BESIDE, has_budget)}
        for modality in manifest.media:
            section = manifest.render.section(modality)
            workers, gpus = (section.actors, section.num_gpus) if section else (ONE, 0.0)
            need = Need(CPU_RENDERER, gpus)
            shapes[modality] = CrewShape(workers, need)
            if modality in self._remote:
                # An endpoint does the work: several shards at once keep it busy while one comes to its end.
                full = ceil(execution.shards_in_flight / workers.max)
                shapes[modality] = CrewShape(workers, need, full, execution.shards_in_flight - full, has_budget)
        if manifest.screen.limits:
            need = Need(CPU_AUDITOR, execution.auditor_gpus)
            shapes[AUDITORS] = CrewShape(Workers.exactly(execution.auditors), need)
        return shapes

    def _hire(self, kind: str) -> Actor:
        need, project = self._shapes[kind].need, self._project
        reserved = {"num_cpus": need.cpus, "num_gpus": need.gpus}
        if kind == COMPOSERS:
            # Over all nodes: what bounds one is its core and its sockets.
            made = COMPOSER.options(scheduling_strategy="SPREAD", **reserved)
            return Actor(made.remote(project, self._epoch, self._first_allowance))
        if kind == AUDITORS:
            return Actor(POOL_WORKER.options(**reserved).remote(partial(LimitScreen, project, self._readings_epoch)))
        shards = self._shapes[kind].full + self._shapes[kind].beside
        allowance = self._first_allowance if kind in self._remote else math.inf
        made = RENDER_WORKER.options(max_concurrency=shards + 2, **reserved)
        return Actor(made.remote(project, self._epoch, Modality(kind), allowance))
