"""Workers of one kind, as many as what waits for them needs. Knows no Ray, only what a worker can be asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import ceil
from typing import Any, Protocol

from pipeline.contracts.watch import Drained
from pipeline.execution.cluster.room import Need
from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.units import USD, Seconds
from pipeline.values.workers import Workers
from pipeline.work.purse import PurseReport

LINGER_SECONDS: Seconds = 60.0
"""How long a worker beyond the fewest is kept without work: longer than the gap between two shards, and than most
weights take to load."""

MAX_LOSSES = 5
"""Workers that one piece of work may lose, or that may end one after the other before they are ready. Nodes vanish
rarely so often during one shard; what kills whoever takes it up does so each time."""

END_SECONDS: Seconds = 60.0
"""Most that is waited for a worker out of reach to be known to have ended. Ray gives a silent node up in half that."""


NOBODY = PurseReport(owner=0, allowance=0.0, spent=0.0, held=0.0, wanted=None)
"""The report of a worker that is not there; it starts without an allowance."""


class WorkerLost(Exception):
    """A worker ended, or is out of reach, before it answered.

    Args:
        is_gone: It is known to have ended; one that is only out of reach may still be writing.
    """

    def __init__(self, message: str, is_gone: bool = True) -> None:
        super().__init__(message)
        self.is_gone = is_gone


class Worker(Protocol):
    """A process that can be called."""

    async def ready(self) -> None:
        """Return once it can be called."""
        ...

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True)
class CrewShape:
    """What a crew is like.

    Attributes:
        need: What each worker reserves.
        full: Calls that keep a worker busy; more of them than the workers can take bring another worker.
        beside: Calls beyond these that a worker takes where there is nobody else.
        pays: Workers spend money from a purse and are asked how much.
    """

    workers: Workers
    need: Need
    full: int = 1
    beside: int = 0
    pays: bool = False
    linger: Seconds = LINGER_SECONDS


@dataclass(eq=False)
class _Member:
    worker: Worker
    slot: int
    serial: int
    load: int = 0
    is_ready: bool = False
    idle_since: Seconds = 0.0
    end: asyncio.Task[None] | None = None
    account: PurseReport = NOBODY


class Crew:
    """Hires and lets go, and hands each call to whoever has least to do. For one event loop.

    Work of a worker that ends is given to another one: all stages go on from what is journalled.

    Args:
        hire: Starts a worker, which may take long to be ready.
        may_hire: Whether there is room for one beyond the fewest.
    """

    def __init__(self, hire: Callable[[], Worker], shape: CrewShape, may_hire: Callable[[], bool]) -> None:
        self._hire = hire
        self._shape = shape
        self._may_hire = may_hire
        self._members: list[_Member] = []
        self._waiting: deque[asyncio.Future[_Member]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._farewells: dict[int, asyncio.Task[None]] = {}
        self._parted: dict[int, PurseReport] = {}
        self._left_notes: list[dict[str, Any]] = []
        self._serials = count(1)
        self._num_calls = 0
        self._num_stillborn = 0
        self._error: Exception | None = None

    @property
    def size(self) -> int:
        """Workers, those included that are not ready yet."""
        return len(self._members)

    @property
    def wanted(self) -> int:
        """Workers that the calls of this moment would keep busy, within what the manifest allows."""
        workers = self._shape.workers
        return min(workers.max, max(workers.min, ceil(self._num_calls / self._shape.full)))

    async def work(self, method: str, *arguments: Any) -> Any:
        """Have a worker do a piece of work.

        Raises:
            Drained: the run is ending.
            CorpusError: it lost one worker after the other.
        """
        self._num_calls += 1
        lost: WorkerLost | None = None
        try:
            for _ in range(MAX_LOSSES):
                member = await self._take()
                try:
                    return await member.worker.call(method, *arguments)
                except WorkerLost as exc:
                    lost = exc
                    await self._bury(member, exc.is_gone)
                finally:
                    self._put_back(member)
        finally:
            self._num_calls -= 1
        raise CorpusError(f"{MAX_LOSSES} workers were lost over one piece of work ({lost}); run again to go on")

    def adjust(self) -> None:
        """Hire who is wanted, let go who has had nothing to do for long; to be called now and then."""
        if self._error is not None:
            return
        while self.size < self.wanted and (slot := self._find_slot()) is not None:
            if self.size >= self._shape.workers.min and not self._may_hire():
                break
            member = _Member(self._hire(), slot, next(self._serials))
            self._members.append(member)
            self._start(self._welcome(member))
        now = asyncio.get_running_loop().time()
        for member in [member for member in self._ready() if not member.load]:
            if len(self._ready()) > self.wanted and now - member.idle_since >= self._shape.linger:
                self._members.remove(member)
                self._farewells[member.slot] = self._start(self._part(member))
        self._dispatch()

    async def collect(self) -> list[dict[str, Any]]:
        """Gather the notes of all workers; one that is starting has none, and those of one that ended are lost."""
        self.adjust()
        told = await self._ask_all("collect", {member: () for member in self._ready()})
        notes, self._left_notes = self._left_notes, []
        return notes + [note for answer in told.values() for note in answer]

    async def account(self, allowances: Sequence[USD]) -> list[PurseReport]:
        """Set allowances, one for each worker that there may be; return where their purses stand.

        A worker that is not there, or not yet, has a report without money; one that left has its last one, once.
        """
        await asyncio.gather(*self._farewells.values(), return_exceptions=True)
        reports, self._parted = self._parted, {}
        asked = {member: (allowances[member.slot],) for member in self._ready()}
        for member, report in (await self._ask_all("account", asked)).items():
            member.account = _owned(report, member)
        # One that did not answer and is not known to have ended stands where it stood.
        reports |= {member.slot: member.account for member in asked if member in self._members}
        return [reports.get(slot, NOBODY) for slot in range(len(allowances))]

    async def drain(self) -> None:
        """Begin nothing further, and tell all workers so."""
        self._fail(Drained("the run is ending"))
        await self._ask_all("drain", {member: () for member in self._ready()})

    async def close(self) -> None:
        """Let everyone go."""
        self._fail(Drained("the run has ended"))
        await self._ask_all("close", {member: () for member in self._ready()})
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._members:
            self._members.pop().worker.kill()

    async def _take(self) -> _Member:
        if self._error is not None:
            raise self._error
        place: asyncio.Future[_Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self.adjust()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._put_back(place.result())
            raise

    def _put_back(self, member: _Member) -> None:
        member.load -= 1
        member.idle_since = asyncio.get_running_loop().time()
        self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting:
            # While others start, nobody takes more than keeps it busy: they would find nothing left to do.
            beside = self._shape.beside if all(member.is_ready for member in self._members) else 0
            most = self._shape.full + beside
            free = [member for member in self._ready() if member.load < most]
            if not free:
                return
            place = self._waiting.popleft()
            if not place.done():
                member = min(free, key=lambda member: member.load)
                member.load += 1
                place.set_result(member)

    async def _welcome(self, member: _Member) -> None:
        try:
            await member.worker.ready()
        except WorkerLost as exc:
            await self._bury(member, exc.is_gone)
            self._num_stillborn += 1
            if self._num_stillborn >= MAX_LOSSES:
                self._fail(CorpusError(f"workers end before they are ready ({exc}); run again to go on"))
        except AnyInstructError as exc:
            await self._bury(member, True)
            self._fail(exc)
        else:
            self._num_stillborn = 0
            member.is_ready = True
            member.idle_since = asyncio.get_running_loop().time()
            if self._error is not None:
                await self._ask_all("drain", {member: ()})
        self.adjust()

    async def _bury(self, member: _Member, is_gone: bool) -> None:
        """Count on a worker no longer; return once it can write nothing more, so that others may do its work."""
        if member.end is None:
            if member in self._members:
                self._members.remove(member)
            member.worker.kill()
            member.end = self._start(_ended(member.worker, is_gone))
        await asyncio.shield(member.end)

    async def _part(self, member: _Member) -> None:
        """Let a worker go that has nothing to do, with what it has to tell."""
        try:
            if self._shape.pays:
                self._parted[member.slot] = _owned(await member.worker.call("account", 0.0), member)
            self._left_notes += await member.worker.call("collect")
            await member.worker.call("close")
        except WorkerLost:
            pass  # it had nothing to do, and what it had to tell is lost with it
        finally:
            member.worker.kill()
            del self._farewells[member.slot]

    async def _ask_all(self, method: str, asked: Mapping[_Member, tuple[Any, ...]]) -> dict[_Member, Any]:
        """Ask workers about themselves, each with arguments of its own; return what those say that answer."""
        calls = [member.worker.call(method, *arguments) for member, arguments in asked.items()]
        answers = dict(zip(asked, await asyncio.gather(*calls, return_exceptions=True), strict=True))
        for member, answer in answers.items():
            # Whether one that is out of reach for a moment is lost is for its work to find out.
            if isinstance(answer, WorkerLost) and answer.is_gone and member in self._members:
                await self._bury(member, True)
        return {member: answer for member, answer in answers.items() if not isinstance(answer, BaseException)}

    def _ready(self) -> list[_Member]:
        return [member for member in self._members if member.is_ready]

    def _find_slot(self) -> int | None:
        """Return a purse's place that nobody has, or had and has not accounted for."""
        taken = {member.slot for member in self._members} | self._farewells.keys() | self._parted.keys()
        return next((slot for slot in range(self._shape.workers.max) if slot not in taken), None)

    def _fail(self, error: Exception) -> None:
        """Let no further call begin; the first reason stays."""
        self._error = self._error or error
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(self._error)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _ended(worker: Worker, is_gone: bool) -> None:
    """Wait until a worker that was killed is known to have ended."""
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while not is_gone:
                try:
                    await worker.ready()
                except WorkerLost as exc:
                    is_gone = exc.is_gone
                await asyncio.sleep(1)


def _owned(report: PurseReport, member: _Member) -> PurseReport:
    """Tell a purse from its predecessor's: processes of two nodes may have one number."""
    return report.model_copy(update={"owner": member.serial})
