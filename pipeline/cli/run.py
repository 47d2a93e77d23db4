"""``anyinstruct run``: the driver, with progress that a person can read and a Ctrl-C that loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.cli.fetching import fetch_models
from pipeline.cli.progress import open_progress
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.watch import Drained
from pipeline.execution.budget import BudgetReached
from pipeline.execution.driver import Run
from pipeline.execution.forecast import forecast
from pipeline.execution.keys import find_missing_keys
from pipeline.execution.project import Project, load_project
from pipeline.execution.retrying import Retrying
from pipeline.execution.tokenizing import find_tokenizing
from pipeline.values.errors import ManifestError
from pipeline.values.stages import Until
from pipeline.values.units import USD
from pipeline.values.words import say_count
from pipeline.work.taking import KEPT, ROWS, add_up

OVER_BUDGET = 3
"""Exit code of a run that its budget ended."""

INTERRUPTED = 130
"""Exit code of a run that Ctrl-C ended: 128 + SIGINT, as shells have it."""


@dataclass(frozen=True)
class RunLimits:
    """How far a run goes.

    Attributes:
        limit: Of the plan's first dialogues that are worked on; None for all.
        until: Last stage; None for all.
        budget: US dollars that all runs of the corpus may spend; None for the manifest's.
        retry_failed: Reason for which failed records are taken again; None leaves them.
    """

    limit: int | None = None
    until: Until | None = None
    budget: USD | None = None
    retry_failed: str | None = None


def run_manifest(manifest: Path, corpus: Path | None, limits: RunLimits, address: str | None = None) -> int:
    """Bring a corpus up to date; return the exit code.

    Args:
        address: Ray address in place of the manifest's.
    """
    console = Console(highlight=False)
    project = replace(load_project(manifest, corpus), address=address)
    limit, until = limits.limit, limits.until
    budget = check_ready(project, limit, until, limits.budget)
    tokenizing = find_tokenizing(project)
    again = f"anyinstruct run {manifest}" + (f" --corpus {corpus}" if corpus else "")
    again += f" --address {address}" if address else ""
    started = time.monotonic()
    try:
        lock = CorpusLock.acquire(project.corpus / "work")
        try:
            if limits.retry_failed is not None:
                _retry(project, lock, limits.retry_failed, console)
            run = Run(project, lock, limit, until, budget)
            with run.telling_failures():
                fetch_models(ModelCache(), project.model_names(), console)
            ledger = asyncio.run(execute(run, console))
            if tokenizing is not None and ledger is not None:
                # Imported late: it needs this module's exit codes.
                from pipeline.cli.tokenizing import write_tokens

                write_tokens(*tokenizing, project.ray_address, console)
        finally:
            lock.release()
    except BudgetReached as exc:
        console.print(f"Stopped: {exc}. Nothing is lost. To go on: {again} --budget MORE", markup=False, soft_wrap=True)
        return OVER_BUDGET
    except (Drained, KeyboardInterrupt):
        console.print(
            f"Stopped; nothing that was answered or rendered is lost. To go on: {again}", markup=False, soft_wrap=True
        )
        return INTERRUPTED
    _conclude(console, project, run, ledger, time.monotonic() - started, again)
    return 0


def _retry(project: Project, lock: CorpusLock, reason: str, console: Console) -> None:
    """Order what failed once more, and say what."""
    ordered = Retrying(project, lock, reason).order()
    told = ", ".join(f"{name}: {count:,}" for name, count in sorted(ordered.items()))
    head = f"Taking {say_count(ordered.total(), 'failed record')} again" if ordered else "No record to take again"
    console.print(f"{head}{f' ({told})' if told else f': none failed for {reason!r}'}.", markup=False, soft_wrap=True)


def check_ready(project: Project, limit: int | None, until: Until | None, budget: USD | None) -> USD | None:
    """Refuse a run that could not come to its end; return the budget that it keeps to.

    Raises:
        ManifestError: a package, a key or a price is missing.
    """
    for modality in project.manifest.media:
        if problem := project.find_missing(modality):
            raise ManifestError(f"{project.path}: render.{modality}: {problem}")
    budget = project.manifest.budget if budget is None else budget
    project.check_budget(budget)
    if problem := find_missing_keys(project, lambda: forecast(project, limit), until):
        raise ManifestError(problem)
    return budget


async def execute(run: Run, console: Console) -> Ledger | None:
    """Execute a run with its progress; the first Ctrl-C drains it, the second ends the process."""
    loop = asyncio.get_running_loop()
    with open_progress(console) as view:
        run.on_progress = view.update

        def on_interrupt() -> None:
            if run.tally.state == "draining":
                # Ray's processes end with their driver, and whatever is in flight is journalled as sent.
                print("\nStopped at once.", file=sys.stderr, flush=True)
                os._exit(INTERRUPTED)
            view.say("Finishing what is in flight; press Ctrl-C again to stop at once.")
            draining.append(loop.create_task(run.drain()))

        draining: list[asyncio.Task[None]] = []
        loop.add_signal_handler(signal.SIGINT, on_interrupt)
        return await run.execute()


def _conclude(console: Console, project: Project, run: Run, ledger: Ledger | None, seconds: float, again: str) -> None:
    if ledger is None:
        told = ", ".join(f"{stage.done} {name}" for name, stage in run.tally.stages.items() if stage.done)
        console.print(
            f"Stopped after {run.until}, as asked: {told} in {project.corpus} ({seconds:.0f} s).\n"
            f"Read them: anyinstruct show {project.corpus}\nGo on:     {again}",
            markup=False,
            soft_wrap=True,
        )
        return
    counts = ledger.counts
    media = ", ".join(f"{ledger.tables.get(name, 0)} {name}" for name in ("images", "music", "speech"))
    lines = [
        f"{'Nothing was to do' if run.was_idle else 'Done'} in {seconds:.0f} s: {project.corpus}",
        f"{say_count(counts['planned'], 'dialogue')} planned = {counts['kept']} kept + {counts['rejected']} rejected + "
        f"{counts['failed']} failed; {media}",
    ]
    if ledger.texts:
        rows = add_up(ledger.texts)
        lines.insert(
            1, f"{say_count(rows[ROWS], 'row')} of texts = {rows[KEPT]} kept + {rows[ROWS] - rows[KEPT]} rejected"
        )
    lines += [f"  {reason}: {count}" for reason, count in ledger.reasons.items()]
    lines += [f"    for {measure}: {count}" for measure, count in ledger.shortfalls.items()]
    if run.num_mended:
        lines.append("Stage files that were damaged were set aside and made again; `anyinstruct verify` looks at all.")
    drafts = [name for name, facts in ledger.renderers.items() if facts["is_draft"]]
    if drafts:
        lines.append(f"Drafts, to look at and not to train on: {', '.join(drafts)}")
    if counts["failed"]:
        lines.append(f"What failed, why, and what to do: anyinstruct failures {project.corpus}")
    lines.append(f"Next: anyinstruct show {project.corpus}")
    console.print("\n".join(lines), markup=False, soft_wrap=True)
