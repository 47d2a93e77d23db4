"""One worker's audit of a whole corpus: ``python -m bench.audit.worker CORPUS AUDIT``.

``raw TABLE …`` in place of an audit reads these tables, all columns, row group by row group.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.execution.audits import AuditSetting, AuditWork, known_audits
from pipeline.execution.driver import Silence
from pipeline.execution.memory import peak_memory_of_process

RAW = "raw"
READS = 20
"""Times that tables are read; once would be over within a tick or two of the clock."""


@dataclass(frozen=True)
class Measured:
    """What it took.

    Attributes:
        seconds: Of CPU, all threads together: other programs of the machine do not count. Of one read of many.
        peak: Megabytes of memory at most.
    """

    seconds: float
    peak: float


def main(corpus: str, what: str, *tables: str) -> None:
    """Audit or read, and print what it took as JSON."""
    times = READS if what == RAW else 1
    started = time.process_time()
    for _ in range(times):
        if what == RAW:
            read(Path(corpus), tables)
        else:
            audit(Path(corpus), what)
    seconds = (time.process_time() - started) / times
    print(json.dumps(asdict(Measured(seconds, peak_memory_of_process() / 1e6))))


def audit(root: Path, name: str) -> None:
    """Audit shard by shard, then compare over all of them where the audit does so."""
    lock = CorpusLock.acquire(root / FOLDER)
    try:
        work = AuditWork(AuditSetting(root, (name,)), lock.epoch, Silence())
        for shard in work.corpus.shards:
            work.audit(shard.number, None)
        if known_audits()[name].compares:
            work.compare(name, None)
    finally:
        lock.release()


def read(root: Path, tables: Sequence[str]) -> None:
    """Read tables and let go of what was read."""
    for path in (path for table in tables for path in sorted((root / table).glob("*.parquet"))):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
