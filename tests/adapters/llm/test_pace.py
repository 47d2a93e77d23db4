from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.adapters.llm.ceiling import Turn
from pipeline.adapters.llm.pace import Pace, PaceLimits
from pipeline.adapters.llm.rates import Quota
from pipeline.values.errors import EndpointError


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(test(), 20)

    asyncio.run(in_time())


async def start(pace: Pace, count: int) -> list[Turn]:
    return [await pace.enter(100) for _ in range(count)]


async def time_starts(pace: Pace, count: int) -> list[float]:
    """Seconds of each start since the first, each call being answered at once."""
    starts = []
    for _ in range(count):
        turn = await pace.enter(100)
        starts.append(time.monotonic())
        pace.served(turn, 100)
    return [moment - starts[0] for moment in starts]


def test_no_more_start_than_the_limit_and_the_next_when_one_comes_back() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=100))
        turns = await start(pace, 8)
        waiting = asyncio.create_task(pace.enter(100))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert (pace.state().in_flight, pace.state().waiting, pace.state().limit) == (8, 1, 8)
        pace.served(turns[0], 50)
        assert (await waiting).number == 8

    run(test)


def test_a_call_that_was_refused_goes_before_those_that_never_were_sent() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=1))
        turn = await pace.enter(0)
        order: list[str] = []

        async def enter(name: str, is_retry: bool) -> None:
            turn = await pace.enter(0, is_retry=is_retry)
            order.append(name)
            pace.served(turn, 0)

        tasks = [asyncio.create_task(enter(*who)) for who in (("first", False), ("second", False), ("again", True))]
        await asyncio.sleep(0)
        pace.served(turn, 0)
        await asyncio.gather(*tasks)
        assert order == ["again", "first", "second"]

    run(test)


def test_what_others_allow_holds_at_once_and_is_given_back() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=50, start=50))
        pace.allow(2)
        turns = await start(pace, 2)
        waiting = [asyncio.create_task(pace.enter(0)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert (pace.state().limit, pace.state().waiting) == (2, 3)
        pace.allow(0)
        for turn in turns:
            pace.served(turn, 0)
        await asyncio.sleep(0.01)
        assert pace.state().in_flight == 0
        pace.allow(1000)
        await asyncio.gather(*waiting)
        assert (pace.state().limit, pace.state().in_flight) == (50, 3)

    run(test)


def test_a_call_that_is_cancelled_while_it_waits_leaves_no_trace() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=1))
        turn = await pace.enter(0)
        waiting = asyncio.create_task(pace.enter(0))
        granted = asyncio.create_task(pace.enter(0))
        await asyncio.sleep(0)
        waiting.cancel()
        pace.served(turn, 0)
        granted.cancel()  # it has its turn, and does not know yet
        await asyncio.gather(waiting, granted, return_exceptions=True)
        assert (pace.state().in_flight, pace.state().waiting) == (0, 0)
        await asyncio.wait_for(pace.enter(0), 1)

    run(test)


def test_stopping_reaches_those_that_wait_and_all_to_come() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=1))
        await pace.enter(0)
        waiting = asyncio.create_task(pace.enter(0))
        await asyncio.sleep(0)
        pace.stop(EndpointError("no key"))
        with pytest.raises(EndpointError, match="no key"):
            await waiting
        with pytest.raises(EndpointError, match="no key"):
            await pace.enter(0)

    run(test)


def test_requests_keep_to_their_cap() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=50, start=50, requests_per_minute=1200))
        starts = await time_starts(pace, 30)
        assert starts[19] < 0.45  # one second's worth
        assert 0.45 <= starts[29] < 5  # and then 20 a second
        pace.allow(50, share=0.1)
        assert 0.45 <= (await time_starts(pace, 2))[1] < 5

    run(test)


def test_tokens_keep_to_their_cap_by_what_calls_have_cost() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=50, start=50, tokens_per_minute=60_000))
        starts = []
        for _ in range(4):
            turn = await pace.enter(10)
            starts.append(time.monotonic())
            pace.served(turn, 500)  # far more than expected
        # 1,000 a second: the first three pay with the second's worth that was there, the fourth waits for 500.
        assert starts[2] - starts[0] < 0.29
        assert 0.3 <= starts[3] - starts[0] < 5

    run(test)


def test_starts_are_spread_before_the_room_is_used_up() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=50, start=50))
        pace.hear(Quota(left=1000, seconds_each=0.1), None)
        assert (await time_starts(pace, 5))[-1] < 0.3
        pace.hear(Quota(left=3, seconds_each=0.1), None)
        assert 0.35 <= (await time_starts(pace, 5))[-1] < 5
        pace.hear(Quota(left=1000, seconds_each=0.1), Quota(left=200, seconds_each=0.001))
        assert 0.35 <= (await time_starts(pace, 5))[-1] < 5  # a call takes 100 tokens
        pace.hear(None, None)
        assert (await time_starts(pace, 5))[-1] < 0.3

    run(test)


def test_probes_come_one_by_one() -> None:
    async def test() -> None:
        pace = Pace(PaceLimits(most=64))
        turns = await start(pace, 8)
        await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(pace.enter(0)) for _ in range(16)]
        await asyncio.sleep(0)
        for turn in turns:
            pace.served(turn, 0)
        assert pace.state().limit == 16
        await asyncio.sleep(0.001)
        assert pace.state().in_flight <= 10  # the eight that are proven, and a probe or two
        await asyncio.gather(*waiting)
        assert pace.state().in_flight == 16

    run(test)


def test_refused_for_counts_from_the_first_refusal_since_an_answer() -> None:
    async def test() -> None:
        now = [100.0]
        pace = Pace(PaceLimits(most=64), clock=lambda: now[0])
        first, second = await start(pace, 2)
        pace.refused(first, 0.001)
        now[0] += 7
        assert pace.refused_for == 7
        pace.served(second, 0)
        assert pace.refused_for == 0
        assert pace.state().refusals == 1

    run(test)
