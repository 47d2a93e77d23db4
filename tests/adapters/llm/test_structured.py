from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.adapters.llm import structured
from pipeline.adapters.llm.structured import Form, fill_form, find_json, without_limits
from tests.support.fault_server import SCHEMA, make_request

OBJECT = {"type": "object"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('  {"a": 1}\n', '{"a": 1}'),
        ('```json\n{"a": [1, 2]}\n```', '{"a": [1, 2]}'),
        ('Sure! Here it is: {"a": {"b": "}"}} I hope that it helps {you}.', '{"a": {"b": "}"}}'),
        ('In {braces} and [1] before: {"a": 1}', '{"a": 1}'),
        ('{"a": 1}{"a": 2}', '{"a": 1}'),
        ('<think>perhaps {"a": 0}?</think>{"a": 1}', '{"a": 1}'),
        ('{"a": "cut o', '{"a": "cut o'),
        ("no JSON at all", "no JSON at all"),
        ("", ""),
    ],
)
def test_the_first_object_of_an_answer_is_found(text: str, found: str) -> None:
    assert find_json(text, OBJECT) == found


def test_what_is_looked_for_follows_the_schema() -> None:
    assert find_json('{"no": 1} then [1, {"a": 2}] and more', {"type": "array"}) == '[1, {"a": 2}]'


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 50_000, '{"a": ' + "[" * 100_000])
def test_a_hostile_answer_is_begun_on_a_few_times_at_most(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []

    class Counting(json.JSONDecoder):
        def raw_decode(self, s: str, idx: int = 0) -> Any:
            starts.append(idx)
            return super().raw_decode(s, idx)

    monkeypatch.setattr(structured, "_DECODER", Counting())
    assert find_json(text, OBJECT) == text
    assert 0 < len(starts) <= structured.MAX_STARTS


def test_limits_go_and_properties_of_their_names_stay() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "maxLength": 5, "pattern": "x"},
            "list": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
        },
        "required": ["pattern", "list"],
        "additionalProperties": False,
    }
    assert without_limits(schema) == {
        "type": "object",
        "properties": {"pattern": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}},
        "required": ["pattern", "list"],
        "additionalProperties": False,
    }
    assert schema["properties"]["pattern"]["maxLength"] == 5  # type: ignore[index]


@pytest.mark.parametrize(
    ("form", "kind", "is_told"),
    [
        ("json_schema", "json_schema", False),
        ("bare_schema", "json_schema", False),
        ("json_object", "json_object", True),
        ("text", None, True),
    ],
)
def test_each_form_says_the_schema_once(form: Form, kind: str | None, is_told: bool) -> None:
    request = make_request()
    messages: list[dict[str, Any]] = [message.model_dump() for message in request.messages]
    extra = fill_form(form, request, messages)
    assert extra.get("response_format", {}).get("type") == kind
    assert [json.dumps(SCHEMA) in message["content"] for message in messages] == [False, is_told]
