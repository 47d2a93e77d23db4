"""Crews over workers that are plain objects, on a clock that leaps: who is hired, let go, replaced, and paid."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.contracts.watch import Drained
from pipeline.execution.budget import Budget
from pipeline.execution.cluster.crew import END_SECONDS, MAX_LOSSES, NOBODY, Crew, CrewShape, WorkerLost
from pipeline.execution.cluster.room import Need
from pipeline.values.errors import CorpusError
from pipeline.values.workers import Workers
from pipeline.work.purse import PurseReport
from tests.support.virtual_time import run_at_once

LINGER = 30.0


class Hand:
    """A worker that works so many seconds, unless it is lost before that."""

    def __init__(self, number: int, start_seconds: float = 0.0) -> None:
        self.number = number
        self.start_seconds = start_seconds
        self.lost: WorkerLost | None = None
        self.is_killed = False
        self.told: list[str] = []
        self.notes: list[dict[str, Any]] = []
        self.spent = 0.0

    async def ready(self) -> None:
        if self.lost:
            raise self.lost
        await asyncio.sleep(self.start_seconds)

    async def call(self, method: str, *arguments: Any) -> Any:
        if method == "work":
            await asyncio.sleep(arguments[0])
        if self.lost:
            raise self.lost
        if method == "collect":
            notes, self.notes = self.notes, []
            return notes
        if method == "account":
            return PurseReport(owner=7, allowance=arguments[0], spent=self.spent, held=0.0, wanted=None)
        if method != "work":
            self.told.append(method)
        return self.number

    def kill(self) -> None:
        self.is_killed = True


class Office:
    """A crew and everyone who was ever hired."""

    def __init__(
        self,
        workers: Workers,
        full: int = 1,
        beside: int = 0,
        pays: bool = False,
        hire: Callable[[int], Hand] = Hand,
    ) -> None:
        self.hands: list[Hand] = []
        self.has_room = True
        self._make = hire
        shape = CrewShape(workers, Need(0.5), full, beside, pays, LINGER)
        self.crew = Crew(self._hire, shape, lambda: self.has_room)

    def _hire(self) -> Hand:
        self.hands.append(self._make(len(self.hands)))
        return self.hands[-1]

    async def work(self, *seconds: float) -> list[int]:
        return list(await asyncio.gather(*[self.crew.work("work", one) for one in seconds]))

    async def watch(self, seconds: float) -> None:
        """Let time pass, as a run does: with a look at the crew twice a second."""
        for _ in range(round(seconds * 2)):
            await asyncio.sleep(0.5)
            await self.crew.collect()


def at_once(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    run_at_once(run())


def test_a_crew_grows_with_what_waits_and_shrinks_when_nothing_does() -> None:
    async def test() -> None:
        office = Office(Workers(min=1, max=4))
        assert await office.work(1) == [0]
        assert office.crew.size == 1
        found = await office.work(*[10] * 8)
        assert sorted(found) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert office.crew.size == 4
        await office.watch(LINGER - 1)
        assert office.crew.size == 4, "the next shard may come soon"
        await office.watch(2)
        assert office.crew.size == 1
        assert sum(hand.is_killed for hand in office.hands) == 3
        assert all(hand.told == ["close"] for hand in office.hands if hand.is_killed)

    at_once(test)


def test_a_fixed_crew_is_hired_at_its_first_work_and_stays() -> None:
    async def test() -> None:
        office = Office(Workers.exactly(3))
        assert office.hands == []
        await office.work(1)
        await office.watch(10 * LINGER)
        assert len(office.hands) == office.crew.size == 3

    at_once(test)


def test_whoever_comes_later_finds_work_left() -> None:
    async def test() -> None:
        office = Office(Workers(min=1, max=2), full=2, beside=2, hire=lambda number: Hand(number, number * 5))
        # Four pieces for two workers: the second is not ready at first, and the first takes no more than two.
        found = await office.work(*[8] * 4)
        assert sorted(found) == [0, 0, 1, 1]
        # Nobody else may come: then the one takes what it can.
        alone = Office(Workers.exactly(1), full=2, beside=2)
        await asyncio.wait_for(alone.work(*[8] * 4), 9)

    at_once(test)


def test_a_crew_grows_only_where_there_is_room_and_at_once_when_there_is() -> None:
    async def test() -> None:
        office = Office(Workers(min=1, max=3))
        office.has_room = False
        working = asyncio.create_task(office.work(*[60] * 3))
        await office.watch(5)
        assert (office.crew.size, office.crew.wanted) == (1, 3)
        office.has_room = True  # a node joins
        await office.watch(1)
        assert office.crew.size == 3
        assert sorted(await working) == [0, 1, 2]

    at_once(test)


def test_the_work_of_lost_workers_is_done_by_others() -> None:
    async def test() -> None:
        office = Office(Workers.exactly(2))
        working = asyncio.create_task(office.work(4, 4))
        await asyncio.sleep(1)
        for hand in office.hands:
            hand.lost = WorkerLost("the node vanished")
        assert sorted(await working) == [2, 3]
        assert [hand.is_killed for hand in office.hands] == [True, True, False, False]

    at_once(test)


def test_a_worker_that_is_lost_while_it_has_nothing_to_do_is_replaced() -> None:
    async def test() -> None:
        office = Office(Workers.exactly(1))
        await office.work(1)
        office.hands[0].lost = WorkerLost("the node vanished")
        await office.watch(1)
        assert [hand.is_killed for hand in office.hands] == [True, False]
        assert await office.work(1) == [1]

    at_once(test)


def test_work_that_every_worker_is_lost_over_is_given_up() -> None:
    def hire(number: int) -> Hand:
        hand = Hand(number)
        asyncio.get_running_loop().call_later(0.5, lambda: setattr(hand, "lost", WorkerLost("out of memory")))
        return hand

    async def test() -> None:
        office = Office(Workers.exactly(1), hire=hire)
        with pytest.raises(CorpusError, match=r"5 workers were lost .*\(out of memory\); run again"):
            await office.work(1)
        assert len(office.hands) == MAX_LOSSES

    at_once(test)


def test_workers_that_end_before_they_are_ready_are_given_up() -> None:
    def hire(number: int) -> Hand:
        hand = Hand(number)
        hand.lost = WorkerLost("no such library")
        return hand

    async def test() -> None:
        office = Office(Workers.exactly(1), hire=hire)
        with pytest.raises(CorpusError, match=r"end before they are ready \(no such library\)"):
            await office.work(1)

    at_once(test)


def test_a_worker_that_cannot_be_built_says_why_to_whoever_waits() -> None:
    class Unbuilt(Hand):
        async def ready(self) -> None:
            raise CorpusError("no such weights")

    async def test() -> None:
        office = Office(Workers.exactly(1), hire=Unbuilt)
        for _ in range(2):
            with pytest.raises(CorpusError, match="no such weights"):
                await office.work(1)
        assert len(office.hands) == 1

    at_once(test)


@pytest.mark.parametrize(("heard_after", "waited"), [(20, 20), (10 * END_SECONDS, END_SECONDS)])
def test_work_of_a_worker_out_of_reach_waits_until_it_can_write_no_more(heard_after: float, waited: float) -> None:
    async def test() -> None:
        office = Office(Workers.exactly(2))
        working = asyncio.create_task(office.work(2, 2))
        await asyncio.sleep(1)
        lost, now = office.hands[0], asyncio.get_running_loop().time
        lost.lost = WorkerLost("no connection", is_gone=False)
        started = now() + 1
        asyncio.get_running_loop().call_later(heard_after, lambda: setattr(lost, "lost", WorkerLost("it has ended")))
        assert 0 not in await working
        assert waited <= now() - started <= waited + 4

    at_once(test)


def test_nobody_waits_for_a_run_that_is_ending() -> None:
    async def test() -> None:
        office = Office(Workers.exactly(1))
        first, second = (asyncio.create_task(office.crew.work("work", 5)) for _ in range(2))
        await asyncio.sleep(1)
        await office.crew.drain()
        assert office.hands[0].told == ["drain"]
        assert await first == 0
        with pytest.raises(Drained):
            await second
        with pytest.raises(Drained):
            await office.work(1)
        await office.crew.close()
        assert (office.hands[0].told, office.hands[0].is_killed) == (["drain", "close"], True)

    at_once(test)


def test_a_worker_that_leaves_leaves_its_notes_and_its_account() -> None:
    async def test() -> None:
        office = Office(Workers(min=1, max=3), pays=True)
        budget = Budget(10.0, 0.0)

        async def settle() -> list[PurseReport]:
            reports = await office.crew.account(budget.deal(3))
            budget.take(reports)
            return reports

        await office.work(*[5] * 3)
        for hand, usd in zip(office.hands, (1.0, 2.0, 4.0), strict=True):
            hand.spent = usd
        assert [report.spent for report in await settle()] == [1.0, 2.0, 4.0]
        office.hands[0].spent, office.hands[0].notes = 1.5, [{"event": "answer"}]
        told = []
        for _ in range(round(LINGER * 2) + 2):
            await asyncio.sleep(0.5)
            told += await office.crew.collect()
        assert told == [{"event": "answer"}]
        assert office.crew.size == 1
        # What the two spent since they were last asked counts, once, and so it does after others took their places.
        assert sum(report.spent for report in await settle()) == 7.5
        assert (await settle()).count(NOBODY) == 2
        assert budget.spent == 7.5
        await office.work(*[5] * 3)
        await settle()
        assert budget.spent == 7.5
        assert len({report.owner for report in await settle()}) == 3

    at_once(test)


def test_a_purse_out_of_reach_for_a_moment_is_counted_once() -> None:
    async def test() -> None:
        office = Office(Workers.exactly(1), pays=True)
        budget = Budget(10.0, 0.0)
        await office.work(1)
        office.hands[0].spent = 3.0
        for lost in (None, WorkerLost("no connection", is_gone=False), None):
            office.hands[0].lost = lost
            budget.take(await office.crew.account([5.0]))
            assert budget.spent == 3.0
        assert len(office.hands) == 1

    at_once(test)


def test_a_lost_purse_stays_spent_although_its_successor_has_the_same_process_number() -> None:
    async def test() -> None:
        office = Office(Workers.exactly(1), pays=True)
        budget = Budget(10.0, 0.0)
        await office.work(1)
        office.hands[0].spent = 3.0
        budget.take(await office.crew.account([5.0]))
        office.hands[0].lost = WorkerLost("the node vanished")
        await office.work(1)
        office.hands[1].spent = 1.0
        budget.take(await office.crew.account([5.0]))
        assert budget.spent == 4.0

    at_once(test)
