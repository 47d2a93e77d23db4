"""What the ledger of a shard states that no stage made: counted off its rows as they are written."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.contracts.storage import Row
from pipeline.work.tables import REPAIRS

OUTCOMES = {"dialogues": "kept", "rejected": "rejected", "failed": "failed"}
"""Tables whose rows are dialogues, and how these have ended."""


class ShardTally:
    """Counts rows of all tables of one shard, in any order."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in ("reasons", "shortfalls", "cells")}
        self._voices: Counter[str] = Counter()
        self._drafts: dict[str, None] = {}
        self._num_edits = 0
        self._num_edited = 0
        self._num_repaired = 0
        self._mended: set[str] = set()

    def take(self, table: str, row: Row) -> None:
        """Count a row of a published table."""
        self.rows[table] += 1
        if table == "dialogues":
            self._counts["cells"][row["cell"]] += 1
            self._num_edits += sum(bool(part.get("edits")) for turn in row["turns"] for part in turn["parts"])
        elif table in OUTCOMES:
            self._counts["reasons"][f"{row['stage']}/{row['code']}"] += 1
            if row.get("measure"):
                self._counts["shortfalls"][row["measure"]] += 1
        else:
            self._take_asset(row)

    def _take_asset(self, row: Row) -> None:
        if row.get("voice"):
            self._voices[row["voice"]] += 1
        if row.get("is_draft") and row.get("renderer"):
            self._drafts[row["renderer"]] = None
        self._num_edited += row.get("edited_from") is not None
        if row.get(REPAIRS):
            self._num_repaired += 1
            self._mended.add(row["dialogue_id"])

    @property
    def drafts(self) -> list[str]:
        """Renderers of drafts."""
        return sorted(self._drafts)

    def state(self) -> dict[str, Any]:
        """Return fields of the shard's ledger."""
        counts = {outcome: self.rows[table] for table, outcome in OUTCOMES.items()}
        repairs = {"assets": self._num_repaired, "dialogues": len(self._mended)} if self._num_repaired else {}
        return {
            "counts": {"planned": sum(counts.values()), **counts},
            **self._counts,
            "edits": +Counter(from_picture=self._num_edited, from_words=self._num_edits - self._num_edited),
            "repairs": repairs,
            "voices": self._voices,
        }
