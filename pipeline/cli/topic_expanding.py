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

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from pipeline.adapters.complaints import word_errors
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
from pipeline.values.errors import EndpointError, ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.records import Topic
from pipeline.values.units import USD
from pipeline.values.words import say_count
from pipeline.work.asking import Asker, read_account
from pipeline.work.purse import Purse
from pipeline.work.topic_expansion import Expansion, FreshTries, Goal, State, count_calls
from pipeline.work.topic_variety import Kind, Sieve

WORK_SUFFIX = ".work"
"""Beside ``topics.txt``, ``topics.txt.work/`` keeps the journal of what was paid for."""

STAGE = "topics"
OPTIONS = {"writer.base_url": "--base-url", "state base_url": "give --base-url"} | {
    key: "--model" for key in ("writer.model", "writer.api_key_env", "writer.price")
}
"""By the key that an error names, the option that says the same."""

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
        elif event == "unsent":  # it did not get out, or was refused for a reason that is not its own
            self.calls -= 1
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
    """How far an expansion goes; ``per_call`` None takes what suits the engine.

    Attributes:
        budget: US dollars that all expansions of the file together may spend on calls.
    """

    per_meta: int
    per_call: int | None
    min_new_share: float
    max_calls: int | None
    budget: USD | None = None


def expand_file(file: Path, means: Means, extent: Extent) -> int:
    """Expand a topic file; return the exit code.

    Raises:
        ManifestError: manifest, prompts or file are wrong, or a meta-topic is unknown.
        EndpointError: no call can succeed.
        CorpusError: another expansion of the file is running, or it cannot be written.
    """
    console, project = Console(highlight=False), _project(means)
    _check_money(project, means, extent.budget)
    check_metas(means.metas, project.book)
    writer = project.manifest.writer
    goal = Goal(extent.per_meta, extent.per_call or PER_CALL[writer.engine], extent.min_new_share)
    shelf, watch = FileShelf(file, project.book), CallLimit(extent.max_calls)
    purse = Purse(is_final=True)
    work = ShardWork(project, None, watch, purse)
    folder = file.with_name(file.name + WORK_SUFFIX) / "journal"
    lock = CorpusLock.acquire(folder)
    journal = FileJournal(folder, STAGE, lock.epoch)
    try:
        before = read_account(journal).paid
        if extent.budget is not None:
            purse.allow(extent.budget - before)
        if writer.engine == "embedded":
            fetch_models(ModelCache(), [entry.model for entry in writer.blend], console)
        with comparing([file], shelf.read(), means.words_only, console) as embedder:
            writing = work.writing
            expansion = Expansion(
                meta_topics=[
                    meta for name, meta in project.book.meta_topics.items() if name in (means.metas or {name})
                ],
                goal=goal,
                shelf=shelf,
                sieve=Sieve(embedder),
                asker=Asker(writing.chat, FreshTries(journal), watch, writing.prices, writing.purse),
                writing=writing,
                tell=lambda expansion: _tell(expansion, watch, console),
            )
            _announce(expansion, shelf, extent.max_calls, console)
            end = asyncio.run(_run(expansion, work, watch))
    except EndpointError as exc:
        raise EndpointError(_say_options(str(exc), means)) from exc
    finally:
        lock.release()
    _conclude(expansion, watch, file, console)
    if end is None:
        return 0
    spent = f"{before + watch.usd:.4f} of {extent.budget:.4f} USD are spent" if purse.is_spent else None
    console.print(_say_why(end, watch, spent), soft_wrap=True)
    return INTERRUPTED if watch.is_ending else OVER_BUDGET


def _say_why(end: str, watch: CallLimit, spent: str | None) -> str:
    """Say why it ended before all was done, and how to go on."""
    if watch.is_ending:
        return "Stopped; what was answered is kept. The same command goes on."
    if spent is not None:
        return f"Stopped: {end}; {spent}, earlier runs included. To go on: --budget MORE"
    calls = say_count(watch.calls, "call")
    return f"Stopped after {calls}, as asked; what was answered is kept. The same command goes on."


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
        is_locked = means.base_url is None and means.model in load_lock().language_models
        sampling = {"engine": "embedded", "repeat_penalty": 1.1} if is_locked else {"engine": "openai"}
        path = Path("--model")
        data = {
            "schema_version": 1,
            "name": "topics",
            "topics": {"generate": {}},
            "mix": [{"name": "text", "gives": ["text"], "answers": ["text"]}],
            "writer": {"model": means.model, "base_url": means.base_url, **sampling},
        }
        try:
            manifest = Manifest.model_validate(data)
        except ValidationError as exc:
            told = "\n".join(map(str, word_errors(Manifest, data, exc)))
            raise ManifestError(_say_options(told, means)) from exc
    if means.prompts is not None:
        manifest = manifest.model_copy(update={"prompts": str(means.prompts.absolute())})
    # Topics have no corpus: nothing below reads or writes that folder.
    return Project(path, manifest, Path("corpora") / manifest.name)


def _check_money(project: Project, means: Means, budget: USD | None) -> None:
    """Refuse what no call could pass, and a budget that cannot be kept, before anything is done."""
    if project.missing_key:
        raise ManifestError(_say_options(project.locate(project.missing_key), means))
    if budget is not None and means.manifest is None and project.unpriced:
        raise ManifestError(f"--budget: nobody stated what {means.model} costs; take a --manifest with writer.price")
    project.check_budget(budget)


def _say_options(text: str, means: Means) -> str:
    """Name in an error what the user wrote: options of the command, where there is no manifest."""
    if means.manifest is not None:
        return text
    for key, option in OPTIONS.items():
        text = text.replace(key, option)
    return text


async def _run(expansion: Expansion, work: ShardWork, watch: CallLimit) -> str | None:
    """Expand until all is done; where the calls or the money were used up or the user ended it, say so."""

    def on_interrupt() -> None:
        if watch.is_ending:
            print("\nStopped at once.", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        watch.is_ending = True
        print("\nFinishing what is in flight; press Ctrl-C again to stop at once.", file=sys.stderr, flush=True)

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        await expansion.run()
    except Drained as exc:
        return str(exc)
    finally:
        await work.close()
    return None


def _announce(expansion: Expansion, shelf: FileShelf, max_calls: int | None, console: Console) -> None:
    topics = shelf.read()
    have = {meta.id: sum(topic.meta_topic == meta.id for topic in topics) for meta in expansion.meta_topics}
    lacking = [max(0, expansion.goal.per_meta - count) for count in have.values()]
    limit = "no limit" if max_calls is None else f"a limit of {max_calls:,}"
    missing, calls = sum(lacking), count_calls(expansion.goal, lacking)
    console.print(
        f"{say_count(missing, 'topic')} {'is' if missing == 1 else 'are'} missing from "
        f"{sum(count > 0 for count in lacking):,} of {say_count(len(lacking), 'meta-topic')}: "
        f"{say_count(calls, 'call')} or more, with {limit}.",
        soft_wrap=True,
    )


def _tell(expansion: Expansion, watch: CallLimit, console: Console) -> None:
    rows = expansion.rows.values()
    counts = {state: sum(row.state is state for row in rows) for state in State}
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    left_out = sum(row.alike.total() for row in rows)
    console.print(
        f"{say_count(sum(row.added for row in rows), 'topic')} added, {left_out:,} left out, "
        f"{say_count(watch.calls, 'call')}; {states}",
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
        f"{say_count(added, 'topic')} added to {file} with {say_count(watch.calls, 'call')}, "
        f"{say_count(watch.tokens, 'token')} written{price}",
        markup=False,
        soft_wrap=True,
    )
