"""Any endpoint of the OpenAI chat protocol: OpenAI, Azure, vLLM, llama.cpp, Ollama."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from pipeline.adapters.llm.completion import add_pictures, build_body, read_answer, read_completion
from pipeline.adapters.llm.endpoint import open_endpoint
from pipeline.adapters.llm.failures import Translator
from pipeline.adapters.llm.kept_pace import KeptPace
from pipeline.adapters.llm.memory import EndpointMemory
from pipeline.adapters.llm.pace import Pace, PaceState
from pipeline.adapters.llm.posting import Posting
from pipeline.adapters.llm.probing import FormFinder
from pipeline.adapters.llm.structured import Form, fill_form, find_json
from pipeline.adapters.llm.wire import Wire
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Usage
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.prices import TOKENS_A_PICTURE
from pipeline.values.writer import Writer

PATH = "/chat/completions"

CHARACTERS_PER_TOKEN = 4
"""Of English; only for the token cap, and only until answers say better."""


@dataclass(frozen=True)
class _Line:
    """One model of the endpoint, with what is found out about it."""

    kept: KeptPace
    wire: Wire[dict[str, Any]]
    finder: FormFinder
    translator: Translator


class OpenAIChat:
    """Implements ``ChatModel`` over HTTP; the key comes from the environment and is never shown.

    Args:
        memory: Folder in which pace and form are remembered from run to run; None remembers nothing.
        num_processes: Processes that share the endpoint and the manifest's caps; each takes an equal part, and what is
            remembered is that of all.

    Raises:
        EndpointError: ``writer.base_url`` is no address.
    """

    outlives_run = False

    def __init__(self, writer: Writer, memory: Path | None = None, num_processes: int = 1) -> None:
        self._writer = writer
        self._memory = memory
        self._num_processes = num_processes
        # The pace bounds what is in flight; a pool that did so, too, would make calls wait where nobody counts them.
        self._endpoint = open_endpoint(writer, max_connections=2 * writer.records_in_flight)
        self._host = self._endpoint.host
        self._posting = Posting(self._endpoint, PATH)
        self._lines: dict[str, _Line] = {}
        self._dead: EndpointError | None = None
        self._unpaid = Usage()

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request; see ``ChatModel``. After an EndpointError nothing more is sent."""
        try:
            line = self._line(request.model)
            try:
                return self._charge_probes(await self._ask(request, await line.finder.find()))
            except ChatFailure as exc:
                if not (exc.code == "bad_request" and line.finder.reconsider(str(exc))):
                    raise
            return self._charge_probes(await self._ask(request, await line.finder.find()))
        except EndpointError as exc:
            self._stop(exc)
            raise

    async def close(self) -> None:
        """Write down what was found out and close the connections."""
        for line in self._lines.values():
            line.kept.save(at_once=True)
        await self._endpoint.close()

    def pace(self, model: str) -> Pace:
        """The pace of a model: where it stands, and how much of it this process may use."""
        return self._line(model).kept.pace

    def states(self) -> Mapping[str, PaceState]:
        """Where the pace of each model stands that was called."""
        return {model: line.kept.pace.state() for model, line in self._lines.items()}

    async def _ask(self, request: ChatRequest, form: Form) -> ChatAnswer:
        line = self._line(request.model)
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        extra = fill_form(form, request, messages)
        content = build_body(request, extra, messages)
        tokens = len(content) / CHARACTERS_PER_TOKEN + request.max_tokens
        if request.num_pictures:
            add_pictures(messages, request.messages)
            content = build_body(request, extra, messages)
            tokens += request.num_pictures * TOKENS_A_PICTURE
        started = perf_counter()
        body = await line.wire.send(content, tokens)
        line.kept.save()
        answer = read_answer(body, request.model, perf_counter() - started, line.translator)
        if form in ("json_schema", "bare_schema"):
            return answer
        return answer.model_copy(update={"text": find_json(answer.text, request.json_schema)})

    async def _send_probe(self, request: ChatRequest, form: Form) -> ChatAnswer:
        try:
            answer = await self._ask(request, form)
        except ChatFailure as exc:
            self._unpaid = _sum(self._unpaid, Usage.model_validate(dict(exc.usage or {})))
            raise
        self._unpaid = _sum(self._unpaid, answer.usage)
        return answer

    def _charge_probes(self, answer: ChatAnswer) -> ChatAnswer:
        """Add what probes have used to the next answer: they serve no record, and yet their cost has to be counted."""
        if not (self._unpaid.prompt_tokens or self._unpaid.completion_tokens):
            return answer
        usage, self._unpaid = _sum(answer.usage, self._unpaid), Usage()
        return answer.model_copy(update={"usage": usage})

    def _line(self, model: str) -> _Line:
        if self._dead is not None:
            raise self._dead
        line = self._lines.get(model)
        if line is None:
            line = self._lines[model] = self._open_line(model)
        return line

    def _open_line(self, model: str) -> _Line:
        writer = self._writer
        memory = EndpointMemory(self._memory, self._host, model)
        kept = KeptPace(
            memory,
            writer.records_in_flight,
            self._num_processes,
            requests_per_minute=writer.requests_per_minute,
            tokens_per_minute=writer.tokens_per_minute,
        )
        translator = self._endpoint.translator(model)
        wire = Wire(self._posting, kept.pace, translator, writer.timeout_seconds, read_completion)
        finder = FormFinder(writer.structured, model, memory, self._send_probe)
        return _Line(kept, wire, finder, translator)

    def _stop(self, error: EndpointError) -> None:
        self._dead = self._dead or error
        for line in self._lines.values():
            line.kept.pace.stop(self._dead)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.model_fields})
