"""Several answers at once out of one model in this process, token by token. Belongs to one thread.

The numbers are the same whatever else is computed beside an answer and whatever was kept from before, so that a
request and its seed give one text. That takes four settings of llama.cpp, found by trying all combinations on three
models (texts of 12 requests compared: alone, again with everything kept, four at once): a cache for each sequence,
flash attention, fewer than 64 tokens a sequence and batch (from there on another kernel is used), and weights as
they stand in the file (repacked ones have kernels that differ by the size of the batch).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.adapters.llm.grammar import Grammar
from pipeline.adapters.llm.prefixes import PrefixMemory
from pipeline.adapters.llm.sampling import Sampler
from pipeline.adapters.llm.vocabulary import Place, Vocabulary
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Usage
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.units import Seconds

TOKENS_PER_STEP = 48
"""Tokens computed between two looks at the queue; below 64, for sameness."""

FLASH_ATTENTION_ON = 1

MOST_OVERTAKEN = 32
"""Times that a request may be overtaken by others of which more is kept, before it is its turn."""

CACHED_GRAMMARS = 64

SCHEMA_ERRORS = (AssertionError, AttributeError, KeyError, TypeError, ValueError)
"""What the converter raises over schemas that it does not understand."""


@dataclass(frozen=True)
class EngineSettings:
    """How a model is run.

    Attributes:
        path: The GGUF file.
        name: What errors and answers call it.
        num_parallel: Most answers in flight.
        num_threads: Threads that compute.
        context_tokens: Most tokens of one prompt and its answer.
        reuses_prefixes: Keep the computed beginning of earlier prompts.
    """

    path: Path
    name: str
    num_parallel: int
    num_threads: int
    context_tokens: int
    reuses_prefixes: bool


@dataclass
class Job:
    """A request on its way to its answer."""

    request: ChatRequest
    future: Future[ChatAnswer] = field(default_factory=Future)
    started: Seconds = field(default_factory=time.monotonic)

    def fail(self, error: BaseException) -> None:
        """Hand an error to whoever waits, if anyone still does."""
        with suppress(InvalidStateError):  # cancelled meanwhile
            self.future.set_exception(error)

    def answer(self, answer: ChatAnswer) -> None:
        """Hand over the answer, likewise."""
        with suppress(InvalidStateError):
            self.future.set_result(answer)


@dataclass
class Running:
    """An answer in flight.

    Attributes:
        sequence: Its sequence in the engine's memory.
        due: Tokens that are known and still to be computed.
        position: Tokens computed so far.
        row: Place in the last batch of its last due token.
    """

    job: Job
    grammar: Grammar
    sampler: Sampler
    place: Place
    prompt: list[int]
    sequence: int
    num_cached: int
    due: list[int]
    position: int
    answer: list[int]
    row: int = -1


@dataclass
class Waiting:
    """A request that is tokenised and waits for room.

    Attributes:
        opening: Tokens with which its grammar forces every answer to begin.
        place: The place in the grammar after them.
        overtaken: How many younger requests went before it.
    """

    job: Job
    grammar: Grammar
    prompt: list[int]
    opening: list[int]
    place: Place
    overtaken: int = 0


class Engine:
    """A loaded model and the answers it is working on.

    Raises:
        EndpointError: the library or the model cannot be loaded.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._waiting: list[Waiting] = []
        self._running: list[Running] = []
        try:
            from cyllama.llama import llama_cpp
        except ImportError as exc:
            raise EndpointError(
                f"engine embedded: the package cyllama is missing ({exc}); pip install cyllama"
            ) from exc
        llama_cpp.disable_logging()
        llama_cpp.ggml_backend_load_all()
        parameters = llama_cpp.LlamaModelParams()
        parameters.use_extra_bufts = False
        try:
            self._model = llama_cpp.LlamaModel(str(settings.path), parameters, verbose=False)
        except ValueError as exc:
            raise EndpointError(f"{settings.name}: {settings.path} cannot be loaded: {exc}") from exc
        self._context = llama_cpp.LlamaContext(self._model, _context_parameters(settings), verbose=False)
        self._context.install_cancel_callback()
        self._batch = llama_cpp.LlamaBatch(n_tokens=TOKENS_PER_STEP, embd=0, n_seq_max=1)
        self._to_grammar = lru_cache(CACHED_GRAMMARS)(lambda text: Grammar(llama_cpp.json_schema_to_grammar(text)))
        self._vocabulary = Vocabulary(self._model, settings.name)
        self._memory = PrefixMemory(self._context, settings.num_parallel, reuses=settings.reuses_prefixes)

    @property
    def is_idle(self) -> bool:
        """True when there is nothing to do."""
        return not self._running and not self._waiting

    def submit(self, job: Job) -> None:
        """Take a request on; its future gets the answer or the failure."""
        try:
            self._waiting.append(self._prepare(job))
        except ChatFailure as exc:
            job.fail(exc)
        except BaseException as exc:
            job.fail(exc)
            raise

    def _prepare(self, job: Job) -> Waiting:
        grammar = self._grammar(job.request.json_schema)
        prompt = self._vocabulary.prompt(job.request.messages)
        forced, state = grammar.forced(grammar.start)
        opening = self._vocabulary.tokens(forced)
        if len(prompt) + len(opening) + job.request.max_tokens > self._settings.context_tokens:
            raise ChatFailure(
                "too_long",
                f"{self._settings.name}: prompt of {len(prompt)} tokens and answer of {job.request.max_tokens} do not "
                f"fit into the context of {self._settings.context_tokens}",
            )
        return Waiting(job, grammar, prompt, opening, Place(state))

    def _grammar(self, schema: Mapping[str, Any]) -> Grammar:
        # Not sorted: the order of properties is the order in which they are written.
        text = json.dumps(schema, ensure_ascii=False)
        try:
            return self._to_grammar(text)
        except SCHEMA_ERRORS as exc:
            raise ChatFailure("bad_request", f"{self._settings.name}: schema cannot be a grammar: {exc}") from exc

    def step(self) -> None:
        """Compute one batch and draw a token for every answer that is ready for one."""
        self._drop_abandoned()
        self._admit()
        if not self._running:
            return
        parts = self._fill_batch()
        self._context.decode(self._batch)
        for running, tokens in parts:
            self._memory.append(running.sequence, tokens)
            running.position += len(tokens)
        for running in [r for r in self._running if not r.due]:
            try:
                self._extend(running)
            except ChatFailure as exc:
                self._finish(running, exc)

    def _drop_abandoned(self) -> None:
        for running in [r for r in self._running if r.job.future.cancelled()]:
            self._leave(running)
        self._waiting = [w for w in self._waiting if not w.job.future.cancelled()]

    def _admit(self) -> None:
        # One prompt at a time: the next one can then take over the beginning that this one computes.
        while self._waiting and len(self._running) < self._settings.num_parallel:
            if any(r.position < len(r.prompt) for r in self._running):
                return
            self._start(self._next())

    def _next(self) -> Waiting:
        """Take from the queue the request of which most is kept already, the oldest among equals."""
        oldest = self._waiting[0]
        chosen = oldest
        if oldest.overtaken < MOST_OVERTAKEN:
            chosen = max(self._waiting, key=lambda waiting: self._memory.find(waiting.prompt)[1])
        if chosen is not oldest:
            oldest.overtaken += 1
        self._waiting.remove(chosen)
        return chosen

    def _start(self, waiting: Waiting) -> None:
        sequence, num_cached = self._memory.take(waiting.prompt)
        grammar = waiting.grammar
        running = Running(
            job=waiting.job,
            grammar=grammar,
            sampler=Sampler(self._vocabulary, grammar, waiting.job.request),
            place=waiting.place,
            prompt=waiting.prompt,
            sequence=sequence,
            num_cached=num_cached,
            due=waiting.prompt[num_cached:] + waiting.opening,
            position=num_cached,
            answer=list(waiting.opening),
        )
        self._running.append(running)

    def _fill_batch(self) -> list[tuple[Running, list[int]]]:
        self._batch.clear()
        parts = []
        # Answers before prompts: they are short, and ready for their next token.
        for running in sorted(self._running, key=lambda r: len(r.due)):
            room = TOKENS_PER_STEP - self._batch.n_tokens
            tokens, running.due = running.due[:room], running.due[room:]
            for index, token in enumerate(tokens):
                needs_logits = not running.due and index == len(tokens) - 1
                running.row = self._batch.n_tokens
                self._batch.add(token, running.position + index, [running.sequence], needs_logits)
            parts.append((running, tokens))
        return parts

    def _extend(self, running: Running) -> None:
        """Draw the next token, add what the grammar forces after it, and see whether that ends the answer."""
        token, place = running.sampler.draw(self._context, running.row, running.place)
        if place is None:
            self._finish(running, "stop")
            return
        forced = ""
        if not place.pending:
            forced, state = running.grammar.forced(place.state)
            place = Place(state)
        running.due = [token, *self._vocabulary.tokens(forced)]
        running.place = place
        running.answer += running.due
        if place.state.is_complete and not place.state.stacks and not place.pending:
            self._finish(running, "stop")
        elif len(running.answer) >= running.job.request.max_tokens:
            self._finish(running, "length")

    def _finish(self, running: Running, outcome: str | ChatFailure) -> None:
        self._leave(running)
        if isinstance(outcome, ChatFailure):
            running.job.fail(outcome)
            return
        answer = ChatAnswer(
            # Cut in the middle of a character, the answer ends before it.
            text=self._vocabulary.data(running.answer).decode("utf-8", "ignore"),
            model=self._settings.name,
            finish_reason=outcome,
            usage=Usage(
                prompt_tokens=len(running.prompt),
                cached_tokens=running.num_cached,
                completion_tokens=len(running.answer),
            ),
            latency=time.monotonic() - running.job.started,
        )
        running.job.answer(answer)

    def _leave(self, running: Running) -> None:
        self._running.remove(running)
        self._memory.release(running.sequence)

    def interrupt(self) -> None:
        """End the batch that is being computed; the one call that another thread may make."""
        self._context.cancel = True

    def close(self, error: BaseException) -> None:
        """Fail what is unfinished and free context and model."""
        for job in [r.job for r in self._running] + [w.job for w in self._waiting]:
            job.fail(error)
        self._running.clear()
        self._waiting.clear()
        self._batch.close()
        self._context.close()
        self._model.close()


def _context_parameters(settings: EngineSettings) -> Any:
    from cyllama.llama import llama_cpp

    parameters = llama_cpp.LlamaContextParams()
    parameters.n_ctx = settings.context_tokens * settings.num_parallel
    parameters.n_seq_max = settings.num_parallel
    parameters.n_batch = parameters.n_ubatch = TOKENS_PER_STEP
    parameters.n_threads = parameters.n_threads_batch = settings.num_threads
    parameters.kv_unified = False
    parameters.flash_attn_type = FLASH_ATTENTION_ON
    return parameters
