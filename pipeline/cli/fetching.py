"""Fetching model files with a bar that a person can watch."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from pipeline.adapters.model_files import FetchProgress, ModelCache


def fetch_models(cache: ModelCache, names: Sequence[str], console: Console) -> None:
    """Fetch what is missing, with a bar a file on a terminal and a line a file elsewhere.

    Raises:
        ModelFileError: a file can be had from none of its sources.
    """
    missing = cache.missing(names)
    if not missing:
        return
    size = sum(cache.size(name) for name in missing)
    console.print(f"Fetching {', '.join(missing)} ({size / 1e6:,.0f} MB) into {cache.root}", markup=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[tuple[str, str], TaskID] = {}

        def show(progress: FetchProgress) -> None:
            key = (progress.model, progress.file)
            if key not in tasks:
                tasks[key] = bar.add_task(f"{progress.model}/{progress.file}", total=progress.total)
                if not console.is_terminal:
                    console.print(f"  {progress.model}/{progress.file} from {progress.source}", markup=False)
            bar.update(tasks[key], completed=progress.done)

        cache.ensure(missing, show)
