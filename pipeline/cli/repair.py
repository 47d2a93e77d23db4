"""``anyinstruct repair``: renders again what falls short of the manifest's limits, and keeps the better."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from rich.console import Console

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.cli.fetching import fetch_models
from pipeline.cli.run import INTERRUPTED, OVER_BUDGET, check_ready, execute
from pipeline.contracts.watch import Drained
from pipeline.execution.budget import BudgetReached
from pipeline.execution.driver import Run
from pipeline.execution.project import Project, load_project
from pipeline.execution.repairing import Repairing, RepairReport
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.screen import RepairPlan
from pipeline.values.units import USD
from pipeline.values.words import say_count


def repair_manifest(
    manifest: Path, corpus: Path | None, limit: int | None, changes: Mapping[str, int | bool], budget: USD | None
) -> int:
    """Repair a corpus; return the exit code.

    Args:
        changes: What is said otherwise than under ``repair`` in the manifest, by key.

    Raises:
        ManifestError: the manifest states no limits, so nothing falls short.
        CorpusError: nothing was planned yet, or a run is working on the corpus.
    """
    console = Console(highlight=False)
    project = load_project(manifest, corpus)
    if not project.manifest.screen.limits:
        raise ManifestError(f"{manifest}: screen.limits: there are none, so nothing falls short; state some")
    if not (project.corpus / "work" / "plan.parquet").is_file():
        raise CorpusError(f"{project.corpus}: nothing is planned here yet; run the manifest first")
    budget = check_ready(project, limit, None, budget)
    plan = project.manifest.repair.model_copy(update=dict(changes))
    if plan.rewrite and project.missing_key:
        reason = f"No description will be rewritten, since there is no LLM: {project.missing_key}"
        console.print(reason, markup=False, soft_wrap=True)
        plan = plan.model_copy(update={"rewrite": False})
    again = "To go on, give the same command again"
    try:
        report = _repair(project, plan, limit, budget, console)
    except BudgetReached as exc:
        console.print(f"Stopped: {exc}. Nothing is lost. {again} with --budget MORE.", markup=False, soft_wrap=True)
        return OVER_BUDGET
    except (Drained, KeyboardInterrupt):
        console.print(f"Stopped; nothing that was rendered or measured is lost. {again}.", markup=False, soft_wrap=True)
        return INTERRUPTED
    _conclude(console, project, report)
    return 0


def _repair(
    project: Project, plan: RepairPlan, limit: int | None, budget: USD | None, console: Console
) -> RepairReport:
    lock = CorpusLock.acquire(project.corpus / "work")
    rounds = count()

    def bring_up_to_date(describes: bool, replaces: bool) -> None:
        if not replaces and next(rounds) == 1:
            # Something is to be rendered, now and in most rounds to come; a first look often finds nothing.
            from pipeline.execution.cluster import keeping_ray

            kept.enter_context(keeping_ray(project.ray_address))
        run = Run(project, lock, limit, None, budget, describes=describes, replaces=replaces)
        asyncio.run(execute(run, console))
        if run.is_draining:
            raise Drained("asked to end when nothing was left to do in this round")

    try:
        fetch_models(ModelCache(), project.model_names(), console)
        with ExitStack() as kept:
            return Repairing(project, lock, plan, limit).execute(bring_up_to_date)
    finally:
        lock.release()


def _conclude(console: Console, project: Project, report: RepairReport) -> None:
    lines = [f"{'Repaired' if report.num_ordered else 'Nothing was to do'}: {project.corpus}", say_fates(report)]
    if report.num_rewritten or report.num_failed:
        failed = f"; for {report.num_failed:,} the LLM found no other words" if report.num_failed else ""
        lines.append(f"{say_count(report.num_rewritten, 'description')} rewritten{failed}.")
    ledger = CorpusFolder(project.corpus).read_ledger()
    if ledger is not None:
        lines.append(ledger.passing.say())
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def say_fates(report: RepairReport) -> str:
    """Say in a sentence how many assets fell short, and what has become of them."""
    mended, short = report.num_mended, report.num_short
    if not mended + short:
        return "No asset falls short of the limits."
    said = (
        f"Of {say_count(mended + short, 'asset')} that fell short, {mended:,} {'passes' if mended == 1 else 'pass'} now"
    )
    if short == 1:
        return f"{said}; 1 does not, and the screen rejects its dialogue."
    return f"{said}; {short:,} do not, and the screen rejects their dialogues." if short else f"{said}."
