"""A chat completion as bytes, and what of it is an answer. Nothing in it is trusted to be there or of its type."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.adapters.llm.failures import BadBody, Translator
from pipeline.adapters.llm.posting import Reply
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Message, Picture, Usage
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import encode_json
from pipeline.values.units import Seconds

MAX_TOKENS = 10**9
"""More than any call takes; a larger number is senseless, and sums of such would not fit a column."""

LONGEST_NAME = 200
"""Characters of a model's name and of why it stopped, as the endpoint says them."""


def build_body(request: ChatRequest, extra: Mapping[str, Any], messages: list[dict[str, Any]]) -> bytes:
    """Write the body of a request."""
    body = {
        "model": request.model,
        "messages": messages,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_completion_tokens": request.max_tokens,
        # Endpoints take a signed 32-bit seed at least; more digits are refused by some.
        "seed": request.seed % 2**31,
        **extra,
    }
    return encode_json(body)


def add_pictures(messages: list[dict[str, Any]], asked: Sequence[Message]) -> None:
    """Put the pictures of what is asked behind the words of the messages that stand for it."""
    for place, message in enumerate(asked):
        if message.pictures:
            words = {"type": "text", "text": messages[place]["content"]}
            messages[place] = {**messages[place], "content": [words, *map(_show, message.pictures)]}


def _show(picture: Picture) -> dict[str, Any]:
    # Of low detail: it is small, and models that cut pictures into tiles would bill it many times.
    address = f"data:image/jpeg;base64,{base64.b64encode(picture.data).decode()}"
    return {"type": "image_url", "image_url": {"url": address, "detail": "low"}}


def parse_body(content: bytes, translator: Translator) -> dict[str, Any]:
    """Parse a body that came under 200.

    Raises:
        BadBody: it begins as JSON and is none; asking again may help.
        ChatFailure: ``bad_answer``: it is something else, an error page perhaps.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as exc:
        if content.lstrip()[:1] == b"{":
            raise BadBody(str(exc)) from exc
        body = None
    if not isinstance(body, dict):
        raise translator.translate(BadBody(content[:2000].decode("utf-8", "replace")))
    return body


def read_completion(reply: Reply, translator: Translator) -> tuple[dict[str, Any], int]:
    """Return the body of an answer and the tokens that it took; raises as :func:`parse_body`."""
    body = parse_body(reply.content, translator)
    usage = read_usage(body)
    return body, usage.prompt_tokens + usage.completion_tokens


def read_usage(body: Mapping[str, Any]) -> Usage:
    """Read the tokens; what is missing or senseless counts as none."""
    usage = _mapping(body.get("usage"))
    details = _mapping(usage.get("prompt_tokens_details"))
    prompt = _count(usage.get("prompt_tokens"))
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=min(_count(details.get("cached_tokens")), prompt),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def read_answer(body: Mapping[str, Any], model: str, latency: Seconds, translator: Translator) -> ChatAnswer:
    """Return the answer.

    Args:
        model: What was asked for; stands in where the endpoint names none.

    Raises:
        ChatFailure: ``empty``, ``refused``, ``content_filter``, ``cut_off`` or ``bad_answer``, with what it cost.
    """
    usage, quote = read_usage(body), translator.quote

    def failure(code: str, words: str) -> ChatFailure:
        return ChatFailure(code, f"{translator.where}: {words}", usage.model_dump())

    choices = body.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        said = f": {quote(json.dumps(body['error']))}" if "error" in body else ""
        raise failure("empty", f"answered without a choice{said}")
    finish = choice.get("finish_reason")
    if message.get("refusal"):
        raise failure("refused", f"the model refused: {quote(str(message['refusal']))}")
    if finish == "content_filter":
        raise failure("content_filter", "the content filter stopped the answer")
    if finish == "length":
        raise failure("cut_off", "the answer reached max_tokens")
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise failure("bad_answer", f"the answer is no text: {quote(json.dumps(text))}")
    named = body.get("model")
    # What is written down is rid of the key, too: an endpoint that repeats it would have it published.
    return ChatAnswer(
        text=translator.scrub(text or ""),
        model=translator.scrub(named)[:LONGEST_NAME] if isinstance(named, str) and named else model,
        finish_reason=translator.scrub(finish)[:LONGEST_NAME] if isinstance(finish, str) and finish else "stop",
        usage=usage,
        latency=latency,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= MAX_TOKENS else 0
