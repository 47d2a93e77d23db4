from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.audit import Measure
from pipeline.work.audit_sampling import draw_sample
from pipeline.work.audit_summary import Column, Summary, interval, wilson

LENGTH = Measure(name="image.length", better="higher", limit=2.0, summary="How long it is.")


def column(values: dict[str, float | None], limit: float | None = None, share_seen: float = 1.0) -> Summary:
    made = Column(LENGTH, "image", "lengths", limit)
    for name, value in values.items():
        made.add(name, name, value)
    return made.sum_up(share_seen)


def test_a_column_counts_what_falls_short_of_the_limit_and_names_the_worst() -> None:
    found = column({"a": 5.0, "b": 1.0, "c": None, "d": 2.0, "e": 0.5})
    assert (found.num_records, found.num_measured, found.num_short) == (5, 4, 2)
    assert found.pass_share == found.pass_low == found.pass_high == 0.5
    assert [name for name, _ in found.worst] == ["e", "b", "d", "a"]
    assert (found.quantiles[0], found.quantiles[3], found.quantiles[-1]) == (0.5, 1.5, 5.0)
    assert sum(found.bin_counts) == 4


def test_another_limit_goes_before_the_measures_own() -> None:
    assert column({"a": 5.0, "b": 1.0}, limit=1.0).num_short == 0


def test_a_column_without_a_value_claims_nothing() -> None:
    found = column({"a": None, "b": float("nan")})
    assert (found.num_records, found.num_measured, found.pass_share, found.quantiles) == (2, 0, None, ())


def test_wilson_gives_the_interval_of_the_textbook() -> None:
    # 8 of 10: Agresti and Coull (1998), table 1 has 0.490 to 0.943.
    assert wilson(0.8, 10) == pytest.approx((0.490, 0.943), abs=0.001)


def test_records_that_fail_together_make_the_interval_wider() -> None:
    passed = np.array([True] * 30 + [False] * 10)
    alone = interval(passed, np.arange(40), 0.01)
    together = interval(passed, np.arange(40) // 10, 0.01)
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_a_clustered_interval_holds_the_truth_as_often_as_it_claims() -> None:
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        good = random.random(60) < 0.85
        clusters = np.repeat(np.arange(60), 4)
        passed = np.repeat(good, 4) ^ (random.random(240) < 0.05)
        low, high = interval(passed, clusters, 0.001)
        hits += low <= 0.85 * 0.95 + 0.15 * 0.05 <= high
    assert 0.90 <= hits / 400 <= 0.99


def test_a_sample_takes_of_every_cell_its_share_and_at_least_one() -> None:
    dialogues = [(f"a{number}", "big") for number in range(900)]
    dialogues += [(f"b{number}", "small") for number in range(99)]
    dialogues += [("c0", "tiny")]
    drawn = draw_sample(dialogues, 100)
    counts = {cell: sum(name[0] == cell for name in drawn) for cell in "abc"}
    assert len(drawn) == 100
    assert counts["c"] == 1
    assert (counts["a"], counts["b"]) in {(89, 10), (90, 9)}


def test_a_larger_sample_holds_the_smaller_one() -> None:
    dialogues = [(f"{cell}{number}", cell) for cell in "ab" for number in range(200)]
    assert draw_sample(dialogues, 20) < draw_sample(dialogues, 40)


@given(st.dictionaries(st.integers(0, 60), st.sampled_from("abcd")), st.integers(1, 80))
def test_a_sample_has_the_size_that_was_asked_for(cells: dict[int, str], size: int) -> None:
    dialogues = [(str(name), cell) for name, cell in cells.items()]
    assert len(draw_sample(dialogues, size)) == min(size, len(dialogues))
