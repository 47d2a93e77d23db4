"""How fast are corpora audited, beside reading the same Parquet, and does memory grow with the corpus?

    python -m bench.audit            150 and 600 dialogues
    python -m bench.audit --quick    24 dialogues, once: a check with slack, no measurement, and no growth

Every default audit, and speech-words on a tenth of the dialogues, each in a process of its own without Ray. Media are
real: pictures, pieces and clips of the embedded renderers, a little changed each time. Speed is of CPU seconds and,
but for --quick, of the difference of both sizes, so that imports and weights do not count. The raw read is that of the
audit's own table, of all tables for the one of structure.

Goals: an audit that does not compare across dialogues holds no more than a shard, so four times the corpus may cost
32 MB at most, the allocator's ups and downs. Every default audit does two dialogues a CPU second: to make one takes
seconds of a core with the smallest embedded renderers, so that no audit of theirs is felt beside it.
What is measured of a clip's words has no floor: a listener of 74 million weights is as slow as it is.
The last line is the figure; exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.audit.corpora import render_stock, write_corpus
from bench.audit.worker import RAW, Measured
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditPlugin
from pipeline.execution.audits import known_audits
from pipeline.work.tables import TABLE_OF

MEMORY_SLACK = 32.0
"""Megabytes."""
FLOOR = 2.0
"""Dialogues a CPU second."""
QUICK_FLOOR = 0.5
"""With imports and weights among the seconds."""
DEAR = "speech-words"
TABLES = {"dialogue": "dialogues", **TABLE_OF}


@dataclass(frozen=True)
class Line:
    """What was measured of an audit.

    Attributes:
        rate: Dialogues a CPU second.
        megabytes: Of Parquet a CPU second.
        share: Of the speed of reading the same raw.
        growth: Megabytes of memory that four times the corpus costs; None where one size alone was measured.
    """

    name: str
    rate: float
    megabytes: float
    share: float
    growth: float | None
    is_met: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, one size")
    parser.add_argument("--only", nargs="+", metavar="AUDIT", help="in place of all")
    given = parser.parse_args(arguments)
    known = known_audits()
    names = given.only or [name for name, plugin in known.items() if plugin.is_default or name == DEAR]
    sizes: Sequence[int] = (24,) if given.quick else (150, 600)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as scratch:
        stock = render_stock()
        for num_dialogues in {*sizes, *(size // 10 for size in sizes if not given.quick and DEAR in names)}:
            write_corpus(Path(scratch) / str(num_dialogues), num_dialogues, stock)
        print("| Audit | Dialogues a CPU s | MB a CPU s | Of a raw read | Memory for 4 times the corpus | Goal |")
        print("|---|---|---|---|---|---|")
        for name in names:
            if known[name].missing() is not None or (given.quick and name == DEAR):
                continue
            ModelCache().ensure(known[name].models(known[name].options()))
            some = [size // 10 for size in sizes] if name == DEAR else sizes
            lines.append(measure(known[name], Path(scratch), some))
            print(_as_row(lines[-1]), flush=True)
    met = sum(line.is_met for line in lines)
    slowest = min(lines, key=lambda line: line.rate)
    print(f"{met} of {len(lines)} audits meet their goals; the slowest, {slowest.name}, {slowest.rate:.1f} dialogues/s")
    return 0 if met == len(lines) else 1


def measure(plugin: AuditPlugin, folder: Path, sizes: Sequence[int]) -> Line:
    """Audit corpora of one or two sizes, the smaller first, and read the larger raw."""
    runs = [_run(folder / str(size), plugin.name) for size in sizes]
    tables = tuple(TABLES.values()) if plugin.name == "structure" else (TABLES[plugin.about],)
    raw = [_read_raw(folder / str(size), *tables) for size in sizes]
    num_bytes = [_size(folder / str(size), tables) for size in sizes]
    done, seconds, reading, read = sizes[-1], runs[-1].seconds, raw[-1].seconds, num_bytes[-1]
    growth = None
    if len(sizes) > 1:
        done, read = done - sizes[0], read - num_bytes[0]
        seconds, reading = seconds - runs[0].seconds, reading - raw[0].seconds
        growth = runs[-1].peak - runs[0].peak
    floor = 0.0 if plugin.name == DEAR else QUICK_FLOOR if growth is None else FLOOR
    is_flat = growth is None or plugin.compares or growth <= MEMORY_SLACK
    # The clock of CPU has ticks: the difference of two short runs can be nothing.
    seconds = max(seconds, 1e-3)
    rate = done / seconds
    return Line(plugin.name, rate, read / seconds / 1e6, max(0.0, reading) / seconds, growth, rate >= floor and is_flat)


def _run(corpus: Path, what: str, *tables: str) -> Measured:
    command = [sys.executable, "-m", "bench.audit.worker", str(corpus), what, *tables]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


@cache
def _read_raw(corpus: Path, *tables: str) -> Measured:
    """Once for all audits that read the same."""
    return _run(corpus, RAW, *tables)


def _size(corpus: Path, tables: Sequence[str]) -> int:
    return sum(path.stat().st_size for table in tables for path in (corpus / table).glob("*.parquet"))


def _as_row(line: Line) -> str:
    growth = "not measured" if line.growth is None else f"{line.growth:+.0f} MB"
    verdict = "met" if line.is_met else "MISSED"
    return f"| {line.name} | {line.rate:.1f} | {line.megabytes:.2f} | {line.share:.4f} | {growth} | {verdict} |"


if __name__ == "__main__":
    sys.exit(main())
