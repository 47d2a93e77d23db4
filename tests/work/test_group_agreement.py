from __future__ import annotations

import pytest

from pipeline.work.agreement import compare_labels
from pipeline.work.group_agreement import compare_group

# Fourteen raters, ten records, five categories: the worked example of Wikipedia's article "Fleiss' kappa", 0.210.
RATINGS = (
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)


def test_kappa_of_a_published_table() -> None:
    judged: dict[str, dict[str, str]] = {f"rater {number}": {} for number in range(14)}
    for record, counts in enumerate(RATINGS):
        categories = [str(category) for category, number in enumerate(counts) for _ in range(number)]
        for number, category in enumerate(categories):
            judged[f"rater {number}"][str(record)] = category
    found = compare_group(judged)
    assert found.num_records == 10
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    assert found.share == pytest.approx(0.378, abs=5e-4)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 < found.low < 0.210 < found.high < 1.0


def test_agreement_throughout_is_one_and_yet_not_sure() -> None:
    verdicts = {"a": "accept", "b": "reject", "c": "accept"}
    found = compare_group({"anna": verdicts, "ben": verdicts, "carl": verdicts})
    assert found.kappa == pytest.approx(1.0)
    assert found.high == pytest.approx(1.0)
    assert found.low is not None
    assert found.low < 0.5


def test_what_chance_would_bring_is_nought() -> None:
    def judge(bit: int) -> dict[str, str]:
        return {str(number): "accept" if number >> bit & 1 else "reject" for number in range(512)}

    found = compare_group({"anna": judge(0), "ben": judge(1), "carl": judge(2)})
    assert found.kappa == pytest.approx(0.0)
    assert found.low is not None
    assert found.high is not None
    assert -0.1 < found.low < 0.0 < found.high < 0.1


def test_only_what_two_have_judged_counts() -> None:
    judged = {
        "anna": {"x": "accept", "y": "reject", "only hers": "reject"},
        "ben": {"x": "accept"},
        "carl": {"y": "accept"},
    }
    found = compare_group(judged)
    assert (found.num_records, found.share) == (2, 0.5)
    assert compare_group({"anna": {"x": "accept"}, "ben": {"y": "accept"}}).num_records == 0


def test_one_word_from_all_tells_nothing() -> None:
    same = {"a": "accept", "b": "accept"}
    found = compare_group({"anna": same, "ben": same, "carl": same})
    assert (found.share, found.kappa, found.low) == (1.0, None, None)


def test_for_two_with_equal_habits_it_is_cohens() -> None:
    one = {"a": "accept", "b": "accept", "c": "reject", "d": "reject", "e": "accept", "f": "reject"}
    two = {"a": "accept", "b": "reject", "c": "reject", "d": "accept", "e": "accept", "f": "reject"}
    assert compare_group({"anna": one, "ben": two}).kappa == pytest.approx(compare_labels(one, two).kappa)
