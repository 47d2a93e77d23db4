"""What audits have read of a shard, as its published tables carry it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.contracts.storage import Row

SCORES = "scores"
"""Column of published tables: a list, since which measures there are is up to plug-ins, and a column each would change
the tables, shard by shard, whenever one is added."""


@dataclass(frozen=True)
class Score:
    """One value of one record.

    Attributes:
        content: Hash of what was measured; a score holds for a record of this content alone.
    """

    content: str
    measure: str
    value: float


@dataclass(frozen=True)
class ShardScores:
    """All scores of one shard.

    Attributes:
        key: Hash over all of them and over what is stated of their audits; empty where nothing was audited.
        by_record: By id of the dialogue or asset.
        measures: Names of all measures that audits have taken of the corpus.
        stated: JSON: audits with their versions, and the limits that held. It goes into the tables' metadata.
    """

    key: str = ""
    by_record: Mapping[str, Sequence[Score]] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    stated: str = "[]"

    def of(self, record: str, *contents: str) -> list[Row]:
        """Return the values of the column ``scores``, by name of the measure.

        Args:
            contents: Of the record itself and, for a dialogue, of it with its assets: an audit goes by one of them.
        """
        if record not in self.by_record:
            return []
        held = [score for score in self.by_record[record] if score.content in contents]
        return [
            {"measure": score.measure, "value": score.value} for score in sorted(held, key=lambda score: score.measure)
        ]
