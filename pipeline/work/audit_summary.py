"""What readings over a corpus come to: distributions, the share that passes, and how sure a sample makes of it."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from pipeline.contracts.audit import Measure, Subject
from pipeline.values.records import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NUM_BINS = 20
NUM_WORST = 10
Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


class Summary(Record):
    """One measure over all records that it was taken of.

    Attributes:
        num_records: Records looked at.
        num_measured: Those with a value; the measure does not apply to the others.
        num_short: Those with a value beyond the limit.
        pass_share, pass_low, pass_high: Share of the measured that pass, and its 95 % interval where only a sample was
            looked at; the three are equal where everything was. None without a limit or without a value.
        quantiles: Values at :data:`QUANTILES`.
        bins: Edges of a histogram; one more than ``bin_counts``.
        worst: Ids with their values, the worst first.
    """

    measure: Measure
    about: Subject
    audit: str
    limit: float | None
    num_records: int
    num_measured: int
    num_short: int
    mean: float | None = None
    pass_share: float | None = None
    pass_low: float | None = None
    pass_high: float | None = None
    quantiles: tuple[float, ...] = ()
    bins: tuple[float, ...] = ()
    bin_counts: tuple[int, ...] = ()
    worst: tuple[tuple[str, float], ...] = ()


class Column:
    """Gathers one measure's readings as they stream by: 16 bytes a record, an entry a dialogue, the worst."""

    def __init__(self, measure: Measure, about: Subject, audit: str, limit: float | None) -> None:
        self._measure = measure
        self._about: Subject = about
        self._audit = audit
        self._limit = measure.limit if limit is None else limit
        self._values = array("d")
        self._clusters = array("q")
        self._names: dict[str, int] = {}
        self._worst: list[tuple[str, float]] = []
        self._num_records = 0

    def add(self, record: str, dialogue: str, value: float | None) -> None:
        """Take one record's reading."""
        self._num_records += 1
        if value is None or not math.isfinite(value):
            return
        self._values.append(value)
        self._clusters.append(self._names.setdefault(dialogue, len(self._names)))
        self._worst.append((record, value))
        if len(self._worst) >= 20 * NUM_WORST:
            self._worst = self._worst_of(self._worst)

    def extend(self, records: Sequence[str], dialogues: Sequence[str], values: npt.NDArray[np.float64]) -> None:
        """Take many records' readings, as :meth:`add` takes one; what is not finite was not measured."""
        import numpy as np

        self._num_records += len(records)
        is_there = np.isfinite(values)
        names, some = list(compress(records, is_there)), values[is_there]
        self._values.frombytes(some.tobytes())
        numbers = self._names
        self._clusters.extend(numbers.setdefault(one, len(numbers)) for one in compress(dialogues, is_there))
        if len(some) > NUM_WORST:
            # All that are as bad as the last of the worst: equal ones are told apart by their names.
            signed = some if self._measure.better == "higher" else -some
            is_bad = signed <= np.partition(signed, NUM_WORST)[NUM_WORST]
            names, some = list(compress(names, is_bad)), some[is_bad]
        self._worst = self._worst_of([*self._worst, *zip(names, some.tolist(), strict=True)])

    def sum_up(self, share_seen: float) -> Summary:
        """Close the column.

        Args:
            share_seen: Of the corpus's dialogues, in (0, 1]; 1 leaves nothing to estimate.
        """
        import numpy as np

        base: dict[str, Any] = {
            "measure": self._measure,
            "about": self._about,
            "audit": self._audit,
            "limit": self._limit,
            "num_records": self._num_records,
            "num_measured": len(self._values),
            "num_short": 0,
        }
        if not self._values:
            return Summary(**base)
        values = np.asarray(self._values)
        counts, edges = np.histogram(values, NUM_BINS)
        base |= {
            "mean": float(values.mean()),
            "quantiles": tuple(float(q) for q in np.quantile(values, QUANTILES)),
            "bins": tuple(float(edge) for edge in edges),
            "bin_counts": tuple(int(count) for count in counts),
            "worst": tuple(self._worst_of(self._worst)),
        }
        if self._limit is not None:
            passed = find_passing(values, self._measure, self._limit)
            low, high = interval(passed, np.asarray(self._clusters), share_seen)
            base |= {"num_short": int((~passed).sum()), "pass_share": float(passed.mean())}
            base |= {"pass_low": low, "pass_high": high}
        return Summary(**base)

    def _worst_of(self, some: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        sign = 1 if self._measure.better == "higher" else -1
        return heapq.nsmallest(NUM_WORST, some, key=lambda pair: (sign * pair[1], pair[0]))


def find_passing(values: npt.NDArray[np.float64], measure: Measure, limit: float) -> npt.NDArray[np.bool_]:
    """Tell which values are good enough, as :meth:`Measure.passes` does."""
    passing: npt.NDArray[np.bool_] = values >= limit if measure.better == "higher" else values <= limit
    return passing


def interval(passed: npt.NDArray[np.bool_], clusters: npt.NDArray[np.int_], share_seen: float) -> tuple[float, float]:
    """95 % interval of a share, where dialogues were drawn and their records come in clusters.

    Wilson's score interval (Wilson 1927) at the effective number of records: the clusters' variance about the ratio
    (Cochran 1977, section 6.5, with its finite-population factor) says how many independent draws the records are
    worth. Where all pass or none does, that variance says nothing, and each dialogue counts as one draw.

    Args:
        passed: One a record.
        clusters: Each record's dialogue, numbered from 0.
        share_seen: Of the population's dialogues, in (0, 1].
    """
    import numpy as np

    share = float(passed.mean())
    if share_seen >= 1.0:
        return share, share
    sizes = np.bincount(clusters).astype(float)
    passes = np.bincount(clusters, weights=passed.astype(float))
    number = len(sizes)
    effective = float(number)
    if 0.0 < share < 1.0 and number > 1:
        residuals = passes - share * sizes
        variance = number / (number - 1) * float(residuals @ residuals) / float(sizes.sum()) ** 2
        if variance > 0.0:
            effective = min(float(len(passed)), share * (1 - share) / variance)
    return wilson(share, effective / (1.0 - share_seen))


def wilson(share: float, number: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share among ``number`` independent draws (Wilson 1927)."""
    spread = Z_95**2 / number
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / number + spread / (4 * number))
    return max(0.0, centre - half), min(1.0, centre + half)
