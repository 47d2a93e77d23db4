"""When the next call to one endpoint may be sent. One process, one event loop, monotonic times.

:mod:`pipeline.adapters.llm.ceiling` says how many at once; here calls queue for it. Starts beyond what the endpoint
has served before are probes, spread so that a refusal comes back before many more of them are out. Caps and the
endpoint's own rate-limit headers spread starts as well.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.adapters.llm.ceiling import SMOOTHING, START, Ceiling, Turn
from pipeline.adapters.llm.rates import Bucket, Quota
from pipeline.values.units import Seconds


@dataclass(frozen=True)
class PaceLimits:
    """What a pace is given.

    Attributes:
        most: Calls in flight that are wanted and never exceeded.
        ceiling: What :attr:`PaceState.ceiling_found` was in an earlier run.
        start: Calls in flight to begin with, where no ceiling is known; what ``reached`` was in an earlier run.
        requests_per_minute, tokens_per_minute: Caps.
    """

    most: int
    ceiling: int | None = None
    start: int = START
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True)
class PaceState:
    """Where an endpoint's pace stands.

    Attributes:
        limit: Calls in flight allowed now.
        waiting: Calls that wait for their turn.
        refusals: Refused calls since the start.
        ceiling_found: Most calls in flight that were served when one more was refused; None before any refusal.
        reached: Most calls in flight that were served for a whole round.
    """

    limit: int
    in_flight: int
    waiting: int
    refusals: int
    ceiling_found: int | None
    reached: int


class _Waiting:
    """A call in the queue, with what it is expected to cost."""

    __slots__ = ("future", "tokens")

    def __init__(self, future: asyncio.Future[Turn], tokens: float) -> None:
        self.future = future
        self.tokens = tokens


class Pace:
    """Admits calls to one endpoint and model. A turn that was given has to come back by one of three ways.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, limits: PaceLimits, clock: Callable[[], Seconds] = time.monotonic) -> None:
        self._wanted = self._most = limits.most
        self._clock = clock
        self._ceiling = Ceiling(limits.most, limits.ceiling, limits.start)
        self._requests = Bucket(limits.requests_per_minute, clock())
        self._tokens = Bucket(limits.tokens_per_minute, clock())
        self._tokens_per_call: float | None = None
        self._in_flight = 0
        self._num_started = 0
        self._num_refused = 0
        self._refused_since: Seconds | None = None
        self._next_probe: Seconds = 0.0
        # What the rate-limit headers ask for: so long between two starts.
        self._interval: Seconds = 0.0
        self._next_start: Seconds = 0.0
        self._queue: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped: Exception | None = None

    def state(self) -> PaceState:
        """Return where the pace stands."""
        return PaceState(
            limit=min(self._ceiling.limit, self._most),
            in_flight=self._in_flight,
            waiting=len(self._queue),
            refusals=self._num_refused,
            ceiling_found=self._ceiling.found,
            reached=self._ceiling.reached,
        )

    @property
    def refused_for(self) -> Seconds:
        """Seconds since the first refusal after the last answer; 0 while calls are answered."""
        return 0.0 if self._refused_since is None else self._clock() - self._refused_since

    def allow(self, max_in_flight: int, share: float = 1.0) -> None:
        """Grant this process a part of what all processes may do together.

        Args:
            max_in_flight: Calls in flight; no more than was wanted at first. 0 lets nothing start.
            share: Of the caps, in (0, 1].
        """
        now = self._clock()
        self._most = min(self._wanted, max_in_flight)
        self._requests.share(share, now)
        self._tokens.share(share, now)
        self._dispatch()

    def set_ceiling(self, ceiling: int) -> None:
        """Take over a ceiling that others found."""
        self._ceiling.set(ceiling)
        self._dispatch()

    def stop(self, error: Exception) -> None:
        """Let no further call start: those that wait, and all to come, raise the error."""
        self._stopped = self._stopped or error
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(self._stopped)

    async def enter(self, tokens: float, *, is_retry: bool = False) -> Turn:
        """Wait for a turn.

        Args:
            tokens: What the call may cost; the mean of the answers so far is used once there is one.
            is_retry: The call was sent before and goes in front of those that never were.

        Raises:
            Exception: what :meth:`stop` was given.
        """
        if self._stopped is not None:
            raise self._stopped
        if not self._queue and self._delay(self._clock()) == 0.0:
            return self._begin(tokens)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), tokens)
        if is_retry:
            self._queue.appendleft(waiting)
        else:
            self._queue.append(waiting)
        self._dispatch()
        try:
            return await waiting.future
        except asyncio.CancelledError:
            if waiting.future.done() and not waiting.future.cancelled() and waiting.future.exception() is None:
                self.failed(waiting.future.result())
            raise

    def served(self, turn: Turn, tokens: int) -> None:
        """Give a turn back: an answer came, of so many tokens."""
        now = self._clock()
        self._leave(turn, tokens, now)
        mean = self._tokens_per_call
        self._tokens_per_call = tokens if mean is None else mean + SMOOTHING * (tokens - mean)
        self._refused_since = None
        self._ceiling.serve(turn, now - turn.started, self._most)
        self._dispatch()

    def refused(self, turn: Turn, retry_after: Seconds | None) -> None:
        """Give a turn back: the endpoint sent the call away, for so long if it said so."""
        now = self._clock()
        self._leave(turn, 0, now)
        self._num_refused += 1
        if self._refused_since is None:
            self._refused_since = now
        until = None if retry_after is None else now + retry_after
        self._ceiling.refuse(turn, self._in_flight, self._num_started, until, now)
        self._dispatch()

    def failed(self, turn: Turn, *, is_timeout: bool = False) -> None:
        """Give a turn back: nothing came of it."""
        self._leave(turn, 0, self._clock())
        if is_timeout:
            self._ceiling.time_out(turn, self._num_started)
        self._dispatch()

    def hear(self, requests: Quota | None, tokens: Quota | None) -> None:
        """Learn from an answer's rate-limit headers how much room is left; where it is little, starts are spread."""
        interval, limit = 0.0, self._ceiling.limit
        if requests is not None and requests.left < limit:
            interval = requests.seconds_each
        if tokens is not None and self._tokens_per_call and tokens.left < limit * self._tokens_per_call:
            interval = max(interval, tokens.seconds_each * self._tokens_per_call)
        if interval and not self._interval:
            self._next_start = self._clock() + interval
        self._interval = interval

    def _leave(self, turn: Turn, tokens: int, now: Seconds) -> None:
        self._in_flight -= 1
        self._tokens.take(tokens - turn.tokens, now)

    def _delay(self, now: Seconds) -> Seconds | None:
        """Seconds until the next call may start; None where one has to come back first."""
        ceiling = self._ceiling
        if self._in_flight >= min(ceiling.limit, self._most):
            ceiling.is_full = True
            return None
        due = ceiling.held_until
        if self._interval:
            due = max(due, self._next_start)
        if self._in_flight >= ceiling.proven:
            due = max(due, self._next_probe)
        return max(0.0, due - now, self._requests.wait(now), self._tokens.wait(now))

    def _begin(self, tokens: float) -> Turn:
        now = self._clock()
        expected = self._tokens_per_call or tokens
        self._requests.take(1, now)
        self._tokens.take(expected, now)
        if self._interval:
            self._next_start = _step(self._next_start, now, self._interval)
        if self._in_flight >= self._ceiling.proven:
            self._next_probe = _step(self._next_probe, now, self._ceiling.spacing)
        self._in_flight += 1
        turn = Turn(self._num_started, self._in_flight, now, expected)
        self._num_started += 1
        return turn

    def _dispatch(self) -> None:
        """Start what may start, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            if self._queue[0].future.done():
                self._queue.popleft()  # cancelled while it waited
                continue
            delay = self._delay(self._clock())
            if delay is None:
                return
            if delay > 0.0:
                self._timer = asyncio.get_running_loop().call_later(delay, self._dispatch)
                return
            waiting = self._queue.popleft()
            waiting.future.set_result(self._begin(waiting.tokens))


def _step(due: Seconds, now: Seconds, interval: Seconds) -> Seconds:
    """The next time of a sequence that is not to drift; what was missed by more than one interval is not made up."""
    return max(due, now - interval) + interval
