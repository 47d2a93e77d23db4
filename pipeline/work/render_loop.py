"""Batches through a renderer: the accelerator makes one while threads finish and store those before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from pipeline.contracts.render import Brief, Finish, Outcome, Renderer, RenderFailure
from pipeline.contracts.watch import Watch
from pipeline.values.errors import OutOfMemory, RenderError
from pipeline.values.ids import derive_seed
from pipeline.values.units import Seconds
from pipeline.work.batching import BatchSize

FINISHERS = 4
"""Threads that gate and encode; encoders let go of the interpreter's lock, so they run beside the accelerator."""

MAX_UNSTORED = 2
"""Batches that may wait for their storing: one being stored, one ready. Memory holds no more than these."""


@dataclass(frozen=True)
class Made:
    """An outcome with the brief as it was rendered, the attempt's seed included.

    Attributes:
        spent: Columns of its row that say what it has cost, all attempts together; none where it cost nothing.
    """

    brief: Brief
    outcome: Outcome
    seconds: Seconds
    spent: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class RenderLoop:
    """Renders briefs in batches, tries again what fails its gates, and hands outcomes on as they come.

    Attributes:
        store: Takes each final outcome, on one thread at a time and never two at once.
        attempts: Renders of a brief before its failure is final.
    """

    renderer: Renderer
    size: BatchSize
    corpus_seed: int
    attempts: int
    watch: Watch
    store: Callable[[Made], None]
    _waiting: deque[Brief] = field(default_factory=deque)
    _unstored: deque[Future[list[Brief]]] = field(default_factory=deque)

    def run(self, briefs: Sequence[Brief]) -> None:
        """Render all of them.

        Raises:
            Drained: the run is ending; every batch that was made is stored.
            RenderError: the renderer cannot work, or one brief alone does not fit into memory.
        """
        # Briefs of about one size share a batch, since the longest decides what a batch costs.
        self._waiting.extend(sorted(briefs, key=lambda brief: (measure_work(brief), brief.id)))
        with ThreadPoolExecutor(FINISHERS) as finishers, ThreadPoolExecutor(1) as storing:
            try:
                while self._waiting or self._unstored:
                    if self._waiting:
                        self.watch.check()
                        batch, outcomes, seconds = self._render_batch()
                        finished = [
                            finishers.submit(_finish, outcome) if callable(outcome) else outcome for outcome in outcomes
                        ]
                        self._unstored.append(storing.submit(self._store_batch, batch, finished, seconds))
                    while self._unstored and (len(self._unstored) > MAX_UNSTORED or not self._waiting):
                        self._waiting.extend(self._unstored.popleft().result())
            finally:
                # A drain or an error ends the making; what was made is stored all the same.
                for batch_stored in self._unstored:
                    batch_stored.result()

    def _render_batch(self) -> tuple[list[Brief], Sequence[Outcome | Finish], Seconds]:
        while True:
            batch = _take(self._waiting, self.size.value)
            started = perf_counter()
            try:
                outcomes = self.renderer.render(batch)
            except OutOfMemory as exc:
                self._waiting.extendleft(reversed(batch))
                if not self.size.halve():
                    raise RenderError(f"{exc}; one brief alone does not fit: {batch[0].id}") from exc
                continue
            seconds = perf_counter() - started
            if len(outcomes) != len(batch):
                raise RenderError(f"the renderer returned {len(outcomes)} outcomes for {len(batch)} briefs")
            self.size.learn(sum(map(measure_work, batch)), len(batch), seconds)
            return batch, outcomes, seconds / len(batch)

    def _store_batch(
        self, batch: Sequence[Brief], finished: Sequence[Outcome | Future[tuple[Outcome, Seconds]]], share: Seconds
    ) -> list[Brief]:
        """Store what is final; return what is to be tried again, with the next attempt's seed."""
        again = []
        for brief, made in zip(batch, finished, strict=True):
            outcome, seconds = made.result() if isinstance(made, Future) else (made, 0.0)
            if isinstance(outcome, RenderFailure) and brief.attempt + 1 < self.attempts:
                again.append(next_attempt(brief, self.corpus_seed))
            else:
                self.store(Made(brief, outcome, share + seconds))
        return again


def next_attempt(brief: Brief, corpus_seed: int) -> Brief:
    """Return the brief of the next attempt: the same but for its seed."""
    return at_attempt(brief, corpus_seed, brief.attempt + 1)


def at_attempt(brief: Brief, corpus_seed: int, attempt: int) -> Brief:
    """Return the brief of any attempt."""
    seed = derive_seed(corpus_seed, brief.id, brief.modality, attempt)
    return brief.model_copy(update={"attempt": attempt, "seed": seed})


def measure_work(brief: Brief) -> float:
    """Return what a brief's time grows with: pixels, seconds of music, or characters of speech."""
    if brief.width and brief.height:
        return float(brief.width * brief.height)
    return brief.duration or float(len(brief.text))


def _take(waiting: deque[Brief], count: int) -> list[Brief]:
    """Take up to ``count`` briefs that may share a batch: pictures of other sizes cannot, nor new and changed ones."""
    batch = [waiting.popleft()]
    while waiting and len(batch) < count and _shape(waiting[0]) == _shape(batch[0]):
        batch.append(waiting.popleft())
    return batch


def _shape(brief: Brief) -> tuple[int | None, int | None, bool]:
    return brief.width, brief.height, brief.source is not None


def _finish(finish: Finish) -> tuple[Outcome, Seconds]:
    started = perf_counter()
    return finish(), perf_counter() - started
