"""Repair: what falls short is rendered again with the next attempt's seed, and the better attempt is kept.

Where no seed helps, an LLM writes the description anew and that is rendered. The decisions lie in a file a shard that
the orders of a run's stages take into account. So a run does the writing, the rendering, the measuring and the packing,
with its budget and its journals; a repair that is killed goes on from there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from pipeline.values.repairs import Miss, Repair, Repairs, Try
from pipeline.values.screen import RepairPlan
from pipeline.work.briefs import PlacedBrief
from pipeline.work.describing import DESCRIBED
from pipeline.work.describing import STAGE as DESCRIPTIONS
from pipeline.work.limits import Shortfall
from pipeline.work.orders import Order
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
        num_rewritten: Of all of these, assets whose description was written anew.
        num_failed: Assets for which the LLM found no other description.
    """

    num_ordered: int
    num_mended: int
    num_short: int
    num_rewritten: int = 0
    num_failed: int = 0


class Repairing:
    """Judges what was rendered and orders what is to be rendered again.

    Args:
        lock: On the corpus's work, held through all rounds.
        plan: How far a repair goes.
        limit: Of the plan's first dialogues that are worked on; None for all.
    """

    def __init__(self, project: Project, lock: CorpusLock, plan: RepairPlan, limit: int | None = None) -> None:
        self._project = project
        self._limit = limit
        self._plan = plan
        self._look = ShardWork(project, None, Silence())
        self._screen = LimitScreen(project, None, Silence())
        self._book = RepairBook(self._look.folder.work, lock)

    def execute(self, bring_up_to_date: Callable[[bool, bool], object]) -> RepairReport:
        """Repair until every asset passes or has spent its attempts.

        Args:
            bring_up_to_date: Runs the manifest to its end, measuring included; told whether descriptions are written,
                too, and whether lost dialogues are replaced. Neither is before it was seen what is still wanted: what
                a repair can save need not be written and paid for again.
        """
        total = 0
        replaces = is_done = False
        while not is_done:
            bring_up_to_date(total > 0 and self._plan.rewrite, replaces)
            ordered = self.order_next()
            total += ordered
            is_done = replaces and not ordered
            replaces = not ordered
        whole = select_whole(self._project, self._limit)
        repairs = [
            repair for shard, rows in whole.items() for repair in self._look.current_repairs(shard, rows).values()
        ]
        passing = [any(one.passes for one in repair.tries if one.wanted == repair.wanted) for repair in repairs]
        rewrites = [repair.rewrite for repair in repairs if repair.rewrite is not None]
        return RepairReport(
            num_ordered=total,
            num_mended=sum(passing),
            num_short=len(passing) - sum(passing),
            num_rewritten=sum(bool(rewrite.text) for rewrite in rewrites),
            num_failed=sum(bool(rewrite.problem) for rewrite in rewrites),
        )

    def order_next(self) -> int:
        """Judge the attempts that are there; return how many assets are wanted at another one, or in other words."""
        whole = select_whole(self._project, self._limit)
        told = rejected(self._look.folder.root)
        return sum(
            self._judge(shard, [row for row in planned if row.id not in told]) for shard, planned in whole.items()
        )

    def _judge(self, shard: int, planned: Sequence[PlannedDialogue]) -> int:
        former = self._book.read(shard)
        repairs, found = self._settle(shard, planned, former), self._screen.find(shard, planned)
        misses = self._as_misses(found)
        # What falls short by its words alone is past mending by another render.
        hopeless = {one.dialogue_id for one in found if one.measure.name in self._screen.worded}
        measured = {row.id for row in self._screen.keep_whole(shard, planned)} - hopeless
        changed = 0
        for modality in self._project.manifest.media:
            can_rewrite = self._plan.rewrite and modality in DESCRIBED
            store = self._look.folder.shard(shard)
            rows = {row["record_id"]: row for row in store.rows(modality, _COLUMNS)}
            for key, order in self._look.find_orders(store, modality, planned).items():
                known, row = repairs.get(key), rows.get(order.record_id)
                # What stands beside a part that could not be made is not measured, which is no sign of its passing.
                if row is None or (row["status"] == "ok" and order.payload.dialogue_id not in measured):
                    continue
                latest = as_try(row, order, known, misses)
                if latest is None or (known is None and (latest.passes or latest.failure)):
                    continue
                repair = (known or Repair(part_id=order.record_id)).judge(latest, self._plan.attempts, can_rewrite)
                repairs[key] = repair
                changed += repair.wanted != latest.wanted or repair.awaits_text(can_rewrite)
        if repairs != former:
            self._book.write(shard, repairs)
        return changed

    def _settle(self, shard: int, planned: Sequence[PlannedDialogue], former: Repairs) -> dict[str, Repair]:
        """Return the repairs with the descriptions that the LLM has written meanwhile."""
        orders = {order.record_id: order for order in self._look.description_orders(shard, planned)}
        rows = {row["record_id"]: row for row in self._look.folder.shard(shard).rows(DESCRIPTIONS)} if orders else {}
        current = self._look.current_repairs(shard, planned) if orders else {}
        repairs = dict(former)
        for key, repair in current.items():
            order, row = orders.get(repair.part_id), rows.get(repair.part_id)
            if repair.rewrite is None or repair.rewrite.is_settled or order is None or row is None:
                continue
            if json.loads(row["inputs"]) != dict(order.inputs):
                continue
            problem = "" if row["status"] == "ok" else f"{row['code']}: {row['message']}"
            update = {"text": row["text"] or "", "problem": problem, "inputs": dict(order.inputs)}
            repairs[key] = repair.model_copy(update={"rewrite": repair.rewrite.model_copy(update=update)})
        return repairs

    def _as_misses(self, found: Sequence[Shortfall]) -> Misses:
        misses: dict[str, list[Miss]] = defaultdict(list)
        for one in found:
            measure = one.measure
            miss = Miss(
                measure=measure.name,
                better=measure.better,
                unit=measure.unit,
                summary=measure.summary,
                limit=self._project.manifest.screen.limits[measure.name],
                value=one.value,
            )
            misses[one.record_id].append(miss)
        return misses


def as_try(row: Row, order: Order[PlacedBrief], known: Repair | None, misses: Misses) -> Try | None:
    """Return how an attempt did; None where its source failed, which says nothing of it.

    Args:
        row: Its row in the stage file, without the media.
        known: What was done to mend the asset until now.
        misses: Limits that assets fall short of.
    """
    if row["code"] == SOURCE_FAILED:
        return None
    failure = f"{row['code']}: {row['message']}" if row["status"] == "failed" else ""
    found = tuple(misses.get(asset_id(row["record_id"], row["attempt"]), ()))
    return Try(
        wanted=order.payload.brief.attempt,
        made=row["attempt"],
        input_key=order.input_key,
        text=known.text if known else "",
        misses=found,
        failure=failure,
    )
