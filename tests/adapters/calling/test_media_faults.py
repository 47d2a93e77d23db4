"""The fault matrix for pictures and speech: what an endpoint does, what becomes of the call, and what it costs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.adapters.llm import wire
from pipeline.adapters.renderers import openai_images, openai_speech
from pipeline.contracts.remote import MediaAnswer, RemotePlugin
from pipeline.contracts.render import Brief
from pipeline.values.errors import ChatFailure, EndpointError, MediaFailure
from tests.support.fault_server import KEY, FaultServer, Reply, break_off, drip, error, reset, says, stall, text
from tests.support.media_server import calling, image_brief, images_body, paint, picture, sound, speak, speech_brief

SOON = {"retry-after-ms": "1"}
FOX = picture()
MORNING = sound(speak("Good morning to you."))
HTML = text("<html>It works!</html>", "text/html")

Protocol = tuple[RemotePlugin, Brief, Reply]
PROTOCOLS: dict[str, Protocol] = {
    "images": (openai_images.PLUGIN, image_brief(), FOX),
    "speech": (openai_speech.PLUGIN, speech_brief(), MORNING),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr(wire, "MAX_WAIT_SECONDS", 0.01)


@pytest.fixture(params=list(PROTOCOLS))
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return PROTOCOLS[request.param]


def ask(server: FaultServer, protocol: Protocol, **options: Any) -> MediaAnswer:
    plugin, brief, _ = protocol

    async def run() -> MediaAnswer:
        async with calling(server, plugin, **options) as renderer:
            return await renderer.call(brief)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "faults",
    [
        [error(408)],
        [error(429)],
        [error(429, **SOON)],
        [error(500)],
        [error(503, **SOON)],
        [reset],
        [break_off],
        [error(500), reset, error(502)],
        [error(429, **SOON)] * (wire.MAX_TRIES + 3),
    ],
)
def test_what_passes_is_asked_again_until_it_has(faults: Sequence[Reply], protocol: Protocol) -> None:
    server = FaultServer(*faults, protocol[2])
    answer = ask(server, protocol)
    assert answer.data is not None
    assert server.num_requests == len(faults) + 1
    assert server.bodies[0] == server.bodies[-1]
    assert server.keys[0] == f"Bearer {KEY}"


@pytest.mark.parametrize("fault", [error(500), reset])
def test_failed_tries_come_to_an_end(fault: Reply, protocol: Protocol) -> None:
    server = FaultServer(fault)
    with pytest.raises(ChatFailure) as caught:
        ask(server, protocol)
    assert caught.value.code == "server_error"
    assert not isinstance(caught.value, MediaFailure)
    assert server.num_requests == wire.MAX_TRIES


@pytest.mark.parametrize("fault", [stall, drip])
def test_a_stalled_body_is_asked_for_again(fault: Reply, protocol: Protocol) -> None:
    server = FaultServer(fault, protocol[2])
    assert ask(server, protocol, timeout_seconds=0.3).data is not None
    assert server.num_requests == 2


def test_what_never_comes_counts_as_paid(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_TRIES", 1)
    server = FaultServer(protocol[2])
    server.delay = 2
    price = {"picture": 0.5} if protocol[0].name == "openai-images" else {"minute": 6.0}
    with pytest.raises(MediaFailure, match=r"no answer within 0\.2 s") as caught:
        ask(server, protocol, timeout_seconds=0.2, price=price)
    assert caught.value.code == "timeout"
    assert caught.value.usd >= 0.5


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(400), "bad_request"),
        (error(422), "bad_request"),
        (error(413), "too_long"),
        (error(400, "moderation_blocked"), "moderation"),
        (error(400, "content_policy_violation"), "moderation"),
        (error(422, "content_policy_violation"), "moderation"),
        (error(400, "contentFilter"), "moderation"),
        (HTML, "bad_answer"),
    ],
)
def test_a_refusal_has_its_code_costs_nothing_and_is_not_repeated(reply: Reply, code: str, protocol: Protocol) -> None:
    server = FaultServer(reply)
    with pytest.raises(ChatFailure) as caught:
        ask(server, protocol)
    assert caught.value.code == code
    assert not isinstance(caught.value, MediaFailure)
    assert server.num_requests == 1
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (error(401, "invalid_api_key"), "check \\$TEST_KEY"),
        (error(403), "check \\$TEST_KEY"),
        (error(404, "model_not_found"), r"check render\.\w+\.options\.model"),
        (error(402), "quota is used up"),
        (error(429, "insufficient_quota"), "quota is used up"),
        (error(400, "billing_hard_limit_reached"), "budget is used up"),
    ],
)
def test_a_dead_key_or_an_empty_account_stops_everything_at_once(reply: Reply, advice: str, protocol: Protocol) -> None:
    plugin, brief, good = protocol
    server = FaultServer(*[good] * 4, reply)
    server.delay = 0.02

    async def run() -> list[Any]:
        async with calling(server, plugin, in_flight=4) as renderer:
            calls = [renderer.call(brief.model_copy(update={"id": f"b{index}"})) for index in range(60)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(EndpointError, match=advice):
                await renderer.call(brief)
            return outcomes

    outcomes = asyncio.run(run())
    assert sum(isinstance(outcome, MediaAnswer) for outcome in outcomes) == 4
    assert sum(isinstance(outcome, EndpointError) for outcome in outcomes) == 56
    assert server.num_requests <= 4 + 4  # those that were in flight when the first was turned away


def test_retry_after_is_honoured(protocol: Protocol) -> None:
    server = FaultServer(error(429, **{"Retry-After": "1"}), protocol[2])
    ask(server, protocol)
    assert server.arrivals[1] - server.arrivals[0] >= 1.0


def test_an_endpoint_that_cannot_be_reached_is_said_so(protocol: Protocol) -> None:
    plugin, brief, _ = protocol
    stated = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "TEST_KEY"}

    async def run() -> None:
        renderer = plugin.load(plugin.options.model_validate(stated), None)  # type: ignore[arg-type]
        with pytest.raises(EndpointError, match=r"cannot be reached.*check render\.\w+\.options\.base_url"):
            await renderer.call(brief)  # type: ignore[attr-defined]
        await renderer.close()  # type: ignore[attr-defined]

    asyncio.run(run())


def test_the_pace_learns_what_the_endpoint_bears_and_remembers_it(protocol: Protocol, tmp_path: Any) -> None:
    plugin, brief, good = protocol
    server = FaultServer(good)
    server.delay, server.admits, server.refusal_headers = 0.02, 4, {"retry-after-ms": "20"}

    async def run() -> None:
        async with calling(server, plugin, memory=tmp_path, in_flight=32) as renderer:
            await asyncio.gather(*[renderer.call(brief) for _ in range(60)])

    asyncio.run(run())
    [file] = tmp_path.glob("*.json")
    assert '"ceiling"' in file.read_text()
    assert 0 < server.num_refused <= 30
    assert KEY not in file.read_text()


PRICE = {"pictures": {"low": {"64x64": 0.01}, "high": {"64x64": 0.5, "128x64": 0.75}}}


@pytest.mark.parametrize(
    ("reply", "code", "usd"),
    [
        (picture(b64_json=base64.b64encode(paint("a")).decode()[:-7]), "bad_answer", 0.01),
        (picture(b64_json="%%% no base64"), "bad_answer", 0.01),
        (says({"created": 1, "data": []}), "empty", 0.0),
        (says({"created": 1}), "empty", 0.0),
        (says({"data": [None]}), "empty", 0.0),
        (says({"data": [{"b64_json": 7, "url": {}}]}), "empty", 0.0),
        (says({"data": [{}], "usage": {"input_tokens": 9, "output_tokens": 272}}), "empty", 0.01),
        (says({"error": {"message": f"out of memory {KEY}"}}), "empty", 0.0),
        (picture(b64_json=None, url=f"http://127.0.0.1/{KEY}.png"), "bad_answer", 0.01),
    ],
)
def test_an_answer_without_a_picture_costs_what_it_cost(reply: Reply, code: str, usd: float) -> None:
    server = FaultServer(reply)
    with pytest.raises(MediaFailure) as caught:
        ask(server, PROTOCOLS["images"], quality="low", price=PRICE)
    assert (caught.value.code, caught.value.usd) == (code, usd)
    assert server.num_requests == 1
    assert KEY not in str(caught.value)


def test_a_json_body_that_breaks_off_is_asked_for_again() -> None:
    server = FaultServer(text('{"created": 1, "data": [{"b64_'), FOX)
    assert ask(server, PROTOCOLS["images"]).data == paint("a red fox")
    assert server.num_requests == 2


def test_strangers_words_are_kept_as_data_and_without_the_key() -> None:
    words = f"a <b>fox</b> \x1b[31m {KEY} " + "x" * 9000
    answer = ask(FaultServer(says(images_body(revised_prompt=words) | {"model": "m-2026"})), PROTOCOLS["images"])
    kept = answer.notes["revised_prompt"]
    assert kept.startswith("a <b>fox</b> \x1b[31m [key] x")
    assert len(kept) == 4000
    assert answer.notes["created"] == 1_790_000_000
    assert answer.model == "m-2026"


def test_an_empty_clip_is_asked_for_again() -> None:
    server = FaultServer(sound(b""), MORNING)
    assert ask(server, PROTOCOLS["speech"]).notes == {"request_id": "req-2"}
    assert server.num_requests == 2
