"""Which records fall short of limits, and which of their dialogues is rejected for what."""

from __future__ import annotations

import pytest

from pipeline.contracts.audit import Measure, Reading
from pipeline.values.rejections import Rejection, merge_rejections
from pipeline.work.limits import Limit, Taken, find_shortfalls, reject_short

CONTRAST = Measure(name="image.contrast", better="higher", limit=0.05, summary="")
ERRORS = Measure(name="speech.word_errors", unit="share", better="lower", limit=0.3, summary="")
LIMITS = [Limit(CONTRAST, "image", "pictures"), Limit(ERRORS, "speech", "words")]


def taken(record: str, problem: str = "", **values: float | None) -> Taken:
    readings = {name.replace("_", ".", 1): Reading(value=value) for name, value in values.items()}
    return Taken(record, record.partition("-")[0], readings, problem)


def test_the_limit_itself_passes_and_what_lies_beyond_is_told_with_its_numbers() -> None:
    pictures = [taken("a-0", image_contrast=0.05), taken("b-0", image_contrast=0.0499999)]
    words = [taken("c-0", speech_word_errors=0.3), taken("d-0", speech_word_errors=0.75)]
    found = reject_short(find_shortfalls(LIMITS, {"pictures": pictures, "words": words}))
    assert {name: (one.code, one.score, one.measure) for name, one in found.items()} == {
        "b": ("below_limit", 0.0499999, "image.contrast"),
        "d": ("above_limit", 0.75, "speech.word_errors"),
    }
    assert found["d"].message == "speech.word_errors of d-0 is 0.75 share, must be at most 0.3"
    assert found["b"].stage == "screen"


def test_a_measure_that_does_not_apply_rejects_nothing() -> None:
    pictures = [taken("a-0", image_contrast=None), taken("b-0", image_detail=0.0)]
    assert list(find_shortfalls(LIMITS, {"pictures": pictures})) == []


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_limit_and_its_worst_record_say_why(order: int) -> None:
    pictures = [taken("a-0", image_contrast=0.04), taken("a-1", image_contrast=0.01), taken("a-2", image_contrast=0.01)]
    words = [taken("a-3", speech_word_errors=0.9)]
    found = reject_short(find_shortfalls(LIMITS, {"pictures": pictures[::order], "words": words}))
    assert found["a"].message.startswith("image.contrast of a-1 is 0.01,")


def test_what_cannot_be_measured_is_rejected_before_what_is_merely_bad() -> None:
    pictures = [taken("a-0", image_contrast=0.01), taken("a-1", problem="cannot be decoded")]
    found = reject_short(find_shortfalls(LIMITS, {"pictures": pictures}))["a"]
    assert (found.code, found.score) == ("not_measured", None)
    assert found.message == "image.contrast of a-1 cannot be measured: cannot be decoded"


def test_of_several_sources_the_first_says_why() -> None:
    twin, limit = (Rejection(dialogue_id="a", stage="screen", code=code, message="") for code in ("twin", "limit"))
    other = limit.model_copy(update={"dialogue_id": "b"})
    assert merge_rejections({"a": twin}, {"a": limit, "b": other}) == {"a": twin, "b": other}
