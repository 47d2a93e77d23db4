"""How bodies reach an endpoint: through proxies, redirects and compression, and with which headers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from pipeline.adapters.llm.endpoint import find_proxy
from pipeline.adapters.llm.openai_chat import OpenAIChat
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.writer import Writer
from tests.support.fault_server import (
    KEY,
    FaultServer,
    Reply,
    chatting,
    completion,
    completion_body,
    make_request,
)

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ask(server: FaultServer) -> str:
    async def run() -> str:
        async with chatting(server) as chat:
            return (await chat.complete(make_request())).text

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("stated", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://one:3128"}, "http://one:3128"),
        ({"https_proxy": "one:3128"}, "http://one:3128"),
        ({"http_proxy": "http://one:3128"}, None),
        ({"all_proxy": "http://one:3128"}, "http://one:3128"),
        ({"all_proxy": "http://one:3128", "no_proxy": "example.org,models.example"}, None),
        ({"all_proxy": "http://one:3128", "no_proxy": "*"}, None),
        ({"https_proxy": "http://one:3128", "all_proxy": "http://other:1"}, "http://one:3128"),
    ],
)
def test_the_environment_names_the_proxy(
    stated: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    assert find_proxy("https://models.example:8443/v1") == proxy


def test_a_proxy_of_another_kind_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://me:pass@one:1080")
    with pytest.raises(EndpointError, match=r"a socks5 proxy for models\.example") as caught:
        find_proxy("https://models.example/v1")
    assert "pass" not in str(caught.value)


def test_a_call_goes_through_the_proxy_with_the_proxys_own_password(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, str]] = []

    async def relay(request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        seen.append((request.path, headers["Host"], headers["Proxy-Authorization"]))
        assert headers["Authorization"] == f"Bearer {KEY}"
        return web.json_response(completion_body())

    async def run() -> None:
        runner = web.ServerRunner(web.Server(relay))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setenv("http_proxy", f"http://me:pass@127.0.0.1:{runner.addresses[0][1]}")
        stated: dict[str, Any] = {"base_url": "http://models.example/v1", "api_key_env": "TEST_KEY"}
        chat = OpenAIChat(Writer(engine="openai", model="m", structured="json_schema", **stated))
        await chat.complete(make_request())
        await chat.close()
        await runner.cleanup()

    asyncio.run(run())
    assert seen == [("/v1/chat/completions", "models.example", "Basic bWU6cGFzcw==")]


def moved(to: str) -> Reply:
    async def reply(request: web.Request) -> web.StreamResponse:
        port = request.url.port
        raise web.HTTPTemporaryRedirect(to.format(port=port))

    return reply


def test_a_redirect_is_followed_and_takes_the_body_along() -> None:
    server = FaultServer(moved("/v1/chat/completions"), completion())
    assert ask(server) == '{"text": "hello"}'
    assert server.bodies[0] == server.bodies[1]
    assert server.keys == [f"Bearer {KEY}"] * 2


def test_the_key_does_not_follow_to_another_host() -> None:
    elsewhere: list[bool] = []

    async def hear(request: web.Request) -> web.StreamResponse:
        elsewhere.append("Authorization" in request.headers)
        return web.json_response(completion_body())

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/here", hear)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        there = f"http://127.0.0.1:{runner.addresses[0][1]}/here"
        async with chatting(FaultServer(moved(there))) as chat:
            await chat.complete(make_request())
        await runner.cleanup()

    asyncio.run(run())
    assert elsewhere == [False]


def packed(status: int, body: object) -> Reply:
    async def reply(_: web.Request) -> web.StreamResponse:
        response = web.json_response(body, status=status)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    return reply


def test_compressed_answers_and_errors_are_read() -> None:
    assert ask(FaultServer(packed(200, completion_body()))) == '{"text": "hello"}'
    with pytest.raises(ChatFailure, match="400: mend it"):
        ask(FaultServer(packed(400, {"error": {"message": "mend it"}})))


def test_headers_are_the_clients_own_without_statistics_about_this_machine() -> None:
    seen: list[dict[str, str]] = []

    async def reply(request: web.Request) -> web.StreamResponse:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response(completion_body())

    ask(FaultServer(reply))
    assert seen[0]["content-type"] == seen[0]["accept"] == "application/json"
    assert "openai" in seen[0]["user-agent"].lower()
    assert not [name for name in seen[0] if name.startswith("x-stainless")]
