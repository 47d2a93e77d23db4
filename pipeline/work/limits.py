"""The screen's limits: which records fall short of them, and which dialogues are rejected for that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.contracts.audit import Measure, Reading, Subject
from pipeline.values.rejections import Rejection

STAGE = "screen"
"""Of the rejections, and of the progress that is told while records are measured."""

_HOW = {"higher": ("below_limit", "must be at least"), "lower": ("above_limit", "must be at most")}


@dataclass(frozen=True)
class Limit:
    """A limit of the manifest: the measure has it as its own."""

    measure: Measure
    about: Subject
    audit: str


@dataclass(frozen=True)
class Taken:
    """A record as one audit has read it.

    Attributes:
        problem: Why it could not be measured at all; empty where it was.
    """

    record_id: str
    dialogue_id: str
    readings: Mapping[str, Reading]
    problem: str = ""


@dataclass(frozen=True)
class Shortfall:
    """A record that falls short of a limit; without a value it could not be measured."""

    record_id: str
    dialogue_id: str
    measure: Measure
    value: float | None
    problem: str = ""

    @property
    def badness(self) -> float:
        """Larger for what lies further beyond; what could not be measured comes first."""
        if self.value is None:
            return float("inf")
        return -self.value if self.measure.better == "higher" else self.value

    def reject(self) -> Rejection:
        """Return why the dialogue is rejected."""
        name, limit = self.measure.name, self.measure.limit
        unit = f" {self.measure.unit}" if self.measure.unit else ""
        code, bound = _HOW[self.measure.better]
        if self.value is None:
            code, message = "not_measured", f"{name} of {self.record_id} cannot be measured: {self.problem}"
        else:
            message = f"{name} of {self.record_id} is {self.value:.6g}{unit}, {bound} {limit:.6g}"
        return Rejection(
            dialogue_id=self.dialogue_id,
            stage=STAGE,
            code=code,
            message=message,
            score=self.value,
            measure=name,
        )


def find_shortfalls(limits: Sequence[Limit], taken: Mapping[str, Iterable[Taken]]) -> Iterator[Shortfall]:
    """Yield every record that falls short, limit by limit in the manifest's order.

    A measure that does not apply to a record rejects nothing.

    Args:
        taken: By name of the audit: the records as they are today.
    """
    rows = {audit: list(some) for audit, some in taken.items()}
    for limit in limits:
        measure = limit.measure
        for row in rows.get(limit.audit, ()):
            if row.problem:
                yield Shortfall(row.record_id, row.dialogue_id, measure, None, row.problem)
                continue
            reading = row.readings.get(measure.name)
            if reading is not None and reading.value is not None and not measure.passes(reading.value):
                yield Shortfall(row.record_id, row.dialogue_id, measure, reading.value)


def reject_short(shortfalls: Iterable[Shortfall]) -> dict[str, Rejection]:
    """Return the rejections: for the first limit that a dialogue falls short of, by the record that is worst."""
    chosen: dict[str, Shortfall] = {}
    for found in shortfalls:
        first = chosen.setdefault(found.dialogue_id, found)
        is_same = first.measure.name == found.measure.name
        if is_same and (-found.badness, found.record_id) < (-first.badness, first.record_id):
            chosen[found.dialogue_id] = found
    return {name: found.reject() for name, found in chosen.items()}
