"""Endpoints that say whatever they like: nothing of theirs breaks a run, takes its memory or publishes its key."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.llm import posting
from pipeline.adapters.llm.completion import LONGEST_NAME, MAX_TOKENS, parse_body, read_answer
from pipeline.adapters.llm.failures import BadBody, Translator
from pipeline.adapters.llm.posting import Reply, status_error
from pipeline.adapters.llm.structured import find_json
from pipeline.contracts.chat import ChatAnswer
from pipeline.values.errors import AnyInstructError, ChatFailure
from tests.support.fault_server import (
    KEY,
    SCHEMA,
    FaultServer,
    chatting,
    completion,
    completion_body,
    make_request,
    says,
)

TRANSLATOR = Translator("m at models.example", KEY, "TEST_KEY", 1)

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
LIKE_AN_ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "choices": ANY_JSON
        | st.lists(
            st.fixed_dictionaries(
                {"message": ANY_JSON | st.fixed_dictionaries({}, optional={"content": ANY_JSON, "refusal": ANY_JSON})},
                optional={"finish_reason": ANY_JSON},
            ),
            max_size=2,
        ),
        "usage": ANY_JSON | st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), ANY_JSON),
        "model": ANY_JSON,
        "error": ANY_JSON,
    },
)


def ask(server: FaultServer, **options: Any) -> ChatAnswer:
    async def run() -> ChatAnswer:
        async with chatting(server, **options) as chat:
            return await chat.complete(make_request())

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


def test_an_answer_that_repeats_the_key_is_rid_of_it() -> None:
    body = completion_body(json.dumps({"text": f"your key is {KEY}"}), f"stop {KEY}") | {"model": f"m-{KEY}"}
    answer = ask(FaultServer(says(body)))
    assert KEY not in answer.model_dump_json()
    assert json.loads(answer.text) == {"text": "your key is [key]"}


def test_a_stand_in_for_a_key_is_a_word_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "none")
    assert ask(FaultServer(completion('{"text": "none at all"}'))).text == '{"text": "none at all"}'


@pytest.mark.parametrize("status", [200, 400])
def test_a_body_that_unpacks_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(posting, "MAX_BYTES", 2**16)
    packed = gzip.compress(b" " * 2**22)

    async def bomb(_: web.Request) -> web.Response:
        return web.Response(status=status, body=packed, headers={"Content-Encoding": "gzip"})

    with pytest.raises(ChatFailure, match="answered with more than") as caught:
        ask(FaultServer(bomb))
    assert caught.value.code == "bad_answer"


def test_an_error_nested_without_end_is_told_as_it_is() -> None:
    exc = status_error(Reply(400, {}, b'{"error":' * 100_000), "http://models.example/v1")
    assert TRANSLATOR.translate(exc).args[0].startswith('m at models.example: 400: {"error":')


@settings(max_examples=150, deadline=None, derandomize=True)
@given(LIKE_AN_ANSWER)
def test_any_json_is_an_answer_or_a_failure_of_the_call(body: dict[str, Any]) -> None:
    try:
        answer = read_answer(body, "m", 0.1, TRANSLATOR)
    except ChatFailure as exc:
        assert KEY not in str(exc)
        assert len(str(exc)) < 500
    else:
        assert KEY not in answer.model_dump_json()
        assert max(len(answer.model), len(answer.finish_reason)) <= LONGEST_NAME
        assert max(answer.usage.prompt_tokens, answer.usage.completion_tokens) <= MAX_TOKENS


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,1e+- \\u', max_size=60).map(str.encode))
def test_any_bytes_are_an_answer_or_a_failure_of_the_call(content: bytes) -> None:
    try:
        assert isinstance(parse_body(content, TRANSLATOR), dict)
    except (BadBody, AnyInstructError) as exc:
        assert KEY not in str(exc)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(alphabet='{}[]":,1 \\</think>`', max_size=200) | st.integers(1, 5000).map(lambda count: "{[" * count))
def test_json_is_cut_out_of_any_text(text: str) -> None:
    assert find_json(text, SCHEMA) in text
