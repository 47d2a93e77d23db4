"""An endpoint on loopback that answers call after call as it is told to, faults of the connection among them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from pipeline.adapters.llm.openai_chat import OpenAIChat
from pipeline.contracts.chat import ChatRequest, Message
from pipeline.values.writer import Writer

KEY = "sk-very-secret-key"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(content: Any = '{"text": "hello"}', finish: str | None = "stop", **message: Any) -> Reply:
    return says(completion_body(content, finish, **message))


def completion_body(content: Any = '{"text": "hello"}', finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97}
    usage_and_cache = usage | {"prompt_tokens_details": {"cached_tokens": 64}}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m-2026", "choices": [choice]}
    return body | {"usage": usage_and_cache}


def says(body: Any, **headers: str) -> Reply:
    async def reply(_: web.Request) -> web.Response:
        return web.json_response(body, headers=headers)

    return reply


def error(status: int, code: str = "some_code", message: str = "no", **headers: str) -> Reply:
    body = {"error": {"message": f"about your key {KEY}: {message}", "type": "t", "code": code}}

    async def reply(_: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return reply


def text(body: str, content_type: str = "application/json") -> Reply:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type=content_type)

    return reply


async def reset(request: web.Request) -> web.StreamResponse:
    """Break the connection off before a word of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall(request: web.Request) -> web.StreamResponse:
    """Begin an answer and never go on."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"id": "x", "choices": [')
    await asyncio.Event().wait()
    return response


async def drip(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then, so that no single read is late."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


async def break_off(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of a body whose length was announced."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"id": "x", "choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


async def read_body(request: web.Request) -> dict[str, Any]:
    """A body as values: of JSON what it says, of a form its fields, the files among them as bytes."""
    if request.content_type != "multipart/form-data":
        body: dict[str, Any] = await request.json()
        return body
    form = await request.post()
    return {name: part.file.read() if isinstance(part, web.FileField) else part for name, part in form.items()}


class FaultServer:
    """Answers with reply after reply, the last one again and again.

    Attributes:
        bodies: What it was asked, call by call.
        arrivals: When, in monotonic seconds.
        admits: Calls at a time; more are refused with 429 and ``refusal_headers``, and use up no reply.
        delay: Seconds before each reply.
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.bodies: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.keys: list[str] = []
        self.delay = 0.0
        self.admits = 10**6
        self.refusal_headers: dict[str, str] = {}
        self.num_refused = 0
        self.in_flight = 0
        self.most_in_flight = 0

    @property
    def num_requests(self) -> int:
        return len(self.bodies)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.arrivals.append(time.monotonic())
        self.bodies.append(await read_body(request))
        self.keys.append(request.headers["Authorization"])
        if self.in_flight >= self.admits:
            self.num_refused += 1
            return await error(429, **self.refusal_headers)(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            return await reply(request)
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def chatting(server: FaultServer, memory: Path | None = None, **options: Any) -> AsyncIterator[OpenAIChat]:
    """Serve on loopback and talk to it; the schema's form is stated unless the options say otherwise."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    stated = {"model": "m", "base_url": url, "api_key_env": "TEST_KEY", "structured": "json_schema"}
    chat = OpenAIChat(Writer.model_validate({"engine": "openai", **stated, **options}), memory)
    try:
        yield chat
    finally:
        await chat.close()
        await runner.cleanup()


def make_request(**changes: Any) -> ChatRequest:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="Say hello."))
    fields: dict[str, Any] = {"record_id": "r", "purpose": "scenario", "model": "m", "messages": messages}
    return ChatRequest(**(fields | {"json_schema": SCHEMA, "schema_name": "greeting", "seed": 2**40 + 5} | changes))


def schema_of(body: dict[str, Any]) -> str:
    """The schema that a body's last message spells out, empty where it does not."""
    last = str(body["messages"][-1]["content"])
    return json.dumps(SCHEMA) if json.dumps(SCHEMA) in last else ""
