"""``anyinstruct topics expand``: an LLM writes topics into a file until every meta-topic is full or exhausted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.adapters.journal import FileJournal
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.model_lock import load_lock
from pipeline.cli.fetching import fetch_models
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED, OVER_BUDGET
from pipeline.cli.topic_commands import check_metas, comparing, open_file
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.watch import Drained
from pipeline.execution.project import Project, load_project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.records import Topic
from pipeline.values.units import USD
from pipeline.work.asking import Asker
from pipeline.work.topic_expansion import Expansion, FreshTries, Goal, State, count_calls
from pipeline.work.topic_variety import Kind, Sieve

WORK_SUFFIX = ".work"
"""Beside ``topics.txt``, ``topics.txt.work/`` keeps the journal of what was paid for."""

STAGE = "topics"
PER_CALL = {"openai": 50, "embedded": 10}


@dataclass(frozen=True)
class Means:
    """What writes: a manifest, or a model by name; and about which meta-topics."""

    manifest: Path | None
    model: str | None
    base_url: str | None
    metas: tuple[str, ...]
    prompts: Path | None
    words_only: bool


@dataclass
class CallLimit:
    """A watch that counts, and lets no call begin beyond a number or once the user wants to end.

    Attributes:
        max_calls: None for as many as it takes.
    """

    max_calls: int | None
    calls: int = 0
    tokens: int = 0
    usd: USD = 0.0
    is_ending: bool = False

    def note(self, event: str, **facts: Any) -> None:
        """Count calls and what they cost."""
        if event == "call":
            self.calls += 1
        elif event == "answer":
            self.usd += facts["usd"]
            self.tokens += facts["tokens"]

    def check(self) -> None:
        """Raise Drained where no further call may begin."""
        if self.is_ending or (self.max_calls is not None and self.calls >= self.max_calls):
            raise Drained("no further call may begin")


@dataclass
class FileShelf:
    """Topics in a file, read anew each time, so that nothing that a person changes meanwhile is lost."""

    file: Path
    book: PromptBook

    def read(self) -> Sequence[Topic]:
        """Return the file's topics."""
        return open_file(self.file, self.book).topics

    def add(self, topics: Sequence[Topic]) -> None:
        """Write topics into the file."""
        if topics:
            open_file(self.file, self.book).add(topics).write()


@dataclass(frozen=True)
class Extent:
    """How far an expansion goes; ``per_call`` None takes what suits the engine."""

    per_meta: int
    per_call: int | None
    min_new_share: float
    max_calls: int | None


def expand_file(file: Path, means: Means, extent: Extent) -> int:
    """Expand a topic file; return the exit code.

    Raises:
        ManifestError: manifest, prompts or file are wrong, or a meta-topic is unknown.
        EndpointError: no call can succeed.
        CorpusError: another expansion of the file is running, or it cannot be written.
    """
    console, project = Console(highlight=False), _project(means)
    check_metas(means.metas, project.book)
    writer = project.manifest.writer
    goal = Goal(extent.per_meta, extent.per_call or PER_CALL[writer.engine], extent.min_new_share)
    shelf, watch = FileShelf(file, project.book), CallLimit(extent.max_calls)
    work = ShardWork(project, None, watch)
    lock = CorpusLock.acquire(file.with_name(file.name + WORK_SUFFIX) / "journal")
    try:
        if writer.engine == "embedded":
            fetch_models(ModelCache(), [entry.model for entry in writer.blend], console)
        with comparing([file], shelf.read(), means.words_only, console) as embedder:
            journal = FreshTries(FileJournal(file.with_name(file.name + WORK_SUFFIX) / "journal", STAGE, lock.epoch))
            writing = work.writing
            expansion = Expansion(
                meta_topics=[
                    meta for name, meta in project.book.meta_topics.items() if name in (means.metas or {name})
                ],
                goal=goal,
                shelf=shelf,
                sieve=Sieve(embedder),
                asker=Asker(writing.chat, journal, watch, writing.prices, writing.purse),
                writing=writing,
                tell=lambda expansion: _tell(expansion, watch, console),
            )
            _announce(expansion, shelf, extent.max_calls, console)
            is_whole = asyncio.run(_run(expansion, work, watch))
    finally:
        lock.release()
    _conclude(expansion, watch, file, console)
    if is_whole:
        return 0
    why = "Stopped" if watch.is_ending else f"Stopped after {watch.calls:,} calls, as asked"
    console.print(f"{why}; what was answered is kept. The same command goes on.", soft_wrap=True)
    return INTERRUPTED if watch.is_ending else OVER_BUDGET


def _project(means: Means) -> Project:
    """Resolve a manifest, or make one that asks for topics alone."""
    if (means.manifest is None) == (means.model is None):
        raise ManifestError("topics expand: name either --manifest or --model")
    if means.manifest is not None:
        if means.base_url is not None:
            raise ManifestError("--base-url goes with --model; a manifest names its own under writer:")
        project = load_project(means.manifest)
        path, manifest = project.path, project.manifest
    else:
        is_locked = means.base_url is None and means.model in load_lock().models
        sampling = {"engine": "embedded", "repeat_penalty": 1.1} if is_locked else {"engine": "openai"}
        path = Path("--model")
        manifest = Manifest.model_validate(
            {
                "schema_version": 1,
                "name": "topics",
                "topics": {"generate": {}},
                "mix": [{"name": "text", "gives": ["text"], "answers": ["text"]}],
                "writer": {"model": means.model, "base_url": means.base_url, **sampling},
            }
        )
    if means.prompts is not None:
        manifest = manifest.model_copy(update={"prompts": str(means.prompts.absolute())})
    # Topics have no corpus: nothing below reads or writes that folder.
    return Project(path, manifest, Path("corpora") / manifest.name)


async def _run(expansion: Expansion, work: ShardWork, watch: CallLimit) -> bool:
    """Expand until all is done; False where the calls were used up or the user ended it."""

    def on_interrupt() -> None:
        if watch.is_ending:
            print("\nStopped at once.", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        watch.is_ending = True
        print("\nFinishing what is in flight; press Ctrl-C again to stop at once.", file=sys.stderr, flush=True)

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        await expansion.run()
    except Drained:
        return False
    finally:
        await work.close()
    return True


def _announce(expansion: Expansion, shelf: FileShelf, max_calls: int | None, console: Console) -> None:
    topics = shelf.read()
    have = {meta.id: sum(topic.meta_topic == meta.id for topic in topics) for meta in expansion.meta_topics}
    lacking = [max(0, expansion.goal.per_meta - count) for count in have.values()]
    limit = "no limit" if max_calls is None else f"a limit of {max_calls:,}"
    console.print(
        f"{sum(lacking):,} topics are missing from {sum(count > 0 for count in lacking):,} of {len(lacking):,} "
        f"meta-topics: {count_calls(expansion.goal, lacking):,} calls or more, with {limit}.",
        soft_wrap=True,
    )


def _tell(expansion: Expansion, watch: CallLimit, console: Console) -> None:
    rows = expansion.rows.values()
    counts = {state: sum(row.state is state for row in rows) for state in State}
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    left_out = sum(row.alike.total() for row in rows)
    console.print(
        f"{sum(row.added for row in rows):,} topics added, {left_out:,} left out, {watch.calls:,} calls; {states}",
        soft_wrap=True,
    )


def _conclude(expansion: Expansion, watch: CallLimit, file: Path, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("meta-topic", overflow="fold")
    for name in ("topics", "added", "equal", "near", "same meaning"):
        table.add_column(name, justify="right")
    table.add_column("state", overflow="fold")
    for row in expansion.rows.values():
        told = f"{row.state}: {row.message}" if row.message and row.state is not State.FULL else str(row.state)
        left_out = [f"{row.alike[kind]:,}" if row.alike[kind] else "" for kind in Kind]
        table.add_row(plain(row.meta_topic.id), f"{row.have:,}", f"{row.added:,}", *left_out, plain(told))
    console.print(table)
    added = sum(row.added for row in expansion.rows.values())
    price = "" if not watch.usd else f", {watch.usd:,.2f} USD"
    console.print(
        f"{added:,} topics added to {file} with {watch.calls:,} calls, {watch.tokens:,} tokens written{price}",
        markup=False,
        soft_wrap=True,
    )
