"""A pace that begins where that of an earlier run ended."""

from __future__ import annotations

from math import ceil
from time import monotonic

from pipeline.adapters.llm.ceiling import START
from pipeline.adapters.llm.memory import EndpointMemory
from pipeline.adapters.llm.pace import Pace, PaceLimits
from pipeline.values.units import Seconds

SAVE_SECONDS: Seconds = 10.0
"""What changes of a pace is written down no more often."""


class KeptPace:
    """This process's part of the pace of an endpoint's model, and what is written down of the whole.

    Args:
        memory: Of the endpoint and model.
        wanted: Calls in flight over all processes; a bound, not a target.
        num_processes: Processes that share the endpoint and its caps; each takes an equal part.
        requests_per_minute, tokens_per_minute: Caps over all processes.
    """

    def __init__(
        self,
        memory: EndpointMemory,
        wanted: int,
        num_processes: int,
        *,
        requests_per_minute: float | None,
        tokens_per_minute: float | None = None,
    ) -> None:
        known = memory.load()
        limits = PaceLimits(
            most=ceil(wanted / num_processes),
            ceiling=known.ceiling and ceil(known.ceiling / num_processes),
            start=ceil((known.reached or START) / num_processes),
            requests_per_minute=requests_per_minute and requests_per_minute / num_processes,
            tokens_per_minute=tokens_per_minute and tokens_per_minute / num_processes,
        )
        self.pace = Pace(limits)
        self._memory = memory
        self._num_processes = num_processes
        self._saved_at = monotonic()

    def save(self, *, at_once: bool = False) -> None:
        """Write down what the pace has come to, not too often."""
        if at_once or monotonic() - self._saved_at > SAVE_SECONDS:
            self._saved_at = monotonic()
            state, processes = self.pace.state(), self._num_processes
            ceiling = None if state.ceiling_found is None else state.ceiling_found * processes
            self._memory.learn(ceiling=ceiling, reached=state.reached * processes or None)
