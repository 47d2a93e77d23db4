from __future__ import annotations

from itertools import count

import pytest

from pipeline.work.agreement import cohen_kappa, compare_reviewers, fleiss_kappa

# Siskel's and Ebert's reviews of 160 films: con, mixed, pro. Agresti and Winner (1997), "Evaluating agreement and
# disagreement among movie reviewers", table 1, with kappa 0.389 and its standard error 0.060.
FILMS = ((24, 8, 13), (8, 13, 11), (10, 9, 64))

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


def film_reviews() -> tuple[dict[str, str], dict[str, str]]:
    numbers = count()
    one: dict[str, str] = {}
    two: dict[str, str] = {}
    for row, counts in enumerate(FILMS):
        for column, number in enumerate(counts):
            for _ in range(number):
                name = f"film {next(numbers)}"
                one[name], two[name] = str(row), str(column)
    return one, two


def test_cohens_kappa_of_a_published_table_with_its_standard_error() -> None:
    one, two = film_reviews()
    found = cohen_kappa(("siskel", "ebert"), one, two)
    assert (found.num_records, found.share) == (160, 101 / 160)
    assert found.kappa == pytest.approx(0.389, abs=5e-4)
    assert found.low is not None and found.high is not None
    # Wilson's interval lies a little nearer to 0 than kappa plus and minus two errors, and is as wide.
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.060, abs=1e-3)
    assert found.low < 0.389 < found.high


def test_fleiss_kappa_of_a_published_table() -> None:
    judged: dict[str, dict[str, str]] = {f"rater {number}": {} for number in range(14)}
    for record, counts in enumerate(RATINGS):
        categories = [str(category) for category, number in enumerate(counts) for _ in range(number)]
        for number, category in enumerate(categories):
            judged[f"rater {number}"][str(record)] = category
    found = fleiss_kappa(judged)
    assert (found.num_records, len(found.reviewers)) == (10, 14)
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    assert found.share == pytest.approx(0.378, abs=5e-4)


def test_agreement_throughout_is_one_and_yet_not_sure() -> None:
    verdicts = {"a": "accept", "b": "reject", "c": "accept"}
    found = cohen_kappa(("anna", "ben"), verdicts, dict(verdicts))
    assert found.kappa == 1.0
    assert found.high == pytest.approx(1.0)
    assert found.low is not None and found.low < 0.5


def test_what_chance_would_bring_is_nought() -> None:
    one = {str(number): "accept" if number % 2 else "reject" for number in range(400)}
    two = {str(number): "accept" if number // 2 % 2 else "reject" for number in range(400)}
    found = cohen_kappa(("anna", "ben"), one, two)
    assert found.kappa == pytest.approx(0.0)
    assert found.low == pytest.approx(-0.1, abs=0.01)


def test_one_word_from_all_tells_nothing() -> None:
    same = {"a": "accept", "b": "accept"}
    found = cohen_kappa(("anna", "ben"), same, same)
    assert (found.share, found.kappa, found.low) == (1.0, None, None)
    assert cohen_kappa(("anna", "ben"), same, {"c": "accept"}).num_records == 0


def test_two_are_compared_once_and_three_by_pairs_and_together() -> None:
    given = {"ben": {"x": "accept", "y": "reject"}, "anna": {"x": "accept", "y": "accept"}}
    assert [found.reviewers for found in compare_reviewers(given)] == [("anna", "ben")]
    more = given | {"carl": {"y": "reject", "z": "reject"}}
    found = compare_reviewers(more)
    assert [len(one.reviewers) for one in found] == [2, 2, 2, 3]
    # Only one has judged z.
    assert found[-1].num_records == 2
    assert compare_reviewers({"anna": {"x": "accept"}}) == []


def test_fleiss_for_two_with_equal_habits_is_cohen() -> None:
    one = {"a": "accept", "b": "accept", "c": "reject", "d": "reject", "e": "accept", "f": "reject"}
    two = {"a": "accept", "b": "reject", "c": "reject", "d": "accept", "e": "accept", "f": "reject"}
    pair = cohen_kappa(("anna", "ben"), one, two)
    together = fleiss_kappa({"anna": one, "ben": two})
    assert together.kappa == pytest.approx(pair.kappa)
    assert together.low == pytest.approx(pair.low)
    assert together.high == pytest.approx(pair.high)
