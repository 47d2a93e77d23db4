"""An LLM endpoint that costs nothing, in a process of its own: answers after a set time, and does what it is told.

Every prompt holds its call's number as ``#17``; by that number a call is slow or bad, so that all clients meet the same
ones. ``POST /setup`` takes a :class:`Behaviour` and forgets what was counted, ``GET /counts`` tells it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import resource
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

NUMBER = re.compile(rb"#(\d+)")
SCENARIO = "Mara plans a walk along the harbour and asks for a picture of the old lighthouse at dusk."


@dataclass(frozen=True)
class Behaviour:
    """What the endpoint does.

    Attributes:
        latency: Seconds from request to answer.
        slow_every, slow_latency: Each call of which the number is a multiple takes so many seconds; 0 for none.
        bad_every: Each such call is answered with 400.
        admits: Calls at a time; more are sent away with 429 and Retry-After.
        retry_after: Seconds.
    """

    latency: float = 0.2
    slow_every: int = 0
    slow_latency: float = 4.0
    bad_every: int = 0
    admits: int = 10**9
    retry_after: int = 1


@dataclass
class Counts:
    """What came.

    Attributes:
        answered: Answers by call number; probes and bad calls are not among them.
        bad: Calls answered with 400, by number.
        first, last: Arrival of the first call and end of the last answer, in seconds of the server's clock.
        cpu: Seconds of CPU that the server has used.
    """

    requests: int = 0
    refusals: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    answered: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    bad: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    first: float = 0.0
    last: float = 0.0
    cpu: float = 0.0


class Endpoint:
    """The handler and what it counts."""

    def __init__(self) -> None:
        self._behaviour = Behaviour()
        self._counts = Counts()
        self._cpu_before = 0.0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve all paths; a router would cost more than the rest."""
        if request.path == "/setup":
            self._behaviour = Behaviour(**json.loads(await request.read()))
            self._counts = Counts()
            self._cpu_before = _cpu()
            gc.collect()
            return web.Response(text="{}", content_type="application/json")
        if request.path == "/counts":
            self._counts.cpu = _cpu() - self._cpu_before
            return web.json_response(vars(self._counts))
        if request.path.endswith("/models"):
            return web.json_response({"object": "list", "data": [{"id": "bench", "object": "model"}]})
        return await self._chat(request)

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        behaviour, counts = self._behaviour, self._counts
        body = await request.read()
        found = NUMBER.search(body)
        number = int(found.group(1)) if found else -1
        counts.first = counts.first or time.monotonic()
        counts.requests += 1
        if found and behaviour.bad_every and number % behaviour.bad_every == 0:
            counts.bad[number] += 1
            return _error(400, "this one is bad")
        if counts.in_flight >= behaviour.admits:
            counts.refusals += 1
            return _error(429, "too many", {"Retry-After": str(behaviour.retry_after)})
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        is_slow = bool(found and behaviour.slow_every and number % behaviour.slow_every == 0)
        try:
            await asyncio.sleep(behaviour.slow_latency if is_slow else behaviour.latency)
        finally:
            counts.in_flight -= 1
        if found:
            counts.answered[number] += 1
        counts.last = time.monotonic()
        return web.Response(body=_PROBED if b'"colours"' in body else _ANSWER, content_type="application/json")


def _answer(content: Any) -> bytes:
    message = {"role": "assistant", "content": json.dumps(content)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 600, "completion_tokens": 40, "total_tokens": 640}
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "bench", "choices": [choice]}
    return json.dumps({**answer, "usage": usage}).encode()


_ANSWER = _answer({"scenario": SCENARIO})
_PROBED = _answer({"colours": ["red", "blue"]})


def _error(status: int, words: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": words, "code": "bench"}}, status=status, headers=headers)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def serve() -> None:
    """Serve until killed; the port goes to standard output."""
    runner = web.ServerRunner(web.Server(Endpoint().handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    # It ends with whoever started it, however that ended.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
