"""Any endpoint of the OpenAI chat protocol: OpenAI, Azure, vLLM, llama.cpp, Ollama."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from time import perf_counter, time
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from pipeline.contracts.chat import ChatAnswer, ChatRequest, Usage
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.manifest import Writer
from pipeline.values.units import Seconds

MAX_TRIES = 6
"""Tries of one call through connection errors, time-outs, 408, 409 and 5xx."""

MAX_BUSY_SECONDS: Seconds = 900.0
"""A 429 is no failed try: it says to come back, and a call comes back for this long."""

MAX_WAIT_SECONDS: Seconds = 60.0
RETRIED_STATUS = frozenset({408, 409, 429})
"""Besides 5xx. 400, 401, 403, 404 and 422 say the same however often they are asked."""

NO_KEY = "none"
"""Local servers want no key, and the client insists on one."""

LONGEST_QUOTE = 300
"""Characters of an endpoint's own words that an error repeats."""


class OpenAIChat:
    """Implements ``ChatModel`` over HTTP; the key comes from the environment and is never shown."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._key = os.environ.get(writer.api_key_env) or NO_KEY
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=writer.base_url,
            timeout=writer.timeout_seconds,
            max_retries=0,
            # The default transport takes twice the CPU a call and 1.3 times as long at 256 in flight.
            http_client=openai.DefaultAioHttpClient(),
        )
        self._where = f"{writer.model} at {urlsplit(str(self._client.base_url)).hostname}"
        self._slots = asyncio.Semaphore(writer.records_in_flight)

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request; see ``ChatModel``."""
        retrying = AsyncRetrying(
            stop=_Patience(),
            wait=_wait,
            retry=retry_if_exception(_is_passing),
            reraise=True,
        )
        started = perf_counter()
        try:
            async with self._slots:
                completion: object = await retrying(self._send, request)
        except (openai.OpenAIError, TimeoutError, json.JSONDecodeError) as exc:
            # No cause: a traceback would show the request, and with it the key.
            raise self._translate(exc) from None
        return self._read(completion, perf_counter() - started)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _send(self, request: ChatRequest) -> Any:
        messages: list[Any] = [message.model_dump() for message in request.messages]
        form, rule = _response_format(request, self._writer.structured)
        if rule:
            messages.insert(0, {"role": "system", "content": rule})
        extra: dict[str, Any] = {} if form is None else {"response_format": form}
        # The client's own time-out is one of each read: an endpoint that drips would never meet it.
        async with asyncio.timeout(self._writer.timeout_seconds):
            return await self._client.chat.completions.create(
                model=request.model,
                messages=messages,
                temperature=request.temperature,
                top_p=request.top_p,
                max_completion_tokens=request.max_tokens,
                # Endpoints take a signed 32-bit seed at least; more digits are refused by some.
                seed=request.seed % 2**31,
                **extra,
            )

    def _translate(self, exc: Exception) -> Exception:
        if isinstance(exc, openai.APIStatusError):
            return self._translate_status(exc)
        # The transport calls a refused connection a time-out, too; what it was stands further down its causes.
        refused = next((cause for cause in _causes(exc) if _is_refusal(cause)), None)
        if refused is None and isinstance(exc, (openai.APITimeoutError, TimeoutError)):
            return ChatFailure("timeout", f"{self._where}: no answer within {self._writer.timeout_seconds:g} s")
        if isinstance(exc, openai.APIConnectionError):
            return EndpointError(
                f"{self._where}: cannot be reached: {self._quote(str(refused or exc.__cause__ or exc))}"
            )
        return ChatFailure(
            "bad_answer", f"{self._where}: what came back is no chat completion: {self._quote(str(exc))}"
        )

    def _translate_status(self, exc: openai.APIStatusError) -> Exception:
        says = f"{self._where}: {exc.status_code}: {self._quote(exc.message)}"
        if exc.status_code in (401, 403):
            return EndpointError(f"{says}; check ${self._writer.api_key_env}")
        if exc.status_code == 404:
            return EndpointError(f"{says}; check writer.model and writer.base_url")
        if exc.status_code == 402 or exc.code == "insufficient_quota":
            return EndpointError(f"{says}; the quota is used up, raise it and run again")
        codes = {400: "bad_request", 413: "too_long", 422: "bad_request", 429: "rate_limited"}
        code = "too_long" if exc.code == "context_length_exceeded" else codes.get(exc.status_code, "server_error")
        return ChatFailure(code, says)

    def _quote(self, text: str) -> str:
        """Return an endpoint's words without the key, which some echo, and not at any length."""
        clean = text if self._key == NO_KEY else text.replace(self._key, "[key]")
        return clean[:LONGEST_QUOTE]

    def _read(self, completion: object, latency: Seconds) -> ChatAnswer:
        # Endpoints differ: an error page under 200 arrives as a text, a missing field as None.
        if not isinstance(completion, ChatCompletion):
            words = self._quote(str(completion))
            raise ChatFailure("bad_answer", f"{self._where}: what came back is no chat completion: {words}")
        choice: Any = completion.choices[0] if completion.choices else None
        if choice is None or choice.message is None:
            raise ChatFailure("empty", f"{self._where}: answered without a choice")
        if choice.message.refusal:
            raise ChatFailure("refused", f"{self._where}: the model refused: {self._quote(choice.message.refusal)}")
        if choice.finish_reason == "content_filter":
            raise ChatFailure("content_filter", f"{self._where}: the content filter stopped the answer")
        if choice.finish_reason == "length":
            raise ChatFailure("cut_off", f"{self._where}: the answer reached max_tokens")
        usage = completion.usage
        details = usage.prompt_tokens_details if usage else None
        return ChatAnswer(
            text=choice.message.content or "",
            model=completion.model or self._writer.model,
            finish_reason=choice.finish_reason or "stop",
            usage=Usage(
                prompt_tokens=(usage.prompt_tokens if usage else 0) or 0,
                cached_tokens=(details.cached_tokens if details else 0) or 0,
                completion_tokens=(usage.completion_tokens if usage else 0) or 0,
            ),
            latency=latency,
        )


def _response_format(request: ChatRequest, structured: str) -> tuple[Any, str | None]:
    """Return ``response_format``, and the schema as a system message where the endpoint cannot enforce it."""
    if structured == "json_schema":
        schema = {"name": request.schema_name, "strict": True, "schema": request.json_schema}
        return {"type": "json_schema", "json_schema": schema}, None
    rule = f"Answer with one JSON object of this JSON schema and nothing else: {json.dumps(request.json_schema)}"
    return ({"type": "json_object"} if structured == "json_object" else None), rule


def _is_passing(exc: BaseException) -> bool:
    """Tell whether another moment may bring another outcome."""
    if isinstance(exc, openai.APIStatusError):
        if exc.code == "insufficient_quota":
            return False
        return exc.status_code in RETRIED_STATUS or exc.status_code >= 500
    return isinstance(exc, (openai.APIConnectionError, TimeoutError, json.JSONDecodeError))


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _is_refusal(exc: BaseException) -> bool:
    """Tell an error of the network (no route, no name, no one listening) from a time-out, also an OSError."""
    return isinstance(exc, OSError) and not isinstance(exc, TimeoutError)


class _Patience:
    """Says when to give a call up: after so many failed tries, or so long of being sent away."""

    def __init__(self) -> None:
        self._num_failed = 0

    def __call__(self, state: RetryCallState) -> bool:
        exc = state.outcome.exception() if state.outcome else None
        if isinstance(exc, openai.RateLimitError):
            return state.idle_for >= MAX_BUSY_SECONDS
        self._num_failed += 1
        return self._num_failed >= MAX_TRIES


def _wait(state: RetryCallState) -> Seconds:
    """Wait as long as the endpoint says, else exponentially with jitter."""
    exc = state.outcome.exception() if state.outcome else None
    if isinstance(exc, openai.APIStatusError):
        said = _retry_after(exc)
        if said is not None:
            return min(max(said, 0.0), MAX_WAIT_SECONDS)
    return wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS)(state)


def _retry_after(exc: openai.APIStatusError) -> Seconds | None:
    """Read Retry-After in its three spellings: milliseconds (OpenAI's own), seconds, and a date (RFC 9110)."""
    headers = exc.response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
    try:
        return parsedate_to_datetime(headers["retry-after"]).timestamp() - time()
    except (KeyError, ValueError):
        return None
