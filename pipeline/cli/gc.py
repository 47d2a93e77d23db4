"""``anyinstruct gc``: gives room back that a corpus no longer needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.adapters.runs import find_holder
from pipeline.cli.plain import plain
from pipeline.execution.garbage import Collector, Garbage, remove_files
from pipeline.values.errors import CorpusError
from pipeline.values.units import Bytes
from pipeline.values.words import say_count

MAX_PATHS = 50
"""Files that a dry run names one by one."""


def collect_garbage(corpus: Path, dry_run: bool) -> None:
    """Remove, or with ``dry_run`` only list, what no ledger of a corpus needs.

    Raises:
        CorpusError: it is no corpus, a run is working on it, or a ledger is damaged.
    """
    console = Console(highlight=False)
    folder = CorpusFolder(corpus)
    if not (corpus / "ledger.json").exists() and not folder.work.is_dir():
        raise CorpusError(f"{corpus}: is no corpus: neither ledger.json nor work/ is there")
    if dry_run:
        if (holder := find_holder(folder.work)) is not None:
            raise CorpusError(
                f"{corpus}: a run ({holder}) is working on it; what it needs can be told once it has ended"
            )
        collector = Collector(folder)
        garbage = [*collector.find_rows(), *collector.find_files()]
        _list_paths(garbage, corpus, console)
    else:
        lock = CorpusLock.acquire(folder.work)
        readings = None
        try:
            if (corpus / FOLDER).is_dir():
                readings = CorpusLock.acquire(corpus / FOLDER)
            collector = Collector(CorpusFolder(corpus, lock), readings)
            # Files second: what the rows were rewritten from is by then one more file that nobody names.
            garbage = collector.remove_rows()
            files = collector.find_files()
            remove_files(files)
            garbage += files
        finally:
            lock.release()
            if readings is not None:
                readings.release()
    _sum_up(garbage, dry_run, console)


def _list_paths(garbage: Sequence[Garbage], corpus: Path, console: Console) -> None:
    for item in garbage[:MAX_PATHS]:
        what = f"{say_count(item.num_rows, 'row')} of " if item.num_rows else ""
        line = f"{what}{item.path.relative_to(corpus)} ({say_bytes(item.num_bytes)})"
        console.print(plain(line, 1000), soft_wrap=True)
    if len(garbage) > MAX_PATHS:
        console.print(f"… and {len(garbage) - MAX_PATHS:,} more")


def _sum_up(garbage: Sequence[Garbage], dry_run: bool, console: Console) -> None:
    if not garbage:
        console.print("Nothing to remove.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("what")
    for name in ("files", "rows", "bytes"):
        table.add_column(name, justify="right")
    for kind in dict.fromkeys(item.kind for item in garbage):
        items = [item for item in garbage if item.kind == kind]
        rows = sum(item.num_rows for item in items)
        size = say_bytes(sum(item.num_bytes for item in items))
        table.add_row(kind, f"{len(items):,}", f"{rows:,}" if rows else "", size)
    console.print(table)
    total = say_bytes(sum(item.num_bytes for item in garbage))
    console.print(f"Would free about {total}; nothing was changed." if dry_run else f"Freed {total}.")


def say_bytes(number: Bytes) -> str:
    """Return e.g. ``512 B``, ``3.4 kB``, ``1.2 GB``; powers of 1,000."""
    size = float(number)
    for unit in ("B", "kB", "MB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
