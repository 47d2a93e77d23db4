"""The modality matrix of dialogues that are there, as a mix that would make more like them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.values.mix import Cell, Range
from pipeline.values.records import Modality, Role, Turn
from pipeline.values.slots import in_order

_MOST = {"rounds": 8, "images": 8, "music": 4}
"""What a cell of a manifest allows at most; longer dialogues count as that long."""

Kinds = tuple[Modality, ...]


@dataclass
class _Found:
    """Dialogues of one cell: their number, and per key of a cell the fewest and most."""

    count: int = 0
    spans: dict[str, Range] = field(default_factory=dict)

    def widen(self, key: str, value: int) -> None:
        value = min(value, _MOST[key])
        low, high = self.spans.get(key, (value, value))
        self.spans[key] = (min(low, value), max(high, value))


class MixEstimate:
    """Counts dialogues by what the user gives and the assistant answers with; memory does not grow with them."""

    def __init__(self) -> None:
        self._found: dict[tuple[Kinds, Kinds], _Found] = defaultdict(_Found)
        self._num_rounds = 0

    @property
    def num_dialogues(self) -> int:
        """Dialogues counted."""
        return sum(found.count for found in self._found.values())

    @property
    def mean_rounds(self) -> float:
        """Mean number of user turns; 0 where nothing was counted."""
        return self._num_rounds / max(1, self.num_dialogues)

    def add(self, turns: Sequence[Turn]) -> None:
        """Count a dialogue whose roles alternate."""
        rounds = len(turns) // 2
        roles: tuple[Role, Role] = ("user", "assistant")
        kinds = {role: [part.kind for turn in turns if turn.role == role for part in turn.parts] for role in roles}
        found = self._found[in_order(kinds["user"]), in_order(kinds["assistant"])]
        found.count += 1
        found.widen("rounds", rounds)
        for key, kind in (("images", Modality.IMAGE), ("music", Modality.MUSIC)):
            for role in roles:
                if kind in kinds[role]:
                    found.widen(key, kinds[role].count(kind))
        self._num_rounds += rounds

    def cells(self) -> list[Cell]:
        """Return a cell for each set in and set out, the most frequent first; its weight is its number of dialogues."""
        cells = [
            Cell(
                name=f"{'-'.join(gives)}-to-{'-'.join(answers)}",
                weight=found.count,
                gives=gives,
                answers=answers,
                rounds=found.spans["rounds"],
                images=found.spans.get("images", (1, 1)),
                music=found.spans.get("music", (1, 1)),
            )
            for (gives, answers), found in self._found.items()
        ]
        return sorted(cells, key=lambda cell: (-cell.weight, cell.name))
