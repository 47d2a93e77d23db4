"""Repair: what falls short is rendered again with the next attempt's seed, and the better attempt is kept.

The decisions lie in a file a shard that the render stage's orders take into account. So a run does the rendering, the
measuring and the packing, with its budget and its journals; a repair that is killed goes on from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.verdicts import rejected
from pipeline.contracts.storage import Row
from pipeline.execution.driver import Silence
from pipeline.execution.limit_screen import LimitScreen
from pipeline.execution.limit_trial import select_whole
from pipeline.execution.project import Project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.ids import asset_id
from pipeline.values.records import PlannedDialogue
from pipeline.values.repairs import Miss, Repair, Try
from pipeline.work.sources import SOURCE_FAILED

_COLUMNS = ("record_id", "attempt", "status", "code", "message")

Misses = Mapping[str, Sequence[Miss]]
"""By id of the asset."""


@dataclass(frozen=True)
class RepairReport:
    """What has become of all assets that ever fell short, in this repair and in those before.

    Attributes:
        num_ordered: Assets that this repair had rendered again or put back, over all its rounds.
        num_mended: Of those that fell short, assets that pass now.
        num_short: Assets that no attempt has mended; the best of them is kept, and the screen rejects its dialogue.
    """

    num_ordered: int
    num_mended: int
    num_short: int


class Repairing:
    """Judges what was rendered and orders what is to be rendered again.

    Args:
        lock: On the corpus's work, held through all rounds.
        attempts: Renders of an asset beside its first one.
        limit: Of the plan's first dialogues that are worked on; None for all.
    """

    def __init__(self, project: Project, lock: CorpusLock, attempts: int, limit: int | None = None) -> None:
        self._project = project
        self._limit = limit
        self._attempts = attempts
        self._look = ShardWork(project, None, Silence())
        self._screen = LimitScreen(project, None, Silence())
        self._book = RepairBook(self._look.folder.work, lock)

    def execute(self, bring_up_to_date: Callable[[], object]) -> RepairReport:
        """Repair until every asset passes or has spent its attempts.

        Args:
            bring_up_to_date: Runs the manifest to its end, measuring included.
        """
        total = 0
        bring_up_to_date()
        while ordered := self.order_next():
            total += ordered
            bring_up_to_date()
        whole = select_whole(self._project, self._limit)
        repairs = [repair for shard, planned in whole.items() for repair in self._find_current(shard, planned)]
        passing = [any(one.passes for one in repair.tries if one.wanted == repair.wanted) for repair in repairs]
        return RepairReport(total, sum(passing), len(passing) - sum(passing))

    def order_next(self) -> int:
        """Judge the attempts that are there; return how many assets are wanted at another one."""
        whole = select_whole(self._project, self._limit)
        told = rejected(self._look.folder.root)
        return sum(
            self._judge(shard, [row for row in planned if row.id not in told]) for shard, planned in whole.items()
        )

    def _judge(self, shard: int, planned: Sequence[PlannedDialogue]) -> int:
        former = self._book.read(shard)
        repairs, misses = dict(former), self._find_misses(shard, planned)
        changed = 0
        for modality in self._project.manifest.media:
            store = self._look.folder.shard(shard)
            rows = {row["record_id"]: row for row in store.rows(modality, _COLUMNS)}
            for key, order in self._look.find_orders(store, modality, planned).items():
                wanted = order.payload.brief.attempt
                latest = _as_try(rows.get(order.record_id), wanted, misses)
                known = repairs.get(key)
                if latest is None or (known is None and (latest.passes or latest.failure)):
                    continue
                repairs[key] = (known or Repair(part_id=order.record_id)).judge(latest, self._attempts)
                changed += repairs[key].wanted != wanted
        if repairs != former:
            self._book.write(shard, repairs)
        return changed

    def _find_misses(self, shard: int, planned: Sequence[PlannedDialogue]) -> Misses:
        misses: dict[str, list[Miss]] = defaultdict(list)
        for found in self._screen.find(shard, planned):
            limit = self._project.manifest.screen.limits[found.measure.name]
            misses[found.record_id].append(Miss(measure=found.measure.name, limit=limit, value=found.value))
        return misses

    def _find_current(self, shard: int, planned: Sequence[PlannedDialogue]) -> Iterator[Repair]:
        """Yield the repairs of a shard that today's dialogues, words and renderers still ask for."""
        repairs = self._book.read(shard)
        if repairs:
            for modality in self._project.manifest.media:
                orders = self._look.find_orders(self._look.folder.shard(shard), modality, planned)
                yield from (repairs[key] for key in orders if key in repairs)


def _as_try(row: Row | None, wanted: int, misses: Misses) -> Try | None:
    """Return how an attempt did; None where it was not made, or its source failed, which says nothing of it."""
    if row is None or row["code"] == SOURCE_FAILED:
        return None
    failure = f"{row['code']}: {row['message']}" if row["status"] == "failed" else ""
    found = tuple(misses.get(asset_id(row["record_id"], row["attempt"]), ()))
    return Try(wanted=wanted, made=row["attempt"], misses=found, failure=failure)
