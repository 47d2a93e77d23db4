"""The cluster's work in this process: a run as it is, but for Ray and the processes that it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.contracts.ledger import ShardEntry
from pipeline.execution.limit_screen import LimitScreen
from pipeline.execution.project import Project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.values.rejections import Rejections
from pipeline.work.purse import PurseReport
from tests.support.stages import Notes


class Here:
    """Has what the driver calls a cluster for; a shard's stages run where the driver runs."""

    num_spenders = 1

    def __init__(self, project: Project, epoch: int) -> None:
        self._notes = Notes()
        self._work = ShardWork(project, epoch, self._notes)

    async def write_topics(self) -> None:
        await self._work.write_topics()

    async def compose(self, shard: int, planned: Sequence[PlannedDialogue], until: str | None) -> None:
        await self._work.compose(shard, planned, until)

    async def describe(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        await self._work.describe(shard, planned)

    async def render(self, shard: int, modality: Modality, planned: Sequence[PlannedDialogue]) -> None:
        self._work.render(shard, modality, planned)

    async def pack(self, shard: int, planned: Sequence[PlannedDialogue], rejections: Rejections) -> ShardEntry:
        return self._work.pack(shard, planned, rejections)

    async def measure(self, shard: int, planned: Sequence[PlannedDialogue], epoch: int) -> None:
        LimitScreen(self._work.project, epoch, self._notes).measure(shard, planned)

    async def collect(self) -> list[dict[str, Any]]:
        told, self._notes.told = self._notes.told, []
        return [{"event": event, **facts} for event, facts in told]

    async def account(self, allowances: Sequence[float]) -> list[PurseReport]:
        return []

    async def drain(self) -> None:
        self._notes.is_draining = True

    async def close(self) -> None:
        await self._work.close()
