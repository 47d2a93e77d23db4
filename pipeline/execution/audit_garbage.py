"""`gc` of readings: those of records that are gone or changed their version, and journals that files have overtaken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.adapters.files import sha256_file
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER, CorpusReadings, TakenAudit
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.storage import Receipt, Row
from pipeline.values.ids import content_key
from pipeline.values.units import Bytes
from pipeline.work.auditing import SCHEMA


@dataclass(frozen=True)
class KnownRecords:
    """The records of one shard whose tables are certain.

    Attributes:
        published: Ids of kept dialogues and of their assets.
        kept: Ids of kept dialogues.
        lost: Ids of those that were rejected or failed, and may come back with the media that they had.
    """

    published: frozenset[str]
    kept: frozenset[str]
    lost: frozenset[str]

    def has(self, record: str) -> bool:
        """Tell whether a record exists; an asset's id begins with its dialogue's."""
        dialogue = record.partition("-")[0]
        return record in self.published if dialogue in self.kept else dialogue in self.lost


class ReadingsGarbage:
    """What nobody needs of the readings of one shard.

    Args:
        lock: On the readings; None for a look.
    """

    def __init__(self, root: Path, shard: int, records: KnownRecords, lock: CorpusLock | None) -> None:
        self._root = root
        self._store = ShardFolder(root / FOLDER / f"{shard:05d}", lock)
        self._records = records

    @cached_property
    def _audits(self) -> Sequence[TakenAudit]:
        """Audits whose readings are known to be there; of others nobody can tell which version is the last."""
        return CorpusReadings(self._root).audits

    def count_rows(self) -> Iterator[tuple[Path, int, Bytes]]:
        """Yield each file with the number of its rows that nobody needs and about what they take."""
        for audit in self._audits:
            receipt = self._store.receipt(audit.name)
            if receipt is None or not self._is_whole(receipt):
                continue
            unneeded = sum(not self._needs(audit, row) for row in self._store.rows(audit.name, ["record_id", "inputs"]))
            if unneeded:
                path = self._store.folder / receipt.file
                yield path, unneeded, round(receipt.num_bytes * unneeded / receipt.num_rows)

    def remove_rows(self) -> None:
        """Write those files anew without such rows."""
        names = {path.name for path, _, _ in self.count_rows()}
        for audit in self._audits:
            receipt = self._store.receipt(audit.name)
            if receipt is None or receipt.file not in names:
                continue
            rows = [row for row in self._store.rows(audit.name) if self._needs(audit, row)]
            failed = sum(row["status"] == "failed" for row in rows)
            facts = {"num_ok": len(rows) - failed, "num_failed": failed, "facts": receipt.facts}
            # No key: the orders that the former one stands for may come back, and then some of their rows are gone.
            self._store.commit(audit.name, SCHEMA, rows, order_key="", **facts)

    def find_journals(self) -> list[Path]:
        """Return journal files whose readings are all in a stage file, or of records that are gone."""
        found: list[Path] = []
        for audit in self._audits:
            segments = [*self._store.folder.glob(f"{audit.name}-e*.jsonl")]
            segments += self._store.folder.glob(f"{audit.name}-e*.blob")
            if segments and self._is_spent(audit):
                found += segments
        return sorted(found)

    def _is_spent(self, audit: TakenAudit) -> bool:
        receipt = self._store.receipt(audit.name)
        if receipt is None or not self._is_whole(receipt):
            return False
        rows = self._store.rows(audit.name, ["record_id", "inputs"])
        committed = {row["record_id"]: content_key(json.loads(row["inputs"])) for row in rows}
        newest: dict[str, str] = {}
        for entry in self._store.journal(audit.name).entries():
            if "row" not in entry:
                return False  # a journal that tells of more than readings, such as of what was paid
            newest[entry["record"]] = entry["input_key"]
        return all(committed.get(name) == key or not self._records.has(name) for name, key in newest.items())

    def _needs(self, audit: TakenAudit, row: Row) -> bool:
        inputs: Mapping[str, str] = json.loads(row["inputs"])
        return inputs["audit"] == audit.fingerprint and self._records.has(row["record_id"])

    def _is_whole(self, receipt: Receipt) -> bool:
        try:
            return sha256_file(self._store.folder / receipt.file) == receipt.sha256
        except OSError:
            return False
