"""What limits would reject of a corpus, told before anything is rejected."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.contracts.watch import Drained
from pipeline.execution.audits import Workers
from pipeline.execution.driver import Silence
from pipeline.execution.limit_screen import LimitScreen
from pipeline.execution.project import Project
from pipeline.execution.screening import Screening
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import StageDamaged
from pipeline.values.records import PlannedDialogue
from pipeline.work.limits import Limit, Shortfall
from pipeline.work.planning import keep_blank_topics, select_active
from pipeline.work.topics import collect_topics

NUM_WORST = 3
"""Examples told of each measure."""

Shards = dict[int, list[PlannedDialogue]]


@dataclass
class LimitReport:
    """What would be rejected.

    Attributes:
        num_dialogues: Those that were made as a whole and are like no other; shares are of them.
        num_unmade: Dialogues of shards that are not rendered to the end, of which nothing can be said yet.
        by_measure: Dialogues that fall short of each limit, whatever else they fall short of.
        alone: Of these, those that fall short of no other limit.
        cells: By cell of the mix: dialogues rejected, and all.
        worst: By measure, the records that lie furthest beyond its limit.
    """

    limits: Sequence[Limit]
    num_dialogues: int = 0
    num_unmade: int = 0
    num_rejected: int = 0
    by_measure: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    cells: dict[str, tuple[int, int]] = field(default_factory=dict)
    worst: dict[str, list[Shortfall]] = field(default_factory=dict)

    @property
    def num_of_several(self) -> int:
        """Dialogues that fall short of more than one limit."""
        return self.num_rejected - self.alone.total()

    def add(self, planned: Sequence[PlannedDialogue], short: Sequence[Shortfall]) -> None:
        """Take a shard's dialogues and their records that fall short."""
        measures: dict[str, set[str]] = defaultdict(set)
        for found in short:
            measures[found.dialogue_id].add(found.measure.name)
            some = [*self.worst.get(found.measure.name, ()), found]
            self.worst[found.measure.name] = sorted(some, key=lambda s: (-s.badness, s.record_id))[:NUM_WORST]
        self.num_dialogues += len(planned)
        self.num_rejected += len(measures)
        for names in measures.values():
            self.by_measure.update(names)
            self.alone.update(names if len(names) == 1 else ())
        for row in planned:
            rejected, of_all = self.cells.get(row.slot.cell, (0, 0))
            self.cells[row.slot.cell] = (rejected + (row.id in measures), of_all + 1)


class LimitTrial:
    """Measures what limits need and is not measured yet, and reports; rejects nothing.

    Args:
        lock: On the corpus's readings.
        open_pool: Starts workers that each hold a :class:`LimitScreen`.
    """

    def __init__(
        self, project: Project, limits: Mapping[str, float], lock: CorpusLock, open_pool: Callable[[], Workers]
    ) -> None:
        self._project = project
        self._look = LimitScreen(project, lock.epoch, Silence(), limits)
        self._lock = lock
        self._open_pool = open_pool
        self._pool: Workers | None = None
        self._is_draining = False
        self.on_progress: Callable[[int, int], None] = lambda done, total: None

    async def execute(self) -> LimitReport:
        """Measure and report.

        Raises:
            Drained: it was asked to end early; what was measured is kept.
        """
        report = LimitReport(self._look.limits)
        shards, due = select_whole(self._project), {}
        for shard, planned in list(shards.items()):
            try:
                due[shard] = self._look.count_due(shard, planned)
            except StageDamaged:
                report.num_unmade += len(shards.pop(shard))
        if any(due.values()):
            await self._measure({shard: shards[shard] for shard, count in due.items() if count}, sum(due.values()))
            self._look.write_index(self._lock)
        for shard, planned in shards.items():
            report.add(self._look.keep_whole(shard, planned), self._look.find(shard, planned))
        return report

    async def drain(self) -> None:
        """End as soon as the batches in hand are measured."""
        self._is_draining = True
        if self._pool is not None:
            await self._pool.drain()

    async def _measure(self, shards: Shards, total: int) -> None:
        if self._is_draining:
            raise Drained("the screen is ending")
        self._pool = self._open_pool()
        watching = asyncio.create_task(self._watch(total))
        try:
            await asyncio.gather(*[self._pool.call("measure", shard, planned) for shard, planned in shards.items()])
        finally:
            watching.cancel()
            await self._pool.close()
        self.on_progress(total, total)

    async def _watch(self, total: int) -> None:
        done = 0
        while self._pool is not None:
            done += sum(note["count"] for note in await self._pool.collect() if note["event"] == "audited")
            self.on_progress(done, total)
            await asyncio.sleep(0.5)


def select_whole(project: Project, limit: int | None = None) -> Shards:
    """Return the dialogues of the plan that count today, without those that say what another one says.

    Args:
        limit: Of the plan's first dialogues, as a run was told; None for all.
    """
    look = ShardWork(project, None, Silence())
    written, generated = look.read_topics()
    plan = look.folder.read_plan()
    found = keep_blank_topics(collect_topics(written, generated, look.read_topic_screen().held_back), plan)
    taken_down = read_takedowns(project.corpus)
    shards: Shards = {}
    for row in select_active(plan, found, project.manifest, taken_down)[:limit]:
        shards.setdefault(row.shard, []).append(row)
    screening = Screening(look, shards)
    for shard in shards:
        screening.take(shard)
    screening.look_at_renders()
    return {shard: screening.select(shard) for shard in sorted(shards)}
