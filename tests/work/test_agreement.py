"""Agreement of judges, against published and hand-counted figures."""

from __future__ import annotations

import pytest

from pipeline.work.agreement import compare_labels, compare_scores, rank_correlation


def from_table(table: list[list[int]]) -> tuple[dict[str, str], dict[str, str]]:
    """Two judges' labels out of a table of counts, the first judge's down."""
    pairs = [
        (str(row), str(column)) for row, counts in enumerate(table) for column, n in enumerate(counts) for _ in range(n)
    ]
    first = {str(number): one for number, (one, _) in enumerate(pairs)}
    return first, {str(number): other for number, (_, other) in enumerate(pairs)}


def test_kappa_and_its_interval_are_those_that_sas_prints_for_its_example() -> None:
    # The simple kappa of a 3 by 3 table: 0.4842, standard error 0.1380, limits 0.2137 and 0.7547.
    found = compare_labels(*from_table([[0, 4, 1], [0, 8, 0], [0, 1, 5]]))

    assert found.kappa == pytest.approx(0.4842, abs=5e-5)
    assert found.kappa_low == pytest.approx(0.2137, abs=5e-5)
    assert found.kappa_high == pytest.approx(0.7547, abs=5e-5)
    assert (found.num_both, found.num_alike) == (19, 13)


def test_kappa_of_two_diagnosticians() -> None:
    # Fleiss, Statistical Methods for Rates and Proportions (1981), section 13.1: kappa 0.68 over 100 patients.
    found = compare_labels(*from_table([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))

    assert found.kappa == pytest.approx(0.676, abs=5e-4)
    assert found.share == pytest.approx(0.89)


def test_accepting_nearly_everything_agrees_often_and_yet_no_better_than_chance() -> None:
    found = compare_labels(*from_table([[81, 9], [9, 1]]))

    assert found.share == pytest.approx(0.82)
    assert found.kappa == pytest.approx(0.0)
    assert found.kappa_low is not None
    assert found.kappa_low < 0.0


def test_full_agreement_over_few_records_is_no_proof() -> None:
    few, many = (compare_labels(*from_table([[n, 0], [0, n]])) for n in (3, 300))

    assert few.kappa == many.kappa == few.kappa_high == 1.0
    assert few.kappa_low is not None
    assert many.kappa_low is not None
    assert few.kappa_low < 0.3 < 0.97 < many.kappa_low


def test_only_what_both_judged_counts_and_nothing_is_made_of_nothing() -> None:
    found = compare_labels({"a": "accept", "b": "reject"}, {"b": "reject", "c": "accept"})

    assert (found.num_both, found.num_alike, found.share) == (1, 1, 1.0)
    assert found.kappa is None  # one label alone: chance would agree as much
    assert compare_labels({"a": "accept"}, {}).share is None


def test_area_counts_ties_half_and_the_sign_of_the_correlation_follows_it() -> None:
    scores = {"a": 5.0, "b": 4.0, "c": 4.0, "d": 2.0, "unseen": 1.0}
    found = compare_scores(scores, {"a": True, "b": True, "c": False, "d": False, "unscored": True}, limit=4.0)

    # Of the four pairs three are in order and one is tied.
    assert found.auc == pytest.approx(3.5 / 4)
    # Ranks 4, 2.5, 2.5, 1 and 3.5, 3.5, 1.5, 1.5: 3 / sqrt(4.5 * 4).
    assert found.spearman == pytest.approx(3 / 18**0.5)
    assert (found.num_accepted, found.num_rejected) == (2, 2)
    assert found.at_limit is not None
    assert (found.at_limit.num_both, found.at_limit.num_alike) == (4, 3)


def test_the_interval_of_an_area_holds_it_and_never_closes_at_its_ends() -> None:
    apart = compare_scores({str(n): float(n) for n in range(20)}, {str(n): n >= 10 for n in range(20)})

    assert apart.auc == apart.auc_high == 1.0
    assert apart.auc_low is not None
    assert 0.7 < apart.auc_low < 1.0
    upside_down = compare_scores({str(n): -float(n) for n in range(20)}, {str(n): n >= 10 for n in range(20)})
    assert upside_down.auc == upside_down.auc_low == 0.0
    assert upside_down.auc_high == pytest.approx(1 - apart.auc_low)


def test_what_cannot_be_told_is_none() -> None:
    one_sided = compare_scores({"a": 3.0, "b": 4.0}, {"a": True, "b": True})

    assert one_sided.auc is None
    assert one_sided.spearman is None
    assert one_sided.at_limit is None
    assert rank_correlation([1.0], [2.0]) is None
