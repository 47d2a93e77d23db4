from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from pipeline.adapters.llm import openai_chat
from pipeline.adapters.llm.openai_chat import OpenAIChat
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Message
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.manifest import Writer

KEY = "sk-very-secret-key"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

Reply = Callable[[], web.Response]


def completion(content: str | None = '{"text": "hello"}', finish: str = "stop", **message: Any) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97}
    usage_and_cache = usage | {"prompt_tokens_details": {"cached_tokens": 64}}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m-2026", "choices": [choice]}
    return lambda: web.json_response(body | {"usage": usage_and_cache})


def error(status: int, code: str = "some_code", **headers: str) -> Reply:
    body = {"error": {"message": f"about your key {KEY}: no", "type": "t", "code": code}}
    return lambda: web.json_response(body, status=status, headers=headers)


class Endpoint:
    """Answers call after call with what it was told, the last one again and again; keeps what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.delay = 0.0
        self.in_flight = 0
        self.most_in_flight = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.keys.append(request.headers["Authorization"])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self.delay)
        self.in_flight -= 1
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply()


@asynccontextmanager
async def chatting(endpoint: Endpoint, **options: Any) -> AsyncIterator[OpenAIChat]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    chat = OpenAIChat(Writer(engine="openai", model="m", base_url=url, api_key_env="TEST_KEY", **options))
    try:
        yield chat
    finally:
        await chat.close()
        await runner.cleanup()


def make_request(**changes: Any) -> ChatRequest:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="Say hello."))
    fields: dict[str, Any] = {"record_id": "r", "purpose": "scenario", "model": "m", "messages": messages}
    return ChatRequest(**(fields | {"json_schema": SCHEMA, "schema_name": "greeting", "seed": 2**40 + 5} | changes))


def ask(endpoint: Endpoint, **options: Any) -> ChatAnswer:
    async def run() -> ChatAnswer:
        async with chatting(endpoint, **options) as chat:
            return await chat.complete(make_request())

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


def test_an_answer_is_read_whole() -> None:
    endpoint = Endpoint(completion())
    answer = ask(endpoint)
    assert answer.text == '{"text": "hello"}'
    assert (answer.model, answer.finish_reason) == ("m-2026", "stop")
    assert answer.usage.model_dump() == {"prompt_tokens": 90, "cached_tokens": 64, "completion_tokens": 7}
    body = endpoint.bodies[0]
    assert body["response_format"]["json_schema"] == {"name": "greeting", "strict": True, "schema": SCHEMA}
    assert body["seed"] == 5
    assert "repeat_penalty" not in body
    assert endpoint.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(("structured", "form"), [("json_object", {"type": "json_object"}), ("text", None)])
def test_a_schema_that_cannot_be_enforced_goes_into_the_prompt(structured: str, form: dict[str, str] | None) -> None:
    endpoint = Endpoint(completion())
    ask(endpoint, structured=structured)
    assert endpoint.bodies[0].get("response_format") == form
    first, *rest = endpoint.bodies[0]["messages"]
    assert json.dumps(SCHEMA) in first["content"]
    assert [message["role"] for message in rest] == ["system", "user"]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_pass_is_asked_again(status: int) -> None:
    endpoint = Endpoint(error(status, **{"retry-after-ms": "1"}), completion())
    assert ask(endpoint).finish_reason == "stop"
    assert len(endpoint.bodies) == 2


def test_retry_after_is_honoured() -> None:
    endpoint = Endpoint(error(429, **{"Retry-After": "1"}), completion())
    started = time.monotonic()
    ask(endpoint)
    assert 1.0 <= time.monotonic() - started < 3


def test_being_sent_away_is_no_failed_try() -> None:
    away = [error(429, **{"retry-after-ms": "1"})] * (openai_chat.MAX_TRIES + 3)
    endpoint = Endpoint(*away, completion())
    assert ask(endpoint).finish_reason == "stop"


def test_failed_tries_come_to_an_end() -> None:
    endpoint = Endpoint(error(500, **{"retry-after-ms": "1"}))
    with pytest.raises(ChatFailure, match="500") as caught:
        ask(endpoint)
    assert caught.value.code == "server_error"
    assert len(endpoint.bodies) == openai_chat.MAX_TRIES


@pytest.mark.parametrize(
    ("status", "code", "becomes"),
    [(400, "x", "bad_request"), (422, "x", "bad_request"), (400, "context_length_exceeded", "too_long")],
)
def test_a_bad_request_is_not_repeated(status: int, code: str, becomes: str) -> None:
    endpoint = Endpoint(error(status, code))
    with pytest.raises(ChatFailure) as caught:
        ask(endpoint)
    assert caught.value.code == becomes
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "invalid_api_key", r"check \$TEST_KEY"),
        (403, "x", r"check \$TEST_KEY"),
        (404, "model_not_found", r"check writer\.model"),
        (402, "x", "quota is used up"),
        (429, "insufficient_quota", "quota is used up"),
    ],
)
def test_what_no_call_can_pass_stops_the_run(status: int, code: str, advice: str) -> None:
    endpoint = Endpoint(error(status, code))
    with pytest.raises(EndpointError, match=advice):
        ask(endpoint)
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (completion(finish="length"), "cut_off"),
        (completion(content=None, finish="content_filter"), "content_filter"),
        (completion(content=None, refusal="I would rather not."), "refused"),
        (lambda: web.json_response({"id": "x", "object": "chat.completion", "choices": [], "model": "m"}), "empty"),
        (lambda: web.json_response({"error": "out of memory"}), "empty"),
        (lambda: web.Response(text="<html>It works!</html>", content_type="text/html"), "bad_answer"),
    ],
)
def test_an_answer_that_is_none_has_its_code(reply: Reply, code: str) -> None:
    with pytest.raises(ChatFailure) as caught:
        ask(Endpoint(reply))
    assert caught.value.code == code


def test_broken_json_is_asked_again() -> None:
    endpoint = Endpoint(lambda: web.Response(text='{"id": ', content_type="application/json"), completion())
    assert ask(endpoint).finish_reason == "stop"


def test_a_silent_endpoint_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "MAX_TRIES", 1)
    endpoint = Endpoint(completion())
    endpoint.delay = 0.6
    with pytest.raises(ChatFailure, match=r"no answer within 0\.2 s") as caught:
        ask(endpoint, timeout_seconds=0.2)
    assert caught.value.code == "timeout"


def test_nobody_there_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "MAX_TRIES", 1)

    async def run() -> None:
        chat = OpenAIChat(Writer(engine="openai", model="m", base_url="http://127.0.0.1:9/v1", api_key_env="TEST_KEY"))
        try:
            await chat.complete(make_request())
        finally:
            await chat.close()

    with pytest.raises(EndpointError, match=r"m at 127\.0\.0\.1: cannot be reached"):
        asyncio.run(run())


@pytest.mark.parametrize("status", [400, 401, 500])
def test_the_key_is_in_no_error(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "MAX_TRIES", 1)
    with pytest.raises((ChatFailure, EndpointError)) as caught:
        ask(Endpoint(error(status)))
    assert "about your key [key]: no" in str(caught.value)
    assert KEY not in "".join([str(caught.value), repr(caught.value), str(caught.value.__cause__)])


def test_without_a_key_a_local_server_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    endpoint = Endpoint(completion())
    ask(endpoint)
    assert endpoint.keys == ["Bearer none"]


def test_no_more_calls_in_flight_than_allowed() -> None:
    endpoint = Endpoint(completion())
    endpoint.delay = 0.05

    async def run() -> None:
        async with chatting(endpoint, in_flight=3) as chat:
            await asyncio.gather(*(chat.complete(make_request(record_id=str(index))) for index in range(10)))

    asyncio.run(run())
    assert endpoint.most_in_flight == 3
    assert len(endpoint.bodies) == 10
