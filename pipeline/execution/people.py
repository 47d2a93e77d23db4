"""How far the audits of dialogues agree with what people say of the same dialogues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pipeline.adapters.readings import CorpusReadings, TakenAudit
from pipeline.contracts.audit import Measure
from pipeline.work.agreement import ScoreAgreement, compare_scores


def compare_with_people(readings: CorpusReadings, accepted: Mapping[str, bool]) -> dict[str, ScoreAgreement]:
    """Compare every measure of dialogues with people's verdicts, at the limit that held when it was taken.

    Args:
        accepted: By dialogue id, what people agree on; those that nobody has judged, or that they differ about, are
            left out.

    Returns:
        By measure; one that was taken of no dialogue that has a verdict is left out.
    """
    audits = [audit for audit in readings.audits if audit.about == "dialogue"]
    found = {name: agreement for audit in audits for name, agreement in _compare(readings, audit, accepted)}
    return {name: agreement for name, agreement in found.items() if agreement.num_accepted + agreement.num_rejected}


def _compare(
    readings: CorpusReadings, audit: TakenAudit, accepted: Mapping[str, bool]
) -> list[tuple[str, ScoreAgreement]]:
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for row in readings.rows(audit):
        if row.record_id in accepted:
            for name, reading in row.readings.items():
                if reading.value is not None:
                    scores[name][row.record_id] = reading.value
    return [(measure.name, _compare_one(measure, scores[measure.name], accepted)) for measure in audit.measures]


def _compare_one(measure: Measure, scores: Mapping[str, float], accepted: Mapping[str, bool]) -> ScoreAgreement:
    # A comparison wants the higher to be the better.
    sign = 1.0 if measure.better == "higher" else -1.0
    limit = None if measure.limit is None else sign * measure.limit
    return compare_scores({name: sign * value for name, value in scores.items()}, accepted, limit)
