"""``anyinstruct verify``: whether a corpus is what its ledger says."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.runs import find_holder
from pipeline.cli.plain import plain
from pipeline.execution.gathering import find_command
from pipeline.execution.verification import Verification, set_aside, total_bytes
from pipeline.values.errors import CorpusError
from pipeline.values.words import say_count
from pipeline.work.verifying import summarise

MAX_ROWS = 200
"""Findings printed; the summary counts all."""


def verify_corpus(corpus: Path, fix: bool) -> int:
    """Check a corpus and print what is wrong with it; return 0 where it is sound and 1 where it is not."""
    console = Console(highlight=False)
    started = time.monotonic()
    holder = find_holder(corpus / "work")
    if holder is not None:
        console.print(
            plain(f"note: a run ({holder}) is working on this corpus; what it is writing may look unfinished")
        )
    result = _verify(CorpusFolder(corpus), console)
    _print_findings(result, console)
    console.print(_summary(result, time.monotonic() - started), markup=False, soft_wrap=True)
    if result.is_sound:
        _say_what_is_lacking(result, console)
        return 0
    if fix:
        _fix(result, console)
    elif result.damaged:
        console.print(f"To set damaged files aside: anyinstruct verify --fix {corpus}", markup=False, soft_wrap=True)
    return 1


def _verify(folder: CorpusFolder, console: Console) -> Verification:
    result = Verification(folder)
    if not console.is_terminal:
        result.run()
        return result
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("verifying", total=total_bytes(folder))
        result.on_bytes = lambda number: progress.advance(task, number)
        result.run()
    return result


def _lines(result: Verification) -> list[tuple[str, str, str, str]]:
    """What is printed: severity, code, where, what; errors first."""
    ordered = sorted(result.findings, key=lambda finding: finding.severity)
    lines: list[tuple[str, str, str, str]] = [(f.severity, f.code, f.where, f.message) for f in ordered[:MAX_ROWS]]
    if len(ordered) > MAX_ROWS:
        lines.append(("", "", "", f"and {say_count(len(ordered) - MAX_ROWS, 'finding')} more"))
    for (code, where), number in result.num_alike.items():
        lines.append(("", code, where, f"and {number:,} more of these"))
    return lines


def _print_findings(result: Verification, console: Console) -> None:
    """Print a table on a terminal, and one line a finding for whoever reads a log or a pipe."""
    lines = _lines(result)
    if not console.is_terminal:
        for line in lines:
            console.print(plain(" ".join(filter(None, line)), 1000), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("code", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("what", overflow="fold")
    for severity, code, where, what in lines:
        table.add_row(severity, code, plain(where), plain(what))
    console.print(table)


def _summary(result: Verification, seconds: float) -> str:
    errors, notes = summarise(result.findings)
    verdict = "DAMAGED" if not result.is_sound else "sound" if result.num_dialogues else "EMPTY"
    more = sum(result.num_alike.values())
    return (
        f"{verdict}: {say_count(result.num_files, 'file')} hashed, {say_count(result.num_dialogues, 'dialogue')} and "
        f"{say_count(result.num_assets, 'asset')} read in {seconds:.1f} s; {say_count(errors + more, 'error')}, "
        f"{say_count(notes, 'note')}"
    )


def _say_what_is_lacking(result: Verification, console: Console) -> None:
    """Say of a corpus without a dialogue why there is none, as far as that is known, and what to do."""
    if result.num_dialogues:
        return
    ledger = result.folder.read_ledger()
    if ledger is None:
        text = f"Nothing is published yet. Go on: anyinstruct run {_manifest_of(result.folder)}"
    else:
        lost = ", ".join(f"{say_count(ledger.counts.get(key, 0), 'dialogue')} {key}" for key in ("rejected", "failed"))
        why = "; ".join(f"{reason} {count:,}" for reason, count in ledger.reasons.items())
        text = (
            f"Not one dialogue is kept: {lost}{f' ({why})' if why else ''}. Look at them with `anyinstruct status "
            f"{result.folder.root}`, mend the manifest, and run it again."
        )
    console.print(plain(text, 1000), soft_wrap=True)


def _fix(result: Verification, console: Console) -> None:
    """Set damaged files aside, under the lock, so that no run reads a file that is being renamed."""
    lock = CorpusLock.acquire(result.folder.work)
    try:
        renamed, left = set_aside(result.folder, list(result.damaged))
    finally:
        lock.release()
    for path in renamed:
        console.print(plain(f"set aside: {path}.damaged", 1000), soft_wrap=True)
    for path in left:
        console.print(plain(f"left as it is, nothing is here to make it from again: {path}", 1000), soft_wrap=True)
    if left:
        console.print("Restore these from a copy: work/ does not hold the stage files that they were packed from.")
    if any(finding.code == "plan_damaged" for finding in result.findings):
        console.print("work/plan.parquet is damaged and stays as it is: mend it as said above before you run.")
    command = find_command(result.folder.root)
    again = f"run {_manifest_of(result.folder)}" if command is None else f"{command}, as when this corpus was made"
    console.print(plain(f"Rebuild what is missing: anyinstruct {again}", 1000), soft_wrap=True)


def _manifest_of(folder: CorpusFolder) -> str:
    """Name the manifest as well as can be told: the ledger knows what it said, not where it lies."""
    try:
        ledger = folder.read_ledger()
    except CorpusError:
        ledger = None
    name = ledger.name if ledger else folder.root.resolve().name
    shipped = Path("manifests") / f"{name}.yaml"
    path = str(shipped) if shipped.is_file() else f"<manifest of {name}>"
    return path if folder.root == Path("corpora") / name else f"{path} --corpus {folder.root}"
