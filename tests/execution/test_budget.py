"""The budget: dealt so that it is never exceeded, counted over all runs, and gone on with when there is more."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.execution.budget import Budget, BudgetReached, count_spent
from pipeline.work.purse import PurseReport
from tests.support.endpoint import running_endpoint
from tests.support.projects import describe, make, write_manifest

CALL_USD = (100 * 1 + 20 * 50) / 1e6  # of one call to the test endpoint, at the price below
BOUND_USD = 0.06  # above what any call of these manifests can cost at the worst


def report(spent: float, held: float = 0.0, wanted: float | None = None, owner: int = 1) -> PurseReport:
    return PurseReport(owner=owner, allowance=0.0, spent=spent, held=held, wanted=wanted)


def test_the_first_allowances_are_equal_parts_of_what_is_left() -> None:
    assert Budget(10.0, 4.0).deal(3) == [2.0, 2.0, 2.0]
    assert Budget(1.0, 4.0).deal(2) == [0.0, 0.0]


def test_what_is_free_goes_to_those_that_wait() -> None:
    budget = Budget(10.0, 1.0)
    budget.take([report(2.0, held=1.0), report(1.0, wanted=0.5), report(0.0, wanted=0.5)])
    assert budget.deal(3) == [3.0, 3.5, 2.5]
    assert sum(budget.deal(3)) == 10.0 - 1.0


def test_parts_too_small_for_a_call_go_to_one() -> None:
    budget = Budget(10.0, 0.0)
    budget.take([report(4.0, wanted=0.9), report(5.0, wanted=0.8)])
    assert budget.deal(2) == [4.0, 6.0]
    assert not budget.is_reached()


def test_a_budget_is_reached_once_nothing_is_in_flight_and_no_call_fits() -> None:
    budget = Budget(10.0, 0.0)
    budget.take([report(9.5, held=0.1, wanted=0.6)])
    assert not budget.is_reached()
    budget.take([report(9.55, wanted=0.6)])
    assert budget.is_reached()
    assert "9.5500 USD are spent" in budget.describe()
    budget.take([report(9.55)])
    assert not budget.is_reached()


def test_what_a_lost_composer_held_stays_spent() -> None:
    budget = Budget(10.0, 1.0)
    budget.take([report(2.0, held=0.5, owner=11)])
    budget.take([report(0.25, owner=12)])
    assert budget.spent == 1.0 + 2.0 + 0.5 + 0.25


def test_a_run_ends_within_its_budget_and_goes_on_with_more(local_ray: None, tmp_path: Path) -> None:
    with running_endpoint(delay=0.01) as endpoint:
        manifest = describe(endpoint.url)
        manifest["writer"] |= {"price": {"input": 1, "output": 50}, "in_flight": 8}
        manifest["execution"] |= {"composers": 2}
        # One kind of media, so that each of the runs starts one render worker, and few shards to pack.
        manifest["mix"] = [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]
        manifest["size"] |= {"dialogues_per_shard": 8}
        path, corpus = write_manifest(tmp_path, manifest), tmp_path / "corpus"
        with pytest.raises(BudgetReached, match=r"the budget of 0\.1000 USD is reached"):
            make(path, corpus, budget=0.1)
        first = endpoint.take()
        assert 0.1 - 2 * BOUND_USD < len(first) * CALL_USD <= 0.1
        assert count_spent(CorpusFolder(corpus)) == pytest.approx(len(first) * CALL_USD)
        # The same budget again: not one more call.
        with pytest.raises(BudgetReached):
            make(path, corpus, budget=len(first) * CALL_USD + 0.001)
        assert endpoint.take() == []
        ledger, run = make(path, corpus, budget=1.0)
        assert ledger is not None
        assert ledger.counts["kept"] == 40
        assert len(first) + len(endpoint.take()) == 80
        assert run.tally.spent_before_usd == pytest.approx(len(first) * CALL_USD)
        assert count_spent(CorpusFolder(corpus)) == pytest.approx(80 * CALL_USD)
        spent = sum(columns["usd"] for models in ledger.spend.values() for columns in models.values())
        assert spent == pytest.approx(80 * CALL_USD)
