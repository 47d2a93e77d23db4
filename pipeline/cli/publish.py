"""``anyinstruct publish``: brings an export to the hub."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from pipeline.adapters.hub_dataset import HubDataset
from pipeline.adapters.lock import CorpusLock
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.execution.exports import STATE
from pipeline.execution.publishing import PublishPlan, plan_publishing, push, read_export


def publish_export(folder: Path, hub_repo: str, revision: str, is_private: bool, is_dry_run: bool) -> int:
    """Publish an export and print what was sent; return the exit code.

    Raises:
        CorpusError: the folder is no finished export to ``hf``, or somebody writes to it.
        HubError: a token is missing, or the hub refuses or cannot be reached.
    """
    console = Console(highlight=False)
    read_export(folder)
    hub = HubDataset(hub_repo, revision)
    if is_dry_run:
        _print(plan_publishing(hub, read_export(folder), is_private), hub, console)
        return 0
    # An export that goes on meanwhile would change files under the one that sends them.
    lock = CorpusLock.acquire(folder / STATE)
    try:
        plan = plan_publishing(hub, read_export(folder), is_private)
        _print(plan, hub, console)
        _push(hub, plan, is_private, console)
    except KeyboardInterrupt:
        console.print("Stopped; what is up is not sent again. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        lock.release()
    console.print(plain(f"Published: {hub.address}", 1000), soft_wrap=True)
    return 0


def _push(hub: HubDataset, plan: PublishPlan, is_private: bool, console: Console) -> None:
    columns = (TextColumn("sending", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("sending", total=plan.num_bytes)
        push(hub, plan, is_private, lambda _, num_bytes: bar.update(task, completed=num_bytes))


def _print(plan: PublishPlan, hub: HubDataset, console: Console) -> None:
    made = " (new)" if plan.is_new else ""
    console.print(plain(f"{hub.address}{made}", 1000), soft_wrap=True)
    for name, path in plan.added.items():
        console.print(plain(f"  send    {name}  {path.stat().st_size / 1e6:,.1f} MB"), soft_wrap=True)
    for name in plan.removed:
        console.print(plain(f"  remove  {name}"), soft_wrap=True)
    console.print(
        f"{len(plan.added):,} files to send ({plan.num_bytes / 1e6:,.1f} MB), {len(plan.removed):,} to remove, "
        f"{plan.num_kept:,} there already",
        markup=False,
    )
