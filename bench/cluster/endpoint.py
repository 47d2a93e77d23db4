"""The endpoint that writes, half a second late; it notes when each call came and when it was answered.

``python -m bench.cluster.endpoint`` prints its port and ends with whoever started it.
"""

from __future__ import annotations

import asyncio
import time

from bench.llm.event_loop import run
from bench.llm.server import serve
from bench.scale.endpoint import Writer


class LateWriter(Writer):
    """Answers every call after the behaviour's latency."""

    def chat(self, body: bytes) -> None:
        """Take a call."""
        asyncio.get_running_loop().call_later(self._endpoint.behaviour.latency, self._end_call, body, time.monotonic())

    def _end_call(self, body: bytes, came: float) -> None:
        self._endpoint.counts.times.append((came, time.monotonic()))
        super().chat(body)


if __name__ == "__main__":
    run(serve(LateWriter))
