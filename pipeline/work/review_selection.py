"""Which dialogues a reviewer goes through, and in which order: filters over columns held in memory.

A dialogue costs an id, a few small numbers and four bytes a measure: 100,000 of them with 30 measures take 12 MB
beside 20 MB of ids. Nothing here holds words or media.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.contracts.audit import Measure
from pipeline.contracts.review import MAX_ID, Verdict
from pipeline.values.ids import rank_by_hash
from pipeline.values.records import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bools = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int32]

State = Literal["all", "unreviewed", "accepted", "rejected", "second", "fresh", "disputed"]
Order = Literal["mixed", "corpus", "worst"]


class Query(Record):
    """What a reviewer wants to see.

    Attributes:
        order: ``mixed`` is one fixed shuffle, the same for all reviewers: whoever stops early has seen a fair draw, and
            two who begin at its start judge the same dialogues.
        measure: By which the worst come first; those without a value are left out.
        state: ``unreviewed``, ``accepted`` and ``rejected`` by oneself; ``second``: judged by others and not by
            oneself; ``fresh``: by nobody; ``disputed``: others say otherwise than one has said oneself.
        id: Beginning of the dialogue's id.
    """

    order: Order = "mixed"
    measure: str = Field(default="", max_length=MAX_ID)
    meta_topic: str = Field(default="", max_length=MAX_ID)
    cell: str = Field(default="", max_length=MAX_ID)
    voice: str = Field(default="", max_length=MAX_ID)
    findings: bool = False
    state: State = "all"
    id: str = Field(default="", max_length=MAX_ID)


@dataclass(frozen=True)
class Labels:
    """One text a dialogue, out of few.

    Attributes:
        names: The texts.
        codes: Of each dialogue, the place of its text in ``names``.
    """

    names: tuple[str, ...]
    codes: Places

    def counts(self) -> dict[str, int]:
        """Return the number of dialogues by text, in the order of the texts."""
        import numpy as np

        numbers = np.bincount(self.codes, minlength=len(self.names))
        return {name: int(numbers[self.names.index(name)]) for name in sorted(self.names) if name}

    def are(self, name: str) -> Bools:
        """Tell which dialogues have a text."""
        import numpy as np

        if name not in self.names:
            return np.zeros(len(self.codes), bool)
        found: Bools = self.codes == self.names.index(name)
        return found


@dataclass(frozen=True)
class ReviewColumns:
    """What dialogues are filtered by; every array has one value a dialogue, in the order of the corpus.

    Attributes:
        shard: Place of the dialogue's shard in the corpus.
        voices: Places of the dialogues in which a voice speaks.
        num_findings: Readings beyond their limits.
        measures: By name.
        worst: Of each measure, the worst value in a dialogue; NaN where there is none.
    """

    ids: tuple[str, ...]
    shard: Places
    meta_topic: Labels
    cell: Labels
    voices: Mapping[str, Places]
    num_findings: Places
    measures: Mapping[str, Measure] = field(default_factory=dict)
    worst: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of every dialogue by id."""
        return {name: place for place, name in enumerate(self.ids)}

    @cached_property
    def mixed(self) -> Places:
        """The fixed shuffle."""
        import numpy as np

        return np.asarray([self.places[name] for name in rank_by_hash(self.ids, "review")], np.int32)


def select(
    columns: ReviewColumns, query: Query, reviewer: str, verdicts: Mapping[str, Mapping[str, Verdict]]
) -> Places:
    """Return the places of the dialogues that a query asks for, in its order.

    What others have said decides nothing here about a dialogue that the reviewer has not judged, so that no filter
    tells it before.

    Args:
        verdicts: By reviewer and dialogue.
    """
    import numpy as np

    wanted = _by_state(columns, query.state, reviewer, verdicts)
    if query.meta_topic:
        wanted &= columns.meta_topic.are(query.meta_topic)
    if query.cell:
        wanted &= columns.cell.are(query.cell)
    if query.voice:
        wanted &= _mask(columns, columns.voices.get(query.voice, np.zeros(0, np.int32)))
    if query.findings:
        wanted &= columns.num_findings > 0
    if query.id:
        wanted &= np.fromiter((name.startswith(query.id) for name in columns.ids), bool, len(columns.ids))
    order = _order(columns, query)
    found: Places = order[wanted[order]]
    return found


def _order(columns: ReviewColumns, query: Query) -> Places:
    import numpy as np

    if query.order == "corpus":
        return np.arange(len(columns.ids), dtype=np.int32)
    if query.order == "mixed":
        return columns.mixed
    values = columns.worst.get(query.measure)
    if values is None:
        return np.zeros(0, np.int32)
    sign = 1 if columns.measures[query.measure].better == "higher" else -1
    there = columns.mixed[~np.isnan(values[columns.mixed])]
    ordered: Places = there[np.argsort(sign * values[there], kind="stable")]
    return ordered


def _by_state(
    columns: ReviewColumns, state: State, reviewer: str, verdicts: Mapping[str, Mapping[str, Verdict]]
) -> Bools:
    import numpy as np

    if state == "all":
        return np.ones(len(columns.ids), bool)
    mine = verdicts.get(reviewer, {})
    if state in ("accepted", "rejected"):
        decision = state.removesuffix("ed")
        return _named(columns, [name for name, verdict in mine.items() if verdict.decision == decision])
    own = _named(columns, mine)
    if state == "unreviewed":
        return ~own
    others = [judged for name, judged in verdicts.items() if name != reviewer]
    theirs = _named(columns, {name for judged in others for name in judged})
    if state == "disputed":
        return _named(
            columns, [name for name in mine if any(_differ(mine[name], judged.get(name)) for judged in others)]
        )
    return ~own & theirs if state == "second" else ~own & ~theirs


def _differ(one: Verdict, other: Verdict | None) -> bool:
    return other is not None and other.decision != one.decision


def _named(columns: ReviewColumns, names: Collection[str]) -> Bools:
    import numpy as np

    there = [columns.places[name] for name in names if name in columns.places]
    return _mask(columns, np.asarray(there, np.int32))


def _mask(columns: ReviewColumns, places: Places) -> Bools:
    import numpy as np

    mask = np.zeros(len(columns.ids), bool)
    mask[places] = True
    return mask
