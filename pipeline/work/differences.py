"""In what two corpora differ, as values; and how sure samples make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.values.records import Record
from pipeline.work.audit_summary import Summary
from pipeline.work.pages import render_page
from pipeline.work.report_figures import Figures

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MEDIAN = 3
"""Place of the median among a summary's quantiles."""


class NumberPair(Record):
    """One number of both; None where one is not known or not there."""

    name: str
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """Second less first."""
        return None if self.first is None or self.second is None else self.second - self.first


class MeasurePair(Record):
    """One measure of both.

    Attributes:
        distance: Of the two distributions, by Kolmogorov and Smirnov: the largest gap between the shares of records
            under a value, in [0, 1]. A description and no test, since records of a dialogue depend on each other.
        pass_low, pass_high: 95 % interval of the change of the share that passes; both are the change itself where
            both corpora were audited whole.
    """

    name: str
    medians: NumberPair
    passes: NumberPair
    distance: float | None
    pass_low: float | None = None
    pass_high: float | None = None


class ChangedSample(Record):
    """A dialogue that both have, with other words or media. ``what`` names them."""

    id: str
    topic: str
    what: tuple[str, ...]


class SampleChanges(Record):
    """Dialogues of both by id, and topics by their words; of the last three some are named."""

    num_same: int
    num_changed: int
    num_only_first: int
    num_only_second: int
    num_topics_only_first: int
    num_topics_only_second: int
    changed: tuple[ChangedSample, ...]
    topics_only_first: tuple[str, ...]
    topics_only_second: tuple[str, ...]


class Differences(Record):
    """All that two corpora differ in.

    Attributes:
        reached: Share of the kept dialogues by cell.
        wanted: Share of the mix by cell.
        spend: Dollars by stage and model.
        calls: Calls by stage and model.
    """

    first: str
    second: str
    counts: tuple[NumberPair, ...]
    wanted: tuple[NumberPair, ...]
    reached: tuple[NumberPair, ...]
    measures: tuple[MeasurePair, ...]
    spend: tuple[NumberPair, ...]
    calls: tuple[NumberPair, ...]
    samples: SampleChanges


def compare_counts(first: Figures, second: Figures) -> tuple[NumberPair, ...]:
    """Pair the headline counts."""
    return _pair(_counts(first), _counts(second))


def compare_cells(first: Figures, second: Figures) -> tuple[tuple[NumberPair, ...], tuple[NumberPair, ...]]:
    """Pair the shares of the cells: those that were wanted, and those that were reached."""
    wanted = _pair({c.name: c.wanted for c in first.cells}, {c.name: c.wanted for c in second.cells})
    return wanted, _pair({c.name: c.reached for c in first.cells}, {c.name: c.reached for c in second.cells})


def compare_spend(first: Figures, second: Figures) -> tuple[tuple[NumberPair, ...], tuple[NumberPair, ...]]:
    """Pair dollars and calls by stage and model."""
    usd = [{f"{line.stage} / {line.model}": line.usd for line in figures.spend} for figures in (first, second)]
    calls = [
        {f"{line.stage} / {line.model}": float(line.calls) for line in figures.spend} for figures in (first, second)
    ]
    all_usd = NumberPair(name="all", first=first.usd, second=second.usd)
    return (*_pair(*usd), all_usd), _pair(*calls)


def compare_measure(first: Summary | None, second: Summary | None, distance: float | None) -> MeasurePair:
    """Pair what audits say; one of them may not have the measure."""
    some = first or second
    if some is None:
        raise ValueError("neither corpus has the measure")
    low, high = _change_of_share(first, second)
    return MeasurePair(
        name=some.measure.name,
        medians=NumberPair(name="median", first=_median(first), second=_median(second)),
        passes=NumberPair(
            name="pass", first=first.pass_share if first else None, second=second.pass_share if second else None
        ),
        distance=distance,
        pass_low=low,
        pass_high=high,
    )


def distance_between(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float | None:
    """Return the two-sample statistic of Kolmogorov and Smirnov (Smirnov 1939); None where one has no values."""
    import numpy as np

    if not len(first) or not len(second):
        return None
    both = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(one), both, side="right") / len(one) for one in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def write_differences(differences: Differences) -> str:
    """Return the page."""
    return render_page("differences.html.j2", d=differences)


def _change_of_share(first: Summary | None, second: Summary | None) -> tuple[float | None, float | None]:
    """95 % interval of a difference of shares out of the two shares' own (Newcombe 1998, method 10)."""
    if first is None or second is None:
        return None, None
    p, p_low, p_high = first.pass_share, first.pass_low, first.pass_high
    q, q_low, q_high = second.pass_share, second.pass_low, second.pass_high
    if p is None or p_low is None or p_high is None or q is None or q_low is None or q_high is None:
        return None, None
    change = q - p
    return change - math.hypot(q - q_low, p_high - p), change + math.hypot(q_high - q, p - p_low)


def _median(summary: Summary | None) -> float | None:
    return summary.quantiles[MEDIAN] if summary is not None and summary.quantiles else None


def _counts(figures: Figures) -> dict[str, float | None]:
    counts: dict[str, float | None] = {
        name: getattr(figures.fate, name) for name in ("planned", "kept", "rejected", "failed", "waiting")
    }
    counts |= {f"{asset.kind} assets": asset.num_assets for asset in figures.assets}
    counts |= {"topics": figures.num_topics, "meta-topics": len(figures.meta_topics), "voices": len(figures.voices)}
    return counts | {"audited dialogues": figures.num_audited, "of them without a finding": figures.num_good}


def _pair(*sides: dict[str, float | None] | dict[str, float]) -> tuple[NumberPair, ...]:
    names: Sequence[str] = list(dict.fromkeys(name for side in sides for name in side))
    return tuple(NumberPair(name=name, first=sides[0].get(name), second=sides[1].get(name)) for name in names)
