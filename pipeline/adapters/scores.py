"""What audits have left of a shard, in the shape in which its published tables carry it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.adapters.readings import FOLDER, OVER_ALL, CorpusReadings, TakenAudit
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.scores import Score, ShardScores
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key

_COLUMNS = ("record_id", "dialogue_id", "inputs", "readings")


class CorpusScores:
    """Reads scores shard by shard.

    Args:
        limits: Of the manifest's screen, by measure; they go before those that an audit was taken with.
    """

    def __init__(self, root: Path, limits: Mapping[str, float]) -> None:
        self._folder = root / FOLDER
        self._readings = CorpusReadings(root)
        self._limits = limits

    @cached_property
    def stated(self) -> list[dict[str, Any]]:
        """Name, version and measures of every audit that was taken, each measure with the limit that holds."""
        return [
            {
                "name": audit.name,
                "version": audit.version,
                "about": audit.about,
                "measures": [
                    {
                        "name": measure.name,
                        "unit": measure.unit,
                        "better": measure.better,
                        "limit": self._limits.get(measure.name, measure.limit),
                    }
                    for measure in audit.measures
                ],
            }
            for audit in self._readings.audits
        ]

    def key(self, shard: int) -> str:
        """Return what :attr:`ShardScores.key` will be, reading receipts alone."""
        receipts = {audit.name: self._store(audit, shard).receipt(audit.name) for audit in self._readings.audits}
        files = {name: receipt.sha256 for name, receipt in receipts.items() if receipt is not None}
        return content_key(self.stated, files) if self.stated else ""

    def read(self, shard: int, dialogues: Collection[str]) -> ShardScores:
        """Return the scores of some dialogues of a shard and of their assets.

        Raises:
            CorpusError: a file of readings is damaged.
        """
        found: dict[str, list[Score]] = defaultdict(list)
        for audit in self._readings.audits:
            for row in self._rows(audit, shard, dialogues):
                inputs = json.loads(row["inputs"])
                if inputs["audit"] != audit.fingerprint:
                    continue
                values = {reading["measure"]: reading["value"] for reading in row["readings"]}
                found[row["record_id"]] += [
                    Score(inputs["content"], measure, value) for measure, value in values.items() if value is not None
                ]
        measures = tuple(sorted(measure.name for audit in self._readings.audits for measure in audit.measures))
        return ShardScores(self.key(shard), dict(found), measures, json.dumps(self.stated, sort_keys=True))

    def _rows(self, audit: TakenAudit, shard: int, dialogues: Collection[str]) -> Iterator[Row]:
        store = self._store(audit, shard)
        receipt = store.receipt(audit.name)
        if receipt is None:
            return
        path = store.folder / receipt.file
        wanted = pc.field("dialogue_id").isin(sorted(dialogues))
        try:
            # Of an audit that compares all shards, most rows belong to others and need not become Python's.
            table = pq.read_table(path, columns=list(_COLUMNS), filters=wanted, page_checksum_verification=True)
            yield from table.to_pylist()
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(
                f"{path}: cannot be read ({exc}); `anyinstruct verify --fix` sets it aside, then measure again"
            ) from exc

    def _store(self, audit: TakenAudit, shard: int) -> ShardFolder:
        return ShardFolder(self._folder / (OVER_ALL if audit.compares else f"{shard:05d}"))
