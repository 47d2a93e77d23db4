"""``anyinstruct import --from``: a published data set, or an export, back into a corpus."""

from __future__ import annotations

from rich.console import Console

from pipeline.adapters.lock import CorpusLock
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.contracts.ledger import Ledger
from pipeline.execution.imports import ImportRun, ImportSetting, check_out, open_source
from pipeline.values.words import say_count


def import_corpus(setting: ImportSetting) -> int:
    """Import a data set and print what came of it; return the exit code.

    Raises:
        ManifestError: the source holds nothing of its layout.
        CorpusError: the corpus cannot stand there.
    """
    console = Console(highlight=False)
    check_out(setting)
    kept = lost = 0

    def tell(more: int, failed: int) -> None:
        nonlocal kept, lost
        kept, lost = kept + more, lost + failed
        console.print(f"{kept:,} dialogues imported, {lost:,} rows left out", markup=False)

    # The source first: a folder that holds nothing shall leave nothing behind.
    source = open_source(setting)
    lock = CorpusLock.acquire(setting.out / "work")
    try:
        ledger = ImportRun(setting, source, lock, tell).execute()
    except KeyboardInterrupt:
        console.print("Stopped; whole shards are kept. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        lock.release()
    _print(setting, ledger, console)
    return 0


def _print(setting: ImportSetting, ledger: Ledger, console: Console) -> None:
    told = ", ".join(f"{count:,} {name}" for name, count in ledger.tables.items() if name != "failed")
    lines = [f"{setting.out}: {told or 'nothing'}"]
    for reason, count in ledger.reasons.items():
        lines.append(f"left out: {say_count(count, 'row')}, {reason.removeprefix('import/')}")
    if ledger.reasons:
        lines.append(f"Each of them: anyinstruct failures {setting.out}, or its table failed/")
    if ledger.counts["kept"]:
        lines.append(f"Next: anyinstruct verify {setting.out}, then audit, report, diff, export or merge.")
    for line in lines:
        console.print(plain(line, 1000), soft_wrap=True)
