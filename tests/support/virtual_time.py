"""Coroutines on a clock that leaps to the next moment at which anything is due: seconds pass in no time, exactly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Returned = TypeVar("Returned")


TICK = 1e-9
"""What a turn of the loop takes: without it, a wait too short to be added to the time would go on for ever."""


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing: what the loop would wait is added to the time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due, so what is waited for will never come")
        self.now += max(TICK, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def run_at_once(test: Coroutine[Any, Any, Returned]) -> Returned:
    """Run a coroutine to its end; the loop's time begins at 0 and moves only while nothing else can go on."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(test)
