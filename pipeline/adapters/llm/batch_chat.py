"""The Batch API as a ``ChatModel``: calls gather into files that are handed in; answers come hours later at half price.

The stages ask as ever. Whatever waits longer than a run is written down (``BatchBook``), so that a run that is stopped
or killed goes on waiting for the very batches that it handed in.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpx2
import openai

from pipeline.adapters.llm.batch_book import Batch, BatchBook
from pipeline.adapters.llm.completion import build_body, read_answer
from pipeline.adapters.llm.endpoint import open_endpoint
from pipeline.adapters.llm.failures import is_passing
from pipeline.adapters.llm.structured import Form, fill_form, find_json
from pipeline.contracts.chat import ChatAnswer, ChatRequest
from pipeline.contracts.storage import Journal
from pipeline.contracts.watch import Drained, Watch
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.units import Bytes, Seconds
from pipeline.values.words import say_count
from pipeline.values.writer import Writer

PATH = "/v1/chat/completions"
NAME = "anyinstruct"
"""Key of our batches' metadata."""

MAX_REQUESTS = 50_000
MAX_BYTES: Bytes = 190_000_000
"""A batch holds 50,000 requests and 200 MB at most, by the provider's guide."""

MAX_TRIES = 4
"""Batches that a request goes into before its failure is final, where another one may help."""

MAX_FAILED_POLLS = 30
"""Polls in a row that may fail before the run stops; the batches go on."""

LINGER = 2
"""Polls without a new request after which what has gathered is handed in: a stage asks for all it can at once."""

ENDED = frozenset({"completed", "expired", "cancelled", "failed"})
CROWDED = frozenset({"token_limit_exceeded", "rate_limit_exceeded"})
"""Errors of a batch that another hour mends: more is enqueued already than the account may have."""


@dataclass
class _Waiting:
    request: ChatRequest
    answer: asyncio.Future[ChatAnswer]
    asked_at: Seconds
    num_tries: int = 0


class BatchChat:
    """Implements ``ChatModel``; its answers outlive the run that asked.

    Args:
        journal: Of the corpus's batches.
        watch: Ends the waiting when the run ends; the batches go on without it.

    Raises:
        EndpointError: ``writer.base_url`` is no address.
    """

    outlives_run = True

    def __init__(self, writer: Writer, journal: Journal, watch: Watch) -> None:
        self._endpoint = open_endpoint(writer, max_connections=8)
        self._poll = writer.batch_poll_seconds
        # A batch is no place to probe: what the endpoint does not take costs a batch, hours later.
        self._form: Form = "json_schema" if writer.structured == "auto" else writer.structured
        self._book = BatchBook(journal)
        self._watch = watch
        self._waiting: dict[str, _Waiting] = {}
        self._last_asked = 0.0
        self._is_crowded = False
        self._tending: asyncio.Task[None] | None = None

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request, in hours; see ``ChatModel``."""
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend())
        self._last_asked = monotonic()
        answer: asyncio.Future[ChatAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[request.key()] = _Waiting(request, answer, self._last_asked)
        return await answer

    async def close(self) -> None:
        """Close the connections; batches stay at the endpoint."""
        if self._tending is not None:
            self._tending.cancel()
        await self._endpoint.close()

    async def _tend(self) -> None:
        """Hand in, ask after, hand on, until nobody waits; what ends this ends every waiting."""
        num_failed = 0
        try:
            while self._waiting:
                self._watch.check()
                try:
                    await self._find_lost()
                    await self._collect()
                    await self._hand_in()
                    num_failed = 0
                except openai.OpenAIError as exc:
                    num_failed += 1
                    if not is_passing(exc) or num_failed > MAX_FAILED_POLLS:
                        raise self._endpoint.translator(NAME).translate(exc) from None
                self._watch.note("busy", what="llm", text=self._describe())
                await asyncio.sleep(self._poll)
        except (Drained, EndpointError, ChatFailure) as exc:
            self._end_all(exc)
        except BaseException as exc:
            self._end_all(exc)
            raise

    def _end_all(self, exc: BaseException) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(exc)
        self._waiting.clear()

    def _describe(self) -> str:
        return f"{say_count(len(self._waiting), 'answer')} of {say_count(len(self._book.open), 'batch', 'batches')}"

    async def _find_lost(self) -> None:
        """Find batches whose id a kill kept from being written down; what the endpoint does not know was not taken."""
        lost = {name: batch for name, batch in self._book.open.items() if batch.id is None}
        if not lost:
            return
        async for there in self._endpoint.client.batches.list(limit=100):
            batch = lost.pop((there.metadata or {}).get(NAME, ""), None)
            if batch is not None:
                self._book.accept(batch, there.id)
            if not lost:
                return
        for batch in lost.values():
            self._book.hand_on(batch, list(batch.keys))

    async def _collect(self) -> None:
        for batch in list(self._book.open.values()):
            if batch.id is None or not batch.keys & self._waiting.keys():
                continue  # nobody has asked for these yet; the endpoint keeps them
            there = await self._endpoint.client.batches.retrieve(batch.id)
            if there.status in ENDED:
                await self._take(batch, there)

    async def _take(self, batch: Batch, there: openai.types.Batch) -> None:
        """Hand on what a batch has brought; what it has not brought goes into the next one."""
        self._refuse_if_hopeless(there)
        lines: dict[str, Mapping[str, Any]] = {}
        for file_id in (there.output_file_id, there.error_file_id):
            if file_id:
                content = await self._endpoint.client.files.content(file_id)
                lines |= _read_lines(content.content)
        # What nobody has asked for yet stays in the book: a later stage, or a later run, will.
        asked = sorted(batch.keys & self._waiting.keys())
        for key in asked:
            self._settle(self._waiting[key], lines.get(key))
        await asyncio.sleep(0)  # those that waited journal their answers before the book forgets them
        self._book.hand_on(batch, asked)

    def _settle(self, waiting: _Waiting, line: Mapping[str, Any] | None) -> None:
        """Turn a line of a batch's output into an answer, a failure, or another try."""
        key, model = waiting.request.key(), waiting.request.model
        translator = self._endpoint.translator(model)
        response = (line or {}).get("response") or {}
        body = response.get("body") or {}
        try:
            if response.get("status_code") == 200:
                answer = read_answer(body, model, monotonic() - waiting.asked_at, translator)
                if self._form not in ("json_schema", "bare_schema"):
                    answer = answer.model_copy(update={"text": find_json(answer.text, waiting.request.json_schema)})
                del self._waiting[key]
                waiting.answer.set_result(answer)
                return
            exc = _status_error(response)
            waiting.num_tries += not self._is_crowded
            if (exc is None or is_passing(exc)) and waiting.num_tries < MAX_TRIES:
                return  # it stays, and goes into the next batch
            if exc is not None:
                raise translator.translate(exc)
            raise ChatFailure("expired", f"{translator.where}: {MAX_TRIES} batches ended without an answer")
        except ChatFailure as failure:
            del self._waiting[key]
            waiting.answer.set_exception(failure)

    def _refuse_if_hopeless(self, there: openai.types.Batch) -> None:
        """Stop the run where a batch was refused as a whole, for another reason than that too much is enqueued."""
        errors = [error for error in (there.errors.data or [])] if there.errors else []
        self._is_crowded = any(error.code in CROWDED for error in errors)
        if there.status != "failed" or self._is_crowded:
            return
        words = self._endpoint.translator(NAME).quote("; ".join(str(error.message) for error in errors))
        raise EndpointError(f"{self._endpoint.host} refused batch {there.id}: {words or 'it gives no reason'}")

    async def _hand_in(self) -> None:
        """Hand in what has gathered, one model a batch, once no more comes."""
        under_way = {key for batch in self._book.open.values() for key in batch.keys}
        ready = [waiting for key, waiting in self._waiting.items() if key not in under_way]
        if not ready or (monotonic() - self._last_asked < LINGER * self._poll and len(ready) < MAX_REQUESTS):
            return
        if self._is_crowded and self._book.open:
            return
        self._is_crowded = False
        for model in sorted({waiting.request.model for waiting in ready}):
            for part in _split([(w.request.key(), self._line(w.request)) for w in ready if w.request.model == model]):
                await self._submit(part)

    async def _submit(self, part: Sequence[tuple[str, bytes]]) -> None:
        client = self._endpoint.client
        batch = self._book.prepare([key for key, _ in part])
        data = b"\n".join(line for _, line in part)
        file = await client.files.create(file=(f"{batch.name}.jsonl", data), purpose="batch")
        there = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={NAME: batch.name}
        )
        self._book.accept(batch, there.id)

    def _line(self, request: ChatRequest) -> bytes:
        messages = [message.model_dump() for message in request.messages]
        extra = fill_form(self._form, request, messages)
        body = json.loads(build_body(request, extra, messages))
        line = {"custom_id": request.key(), "method": "POST", "url": PATH, "body": body}
        return json.dumps(line, separators=(",", ":")).encode()


def _split(lines: Sequence[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Cut keyed lines into parts that an input file may hold."""
    part: list[tuple[str, bytes]] = []
    num_bytes = 0
    for key, line in lines:
        if part and (len(part) >= MAX_REQUESTS or num_bytes + len(line) + 1 > MAX_BYTES):
            yield part
            part, num_bytes = [], 0
        part.append((key, line))
        num_bytes += len(line) + 1
    if part:
        yield part


def _read_lines(content: bytes) -> dict[str, Mapping[str, Any]]:
    """Read an output file by custom id; lines that are none of ours count as missing."""
    found: dict[str, Mapping[str, Any]] = {}
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("custom_id"), str):
            found[line["custom_id"]] = line
    return found


def _status_error(response: Mapping[str, Any]) -> openai.APIStatusError | None:
    """Return what a call of its own would have raised; None where the request got no answer at all."""
    status = response.get("status_code")
    if not isinstance(status, int) or status < 400:
        return None
    body = response.get("body")
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    reply = httpx2.Response(status, request=httpx2.Request("POST", PATH))
    return openai.APIStatusError(str(message or f"status {status}"), response=reply, body=error)
