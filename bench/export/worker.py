"""One worker's export of a whole corpus: ``python -m bench.export.worker CORPUS OUT FORMAT``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.adapters.lock import CorpusLock
from pipeline.execution.driver import Silence
from pipeline.execution.exports import ExportSetting, ExportWork
from pipeline.execution.memory import peak_memory_of_process
from pipeline.values.units import Seconds


@dataclass(frozen=True)
class Measured:
    """What an export took.

    Attributes:
        peak: Megabytes of memory at most.
    """

    seconds: Seconds
    peak: float


def report(seconds: Seconds) -> None:
    """Print what this process took as JSON."""
    print(json.dumps(asdict(Measured(seconds, peak_memory_of_process() / 1e6))))


def main(corpus: str, out: str, to: str) -> None:
    """Export, and print what it took."""
    setting = ExportSetting(Path(corpus), Path(out), to)
    lock = CorpusLock.acquire(setting.state)
    started = time.perf_counter()
    work = ExportWork(setting, lock.epoch, Silence())
    for shard in work.corpus.shards:
        work.export(shard.number)
    seconds = time.perf_counter() - started
    lock.release()
    report(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
