from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipeline.adapters.llm import probing, wire
from pipeline.adapters.llm.openai_chat import OpenAIChat
from pipeline.contracts.chat import ChatAnswer
from pipeline.values.errors import EndpointError
from tests.support.fault_server import FaultServer, Reply, chatting, completion, error, make_request, text

COLOURS = '{"colours": ["red", "blue"]}'
HELLO = '{"text": "hello"}'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_WAIT_SECONDS", 0.01)


class PickyServer(FaultServer):
    """Takes some forms and answers 400, or in prose, to the others."""

    def __init__(self, takes: Sequence[str], is_silent: bool = False) -> None:
        super().__init__(completion(HELLO))
        self.takes = takes
        self.is_silent = is_silent
        self.faults: list[Reply] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if self.faults:
            return await self.faults.pop(0)(request)
        words = COLOURS if "Name two colours." in str(body["messages"]) else HELLO
        if form_of(body) not in self.takes:
            reply = completion("Red and blue.") if self.is_silent else error(400, message="response_format?")
            return await reply(request)
        return await completion(words if form_of(body) != "text" else f"Well: {words}, I think.")(request)


def form_of(body: dict[str, Any]) -> str:
    wanted = body.get("response_format")
    if wanted is None:
        return "text"
    if wanted["type"] == "json_schema" and "maxLength" not in json.dumps(wanted):
        return "bare_schema"
    return str(wanted["type"])


def is_probe(body: dict[str, Any]) -> bool:
    return "Name two colours." in str(body["messages"])


SCHEMA = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 9}}, "required": ["text"]}


async def ask(chat: OpenAIChat) -> ChatAnswer:
    return await chat.complete(make_request(json_schema=SCHEMA))


def ask_many(server: FaultServer, folder: Path | None, count: int = 5) -> list[ChatAnswer]:
    async def run() -> list[ChatAnswer]:
        async with chatting(server, folder, structured="auto") as chat:
            # One host for all, as the port is another each time.
            chat._host = "localhost"
            answers = await asyncio.gather(*[ask(chat) for _ in range(count)])
            assert {answer.text for answer in answers} == {HELLO}
            return answers

    return asyncio.run(run())


ALL = ("json_schema", "bare_schema", "json_object", "text")


@pytest.mark.parametrize("is_silent", [False, True])
@pytest.mark.parametrize("num_refused", [0, 1, 2, 3])
def test_the_strictest_form_that_works_is_found_once_and_remembered(
    num_refused: int, is_silent: bool, tmp_path: Path
) -> None:
    server = PickyServer(ALL[num_refused:], is_silent)
    answers = ask_many(server, tmp_path)
    probes = [form_of(body) for body in server.bodies if is_probe(body)]
    assert probes == list(ALL[: num_refused + 1])
    assert [form_of(body) for body in server.bodies if not is_probe(body)] == [ALL[num_refused]] * 5
    paid = num_refused + 1 if is_silent else 1
    # What probes cost stands with the answers, where it is journalled.
    assert sum(answer.usage.prompt_tokens for answer in answers) == 90 * (5 + paid)
    server.bodies.clear()
    ask_many(server, tmp_path)
    assert [form_of(body) for body in server.bodies] == [ALL[num_refused]] * 5


@pytest.mark.parametrize("fault", [error(500), error(503), error(429), text("{"), error(408)])
def test_a_passing_failure_degrades_nothing(fault: Reply, tmp_path: Path) -> None:
    server = PickyServer(ALL)
    server.faults = [fault] * 3
    ask_many(server, tmp_path)
    assert {form_of(body) for body in server.bodies} == {"json_schema"}


def test_one_that_lasts_degrades_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PickyServer(ALL)
    server.faults = [error(500)] * (2 * wire.MAX_TRIES)

    async def run() -> None:
        async with chatting(server, tmp_path, structured="auto") as chat:
            await ask(chat)
            assert form_of(server.bodies[-1]) == "json_object"
            assert not [path for path in tmp_path.glob("*.json") if "json_object" in path.read_text()]
            monkeypatch.setattr(probing, "DOUBT_SECONDS", 0.0)
            await ask(chat)
            assert form_of(server.bodies[-1]) == "json_schema"

    asyncio.run(run())


def test_a_remembered_form_that_is_taken_no_longer_is_found_anew(tmp_path: Path) -> None:
    ask_many(PickyServer(ALL), tmp_path)
    server = PickyServer(("json_object", "text"))
    ask_many(server, tmp_path, count=1)
    assert [form_of(body) for body in server.bodies] == ["json_schema", *ALL[:3], "json_object"]


def test_an_endpoint_that_cannot_answer_the_plain_question_stops_the_run(tmp_path: Path) -> None:
    server = PickyServer(())
    with pytest.raises(EndpointError, match="not even a plain question was answered"):
        ask_many(server, tmp_path)
    assert server.num_requests == 4


def test_a_probe_the_model_makes_nothing_of_has_shown_that_the_form_is_taken(tmp_path: Path) -> None:
    server = PickyServer(ALL)
    server.faults = [completion(None, finish="length")]
    answers = ask_many(server, tmp_path)
    assert {form_of(body) for body in server.bodies} == {"json_schema"}
    assert sum(answer.usage.completion_tokens for answer in answers) == 7 * (5 + 1)


def test_a_form_that_is_stated_is_not_probed() -> None:
    server = FaultServer(completion(HELLO))

    async def run() -> None:
        async with chatting(server, structured="json_object") as chat:
            await ask(chat)

    asyncio.run(run())
    assert [form_of(body) for body in server.bodies] == ["json_object"]
