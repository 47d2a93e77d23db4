"""How far two judges of the same records agree: two people who accept or reject, or a score against a person.

Agreement by chance is what makes a plain share misleading: where nine of ten dialogues are good, two judges who look
at none of them and accept all but every tenth agree on four of five.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.values.records import Record
from pipeline.work.audit_summary import Z_95, wilson

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_HALVINGS = 60
"""Steps of a bisection over [0, 1]; more than a float's 53 bits."""


class Agreement(Record):
    """Two judges over the records that both judged.

    Attributes:
        num_both: Those records.
        share: Of them, judged alike; None where there are none.
        share_low, share_high: Its 95 % interval (Wilson).
        kappa: Cohen's: 1 is full agreement, 0 what chance would bring. None where both gave one and the same label to
            all, for then chance alone would agree as much.
        kappa_low, kappa_high: Its 95 % interval.
    """

    num_both: int
    num_alike: int
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    kappa: float | None = None
    kappa_low: float | None = None
    kappa_high: float | None = None


class ScoreAgreement(Record):
    """A score, the higher the better, against people's verdicts, over the records that have both.

    Attributes:
        auc: Chance that an accepted record scores above a rejected one, ties counting half; 0.5 is no better than
            chance. None where all were accepted or all rejected.
        auc_low, auc_high: Its 95 % interval.
        spearman: Rank correlation of score and verdict; None where either is the same for all.
        at_limit: The verdict that the limit makes of the score, against people's; None without a limit.
    """

    num_accepted: int
    num_rejected: int
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    spearman: float | None = None
    at_limit: Agreement | None = None


def compare_labels(first: Mapping[str, str], second: Mapping[str, str]) -> Agreement:
    """Compare two judges' labels by record id; what only one of them judged does not count."""
    pairs = [(first[name], second[name]) for name in first if name in second]
    number, alike = len(pairs), sum(one == other for one, other in pairs)
    if not number:
        return Agreement(num_both=0, num_alike=0)
    share = alike / number
    low, high = wilson(share, number)
    kappa, kappa_low, kappa_high = _cohen(pairs, low) or (None, None, None)
    return Agreement(
        num_both=number,
        num_alike=alike,
        share=share,
        share_low=low,
        share_high=high,
        kappa=kappa,
        kappa_low=kappa_low,
        kappa_high=kappa_high,
    )


def compare_scores(
    scores: Mapping[str, float], accepted: Mapping[str, bool], limit: float | None = None
) -> ScoreAgreement:
    """Compare a score, the higher the better, with people's verdicts by record id.

    Args:
        limit: The lowest score that counts as accepted, for plain agreement.
    """
    both = [name for name in scores if name in accepted]
    good = [scores[name] for name in both if accepted[name]]
    bad = [scores[name] for name in both if not accepted[name]]
    auc, low, high = _auc(good, bad) or (None, None, None)
    at_limit = None
    if limit is not None:
        passed = {name: str(scores[name] >= limit) for name in both}
        at_limit = compare_labels(passed, {name: str(accepted[name]) for name in both})
    return ScoreAgreement(
        num_accepted=len(good),
        num_rejected=len(bad),
        auc=auc,
        auc_low=low,
        auc_high=high,
        spearman=rank_correlation([scores[name] for name in both], [float(accepted[name]) for name in both]),
        at_limit=at_limit,
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's coefficient: Pearson's over mid-ranks, so that ties count (Kendall 1948, chapter 3).

    Returns:
        None for fewer than two pairs, or where one side is the same throughout.
    """
    import numpy as np

    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(np.corrcoef(_mid_ranks(first), _mid_ranks(second))[0, 1])


def _cohen(pairs: Sequence[tuple[str, str]], share_low: float) -> tuple[float, float, float] | None:
    """Kappa (Cohen 1960) with the interval of its large-sample variance (Fleiss, Cohen and Everitt 1969, eq. 13).

    Where all agree, that variance is 0 however few they are; then the lower bound is the kappa that the share's own
    lower bound would come to.
    """
    number = len(pairs)
    rows, columns = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    share = sum(one == other for one, other in pairs) / number
    chance = sum(rows[label] * columns[label] for label in rows) / number**2
    if chance == 1.0:
        return None
    kappa = (share - chance) / (1 - chance)
    if share == 1.0:
        return kappa, max(-1.0, (share_low - chance) / (1 - chance)), kappa
    spread = 0.0
    for (one, other), count in Counter(pairs).items():
        if one == other:
            term = ((1 - chance) - (rows[one] + columns[one]) / number * (1 - share)) ** 2
        else:
            term = (1 - share) ** 2 * ((columns[one] + rows[other]) / number) ** 2
        spread += count / number * term
    spread -= (share * chance - 2 * chance + share) ** 2
    half = Z_95 * math.sqrt(max(0.0, spread) / number) / (1 - chance) ** 2
    return kappa, max(-1.0, kappa - half), min(1.0, kappa + half)


def _auc(good: Sequence[float], bad: Sequence[float]) -> tuple[float, float, float] | None:
    """Area under the ROC curve as Mann and Whitney's statistic (1947), with Newcombe's interval (2006, method 5).

    That one stays honest at 0 and 1: it asks which areas would make the one seen no surprise, with Hanley and
    McNeil's variance (1982) at the area asked about and both groups' sizes levelled.
    """
    if not good or not bad:
        return None
    ranks = _mid_ranks([*good, *bad])
    area = float(ranks[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad))
    size, level = len(good) * len(bad), (len(good) + len(bad)) / 2 - 1

    def is_plausible(other: float) -> bool:
        spread = 1 + level * ((1 - other) / (2 - other) + other / (1 + other))
        return abs(area - other) <= Z_95 * math.sqrt(other * (1 - other) * spread / size)

    return area, _edge(area, 0.0, is_plausible), _edge(area, 1.0, is_plausible)


def _edge(inside: float, outside: float, is_inside: Callable[[float], bool]) -> float:
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _mid_ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks from 1, those of equal values averaged."""
    import numpy as np

    _, places, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return ranks
