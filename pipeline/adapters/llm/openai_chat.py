"""Any endpoint of the OpenAI chat protocol: OpenAI, Azure, vLLM, llama.cpp, Ollama."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, perf_counter
from urllib.parse import urlsplit

import httpx2
import openai

from pipeline.adapters.llm.ceiling import START
from pipeline.adapters.llm.completion import build_body, read_answer
from pipeline.adapters.llm.failures import Translator
from pipeline.adapters.llm.memory import EndpointMemory
from pipeline.adapters.llm.pace import Pace, PaceLimits, PaceState
from pipeline.adapters.llm.probing import FormFinder
from pipeline.adapters.llm.structured import Form, fill_form, find_json
from pipeline.adapters.llm.wire import Wire
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Usage
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.manifest import Writer
from pipeline.values.units import Seconds

SAVE_SECONDS: Seconds = 10.0
"""What changes of a pace is written down no more often."""

NO_KEY = "none"
"""Local servers want no key, and the client insists on one."""

CHARACTERS_PER_TOKEN = 4
"""Of English; only for the token cap, and only until answers say better."""


class _Line:
    """One model of the endpoint, with what is found out about it."""

    def __init__(self, wire: Wire, memory: EndpointMemory, finder: FormFinder, translator: Translator) -> None:
        self.wire = wire
        self.finder = finder
        self.translator = translator
        self._memory = memory
        self._saved_at = monotonic()

    def save(self, *, at_once: bool = False) -> None:
        """Write down what the pace has come to, not too often."""
        if at_once or monotonic() - self._saved_at > SAVE_SECONDS:
            self._saved_at = monotonic()
            state = self.wire.pace.state()
            self._memory.learn(ceiling=state.ceiling_found, reached=state.reached or None)


class OpenAIChat:
    """Implements ``ChatModel`` over HTTP; the key comes from the environment and is never shown.

    Args:
        memory: Folder in which pace and form are remembered from run to run; None remembers nothing.

    Attributes:
        probe_usage: What probes have cost. They serve no record and stand in no journal.

    Raises:
        EndpointError: ``writer.base_url`` is no address.
    """

    def __init__(self, writer: Writer, memory: Path | None = None) -> None:
        _check_address(writer.base_url)
        self._writer = writer
        self._memory = memory
        self._key = os.environ.get(writer.api_key_env)
        # The pace bounds what is in flight; a pool that did so, too, would make calls wait where nobody counts them.
        limits = httpx2.Limits(max_connections=2 * writer.records_in_flight)
        self._client = openai.AsyncOpenAI(
            api_key=self._key or NO_KEY,
            base_url=writer.base_url,
            timeout=writer.timeout_seconds,
            max_retries=0,
            # The default transport takes twice the CPU a call and 1.3 times as long at 256 in flight.
            http_client=openai.DefaultAioHttpClient(limits=limits),
        )
        self._host = self._client.base_url.netloc.decode()
        self._lines: dict[str, _Line] = {}
        self._dead: EndpointError | None = None
        self.probe_usage = Usage()

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request; see ``ChatModel``. After an EndpointError nothing more is sent."""
        try:
            line = self._line(request.model)
            try:
                return await self._ask(request, await line.finder.find())
            except ChatFailure as exc:
                if not (exc.code == "bad_request" and line.finder.reconsider(str(exc))):
                    raise
            return await self._ask(request, await line.finder.find())
        except EndpointError as exc:
            self._stop(exc)
            raise

    async def close(self) -> None:
        """Write down what was found out and close the connections."""
        for line in self._lines.values():
            line.save(at_once=True)
        await self._client.close()

    def pace(self, model: str) -> Pace:
        """The pace of a model: where it stands, and how much of it this process may use."""
        return self._line(model).wire.pace

    def states(self) -> Mapping[str, PaceState]:
        """Where the pace of each model stands that was called."""
        return {model: line.wire.pace.state() for model, line in self._lines.items()}

    async def _ask(self, request: ChatRequest, form: Form) -> ChatAnswer:
        line = self._line(request.model)
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        extra = fill_form(form, request, messages)
        content = build_body(request, extra, messages)
        started = perf_counter()
        body = await line.wire.send(content, len(content) / CHARACTERS_PER_TOKEN + request.max_tokens)
        line.save()
        answer = read_answer(body, request.model, perf_counter() - started, line.translator)
        if form in ("json_schema", "bare_schema"):
            return answer
        return answer.model_copy(update={"text": find_json(answer.text, request.json_schema)})

    async def _send_probe(self, request: ChatRequest, form: Form) -> ChatAnswer:
        try:
            answer = await self._ask(request, form)
        except ChatFailure as exc:
            self._count_probe(Usage.model_validate(dict(exc.usage or {})))
            raise
        self._count_probe(answer.usage)
        return answer

    def _count_probe(self, usage: Usage) -> None:
        spent = self.probe_usage
        self.probe_usage = Usage(**{name: getattr(spent, name) + getattr(usage, name) for name in Usage.model_fields})

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
        known = memory.load()
        limits = PaceLimits(
            most=writer.records_in_flight,
            ceiling=known.ceiling,
            start=known.reached or START,
            requests_per_minute=writer.requests_per_minute,
            tokens_per_minute=writer.tokens_per_minute,
        )
        translator = Translator(f"{model} at {self._host}", self._key, writer.api_key_env, writer.timeout_seconds)
        wire = Wire(self._client, Pace(limits), translator, writer.timeout_seconds)
        return _Line(wire, memory, FormFinder(writer.structured, model, memory, self._send_probe), translator)

    def _stop(self, error: EndpointError) -> None:
        self._dead = self._dead or error
        for line in self._lines.values():
            line.wire.pace.stop(self._dead)


def _check_address(base_url: str | None) -> None:
    """Refuse what is no address, before the client does so in words of its own."""
    if base_url is None:
        return
    advice = "state an address such as http://localhost:8000/v1"
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise EndpointError(f"writer.base_url {base_url!r} cannot be read ({exc}); {advice}") from exc
    if parts.username or parts.password:
        raise EndpointError("writer.base_url holds a user name or password; keep keys in the variable of api_key_env")
    if not is_address or base_url != base_url.strip():
        raise EndpointError(f"writer.base_url {base_url!r} is no http or https address; {advice}")
