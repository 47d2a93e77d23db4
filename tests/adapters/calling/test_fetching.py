"""Addresses that an endpoint gave: what is followed, what is refused, and how much of it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from pipeline.adapters.calling import fetching
from pipeline.adapters.calling.fetching import fetch_media, is_public
from pipeline.values.errors import ChatFailure
from tests.support.media_server import paint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OWN = "127.0.0.1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_WAIT_SECONDS", 0.01)


def fetch(handler: Handler, own_host: str = OWN, timeout: float = 5.0, host: str = OWN) -> tuple[bytes, list[str]]:
    """Serve with one handler for every path and fetch ``/a``; return the bytes and the paths that were asked for."""
    paths: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        assert "Authorization" not in request.headers
        assert "Cookie" not in request.headers
        return await handler(request)

    async def run() -> bytes:
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await fetch_media(f"http://{host}:{runner.addresses[0][1]}/a?sig=s3cret", own_host, timeout)
        finally:
            await runner.cleanup()

    return asyncio.run(run()), paths


def refuse(handler: Handler, words: str, **settings: object) -> None:
    with pytest.raises(ChatFailure, match=words) as caught:
        fetch(handler, **settings)  # type: ignore[arg-type]
    assert caught.value.code == "not_fetched"
    assert "s3cret" not in str(caught.value)


async def good(_: web.Request) -> web.StreamResponse:
    return web.Response(body=paint("a"), content_type="image/png")


def leading(*targets: str) -> Handler:
    """Redirects from target to target, and then a picture."""
    left = list(targets)

    async def handle(request: web.Request) -> web.StreamResponse:
        if not left:
            return await good(request)
        return web.Response(status=302, headers={"Location": left.pop(0)})

    return handle


def test_a_picture_of_the_endpoints_own_host_is_fetched() -> None:
    data, paths = fetch(good)
    assert data == paint("a")
    assert paths == ["/a"]


def test_redirects_within_the_rules_are_followed() -> None:
    data, paths = fetch(leading("/b", "/c"))
    assert data == paint("a")
    assert paths == ["/a", "/b", "/c"]


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (("https://127.0.0.1/b",), "leads from http to https"),
        (("ftp://127.0.0.1/b",), "only plain http and https"),
        (("file:///etc/passwd",), "only plain http and https"),
        (("http://169.254.169.254/latest/meta-data/",), "no public address"),
        (("http://[fe80::1]/",), "no public address"),
        (("http://user:pass@127.0.0.1/",), "only plain http and https"),
        (("http://[::1",), "no address"),
        (("http://127.0.0.1:99999999/",), "cannot be read"),
        (("/b", "/c", "/d", "/e"), "leads on more than 3 times"),
    ],
)
def test_redirects_that_break_a_rule_are_not(targets: tuple[str, ...], words: str) -> None:
    refuse(leading(*targets), words)


def test_a_host_that_is_not_the_endpoints_own_must_be_public() -> None:
    refuse(good, "no public address", own_host="example.com")
    refuse(good, "no public address", own_host="example.com", host="localhost")
    refuse(good, "no public address", own_host="example.com", host="2130706433")


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,AAAA", "file:///etc/passwd", "http://", "//host/x", "http://h:0/", "http://[::1", ""]
)
def test_what_is_no_plain_address_is_not_followed(url: str) -> None:
    with pytest.raises(ChatFailure) as caught:
        asyncio.run(fetch_media(url, OWN, 1.0))
    assert caught.value.code == "not_fetched"


def answering(status: int = 200, body: bytes = b"", kind: str = "image/png") -> Handler:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=kind)

    return handle


def test_an_error_page_is_no_picture() -> None:
    refuse(answering(body=b"<html>gone</html>", kind="text/html"), "'text/html' and no picture")
    refuse(answering(status=403), "status 403")


def test_a_body_larger_than_is_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)
    refuse(answering(body=b"x" * 1001), "it has 1,001 bytes, at most 1,000")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 1000)
        return response

    refuse(endless, "more than 1,000 bytes")


def test_what_passes_is_tried_again() -> None:
    left = [503, 429]

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop()) if left else await good(request)

    data, paths = fetch(handle)
    assert data == paint("a")
    assert len(paths) == 3


def test_a_stalled_body_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_TRIES", 2)

    async def stalling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "500"})
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(30)
        return response

    refuse(stalling, "TimeoutError", timeout=0.2)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:0001::", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected
