"""How an endpoint is told what JSON to answer with, and how the JSON is found in what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pipeline.contracts.chat import ChatRequest

Form = Literal["json_schema", "bare_schema", "json_object", "text"]
"""From the strictest down: the schema as it is; the schema without the keywords that strict endpoints refuse; JSON
mode with the schema in the prompt; the schema in the prompt alone."""

LIMITING = frozenset({"maxLength", "minLength", "maxItems", "minItems", "pattern", "format", "minimum", "maximum"})
"""Keywords that endpoints of strict schemas are known to refuse. What they demand is checked on every answer anyway."""

MAX_STARTS = 64
"""Places in a text at which JSON is looked for; an answer made of brackets is not worth more."""

_DECODER = json.JSONDecoder()


def fill_form(form: Form, request: ChatRequest, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body's ``response_format``, if any, and put the schema into the last message where it is needed.

    The last message, since a second system message is refused by some chat templates, and since what comes first is
    shared with other calls and should stay so.
    """
    if form in ("json_schema", "bare_schema"):
        schema = request.json_schema if form == "json_schema" else without_limits(request.json_schema)
        wanted = {"name": request.schema_name, "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}
    rule = f"Answer with one JSON object of this JSON schema and nothing else: {json.dumps(request.json_schema)}"
    messages[-1] = {**messages[-1], "content": f"{messages[-1]['content']}\n\n{rule}"}
    return {"response_format": {"type": "json_object"}} if form == "json_object" else {}


def without_limits(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a schema without the keywords of ``LIMITING``; properties that bear such names stay."""
    bare: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            bare[key] = {name: without_limits(child) for name, child in value.items()}
        elif isinstance(value, Mapping):
            bare[key] = without_limits(value)
        elif key not in LIMITING:
            bare[key] = value
    return bare


def find_json(text: str, schema: Mapping[str, Any]) -> str:
    """Cut the first JSON value of the schema's kind out of an answer; the text itself where there is none.

    Passes over a reasoning model's thoughts, code fences, and words before and after.
    """
    opening = "[" if schema.get("type") == "array" else "{"
    answer = text.rpartition("</think>")[2]
    start = -1
    for _ in range(MAX_STARTS):
        start = answer.find(opening, start + 1)
        if start < 0:
            break
        try:
            end = _DECODER.raw_decode(answer, start)[1]
        except (ValueError, RecursionError):
            continue
        return answer[start:end]
    return text
