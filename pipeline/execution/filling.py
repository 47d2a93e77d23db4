"""Shards through the stages that make something, a bounded number of shards at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.contracts.ledger import ShardEntry
from pipeline.contracts.watch import Drained
from pipeline.execution.screening import Screening
from pipeline.execution.settled import Settled
from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.work import dialogues, scenarios
from pipeline.work.orders import Order, order_key
from pipeline.work.shard_rows import TEXT_STAGES

if TYPE_CHECKING:
    from pipeline.execution.cluster import Cluster

Shards = dict[int, list[PlannedDialogue]]


class Filling:
    """Brings stage files up to date.

    Args:
        look: Work that only looks.
        settled: What is known to be up to date; is added to.
        until: Stage to end with; None for all.
        at_work: Returns the cluster, which is started by that.
        render: Has a shard's assets of one modality rendered.
    """

    def __init__(
        self,
        look: ShardWork,
        settled: Settled,
        until: str | None,
        at_work: Callable[[], Cluster],
        render: Callable[[int, Modality, Sequence[PlannedDialogue]], Awaitable[None]],
    ) -> None:
        self._look = look
        self._settled = settled
        self._until = until
        self._at_work = at_work
        self._render = render

    async def fill(self, shards: Shards, screening: Screening) -> None:
        """Make what is missing or stale."""
        if self._until is None and self._recall(shards, screening):
            return
        try:
            await self._fill_stages(shards, screening)
        finally:
            self._settled.save()

    def _recall(self, shards: Shards, screening: Screening) -> bool:
        """Tell whether all is known to be there; the screen then says what it said."""
        twins = self._settled.recall_twins(shards)
        if twins is None:
            return False
        media = self._look.project.manifest.media
        for shard, planned in shards.items():
            kept = [row for row in planned if row.id not in twins]
            stages = [(stage, planned) for stage in TEXT_STAGES] + [(str(modality), kept) for modality in media]
            if not all(self._settled.is_settled(shard, stage, rows) for stage, rows in stages):
                return False
        screening.recall(twins)
        return True

    async def _fill_stages(self, shards: Shards, screening: Screening) -> None:
        window = asyncio.Semaphore(self._look.project.manifest.execution.shards_in_flight)
        unwritten = await self._take_written(shards, screening)
        selected: Shards = {}

        async def fill(shard: int, planned: list[PlannedDialogue]) -> None:
            async with window:
                if shard in unwritten:
                    await self._at_work().compose(shard, planned, self._until)
                    for stage in (scenarios.STAGE,) if self._until == scenarios.STAGE else TEXT_STAGES:
                        self._settled.mark(shard, stage, planned)
                if self._until not in (scenarios.STAGE, dialogues.STAGE):
                    screening.take(shard)
                    await render(shard)

        async def render(shard: int) -> None:
            planned = selected[shard] = screening.select(shard)
            media = [m for m in self._look.project.manifest.media if self._needs_rendering(shard, m, planned)]
            await all_of([self._render(shard, modality, planned) for modality in media])
            for modality in media:
                self._settled.mark(shard, modality, planned)

        async def render_again(shard: int) -> None:
            async with window:
                await render(shard)

        await all_of([fill(shard, planned) for shard, planned in shards.items()])
        # A later shard may have brought a lower id, or a render failed, so that others are to stay. Renders that fail
        # only become more, and each round renders what the one before did not, so this ends.
        while selected:
            screening.look_at_renders()
            changed = [shard for shard, planned in selected.items() if planned != screening.select(shard)]
            if not changed:
                break
            await all_of([render_again(shard) for shard in changed])
        if self._until is None:
            self._settled.mark_twins(shards, screening.twins)

    async def _take_written(self, shards: Shards, screening: Screening) -> set[int]:
        """Screen what is written already; return the shards whose dialogues are to be written."""
        unwritten = set()
        for shard, planned in shards.items():
            if self._needs_composing(shard, planned):
                unwritten.add(shard)
            else:
                screening.take(shard)
            await asyncio.sleep(0)  # a large corpus takes a while, and the run must go on telling of itself
        screening.look_at_renders()
        return unwritten

    def _needs_composing(self, shard: int, planned: Sequence[PlannedDialogue]) -> bool:
        store = self._look.folder.shard(shard)
        if self._is_stale(shard, scenarios.STAGE, planned, lambda: self._look.scenario_orders(planned)):
            return True
        if self._until == scenarios.STAGE:
            return False
        return self._is_stale(shard, dialogues.STAGE, planned, lambda: self._look.dialogue_orders(store, planned))

    def _needs_rendering(self, shard: int, modality: Modality, planned: Sequence[PlannedDialogue]) -> bool:
        store = self._look.folder.shard(shard)
        return self._is_stale(shard, modality, planned, lambda: self._look.render_orders(store, modality, planned))

    def _is_stale(
        self, shard: int, stage: str, planned: Sequence[PlannedDialogue], orders: Callable[[], Sequence[Order[Any]]]
    ) -> bool:
        """Compare what a stage is asked for with what it was made for; by record only where that is not known."""
        if self._settled.is_settled(shard, stage, planned):
            return False
        receipt = self._look.folder.shard(shard).receipt(stage)
        if receipt is None or receipt.order_key != order_key(orders()):
            return True
        self._settled.mark(shard, stage, planned)
        return False


async def all_of(work: Sequence[Awaitable[ShardEntry]] | Sequence[Awaitable[None]]) -> list[ShardEntry]:
    """Wait for all, also where some fail: what is in flight must come to its end before the run does."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if errors:
        raise next((error for error in errors if not isinstance(error, Drained)), errors[0])
    return [outcome for outcome in outcomes if isinstance(outcome, ShardEntry)]
