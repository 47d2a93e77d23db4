from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.values.spreading import Execution
from pipeline.values.workers import Workers


def test_a_number_is_written_as_a_number_and_a_range_as_a_range() -> None:
    fixed = Execution.model_validate({"composers": 3})
    assert (fixed.composers.min, fixed.composers.max, fixed.composers.is_elastic) == (3, 3, False)
    assert fixed.model_dump(mode="json")["composers"] == 3
    assert "node_wait_seconds" not in fixed.model_dump(mode="json")
    elastic = Execution.model_validate({"composers": {"min": 2, "max": 8}, "node_wait_seconds": 60})
    assert elastic.composers.is_elastic
    assert elastic.model_dump(mode="json")["composers"] == {"min": 2, "max": 8}
    assert Execution.model_validate(elastic.model_dump(mode="json")) == elastic
    assert Execution.model_validate({"composers": {"max": 8}}).composers == Workers(min=1, max=8)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"min": 3, "max": 2}, "min 3 is over max 2"),
        ({"min": 3}, "Field required"),
        ("many", "must be a number, or {min: 1, max: 8} (is 'many')"),
        (True, "must be a number"),
        (2.5, "must be a number"),
        (0, "greater than or equal to 1"),
        ({"min": 0, "max": 2}, "greater than or equal to 1"),
        ({"min": 1, "max": 2, "most": 3}, "Extra inputs"),
    ],
)
def test_what_is_no_number_of_workers_is_refused(value: object, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Execution.model_validate({"composers": value})
    assert said in str(caught.value)
