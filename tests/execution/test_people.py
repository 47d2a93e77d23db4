from __future__ import annotations

import asyncio
import json
from typing import Any

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER, CorpusReadings
from pipeline.execution.audits import AuditRun, AuditSetting
from pipeline.execution.people import compare_with_people
from tests.support.corpora import TinyCorpus
from tests.support.endpoint import Endpoint, running_endpoint


class Partial(Endpoint):
    """Gives scores from 1 to 5 in turn."""

    num_judged = 0

    def write(self, body: dict[str, Any]) -> Any:
        names = body["response_format"]["json_schema"]["schema"]["properties"]
        self.num_judged += 1
        return {name: {"reason": "So it is.", "score": 1 + self.num_judged % 5} for name in names}


def test_scores_are_held_against_the_verdicts_of_people(tiny: TinyCorpus) -> None:
    with running_endpoint(endpoint=Partial()) as endpoint:
        options = {"model": "m", "base_url": endpoint.url, "structured": "json_schema", "rubrics": ["coherence"]}
        setting = AuditSetting(tiny.root, ("judge",), {"judge": options}, limits={"dialogue.judge_coherence": 4.0})
        lock = CorpusLock.acquire(tiny.root / FOLDER)
        try:
            asyncio.run(AuditRun(setting, lock, lambda: None).execute())  # type: ignore[arg-type, return-value]
        finally:
            lock.release()
    readings = CorpusReadings(tiny.root)
    scores = {
        row.record_id: row.readings["dialogue.judge_coherence"].value for row in readings.rows(readings.audits[0])
    }
    accepted = {name: (value or 0) >= 3 for name, value in scores.items()}
    found = compare_with_people(readings, {**accepted, "unknown": True})

    agreement = found["dialogue.judge_coherence"]
    assert agreement.auc == 1.0
    assert agreement.num_accepted + agreement.num_rejected == len(scores)
    assert agreement.at_limit is not None
    differing = sum((value or 0) == 3 for value in scores.values())
    assert agreement.at_limit.num_alike == len(scores) - differing
    assert json.loads(found["dialogue.judge_mean"].model_dump_json())["at_limit"] is None
    assert compare_with_people(readings, {"unknown": True}) == {}
