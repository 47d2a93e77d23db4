"""What ledgers state once dialogues are taken out of a shard's tables: the former counts less those of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.contracts.ledger import Ledger, ShardLedger
from pipeline.contracts.storage import Row
from pipeline.values.records import PlannedDialogue
from pipeline.work.shard_tally import OUTCOMES, ShardTally

_COUNTED = ("reasons", "shortfalls", "cells", "edits", "repairs", "voices")


@dataclass
class Withdrawn:
    """Rows that were taken out of one shard's tables.

    Attributes:
        cells: Cell by dialogue, kept or not.
        kept: Of these, ids of those that were kept.
    """

    tally: ShardTally = field(default_factory=ShardTally)
    cells: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """True where nothing went."""
        return not self.tally.rows

    def take(self, table: str, row: Row) -> None:
        """Count a row that goes."""
        self.tally.take(table, row)
        if table in OUTCOMES:
            self.cells[row["id"]] = row["cell"]
        if table == "dialogues":
            self.kept.add(row["id"])


def dialogue_of(table: str, row: Row) -> str:
    """Return the id of the dialogue that a row of a published table belongs to."""
    return str(row["id"] if table in OUTCOMES else row["dialogue_id"])


def withdraw(ledger: ShardLedger, gone: Withdrawn, plan: Mapping[str, PlannedDialogue]) -> dict[str, Any]:
    """Return the fields of a shard's ledger that change when rows go.

    Args:
        plan: Rows of the plan by id; those of dialogues that nobody planned may be missing.
    """
    state = gone.tally.state()
    fields: dict[str, Any] = {name: _less(getattr(ledger, name), state[name]) for name in _COUNTED}
    fields["counts"] = {name: count - state["counts"].get(name, 0) for name, count in ledger.counts.items()}
    fields["features"] = _less(ledger.features, _count_features(gone, gone.kept, plan))
    return fields


def withdraw_from_matrix(
    ledger: Ledger, gone: Iterable[Withdrawn], plan: Mapping[str, PlannedDialogue]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the root ledger's tables of cells and of features without what is gone; the shares wanted stay."""
    matrix = {name: dict(numbers) for name, numbers in ledger.matrix.items()}
    features = {name: dict(numbers) for name, numbers in ledger.features.items()}
    for one in gone:
        planned = _count_features(one, one.cells, plan)
        _take_off(matrix, "planned", Counter(one.cells.values()))
        _take_off(matrix, "kept", Counter(one.cells[name] for name in one.kept))
        _take_off(features, "planned", planned)
        _take_off(features, "kept", _count_features(one, one.kept, plan))
    return {"matrix": matrix, "features": features}


def _take_off(table: dict[str, dict[str, float]], column: str, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        if name in table:
            table[name][column] -= count


def _count_features(gone: Withdrawn, ids: Iterable[str], plan: Mapping[str, PlannedDialogue]) -> Counter[str]:
    return Counter(f"{gone.cells[name]}/{one}" for name in ids if name in plan for one in plan[name].features)


def _less(counts: Mapping[str, int], gone: Mapping[str, int]) -> dict[str, int]:
    """Subtract; a count that comes to nothing is left out, as whoever counts rows leaves it out."""
    return {name: left for name, count in counts.items() if (left := count - gone.get(name, 0)) > 0}
