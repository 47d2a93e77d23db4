"""``anyinstruct repair``: renders again what falls short of the manifest's limits, and keeps the better."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.cli.fetching import fetch_models
from pipeline.cli.run import INTERRUPTED, OVER_BUDGET, execute
from pipeline.contracts.watch import Drained
from pipeline.execution.budget import BudgetReached
from pipeline.execution.driver import Run
from pipeline.execution.project import load_project
from pipeline.execution.repairing import Repairing
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.units import USD
from pipeline.values.words import say_count


def repair_manifest(manifest: Path, corpus: Path | None, limit: int | None, attempts: int, budget: USD | None) -> int:
    """Repair a corpus; return the exit code.

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
    for modality in project.manifest.media:
        if problem := project.find_missing(modality):
            raise ManifestError(f"{manifest}: render.{modality}: {problem}")
    budget = project.manifest.budget if budget is None else budget
    project.check_budget(budget)
    again = "To go on, give the same command again"
    try:
        lock = CorpusLock.acquire(project.corpus / "work")
        try:
            fetch_models(ModelCache(), project.model_names(), console)
            report = Repairing(project, lock, attempts, limit).execute(
                lambda: asyncio.run(execute(Run(project, lock, limit, None, budget), console))
            )
        finally:
            lock.release()
    except BudgetReached as exc:
        console.print(f"Stopped: {exc}. Nothing is lost. {again} with --budget MORE.", markup=False, soft_wrap=True)
        return OVER_BUDGET
    except (Drained, KeyboardInterrupt):
        console.print(f"Stopped; nothing that was rendered or measured is lost. {again}.", markup=False, soft_wrap=True)
        return INTERRUPTED
    done = "Repaired" if report.num_ordered else "Nothing was to do"
    console.print(
        f"{done}: {project.corpus}\nOf {say_count(report.num_mended + report.num_short, 'asset')} that fell short, "
        f"{report.num_mended:,} pass now; {report.num_short:,} do not, and the screen rejects their dialogues.",
        markup=False,
        soft_wrap=True,
    )
    return 0
