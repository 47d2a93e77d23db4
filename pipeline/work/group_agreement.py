"""How far more than two reviewers agree beyond chance: Fleiss' kappa with its interval."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.work.audit_summary import wilson


@dataclass(frozen=True)
class GroupAgreement:
    """How far some reviewers agree.

    Attributes:
        num_records: Those that two of them or more have judged.
        share: Of equal judgements among pairs of judgements of one record.
        kappa: 1 for agreement throughout, 0 for what chance would bring; None where no record is shared, or where all
            judgements are the same, so that chance would bring full agreement, too.
        low, high: 95 % interval of kappa; None where kappa is.
    """

    num_records: int
    share: float | None = None
    kappa: float | None = None
    low: float | None = None
    high: float | None = None


def compare_group(judged: Mapping[str, Mapping[str, str]]) -> GroupAgreement:
    """Fleiss' kappa (1971) over the records that two or more have judged; not every reviewer has to have seen each.

    With a varying number of judgements each record weighs the same, and the variance is that of the record's
    influence (Gwet 2021).

    Args:
        judged: Category by reviewer and record.
    """
    gathered: dict[str, Counter[str]] = {}
    for verdicts in judged.values():
        for record, category in verdicts.items():
            gathered.setdefault(record, Counter())[category] += 1
    counts = [gathered[record] for record in sorted(gathered) if gathered[record].total() > 1]
    shares = [{category: n / count.total() for category, n in count.items()} for count in counts]
    overall: dict[str, float] = defaultdict(float)
    for share in shares:
        for category, value in share.items():
            overall[category] += value / len(shares)
    agreed = [sum(n * (n - 1) for n in count.values()) / (count.total() * (count.total() - 1)) for count in counts]
    by_chance = [sum(value * overall[category] for category, value in share.items()) for share in shares]
    return _sum_up(agreed, by_chance)


def _sum_up(agreed: Sequence[float], by_chance: Sequence[float]) -> GroupAgreement:
    """Return kappa with an interval.

    Args:
        agreed: Of each record, the share of its pairs of judgements that are equal.
        by_chance: Of each record, the share that would be by chance, given how often each category is used.
    """
    number = len(agreed)
    if not number:
        return GroupAgreement(0)
    share, chance = sum(agreed) / number, sum(by_chance) / number
    if math.isclose(chance, 1.0):
        return GroupAgreement(number, share)
    beyond = 1.0 - chance
    influence = [(a * beyond - 2.0 * c * (1.0 - share)) / beyond**2 for a, c in zip(agreed, by_chance, strict=True)]
    mean = sum(influence) / number
    variance = sum((value - mean) ** 2 for value in influence) / number**2
    # Wilson's interval of the share at as many draws as the variance says that the records are worth: unlike kappa
    # plus and minus two errors, it neither leaves [-1, 1] nor shrinks to nothing where a few records all agree.
    effective = float(number)
    if 0.0 < share < 1.0 and variance > 0.0:
        effective = share * (1.0 - share) / (variance * beyond**2)
    low, high = ((bound - chance) / beyond for bound in wilson(share, effective))
    return GroupAgreement(number, share, (share - chance) / beyond, low, high)
