"""``anyinstruct screen``: what the limits of a manifest would reject, before they do."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.readings import FOLDER
from pipeline.cli.audit import parse_limits
from pipeline.cli.fetching import fetch_models
from pipeline.cli.following import follow
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.contracts.watch import Drained
from pipeline.execution.cluster import Pool, PoolShape
from pipeline.execution.limit_screen import LimitScreen, choose_for_limits
from pipeline.execution.limit_trial import LimitReport, LimitTrial
from pipeline.execution.project import Project, load_project
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.words import say_count, say_share
from pipeline.work.limits import Limit, Shortfall


def screen_manifest(manifest: Path, corpus: Path | None, words: list[str], as_json: bool) -> int:
    """Print what limits would reject; return the exit code.

    Args:
        words: ``measure=number``, beside the manifest's limits or in their place.

    Raises:
        ManifestError: a limit cannot be, or there is none.
        CorpusError: nothing was planned yet, or a run is working on the corpus.
    """
    console = Console(highlight=False, stderr=as_json)
    project = load_project(manifest, corpus)
    limits = {**project.manifest.screen.limits, **parse_limits(words)}
    if not limits:
        raise ManifestError(f"{manifest}: screen.limits: there are none; state some, or --limit image.contrast=0.05")
    audits = choose_for_limits(project.manifest.screen, limits)
    if not (project.corpus / "work" / "plan.parquet").is_file():
        raise CorpusError(f"{project.corpus}: nothing is planned here yet; run the manifest first")
    # Not while a run goes on: what it renders meanwhile would be missing.
    run_lock = CorpusLock.acquire(project.corpus / "work")
    try:
        lock = CorpusLock.acquire(project.corpus / FOLDER)
        try:
            fetch_models(ModelCache(), [name for audit in audits for name in audit.models], console)
            build = partial(LimitScreen, project, lock.epoch, limits=limits)
            trial = LimitTrial(project, limits, lock, lambda: Pool(build, _shape(project)))
            report = asyncio.run(follow(trial, console, "measuring", "readings"))
        finally:
            lock.release()
    except (Drained, KeyboardInterrupt):
        console.print("Stopped; what was measured is kept. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        run_lock.release()
    if as_json:
        print(json.dumps(_as_json(report), indent=1))
    else:
        _print(report, console)
    return 0


def _shape(project: Project) -> PoolShape:
    execution = project.manifest.execution
    return PoolShape(execution.auditors, 1.0, execution.auditor_gpus, project.ray_address)


def _print(report: LimitReport, console: Console) -> None:
    if report.num_unmade:
        left = say_count(report.num_unmade, "dialogue")
        console.print(f"{left} of shards that are not rendered to the end are left out.", markup=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("limit", overflow="fold")
    for name in ("dialogues", "share", "for this alone"):
        table.add_column(name, justify="right")
    table.add_column("worst", overflow="fold")
    for limit in report.limits:
        name = limit.measure.name
        number = report.by_measure[name]
        worst = ", ".join(map(_say_example, report.worst.get(name, ())))
        share, alone = _say_share(number, report.num_dialogues), f"{report.alone[name]:,}"
        table.add_row(_say_limit(limit), f"{number:,}", share, alone, plain(worst))
    console.print(table)
    if len(report.limits) > 1:
        console.print(f"{say_count(report.num_of_several, 'dialogue')} short of more than one limit.", markup=False)
    if len(report.cells) > 1:
        console.print(_draw_cells(report))
    console.print(
        f"In all {report.num_rejected:,} of {say_count(report.num_dialogues, 'dialogue')} would be rejected "
        f"({_say_share(report.num_rejected, report.num_dialogues)}). Nothing was rejected; `anyinstruct run` does it, "
        "by the limits of the manifest.",
        markup=False,
        soft_wrap=True,
    )


def _draw_cells(report: LimitReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for name in ("dialogues", "rejected", "share"):
        table.add_column(name, justify="right")
    for name, (rejected, of_all) in report.cells.items():
        table.add_row(plain(name, 80), f"{of_all:,}", f"{rejected:,}", _say_share(rejected, of_all))
    return table


def _say_limit(limit: Limit) -> str:
    measure = limit.measure
    return f"{measure.name} {'>=' if measure.better == 'higher' else '<='} {measure.limit:g}"


def _say_example(found: Shortfall) -> str:
    return f"{found.record_id} ({'not measured' if found.value is None else format(found.value, '.3g')})"


def _say_share(number: int, of_all: int) -> str:
    return say_share(number / of_all) if of_all else ""


def _as_json(report: LimitReport) -> dict[str, Any]:
    return {
        "dialogues": report.num_dialogues,
        "not_rendered": report.num_unmade,
        "rejected": report.num_rejected,
        "short_of_several": report.num_of_several,
        "limits": [
            {
                "measure": limit.measure.name,
                "better": limit.measure.better,
                "limit": limit.measure.limit,
                "dialogues": report.by_measure[limit.measure.name],
                "alone": report.alone[limit.measure.name],
                "worst": [[s.record_id, s.value] for s in report.worst.get(limit.measure.name, ())],
            }
            for limit in report.limits
        ],
        "cells": {
            name: {"rejected": rejected, "dialogues": of_all} for name, (rejected, of_all) in report.cells.items()
        },
    }
