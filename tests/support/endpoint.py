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

SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvz" for vowel in "aeo"]


@dataclass
class Endpoint:
    """A running endpoint.

    Attributes:
        requests: Bodies as received, but for probes.
        probes: Bodies of probes, which serve no record.
        delay: Seconds before each answer.
    """

    url: str = ""
    delay: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)

    def take(self) -> list[dict[str, Any]]:
        """Return the requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        is_probe = body["response_format"]["json_schema"]["name"] == "probe"
        (self.probes if is_probe else self.requests).append(body)
        await asyncio.sleep(self.delay)
        random = Random(sha256(json.dumps([body["messages"], body.get("seed")]).encode()).digest())
        content = json.dumps(fit(body["response_format"]["json_schema"]["schema"], random))
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


def fit(schema: dict[str, Any], random: Random) -> Any:
    """Make up a value that fits a schema of objects, arrays and strings."""
    if schema["type"] == "object":
        return {name: fit(child, random) for name, child in schema["properties"].items()}
    if schema["type"] == "array":
        return [fit(schema["items"], random) for _ in range(schema["minItems"])]
    count = 12 if schema["maxLength"] > 100 else 5
    return " ".join("".join(random.choices(SYLLABLES, k=3)) for _ in range(count)) + "."


@contextmanager
def running_endpoint(delay: float = 0.0) -> Iterator[Endpoint]:
    """Serve on a free port of 127.0.0.1 from a thread of its own."""
    endpoint = Endpoint(delay=delay)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", endpoint.answer)
    with serving_app(app) as address:
        endpoint.url = f"{address}/v1"
        yield endpoint
