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
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

from bench.llm.event_loop import run

NUMBER = re.compile(rb"#(\d+)")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
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
        times: When each call came and when it was answered, where an endpoint of another kind keeps that.
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
    times: list[tuple[float, float]] = field(default_factory=list)


class Endpoint:
    """What connections share: the behaviour, and what is counted."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.counts = Counts()
        self._cpu_before = 0.0

    def setup(self, body: bytes) -> bytes:
        """Behave in another way, and forget what was counted."""
        self.behaviour = Behaviour(**json.loads(body))
        self.counts = Counts()
        gc.collect()
        self._cpu_before = _cpu()
        return reply(200, b"{}")

    def tell(self) -> bytes:
        """Say what was counted."""
        self.counts.cpu = _cpu() - self._cpu_before
        return reply(200, json.dumps(vars(self.counts)).encode())


class Connection(asyncio.Protocol):
    """One client's connection. Speaks as much HTTP as clients of the chat protocol do, at a tenth of a library's cost.

    Requests carry their length and wait for each other's answers; anything else ends the connection.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request; serve it once it is whole."""
        self._received = received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        if received.startswith(b"GET "):
            length = 0
        else:
            stated = LENGTH.search(received, 0, head + 2)
            if stated is None:
                self.write(_error(411, "state a length"))
                self.connection_lost(None)
                return
            length = int(stated.group(1))
        if len(received) < head + 4 + length:
            return
        self._received = b""
        self._is_last = CLOSE.search(received, 0, head + 2) is not None
        path = received[: received.find(b"\r\n")].split(b" ")[1]
        self._serve(path, received[head + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        """Close; what the client still waits for is counted all the same, for it was asked."""
        if self._transport is not None:
            self._transport.close()
        self._transport = None

    def write(self, data: bytes) -> None:
        """Send a reply, unless nobody waits any longer."""
        if self._transport is not None:
            self._transport.write(data)
            if self._is_last:
                self._transport.close()

    def _serve(self, path: bytes, body: bytes) -> None:
        if path == b"/setup":
            self.write(self._endpoint.setup(body))
        elif path == b"/counts":
            self.write(self._endpoint.tell())
        elif path.endswith(b"/models"):
            self.write(_MODELS)
        else:
            self.chat(body)

    def chat(self, body: bytes) -> None:
        """Answer a call after its time, or do whatever else the behaviour says."""
        behaviour, counts = self._endpoint.behaviour, self._endpoint.counts
        found = NUMBER.search(body)
        number = int(found.group(1)) if found else 0
        counts.first = counts.first or time.monotonic()
        counts.requests += 1
        if number and behaviour.bad_every and number % behaviour.bad_every == 0:
            counts.bad[number] += 1
            self.write(_BAD)
            return
        if counts.in_flight >= behaviour.admits:
            counts.refusals += 1
            self.write(_error(429, "too many", f"Retry-After: {behaviour.retry_after}\r\n"))
            return
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        is_slow = bool(number and behaviour.slow_every and number % behaviour.slow_every == 0)
        latency = behaviour.slow_latency if is_slow else behaviour.latency
        said = _PROBED if b'"colours"' in body else _ANSWERED
        asyncio.get_running_loop().call_later(latency, self._end, counts, number, said)

    def _end(self, counts: Counts, number: int, said: bytes) -> None:
        counts.in_flight -= 1
        if number:
            counts.answered[number] += 1
        counts.last = time.monotonic()
        self.write(said)


def answer(content: Any) -> bytes:
    """Return the body of a completion that says a JSON text."""
    message = {"role": "assistant", "content": json.dumps(content)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 600, "completion_tokens": 40, "total_tokens": 640}
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "bench", "choices": [choice]}
    return json.dumps({**answer, "usage": usage}).encode()


def reply(status: int, body: bytes, headers: str = "") -> bytes:
    """Return a whole HTTP reply.

    Args:
        headers: Further ones, each ended by a line break.
    """
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
    return f"{head}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _error(status: int, words: str, headers: str = "") -> bytes:
    return reply(status, json.dumps({"error": {"message": words, "code": "bench"}}).encode(), headers)


_ANSWERED = reply(200, answer({"scenario": SCENARIO}))
_PROBED = reply(200, answer({"colours": ["red", "blue"]}))
_MODELS = reply(200, b'{"object": "list", "data": [{"id": "bench", "object": "model"}]}')
_BAD = _error(400, "this one is bad")


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def serve(connect: Callable[[Endpoint], Connection] = Connection) -> None:
    """Serve until killed; the port goes to standard output."""
    endpoint = Endpoint()
    server = await asyncio.get_running_loop().create_server(lambda: connect(endpoint), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with whoever started it, however that ended.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    run(serve())
