"""What one process may spend: money is held before a call is sent and settled when its answer is there."""

from __future__ import annotations

import asyncio
import math
import os

from pipeline.contracts.chat import ChatRequest
from pipeline.contracts.watch import Drained
from pipeline.values.prices import BYTES_PER_TOKEN, TOKENS_A_PICTURE
from pipeline.values.records import Record
from pipeline.values.units import USD
from pipeline.values.writer import Price

TOKENS_PER_MESSAGE = 8
"""Role and separators of a message, in the chat formats that are known, with room."""

DUST: USD = 1e-9
"""Less than this is nothing: sums of many small floats leave some."""


class PurseReport(Record):
    """Where a purse stands.

    Attributes:
        owner: Process that holds it; a worker that was restarted opens another one.
        spent: Settled since it was opened.
        held: For calls that are in flight.
        wanted: The smallest amount that a call waits for; None where none waits.
    """

    owner: int
    allowance: USD
    spent: USD
    held: USD
    wanted: USD | None


class Purse:
    """An allowance that is raised from outside. Spent and held never exceed it. For one event loop.

    Args:
        is_final: Nobody will raise it: a call that does not fit ends the run once nothing is in flight that could
            leave something over.
    """

    def __init__(self, allowance: USD = math.inf, *, is_final: bool = False) -> None:
        self._allowance = allowance
        self._is_final = is_final
        self._spent = 0.0
        self._held = 0.0
        self._waiting: dict[asyncio.Future[None], USD] = {}
        self._is_closed = False
        self.is_spent = False
        """True once a call did not fit into a final allowance."""

    async def hold(self, amount: USD) -> None:
        """Set money aside for a call; waits while there is too little.

        Raises:
            Drained: the run is ending, or the purse is final, and there will be no more.
        """
        while not self._is_closed and self._spent + self._held + amount > self._allowance:
            if self._is_final and self._held < DUST:
                self.is_spent = True
                raise Drained(f"the next call may cost up to {amount:.4f} USD, and that does not fit into the budget")
            raised: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[raised] = amount
            try:
                await raised
            finally:
                del self._waiting[raised]
        if self._is_closed:
            raise Drained("the run is ending")
        self._held += amount

    def settle(self, held: USD, spent: USD) -> None:
        """Give back what was held for a call and count what it cost."""
        self._held -= held
        self._spent += spent
        self._wake()

    def allow(self, allowance: USD) -> None:
        """Set the allowance; it cannot fall below what is spent or held."""
        self._allowance = max(allowance, self._spent + self._held)
        self._wake()

    def close(self) -> None:
        """Let nobody wait any longer: the run is ending."""
        self._is_closed = True
        self._wake()

    def report(self) -> PurseReport:
        """Say where the purse stands."""
        wanted = min(self._waiting.values(), default=None)
        # Dust would look like a call in flight.
        held = self._held if self._held > DUST else 0.0
        return PurseReport(owner=os.getpid(), allowance=self._allowance, spent=self._spent, held=held, wanted=wanted)

    def _wake(self) -> None:
        for raised in self._waiting:
            if not raised.done():
                raised.set_result(None)


def bound_cost(request: ChatRequest, price: Price) -> USD:
    """Return the most that a call can cost: a prompt of dense tokens, none cached, and an answer up to its limit."""
    prompt = sum(len(m.content.encode()) / BYTES_PER_TOKEN + TOKENS_PER_MESSAGE for m in request.messages)
    prompt += request.num_pictures * TOKENS_A_PICTURE
    return (prompt * price.input + request.max_tokens * price.output) / 1e6
