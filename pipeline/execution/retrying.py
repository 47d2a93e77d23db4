"""Failed records taken once more: the next run writes or renders just those again, with other seeds.

What failed stays failed, since its outcome is journalled under what it was asked for. So it is asked for otherwise: a
record of words with the next number of its retries, an asset at the attempt after those that came to nothing. Both lie
in files that the orders of a run's stages take into account; a run that is killed goes on from there.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.retry_book import RetryBook
from pipeline.contracts.storage import Row
from pipeline.execution.driver import Silence
from pipeline.execution.project import Project
from pipeline.execution.repairing import as_try
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import ManifestError
from pipeline.values.records import PlannedDialogue
from pipeline.values.repairs import Repair
from pipeline.work import dialogues, scenarios
from pipeline.work.shard_rows import TEXT_STAGES

ALL = "all"
"""Reason that stands for every one."""

_COLUMNS = ("record_id", "inputs", "status", "code", "message")


class Retrying:
    """Orders what failed once more.

    A record that was ordered again and not made since is left as it is, so that ordering twice is ordering once.

    Args:
        lock: On the corpus's work, held until the run that makes them has ended.
        reason: ``all``, a stage, a code, or both as ``stage/code``.
    """

    def __init__(self, project: Project, lock: CorpusLock, reason: str) -> None:
        self._project = project
        self._reason = reason
        self._look = ShardWork(project, None, Silence())
        self._retries = RetryBook(self._look.folder.work, lock)
        self._repairs = RepairBook(self._look.folder.work, lock)

    def order(self) -> Counter[str]:
        """Order all that failed for the reason; return how many records by ``stage/code``.

        Raises:
            ManifestError: words are to be written again and the key to the endpoint is missing.
        """
        shards: dict[int, list[PlannedDialogue]] = defaultdict(list)
        for row in self._look.folder.read_plan():
            shards[row.shard].append(row)
        ordered: Counter[str] = Counter()
        for shard, planned in sorted(shards.items()):
            ordered += self._order_words(shard, planned) + self._order_media(shard, planned)
        return ordered

    def _order_words(self, shard: int, planned: Sequence[PlannedDialogue]) -> Counter[str]:
        texts, store = self._project.manifest.texts, self._look.folder.shard(shard)
        # What is taken as it stands fails for what it says, and nobody is asked for it.
        stages = TEXT_STAGES if texts is None else (dialogues.STAGE,) if texts.rewrite else ()
        retries = {stage: dict(records) for stage, records in self._retries.read(shard).items()}
        ordered: Counter[str] = Counter()
        for stage in stages:
            failed = self._find_failed(shard, stage)
            if not failed:
                continue
            is_first = stage == scenarios.STAGE
            orders = self._look.scenario_orders(planned) if is_first else self._look.dialogue_orders(store, planned)
            for order in orders:
                row = failed.get(order.record_id)
                if row is not None and json.loads(row["inputs"]) == dict(order.inputs):
                    retries.setdefault(stage, {})[order.record_id] = order.retry + 1
                    ordered[f"{stage}/{row['code']}"] += 1
        if ordered:
            if self._project.missing_key:
                raise ManifestError(self._project.locate(self._project.missing_key))
            self._retries.write(shard, retries)
        return ordered

    def _order_media(self, shard: int, planned: Sequence[PlannedDialogue]) -> Counter[str]:
        store, repairs = self._look.folder.shard(shard), dict(self._repairs.read(shard))
        ordered: Counter[str] = Counter()
        for modality in self._project.manifest.media:
            failed = self._find_failed(shard, modality)
            if not failed:
                continue
            if problem := self._project.missing_media_keys.get(modality):
                raise ManifestError(self._project.locate(problem))
            for key, order in self._look.find_orders(store, modality, planned).items():
                row = failed.get(order.record_id)
                if row is None or json.loads(row["inputs"]) != dict(order.inputs):
                    continue
                latest = as_try(row, order, repairs.get(key), {})
                if latest is not None:
                    repairs[key] = (repairs.get(key) or Repair(part_id=order.record_id)).try_again(latest)
                    ordered[f"{modality}/{row['code']}"] += 1
        if ordered:
            self._repairs.write(shard, repairs)
        return ordered

    def _find_failed(self, shard: int, stage: str) -> dict[str, Row]:
        """Return the rows of a stage that failed for the reason, by record."""
        columns = _COLUMNS if stage in TEXT_STAGES else (*_COLUMNS, "attempt")
        rows = self._look.folder.shard(shard).rows(stage, columns)
        return {
            row["record_id"]: row
            for row in rows
            if row["status"] == "failed" and self._reason in (ALL, stage, row["code"], f"{stage}/{row['code']}")
        }
