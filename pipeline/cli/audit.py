"""``anyinstruct audit``: measures the records of a corpus and says what they come to."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.readings import FOLDER
from pipeline.cli.fetching import fetch_models
from pipeline.cli.following import follow
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED, OVER_BUDGET
from pipeline.contracts.watch import Drained
from pipeline.execution.audits import AuditRun, AuditSetting, AuditWork, choose_audits, known_audits
from pipeline.execution.budget import BudgetReached
from pipeline.execution.cluster import Pool, PoolShape
from pipeline.execution.inquiries import check_inquiries
from pipeline.execution.limit_screen import adopt_screen
from pipeline.values.errors import ManifestError
from pipeline.values.words import say_count, say_share, suggest
from pipeline.work.audit_summary import Summary

WIDEST = 400
"""Columns that the table of measures may take, far more than its longest row has."""


def audit_corpus(setting: AuditSetting, shape: PoolShape, as_json: bool) -> int:
    """Audit a corpus and print what came out; return the exit code."""
    console = Console(highlight=False, stderr=as_json)
    chosen = choose_audits(setting.names, setting.options)
    _check_limits(setting, {measure.name for audit in chosen for measure in audit.measures})
    setting = adopt_screen(setting)
    chosen = choose_audits(setting.names, setting.options)
    check_inquiries(chosen, setting.budget)
    started = time.monotonic()
    lock = CorpusLock.acquire(setting.root / FOLDER)
    try:
        models = dict.fromkeys(name for audit in chosen for name in audit.plugin.models(audit.options))
        fetch_models(ModelCache(), list(models), console)
        # Workers of other nodes stand in another folder.
        build = partial(AuditWork, replace(setting, root=setting.root.absolute()), lock.epoch)
        run = AuditRun(setting, lock, lambda: Pool(build, shape))
        summaries = asyncio.run(follow(run, console, "auditing", "readings"))
    except BudgetReached as exc:
        console.print(
            f"Stopped: {exc}; what was answered is kept. To go on: --budget MORE", markup=False, soft_wrap=True
        )
        return OVER_BUDGET
    except (Drained, KeyboardInterrupt):
        console.print("Stopped; what was measured is kept. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        lock.release()
    _say_spend(run, console)
    if as_json:
        print(json.dumps([summary.model_dump(mode="json") for summary in summaries], indent=1))
        return 0
    _print(summaries, console)
    _say_left_out(setting, console)
    seconds = time.monotonic() - started
    total = _say_total(summaries, len(chosen))
    console.print(
        plain(f"Done in {seconds:.0f} s: {total}. Readings are in {setting.root / FOLDER}", 1000), soft_wrap=True
    )
    return 0


def parse_options(words: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``audit.option=value`` words; a value is JSON where it can be, else the text itself.

    Raises:
        ManifestError: a word has another shape.
    """
    options: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        audit, dot, option = name.partition(".")
        if not (audit and dot and option and equals):
            raise ManifestError(f"--option {word!r}: write audit.option=value, e.g. speech-words.threads=2")
        try:
            parsed: Any = json.loads(value)
        except ValueError:
            parsed = value
        options.setdefault(audit, {})[option] = parsed
    return options


def parse_limits(words: list[str]) -> dict[str, float]:
    """Read ``measure=number`` words.

    Raises:
        ManifestError: a word has another shape, or the number is infinite or none.
    """
    limits = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            limits[name] = float(value)
        except ValueError:
            raise ManifestError(f"--limit {word!r}: write measure=number, e.g. image.contrast=0.05") from None
        # Every comparison with nan is false: all records would pass, or none, and the table would not say why.
        if not math.isfinite(limits[name]):
            raise ManifestError(f"--limit {word!r}: a limit is a finite number, e.g. image.contrast=0.05")
    return limits


def _check_limits(setting: AuditSetting, known: set[str]) -> None:
    for name in setting.limits:
        if name not in known:
            near = suggest(name, known, lists_all=True)
            raise ManifestError(f"--limit {name}: no measure of these audits; {near}")


def _print(summaries: list[Summary], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("measure", "records", "5 %", "median", "95 %", "limit", "pass", "worst"):
        is_text = name in ("measure", "worst")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "worst", overflow="fold")
    for summary in summaries:
        if summary.num_records:  # of media that the corpus does not have there is nothing to say
            table.add_row(*_cells(summary))
    # A pipe counts as 80 columns wide, and a figure cut to fit reads as another figure: 400 as 4.
    needed = console.measure(table, options=console.options.update(max_width=WIDEST)).maximum
    console.width = max(console.width, needed)
    console.print(table)


def _cells(summary: Summary) -> list[str]:
    measure = summary.measure
    if not summary.num_measured:
        return [measure.name, f"0 of {summary.num_records:,}", "", "", "", "", "", "does not apply"]
    low, middle, high = (summary.quantiles[place] for place in (1, 3, 5))
    bound = "" if summary.limit is None else f"{'>=' if measure.better == 'higher' else '<='} {summary.limit:g}"
    worst = ""
    if summary.num_short and summary.worst:
        name, value = summary.worst[0]
        worst = f"{name} ({value:.3g})"
    return [
        measure.name,
        f"{summary.num_measured:,}",
        *(f"{value:.3g}" for value in (low, middle, high)),
        bound,
        _say_share(summary),
        str(plain(worst, 80)),
    ]


def _say_share(summary: Summary) -> str:
    if summary.pass_share is None or summary.pass_low is None or summary.pass_high is None:
        return ""
    text = say_share(summary.pass_share)
    if summary.pass_low == summary.pass_high:
        return text
    return f"{text} ({say_share(summary.pass_low)} to {say_share(summary.pass_high)})"


def _say_total(summaries: list[Summary], num_audits: int) -> str:
    read = say_count(sum(summary.num_measured for summary in summaries), "reading")
    short = {summary.measure.name: summary.num_short for summary in summaries if summary.num_short}
    fallen = ", ".join(f"{name} {count:,}" for name, count in sorted(short.items(), key=lambda one: (-one[1], one[0])))
    return f"{say_count(num_audits, 'audit')}, {read}; beyond their limits: {fallen or 'none'}"


def _say_spend(run: AuditRun, console: Console) -> None:
    for name, outcome in run.inquiries.outcomes.items():
        paid = run.inquiries.count_paid(name)
        said = f"{name}: {say_count(outcome.num_answers, 'answer')}, {outcome.usd:.4f} USD; {paid:.4f} over all runs"
        if outcome.failures:
            codes = ", ".join(f"{code} {count}" for code, count in outcome.failures.most_common())
            said += f"; could not be judged: {codes}"
        console.print(plain(said, 1000), soft_wrap=True)


def _say_left_out(setting: AuditSetting, console: Console) -> None:
    if setting.names:
        return
    for name, plugin in known_audits().items():
        if problem := plugin.missing():
            console.print(f"left out: {name}: {problem}", markup=False, soft_wrap=True)
        elif not plugin.is_default:
            console.print(f"not run unless asked for: --only {name}", markup=False)
