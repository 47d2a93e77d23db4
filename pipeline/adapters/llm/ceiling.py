"""How many calls in flight an endpoint stands, learned from what it answers and what it refuses.

The limit starts modestly, or at what was remembered, and doubles with every round of answers until the first refusal.
What a refusal means is told by the next one:

- the first: too many at once. The limit falls to the number being served at that moment;
- another one soon after, of a call that was started within the lowered limit: too fast, or the endpoint has less to
  give than it had. The limit is multiplied by ``DECREASE`` and nothing starts until the time that the endpoint named
  is over.

Refusals of calls that were under way when the limit fell belong to the same round: they lower it no further than to
what is still being served. At a ceiling, one call more is tried after some rounds, then two, then four.
"""

from __future__ import annotations

from pipeline.values.units import Seconds

START = 8
"""Calls in flight before anything is known."""

DECREASE = 0.7
"""What a limit is multiplied with when even a lowered one was refused; TCP CUBIC's factor (RFC 9438, 4.6)."""

BACKOFF_SECONDS: Seconds = 0.5
MAX_BACKOFF_SECONDS: Seconds = 60.0
"""Pause after the first and after many refusals in a row by an endpoint that names no time."""

OPENING_SECONDS: Seconds = 0.1
"""Over so long the first round of a remembered limit is spread: a refusal on the way stops the rest of it, and answers
that come one after the other do not wait for each other, in this round or those that follow it."""

FIRST_PATIENCE, LAST_PATIENCE = 8, 64
"""Rounds of answers at a ceiling before more than it is tried; doubled by each refusal."""

SMOOTHING = 0.125
"""Weight of the newest answer in a running mean; the gain of RFC 6298."""


class Turn:
    """A call's permission to be sent.

    Attributes:
        number: How many starts came before it.
        level: Calls in flight when it was sent, itself among them.
        started: Monotonic seconds.
        tokens: What the token cap was charged for it.
    """

    __slots__ = ("level", "number", "started", "tokens")

    def __init__(self, number: int, level: int, started: Seconds, tokens: float) -> None:
        self.number = number
        self.level = level
        self.started = started
        self.tokens = tokens


class Ceiling:
    """The limit on calls in flight, and how it moves. Knows no clock: times are handed in, monotonic.

    Args:
        wanted: Never exceeded.
        found: What :attr:`found` was in an earlier run.
        start: The limit to begin with, where no ceiling is known.

    Attributes:
        limit: Calls in flight allowed now.
        found: Most that were served when one more was refused; None before any refusal.
        proven: Most that were served for a whole round and never refused since; more than that is a probe.
        reached: Most that were ever served for a whole round.
        held_until: Nothing starts before.
        is_full: Set by whoever was in want of a higher limit; one that was not in the way does not grow.
    """

    def __init__(self, wanted: int, found: int | None, start: int) -> None:
        self._wanted = wanted
        self.found = found
        self.limit = min(wanted, found or start)
        self.proven = min(START, self.limit)
        self.reached = 0
        self.held_until: Seconds = 0.0
        self.is_full = False
        self._latency: Seconds | None = None
        self._is_opening = True
        # The round under way.
        self._num_served = 0
        self._num_timed_out = 0
        self._highest = 0
        # At the ceiling: rounds spent, rounds to be spent before more is tried, how much more.
        self._rounds = 0
        self._patience = FIRST_PATIENCE
        self._step = 1
        # The last decrease: the calls started up to it are its round, which lowers the limit down to the floor (None:
        # not at all); the refusal of one started later, while wary, is a sign of another kind.
        self._cut_at = -1
        self._floor: int | None = None
        self._wary_until: Seconds = 0.0
        self._backoff: Seconds = BACKOFF_SECONDS

    @property
    def spacing(self) -> Seconds:
        """Time between two probes: a doubling takes half of one answer's time, so a refusal stops most of it."""
        latency = OPENING_SECONDS if self._is_opening or self._latency is None else self._latency
        return latency / max(self.limit, 1)

    def set(self, found: int) -> None:
        """Take over a ceiling that others found."""
        self.found = max(1, found)
        self.limit = min(self._wanted, self.found)
        self._start_round()

    def serve(self, turn: Turn, latency: Seconds, most: int) -> None:
        """Learn from an answer.

        Args:
            most: Calls in flight that are allowed for other reasons.
        """
        self._latency = latency if self._latency is None else self._latency + SMOOTHING * (latency - self._latency)
        self._backoff = BACKOFF_SECONDS
        if turn.number > self._cut_at:
            self._num_served += 1
            self._highest = max(self._highest, turn.level)
            if self._num_served >= min(self.limit, most):
                self._finish_round(most)

    def refuse(self, turn: Turn, in_flight: int, num_started: int, until: Seconds | None, now: Seconds) -> None:
        """Learn from a refusal.

        Args:
            in_flight: Calls that are still under way.
            num_started: Calls started so far.
            until: When the endpoint wants to be asked again; None where it does not say.
        """
        until = now + self._backoff if until is None else until
        if turn.number <= self._cut_at:
            if self._floor is None:
                self.held_until = max(self.held_until, until)
            else:
                self.limit = self.found = max(self._floor, min(self.limit, in_flight))
        elif now < self._wary_until and turn.level <= (self.found or 0):
            self._slow_down(turn, num_started, until, now)
        else:
            # What was proven holds, unless it is just that which was refused.
            self._lower(self.proven if turn.level > self.proven else 1, in_flight, num_started)
            self._wary_until = max(until, now + (self._latency or 0.0))

    def time_out(self, turn: Turn, num_started: int) -> None:
        """Learn from a call over its time-out: a straggler says nothing, a quarter of a round is overload."""
        if turn.number > self._cut_at:
            self._num_timed_out += 1
            if self._num_timed_out > max(2, self.limit // 4):
                self._lower(1, int(self.limit * DECREASE), num_started)

    def _finish_round(self, most: int) -> None:
        """A whole round was served: the limit is proven, and grows if it was in the way."""
        was_full = self.is_full and self.limit <= most  # else it is not this limit that is in the way
        self._is_opening = False
        self.proven = max(self.proven, min(self.limit, self._highest))
        self.reached = max(self.reached, min(self.limit, self._highest))
        self._start_round()
        if not was_full:
            return
        if self.found is None:
            self.limit *= 2
        elif self.limit < self.found:
            self.limit += max(1, (self.found - self.limit) // 2)
        else:
            self._creep(self.found)
        self.limit = min(self.limit, self._wanted)

    def _creep(self, found: int) -> None:
        if self.limit > found:
            # More than the ceiling was served for a round: it has risen, and may have risen far.
            self.found, self._patience, self._step = self.limit, 1, self._step * 2
        self._rounds += 1
        if self._rounds >= self._patience:
            self._rounds = 0
            self.limit += self._step

    def _lower(self, floor: int, in_flight: int, num_started: int) -> None:
        """Too many at once: stay at what is being served."""
        self.limit = self.found = max(floor, min(self.limit, in_flight))
        self.proven = min(self.proven, floor)
        self._cut(floor, num_started)

    def _slow_down(self, turn: Turn, num_started: int, until: Seconds, now: Seconds) -> None:
        """Too fast: less in flight, nothing before the time is over, and then gently."""
        # Where little was in flight, that says nothing about how much could have been: never less than a third.
        level = max(min(turn.level, self.limit), self.limit // 2, 1)
        self.limit = max(1, int(level * DECREASE))
        self.found = max(1, level - 1)
        self.proven = 0
        self.held_until = max(self.held_until, until)
        self._wary_until = until + max(until - now, self._latency or 0.0)
        self._backoff = min(self._backoff * 2, MAX_BACKOFF_SECONDS)
        self._cut(None, num_started)

    def _cut(self, floor: int | None, num_started: int) -> None:
        self._floor = floor
        self._cut_at = num_started - 1
        self._is_opening = False
        self._rounds = 0
        self._step = 1
        self._patience = min(max(self._patience, FIRST_PATIENCE // 2) * 2, LAST_PATIENCE)
        self._start_round()

    def _start_round(self) -> None:
        self._num_served = self._num_timed_out = self._highest = 0
        self.is_full = False
