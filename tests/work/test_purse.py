"""What a process may spend: held before a call, settled after it, never more than allowed."""

from __future__ import annotations

import asyncio
import os

import pytest

from pipeline.contracts.chat import Message
from pipeline.contracts.watch import Drained
from pipeline.values.writer import Price
from pipeline.work.purse import Purse, bound_cost
from tests.support.stages import request
from tests.support.virtual_time import run_at_once


def test_a_call_waits_until_the_allowance_is_raised() -> None:
    async def wait() -> None:
        purse = Purse(1.0)
        await purse.hold(0.75)
        second = asyncio.create_task(purse.hold(0.5))
        await asyncio.sleep(0)
        assert not second.done()
        report = purse.report()
        assert (report.held, report.spent, report.wanted, report.owner) == (0.75, 0.0, 0.5, os.getpid())
        purse.allow(1.25)
        await asyncio.wait_for(second, 5)
        assert purse.report().held == 1.25
        assert purse.report().wanted is None

    run_at_once(wait())


def test_what_a_call_leaves_over_lets_the_next_one_go() -> None:
    async def wait() -> None:
        purse = Purse(1.0)
        await purse.hold(0.75)
        second = asyncio.create_task(purse.hold(0.5))
        await asyncio.sleep(0)
        purse.settle(0.75, 0.25)
        await asyncio.wait_for(second, 5)
        assert purse.report().spent == 0.25

    run_at_once(wait())


def test_of_those_that_wait_only_as_many_go_as_can_be_paid() -> None:
    async def wait() -> None:
        purse = Purse(0.0)
        calls = [asyncio.create_task(purse.hold(0.4)) for _ in range(5)]
        await asyncio.sleep(0)
        purse.allow(1.0)
        await asyncio.sleep(0.01)
        assert sum(call.done() for call in calls) == 2
        assert purse.report().held == pytest.approx(0.8)
        purse.close()
        await asyncio.gather(*calls, return_exceptions=True)

    run_at_once(wait())


def test_a_closed_purse_lets_nobody_wait() -> None:
    async def wait() -> None:
        purse = Purse(0.1)
        waiting = asyncio.create_task(purse.hold(0.5))
        await asyncio.sleep(0)
        purse.close()
        with pytest.raises(Drained):
            await waiting
        with pytest.raises(Drained):
            await purse.hold(0.01)

    run_at_once(wait())


def test_an_allowance_cannot_fall_below_what_is_gone() -> None:
    async def hold() -> Purse:
        purse = Purse(1.0)
        await purse.hold(0.5)
        purse.settle(0.5, 0.25)
        await purse.hold(0.5)
        return purse

    purse = asyncio.run(hold())
    purse.allow(0.0)
    assert purse.report().allowance == 0.75


def test_the_bound_of_a_call_is_dense_tokens_and_the_longest_answer() -> None:
    asked = request(messages=(Message(role="user", content="é" * 100), Message(role="user", content="")), max_tokens=50)
    # 200 bytes are at most 100 tokens, two messages have 8 more each, the answer has 50.
    assert bound_cost(asked, Price(input=2, cached_input=1, output=10)) == pytest.approx((116 * 2 + 50 * 10) / 1e6)


def test_a_final_purse_ends_the_run_once_nothing_is_in_flight_that_could_leave_something_over() -> None:
    async def spend() -> None:
        purse = Purse(1.0, is_final=True)
        await purse.hold(0.75)
        second = asyncio.create_task(purse.hold(0.5))
        await asyncio.sleep(0)
        assert not second.done()
        purse.settle(0.75, 0.25)
        await asyncio.wait_for(second, 5)
        third = asyncio.create_task(purse.hold(0.75))
        await asyncio.sleep(0)
        assert not third.done()
        before = purse.is_spent
        purse.settle(0.5, 0.5)
        with pytest.raises(Drained, match=r"may cost up to 0\.7500 USD"):
            await asyncio.wait_for(third, 5)
        assert (before, purse.is_spent) == (False, True)
        await purse.hold(0.25)

    asyncio.run(spend())
