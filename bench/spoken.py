"""What becomes of 10,000 dirty rows of instruction data, by rule, and how many rows a second are judged.

    python -m bench.spoken [--rows 10000]

Rows come in three shapes, six files, four encodings and four languages; each is made to break one rule or none, and the
exit code is 1 where a count differs from what was made, or a row is neither kept nor rejected.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.adapters.text_rows import read_text_file
from pipeline.execution.memory import peak_memory_of_process
from pipeline.values.texts import TextFile, TextRules
from pipeline.work.taking import KEPT, ROWS, TakenTexts, add_up, sum_rejected, take_rows
from pipeline.work.text_rules import Fitness
from tests.support.instruction_data import Dirty, write_dirty


def judge_all(dirty: Dirty) -> TakenTexts:
    """Judge all rows of all files."""
    files = [TextFile.model_validate(file) for file in dirty.files]
    sources = [(file.name, read_text_file(dirty.folder / file.path, file)) for file in files]
    found = TakenTexts()
    for row in take_rows(sources, Fitness(TextRules(), (1, 4), "en")):
        found.add(row)
    return found


def main() -> int:
    """Print a table of rules; return 1 where a count is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    num_rows = parser.parse_args().rows
    with TemporaryDirectory() as folder:
        dirty = write_dirty(Path(folder), num_rows)
        started = time.perf_counter()
        found = judge_all(dirty)
        seconds = time.perf_counter() - started
    total, rejected = add_up(found.counts), sum_rejected(found.counts)
    wanted = {rule: count for rule, count in dirty.expected.items() if rule != KEPT}
    for rule in sorted({*rejected, *wanted}, key=lambda rule: -rejected.get(rule, 0)):
        print(f"{rule:20} {rejected.get(rule, 0):>8,}   made: {wanted.get(rule, 0):,}")
    print(f"{total[ROWS]:,} rows = {total[KEPT]:,} kept + {sum(rejected.values()):,} rejected")
    peak = peak_memory_of_process() / 2**20
    print(f"{seconds:.1f} s, {total[ROWS] / seconds:,.0f} rows a second; peak memory {peak:,.0f} MiB")
    is_right = rejected == wanted and total[KEPT] == dirty.expected[KEPT] and total[ROWS] == num_rows
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
