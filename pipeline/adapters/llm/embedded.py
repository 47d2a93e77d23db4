"""An LLM inside this process: llama.cpp through cyllama, one thread, several answers at once.

What it costs is tokens, read or written alike: 50 to 90 ms each for 1.5 billion parameters on one core, idle or
busy. Hence three economies: the beginning that a prompt shares with earlier ones is not computed again (13 s an
answer instead of 50, for prompts of 580 tokens of which 550 are common), what a schema forces is never sampled, and
answers are compact JSON.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading

from pydantic import BaseModel, ConfigDict, Field

from pipeline.adapters.llm.engine import Engine, EngineSettings, Job
from pipeline.adapters.model_lock import LANGUAGE_MODEL_FILE
from pipeline.contracts.chat import ChatAnswer, ChatRequest
from pipeline.contracts.render import ModelFiles
from pipeline.values.errors import EndpointError


class EmbeddedOptions(BaseModel):
    """Which model, and how hard it is driven.

    Attributes:
        model: Its name in the model lock.
        in_flight: Most answers worked on at once.
        threads: Threads that compute; by default all cores but one, since two busy threads too many cost far more
            than they bring.
        context_tokens: Most tokens of one prompt and its answer together; the cache takes as many for each answer
            in flight, 28 kB a token for Qwen2.5 1.5B.
        reuse_prefixes: Keep the computed beginning of earlier prompts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    in_flight: int = Field(4, ge=1, le=64)
    threads: int | None = Field(None, ge=1)
    context_tokens: int = Field(4096, ge=256)
    reuse_prefixes: bool = True


class EmbeddedChat:
    """The :class:`~pipeline.contracts.chat.ChatModel` for machines without a key, a GPU or a server.

    The model is loaded by the first call, in the engine's thread. A request gives the same text whatever runs beside
    it and whatever ran before it (see :mod:`pipeline.adapters.llm.engine`), on one kind of processor and with one
    number of threads: one and two threads gave another text for one request in six.

    Raises:
        ModelFileError: the model is not in the cache.
    """

    outlives_run = False

    def __init__(self, options: EmbeddedOptions, models: ModelFiles) -> None:
        self._settings = EngineSettings(
            path=models.path(options.model) / LANGUAGE_MODEL_FILE,
            name=options.model,
            num_parallel=options.in_flight,
            num_threads=options.threads or max(1, (os.cpu_count() or 1) - 1),
            context_tokens=options.context_tokens,
            reuses_prefixes=options.reuse_prefixes,
        )
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request; see :class:`~pipeline.contracts.chat.ChatModel`."""
        job = Job(request)
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="embedded-llm", daemon=True)
                self._thread.start()
            self._queue.put(job)
        return await asyncio.wrap_future(job.future)

    async def close(self) -> None:
        """Stop at the next layer of the batch under way, join the thread, free the model."""
        with self._lock:
            self._error = self._error or EndpointError(f"{self._settings.name}: the engine is closed")
            thread, engine = self._thread, self._engine
            if engine is not None:
                engine.interrupt()
        self._queue.put(None)
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        """Body of the engine's thread: whatever goes wrong in it reaches everyone who waits."""
        try:
            engine = Engine(self._settings)
            with self._lock:
                self._engine = engine
            self._work(engine)
        except BaseException as exc:  # noqa: BLE001 - it is raised again, in every call
            with self._lock:
                self._error = self._error or exc
        finally:
            with self._lock:
                error = self._error or EndpointError(f"{self._settings.name}: the engine has stopped")
                engine_or_none, self._engine = self._engine, None
            if engine_or_none is not None:
                engine_or_none.close(error)
            while not self._queue.empty():
                if (job := self._queue.get_nowait()) is not None:
                    job.fail(error)

    def _work(self, engine: Engine) -> None:
        while self._error is None:
            while engine.is_idle or not self._queue.empty():
                job = self._queue.get()
                if job is None:
                    return
                engine.submit(job)
            engine.step()
