"""A deterministic endpoint of the OpenAI chat protocol on loopback: real HTTP, instant answers that fit any schema.

Equal requests get equal answers, whatever the order. Every request is kept, so that tests can say exactly what was
asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

from aiohttp import web

from tests.support.serving import serving_app

WORDS = """
above again along apple autumn basket before beside better between birds blue bottle branch bread bridge bright
brown butter candle carry castle cedar chair cheese chimney circle clean climb clouds coast colour common copper corner
cotton country cover crowd curtain dance danger daughter deep distant double drawing dream early eastern empty evening
every family farmer feather fence field fifty finger flower follow forest former fresh friend garden gentle ginger glass
golden grandmother grass green hammer happy harbour harvest heavy hidden hollow honey horses house hundred island jacket
journey kettle kitchen ladder lantern laughing lemon letter light listen little lonely market meadow measure middle
mirror morning mother mountain narrow neighbour night northern number ocean orange orchard outside paper patient people
pepper picture plain pocket potter pretty quarter quiet rabbit rainy reading ribbon river road rough round sailor salt
school season second shadow sheep shelf shepherd shining shoulder silver simple sister sleeping slowly smooth snow
softly song southern spring square stable station steady stone stormy story street strong sudden summer sunny table
tailor tender thirsty thousand thunder ticket together tower travel twenty under valley velvet village violet visit
walking warm water weather wedding western wheel whisper white willow window winter wooden yellow
""".split()  # noqa: SIM905  a list would take a line a word
"""Plain English, since answers in another language are asked for again."""


@dataclass
class Endpoint:
    """A running endpoint.

    Attributes:
        requests: Bodies as received, but for probes.
        probes: Bodies of probes, which serve no record.
        delay: Seconds before each answer.
        room: Requests that are answered; those after them wait until there is more room. None for all.
    """

    url: str = ""
    delay: float = 0.0
    room: int | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    _num_answered: int = 0

    def take(self) -> list[dict[str, Any]]:
        """Return the requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def answer_only(self, count: int) -> None:
        """Answer so many requests more, and have those after them wait."""
        self.room = self._num_answered + count

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        is_probe = body["response_format"]["json_schema"]["name"] == "probe"
        (self.probes if is_probe else self.requests).append(body)
        if not is_probe:
            await self._wait_for_room()
        await asyncio.sleep(self.delay)
        content = json.dumps(self.write(body))
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [choice],
                "usage": usage,
            }
        )

    def write(self, body: dict[str, Any]) -> Any:
        """Make up what answers a request."""
        random = Random(sha256(json.dumps([body["messages"], body.get("seed")]).encode()).digest())
        return fit(body["response_format"]["json_schema"]["schema"], random)

    async def _wait_for_room(self) -> None:
        while self.room is not None and self._num_answered >= self.room:
            await asyncio.sleep(0.01)
        self._num_answered += 1


def fit(schema: dict[str, Any], random: Random) -> Any:
    """Make up a value that fits a schema of objects, arrays, strings and choices."""
    if schema["type"] == "object":
        return {name: fit(child, random) for name, child in schema["properties"].items()}
    if "enum" in schema:
        return random.choice(schema["enum"])
    if schema["type"] == "array":
        return [fit(schema["items"], random) for _ in range(schema["minItems"])]
    count = 12 if schema["maxLength"] > 100 else 5
    return " ".join(random.sample(WORDS, count)) + "."


@contextmanager
def running_endpoint(delay: float = 0.0, endpoint: Endpoint | None = None) -> Iterator[Endpoint]:
    """Serve on a free port of 127.0.0.1 from a thread of its own."""
    endpoint = endpoint or Endpoint(delay=delay)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", endpoint.answer)
    with serving_app(app) as address:
        endpoint.url = f"{address}/v1"
        yield endpoint
