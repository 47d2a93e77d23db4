"""The fault matrix: what an endpoint does, what becomes of the call, and how many requests the endpoint sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

import pytest

from pipeline.adapters.llm import wire
from pipeline.contracts.chat import ChatAnswer
from pipeline.values.errors import ChatFailure, EndpointError
from tests.support.fault_server import (
    KEY,
    FaultServer,
    Reply,
    break_off,
    chatting,
    completion,
    completion_body,
    drip,
    error,
    make_request,
    reset,
    says,
    stall,
    text,
)

PAID = {"prompt_tokens": 90, "cached_tokens": 64, "completion_tokens": 7}
SOON = {"retry-after-ms": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr(wire, "MAX_WAIT_SECONDS", 0.01)


def ask(server: FaultServer, **options: Any) -> ChatAnswer:
    async def run() -> ChatAnswer:
        async with chatting(server, **options) as chat:
            try:
                return await chat.complete(make_request())
            finally:
                assert chat.states()["m"].in_flight == 0

    return asyncio.run(run())


@pytest.mark.parametrize(
    "faults",
    [
        [error(408)],
        [error(409)],
        [error(429)],
        [error(429, **SOON)],
        [error(500)],
        [error(503)],
        [error(503, **SOON)],
        [reset],
        [break_off],
        [text('{"id": "x", "choi')],
        [error(500), reset, error(502), text("{"), error(504)],
        [error(429, **SOON)] * (wire.MAX_TRIES + 3),
        [error(503, **SOON)] * (wire.MAX_TRIES + 3),
    ],
)
def test_what_passes_is_asked_again_until_it_has(faults: Sequence[Reply]) -> None:
    server = FaultServer(*faults, completion())
    answer = ask(server)
    assert answer.text == '{"text": "hello"}'
    assert server.num_requests == len(faults) + 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [(error(500), "server_error"), (error(408), "server_error"), (text("{"), "bad_answer"), (reset, "server_error")],
)
def test_failed_tries_come_to_an_end(fault: Reply, code: str) -> None:
    server = FaultServer(fault)
    with pytest.raises(ChatFailure) as caught:
        ask(server)
    assert caught.value.code == code
    assert server.num_requests == wire.MAX_TRIES


@pytest.mark.parametrize("fault", [error(500), reset])
def test_an_endpoint_that_is_down_stops_the_run_before_it_has_burnt_many_records(
    fault: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_TRIES", 2)

    async def run() -> list[Any]:
        async with chatting(FaultServer(fault)) as chat:
            calls = [chat.complete(make_request(record_id=str(index))) for index in range(100)]
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(run())
    failures = [outcome for outcome in outcomes if isinstance(outcome, ChatFailure)]
    assert {failure.code for failure in failures} == {"server_error"}
    assert len(failures) == wire.MAX_LOST - 1
    assert all(isinstance(outcome, EndpointError) for outcome in outcomes if outcome not in failures)
    assert "20 calls in a row" in str(next(outcome for outcome in outcomes if outcome not in failures))


@pytest.mark.parametrize("fault", [stall, drip])
def test_a_call_over_its_time_out_is_asked_again(fault: Reply) -> None:
    server = FaultServer(fault, completion())
    # The first answer never ends. On a busy machine the second may be late too, and is asked for once more.
    assert ask(server, timeout_seconds=0.3).text == '{"text": "hello"}'
    assert server.num_requests >= 2


def test_an_endpoint_that_never_answers_costs_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_TRIES", 2)
    server = FaultServer(completion())
    server.delay = 3600
    with pytest.raises(ChatFailure, match=r"no answer within 0\.2 s") as caught:
        ask(server, timeout_seconds=0.2)
    assert caught.value.code == "timeout"
    assert server.num_requests == 2


@pytest.mark.parametrize(
    ("reply", "code", "usage"),
    [
        (error(400), "bad_request", None),
        (error(422), "bad_request", None),
        (error(400, "context_length_exceeded"), "too_long", None),
        (error(400, message="This model's maximum context length is 4096 tokens"), "too_long", None),
        (error(413), "too_long", None),
        (error(400, "content_filter"), "content_filter", None),
        (completion(None, refusal="I would rather not."), "refused", PAID),
        (completion(None, finish="content_filter"), "content_filter", PAID),
        (completion('{"text": "he', finish="length"), "cut_off", PAID),
        (completion([{"type": "image"}]), "bad_answer", PAID),
        (says(completion_body() | {"choices": []}), "empty", PAID),
        (says(completion_body() | {"choices": [None]}), "empty", PAID),
        (says({"error": {"message": "out of memory"}}), "empty", dict.fromkeys(PAID, 0)),
        (says([1, 2]), "bad_answer", None),
        (text("<html>It works!</html>", "text/html"), "bad_answer", None),
        (text(""), "bad_answer", None),
    ],
)
def test_an_answer_that_is_none_has_its_code_and_is_not_repeated(
    reply: Reply, code: str, usage: dict[str, int] | None
) -> None:
    server = FaultServer(reply)
    with pytest.raises(ChatFailure) as caught:
        ask(server)
    assert (caught.value.code, caught.value.usage) == (code, usage)
    assert server.num_requests == 1
    assert KEY not in str(caught.value)


def test_an_answer_of_the_wrong_schema_is_for_others_to_judge() -> None:
    server = FaultServer(completion('{"words": 3}'))
    assert ask(server).text == '{"words": 3}'
    assert server.num_requests == 1


def test_retry_after_is_honoured() -> None:
    server = FaultServer(error(429, **{"Retry-After": "1"}), completion())
    ask(server)
    assert 1.0 <= server.arrivals[1] - server.arrivals[0] < 3


def test_one_that_is_sent_away_for_too_long_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BUSY_SECONDS", 0.05)
    with pytest.raises(EndpointError, match="every call was sent away"):
        ask(FaultServer(error(429, **{"retry-after-ms": "20"})))


def test_one_that_is_sent_away_while_others_are_answered_costs_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BUSY_SECONDS", 0.05)
    away = error(429, **{"retry-after-ms": "20"})

    async def run() -> None:
        async with chatting(server) as chat:

            async def go_on() -> None:
                while True:
                    await chat.complete(make_request(model="m"))

            others = asyncio.create_task(go_on())
            with pytest.raises(ChatFailure) as caught:
                await chat.complete(make_request(messages=(), json_schema={"type": "string"}))
            assert caught.value.code == "rate_limited"
            others.cancel()

    async def reply(request: Any) -> Any:
        return await (away if not server.bodies[-1]["messages"] else completion())(request)

    server = FaultServer(reply)
    asyncio.run(run())


def test_a_key_that_expires_in_the_middle_stops_the_run_at_once() -> None:
    server = FaultServer(*[completion()] * 10, error(401, "invalid_api_key"))
    server.delay = 0.02

    async def run() -> list[Any]:
        async with chatting(server, in_flight=4) as chat:
            calls = [chat.complete(make_request(record_id=str(index))) for index in range(200)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(EndpointError):
                await chat.complete(make_request())
            return outcomes

    outcomes = asyncio.run(run())
    assert sum(isinstance(outcome, ChatAnswer) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, EndpointError) for outcome in outcomes) == 190
    assert server.num_requests <= 10 + 4  # those that were in flight when the first was turned away


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_that_jumps_neither_hangs_a_call_nor_lets_it_burst(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    until, now = formatdate(real() + 1, usegmt=True), formatdate(real(), usegmt=True)
    away = error(429, **{"Retry-After": until, "Date": now})
    server = FaultServer(completion(), away, completion())
    server.delay = 0.01

    async def run() -> None:
        async with chatting(server, requests_per_minute=600) as chat:
            await chat.complete(make_request())
            monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
            # Thirty hours are more than anybody's patience.
            await asyncio.wait_for(chat.complete(make_request()), 120)
            await asyncio.wait_for(asyncio.gather(*[chat.complete(make_request()) for _ in range(10)]), 120)

    asyncio.run(run())
    assert server.num_requests == 13
    assert server.arrivals[2] - server.arrivals[1] >= 0.9
    # 600 a minute are 10 a second, of which one second's worth may come at once.
    assert server.arrivals[-1] - server.arrivals[0] >= (13 - 10 - 1) / 10


def test_an_endpoint_that_admits_half_of_what_is_wanted_refuses_little() -> None:
    server = FaultServer(completion())
    server.delay, server.admits, server.refusal_headers = 0.1, 16, {"Retry-After": "1"}

    async def run() -> int | None:
        async with chatting(server, in_flight=32) as chat:
            await asyncio.gather(*[chat.complete(make_request(record_id=str(index))) for index in range(120)])
            return chat.states()["m"].ceiling_found

    # An answer counts as in flight until it is read, and by then the server may have taken on another call. How few
    # refusals that takes is measured where time is virtual, in test_pace.
    assert 16 <= (asyncio.run(run()) or 0) <= 32
    assert 0 < server.num_refused < 120
