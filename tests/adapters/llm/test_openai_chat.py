from __future__ import annotations

import asyncio
import errno
import json
import ssl
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ServerDisconnectedError,
)
from aiohttp.client_reqrep import ConnectionKey

from pipeline.adapters.llm import wire
from pipeline.adapters.llm.failures import Translator
from pipeline.adapters.llm.openai_chat import OpenAIChat
from pipeline.contracts.chat import ChatAnswer
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.writer import Writer
from tests.support.fault_server import (
    KEY,
    SCHEMA,
    FaultServer,
    chatting,
    completion,
    completion_body,
    error,
    make_request,
    says,
    text,
)


def ask(server: FaultServer, **options: Any) -> ChatAnswer:
    async def run() -> ChatAnswer:
        async with chatting(server, **options) as chat:
            return await chat.complete(make_request())

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


def test_an_answer_is_read_whole() -> None:
    server = FaultServer(completion())
    answer = ask(server)
    assert answer.text == '{"text": "hello"}'
    assert (answer.model, answer.finish_reason) == ("m-2026", "stop")
    assert answer.usage.model_dump() == {"prompt_tokens": 90, "cached_tokens": 64, "completion_tokens": 7}
    assert 0 < answer.latency < 5
    body = server.bodies[0]
    assert body["response_format"]["json_schema"] == {"name": "greeting", "strict": True, "schema": SCHEMA}
    assert body["seed"] == 5
    assert [message["content"] for message in body["messages"]] == ["Be brief.", "Say hello."]
    assert "repeat_penalty" not in body
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(("structured", "form"), [("json_object", {"type": "json_object"}), ("text", None)])
def test_a_schema_that_cannot_be_enforced_goes_into_the_prompt(structured: str, form: dict[str, str] | None) -> None:
    server = FaultServer(completion('Here you are:\n```json\n{"text": "hello"}\n```\nAnything else?'))
    assert ask(server, structured=structured).text == '{"text": "hello"}'
    assert server.bodies[0].get("response_format") == form
    first, last = server.bodies[0]["messages"]
    assert first["content"] == "Be brief."
    assert last["content"].startswith("Say hello.")
    assert json.dumps(SCHEMA) in last["content"]


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
    server = FaultServer(error(status, code))
    with pytest.raises(EndpointError, match=advice):
        ask(server)
    assert server.num_requests == 1


def test_nobody_there_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_TRIES", 1)

    async def run() -> None:
        chat = OpenAIChat(Writer(engine="openai", model="m", base_url="http://127.0.0.1:9/v1", api_key_env="TEST_KEY"))
        try:
            await chat.complete(make_request())
        finally:
            await chat.close()

    with pytest.raises(EndpointError, match=r"m at 127\.0\.0\.1:9: cannot be reached: connection refused; check "):
        asyncio.run(run())


def test_a_broken_connection_is_told_in_words_for_people() -> None:
    """The transport's own text ends in ``ssl:default``, whatever the address."""
    no_proxy: dict[str, None] = {"proxy": None, "proxy_auth": None, "proxy_headers_hash": None}
    key = ConnectionKey("models.example", 443, is_ssl=True, ssl=True, **no_proxy)
    translator = Translator("m at models.example", None, "TEST_KEY", 1)

    def say(cause: Exception) -> str:
        error = openai.APIConnectionError(request=httpx2.Request("POST", "https://models.example/v1"))
        error.__cause__ = cause
        return str(translator.translate(error))

    refused = ClientConnectorError(key, ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"))
    assert "cannot be reached: connection refused; check " in say(refused)
    unknown = ClientConnectorDNSError(key, OSError(None, "Name or service not known"))
    assert "cannot be reached: there is no host called models.example; check " in say(unknown)
    bad = ssl.SSLCertVerificationError(1, "certificate verify failed")
    bad.verify_message = "self-signed certificate"
    assert "its certificate is not accepted (self-signed certificate)" in say(ClientConnectorCertificateError(key, bad))
    assert "it does not speak TLS" in say(ClientConnectorSSLError(key, ssl.SSLError(1, "wrong version number")))
    assert "broke the connection off: the server closed the connection" in say(ServerDisconnectedError())
    assert "no connection comes about" in say(ClientConnectorError(key, OSError(None, "Multiple exceptions")))


@pytest.mark.parametrize("status", [400, 401, 500])
def test_the_key_is_in_no_error(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_TRIES", 1)
    with pytest.raises((ChatFailure, EndpointError)) as caught:
        ask(FaultServer(error(status)))
    assert "about your key [key]: no" in str(caught.value)
    assert KEY not in "".join([str(caught.value), repr(caught.value), str(caught.value.__cause__)])


def test_without_a_key_a_local_server_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    server = FaultServer(completion())
    ask(server)
    assert server.keys == ["Bearer none"]


def test_no_more_calls_in_flight_than_allowed() -> None:
    server = FaultServer(completion())
    server.delay = 0.05

    async def run() -> None:
        async with chatting(server, in_flight=3) as chat:
            await asyncio.gather(*(chat.complete(make_request(record_id=str(index))) for index in range(10)))
            assert chat.states()["m"].in_flight == 0

    asyncio.run(run())
    assert server.most_in_flight == 3
    assert server.num_requests == 10


def test_each_model_has_a_pace_of_its_own() -> None:
    server = FaultServer(completion())

    async def run() -> None:
        async with chatting(server, model=None, models=[{"model": "a"}, {"model": "b"}]) as chat:
            chat.pace("a").allow(1)
            await asyncio.gather(*(chat.complete(make_request(model=name)) for name in "aabb"))
            assert (chat.states()["a"].limit, chat.states()["b"].limit) == (1, 8)

    asyncio.run(run())
    assert sorted(body["model"] for body in server.bodies) == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (0, 0, 0)),
        ({"prompt_tokens": None, "completion_tokens": -3}, (0, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": "7", "prompt_tokens_details": None}, (5, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 99}}, (5, 5, 7)),
        ("many", (0, 0, 0)),
        ({"prompt_tokens": 10**30, "completion_tokens": 7}, (0, 0, 7)),
    ],
)
def test_usage_is_not_trusted(usage: Any, expected: tuple[int, int, int]) -> None:
    body = {"choices": [{"message": {"content": "{}"}}], "usage": usage}
    answer = ask(FaultServer(says(body)))
    counts = (answer.usage.prompt_tokens, answer.usage.cached_tokens, answer.usage.completion_tokens)
    assert counts == expected
    assert (answer.model, answer.finish_reason) == ("m", "stop")


def test_an_answer_in_deep_brackets_is_no_answer() -> None:
    with pytest.raises(ChatFailure) as caught:
        ask(FaultServer(text("[" * 200_000)))
    assert caught.value.code == "bad_answer"


def test_rate_limit_headers_slow_the_calls_down_before_any_is_refused() -> None:
    scarce = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
    server = FaultServer(says(completion_body(), **scarce, **{"x-ratelimit-reset-requests": "6s"}))

    async def run() -> None:
        async with chatting(server) as chat:
            for _ in range(4):
                await chat.complete(make_request())

    asyncio.run(run())
    first, *later = server.arrivals
    # 60 come back in 6 s. A late call may be made up for, so that only the time since the first one has a lower bound.
    assert all(arrival - first >= 0.1 * number for number, arrival in enumerate(later, start=1))
    assert server.arrivals[-1] - first < 6
