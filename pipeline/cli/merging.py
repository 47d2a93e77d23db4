"""``anyinstruct merge``: several corpora into one."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.adapters.lock import CorpusLock
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.contracts.ledger import Ledger
from pipeline.execution.merging import MergeRun, MergeSetting


def merge_corpora(setting: MergeSetting) -> int:
    """Merge corpora and print what of each was taken; return the exit code.

    Raises:
        CorpusError: two have a dialogue with other content, one is damaged, or the merged one cannot stand there.
    """
    console = Console(highlight=False)
    setting.check()
    lock = CorpusLock.acquire(setting.out / "work")
    try:
        run = MergeRun(setting, lock, lambda done, total: console.print(f"{done:,} of {total:,} shards", markup=False))
        ledger, _ = run.execute()
    except KeyboardInterrupt:
        console.print("Stopped; whole shards are kept. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        lock.release()
    _print(setting, ledger, console)
    return 0


def _print(setting: MergeSetting, ledger: Ledger, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    names = ("corpus", "taken", "there already", "conflicts", "renamed")
    for name in names:
        table.add_column(name, justify="left" if name == "corpus" else "right", overflow="fold")
    for root, origin in zip(setting.corpora, ledger.origins, strict=True):
        counts = [origin[name] for name in ("kept", "same", "conflicts", "renamed")]
        table.add_row(plain(str(root)), *(f"{count:,}" for count in counts))
    console.print(table)
    told = ", ".join(f"{count:,} {name}" for name, count in ledger.tables.items()) or "nothing"
    console.print(plain(f"{setting.out}: {told}", 1000), soft_wrap=True)
