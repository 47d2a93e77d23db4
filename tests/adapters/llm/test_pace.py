from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.adapters.llm.ceiling import Turn
from pipeline.adapters.llm.pace import Pace, PaceLimits
from pipeline.adapters.llm.rates import Quota
from pipeline.values.errors import EndpointError
from tests.support.virtual_time import run_at_once


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_at_once(test())


def now() -> float:
    return asyncio.get_running_loop().time()


def make_pace(**limits: Any) -> Pace:
    return Pace(PaceLimits(**limits), clock=now)


async def start(pace: Pace, count: int) -> list[Turn]:
    return [await pace.enter(100) for _ in range(count)]


async def time_starts(pace: Pace, count: int) -> list[float]:
    """Seconds of each start since the first, each call being answered at once."""
    starts = []
    for _ in range(count):
        turn = await pace.enter(100)
        starts.append(now())
        pace.served(turn, 100)
    return [moment - starts[0] for moment in starts]


def test_no_more_start_than_the_limit_and_the_next_when_one_comes_back() -> None:
    async def test() -> None:
        pace = make_pace(most=100)
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
        pace = make_pace(most=1)
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
        pace = make_pace(most=50, start=50)
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
        pace = make_pace(most=1)
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
        pace = make_pace(most=1)
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
        pace = make_pace(most=50, start=50, requests_per_minute=1200)
        starts = await time_starts(pace, 30)
        # One second's worth, and then 20 a second.
        assert starts == pytest.approx([0.0] * 20 + [0.05 * number for number in range(1, 11)], abs=1e-6)
        pace.allow(50, share=0.1)
        assert await time_starts(pace, 2) == pytest.approx([0.0, 0.5], abs=1e-6)

    run(test)


def test_tokens_keep_to_their_cap_by_what_calls_have_cost() -> None:
    async def test() -> None:
        pace = make_pace(most=50, start=50, tokens_per_minute=60_000)
        starts = []
        for _ in range(4):
            turn = await pace.enter(10)
            starts.append(now())
            pace.served(turn, 500)  # far more than expected
        # 1,000 a second: two pay with the second's worth that was there, the third with one token that came back, and
        # the fourth waits for what the third took.
        assert starts == pytest.approx([0.0, 0.0, 0.001, 0.501], abs=1e-6)

    run(test)


def test_starts_are_spread_before_the_room_is_used_up() -> None:
    async def test() -> None:
        pace = make_pace(most=50, start=50)
        at_once = pytest.approx([0.0] * 5, abs=1e-6)
        spread = pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=1e-6)
        pace.hear(Quota(left=1000, seconds_each=0.1), None)
        assert await time_starts(pace, 5) == at_once
        pace.hear(Quota(left=3, seconds_each=0.1), None)
        assert await time_starts(pace, 5) == spread
        # A call takes 100 tokens.
        pace.hear(Quota(left=1000, seconds_each=0.1), Quota(left=200, seconds_each=0.001))
        assert await time_starts(pace, 5) == spread
        pace.hear(None, None)
        assert await time_starts(pace, 5) == at_once

    run(test)


def test_probes_come_one_by_one() -> None:
    async def test() -> None:
        pace = make_pace(most=64)
        turns = await start(pace, 8)
        await asyncio.sleep(0.8)
        waiting = [asyncio.create_task(pace.enter(0)) for _ in range(16)]
        await asyncio.sleep(0)
        for turn in turns:
            pace.served(turn, 0)
        assert pace.state().limit == 16
        # Eight are proven; the others come a sixteenth of an answer's time apart, of which one was missed before.
        assert pace.state().in_flight == 9
        await asyncio.gather(*waiting)
        assert pace.state().in_flight == 16
        assert now() == pytest.approx(0.8 + 6 * 0.8 / 16)

    run(test)


def test_an_endpoint_that_admits_half_of_what_is_wanted_refuses_little() -> None:
    async def test() -> None:
        pace, num_taken = make_pace(most=32), 0

        async def call() -> None:
            nonlocal num_taken
            is_retry = False
            while True:
                turn = await pace.enter(100, is_retry=is_retry)
                if num_taken < 16:
                    break
                pace.refused(turn, 1.0)
                is_retry = True
            num_taken += 1
            await asyncio.sleep(0.1)
            num_taken -= 1
            pace.served(turn, 100)

        await asyncio.gather(*[call() for _ in range(120)])
        assert pace.state().ceiling_found == 16
        assert pace.state().refusals <= 10

    run(test)


def test_refused_for_counts_from_the_first_refusal_since_an_answer() -> None:
    async def test() -> None:
        pace = make_pace(most=64)
        first, second = await start(pace, 2)
        pace.refused(first, 0.001)
        await asyncio.sleep(7)
        assert pace.refused_for == pytest.approx(7)
        pace.served(second, 0)
        assert pace.refused_for == 0
        assert pace.state().refusals == 1

    run(test)
