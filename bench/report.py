"""How long does a report take, and how much memory?

    python -m bench.report            10,000 dialogues
    python -m bench.report --quick    1,000, held to the same time

The corpus is made of rows as they are published, by the writers of the program, with media of a few bytes, and has
readings of three measures an asset. Goal: figures and page in 3 s for 10,000 dialogues, beyond the audits themselves.
Times are of CPU: other programs of the machine do not count. The last line is the figure; exits with 1 where the goal
is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.readings import FOLDER, TakenAudit, write_index
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import Measure, Subject
from pipeline.contracts.storage import Row
from pipeline.execution.comparing import compare_corpora
from pipeline.execution.memory import peak_memory_of_process
from pipeline.execution.reporting import gather_figures, write_page
from pipeline.values.ids import content_key, derive_unit
from pipeline.values.units import Seconds
from pipeline.work.auditing import SCHEMA
from pipeline.work.orders import Order, base_row
from pipeline.work.tables import PUBLISHED

PER_SHARD = 1000
ASSETS: dict[Subject, int] = {"image": 2, "music": 1, "speech": 5}
"""An average dialogue of the published size, rounded up."""
TABLES: dict[Subject, str] = {"image": "images", "music": "music", "speech": "speech"}
GOAL: Seconds = 3.0
"""Of CPU."""

WHATS = ("loudness", "silent_share", "duration_error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a corpus, report on it, compare it with itself; return 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the dialogues")
    num_dialogues = 1_000 if parser.parse_args(arguments).quick else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "corpus"
        make(root, num_dialogues)
        before = peak_memory_of_process() / 1e6
        started = time.process_time()
        figures = gather_figures(root, 6)
        gathered = time.process_time()
        page = write_page(root, figures, 16_000_000)
        written = time.process_time()
        num_assets = sum(asset.num_assets for asset in figures.assets)
        print(f"figures {gathered - started:.2f} s, page {written - gathered:.2f} s, {len(page) / 1e6:.2f} MB of HTML")
        print(f"peak memory {before:,.0f} MB before, {peak_memory_of_process() / 1e6:,.0f} MB after")
        compare_corpora(root, root)
        compared, peak = time.process_time() - written, peak_memory_of_process() / 1e6
        print(f"diff with itself {compared:.2f} s, peak memory {peak:,.0f} MB")
    seconds = written - started
    verdict = "met" if seconds <= GOAL else "MISSED"
    print(
        f"report of {num_dialogues:,} dialogues, {num_assets:,} assets: {seconds:.2f} s (at most {GOAL:g}: {verdict})"
    )
    return 0 if seconds <= GOAL else 1


def make(root: Path, num_dialogues: int) -> None:
    """Write tables and readings, shard by shard."""
    folder = CorpusFolder(root)
    for shard, first in enumerate(range(0, num_dialogues, PER_SHARD)):
        names = [content_key(number) for number in range(first, min(first + PER_SHARD, num_dialogues))]
        folder.write_table("dialogues", shard, PUBLISHED["dialogues"], map(_dialogue, names))
        for subject, table in TABLES.items():
            folder.write_table(table, shard, PUBLISHED[table], _assets(subject, names))
            _write_readings(root, subject, shard, names)
    write_index(root, [_taken(subject) for subject in ASSETS], None)


def _write_readings(root: Path, subject: Subject, shard: int, names: list[str]) -> None:
    audit = _taken(subject)
    rows = [_reading(audit, row["id"], row["dialogue_id"]) for row in _assets(subject, names)]
    ShardFolder(root / FOLDER / f"{shard:05d}").commit(
        audit.name, SCHEMA, rows, order_key="bench", num_ok=len(rows), num_failed=0, facts={}
    )


def _dialogue(name: str) -> Row:
    parts = [
        {"kind": subject, "text": "words " * 12, "spoken": None, "edits": None, "asset": f"{name}-00-{place:02d}-a0"}
        for place, subject in enumerate(ASSETS)
    ]
    columns: Row = dict.fromkeys(PUBLISHED["dialogues"].names)
    topic = int(name[:4], 16) % 2000
    return columns | {
        "id": name,
        "topic": f"topic {topic}",
        "meta_topic": f"meta-topic {topic % 100}",
        "cell": f"cell {topic % 9}",
        "gives": ["text", "speech"],
        "answers": ["text", "image"][: 1 + topic % 2],
        "scenario": "words " * 40,
        "turns": [{"role": role, "parts": parts} for role in ("user", "assistant") * 2],
    }


def _assets(subject: Subject, names: list[str]) -> Iterator[Row]:
    medium = "image" if subject == "image" else "audio"
    empty: Row = dict.fromkeys(PUBLISHED[TABLES[subject]].names)
    for name in names:
        for place in range(ASSETS[subject]):
            asset = f"{name}-00-{place:02d}-a0"
            row = empty | {"id": asset, "dialogue_id": name, "sha256": content_key(asset), "is_draft": False}
            if subject != "image":
                row["duration"] = 4.0
            if subject == "speech":
                row["voice"] = f"voice {place}"
            yield row | {medium: {"bytes": asset.encode() * 20, "path": asset}}


def _taken(subject: Subject) -> TakenAudit:
    measures = tuple(
        Measure(name=f"{subject}.{what}", better="lower", limit=0.999, summary="Made up.") for what in WHATS
    )
    name = f"{subject}-bench"
    return TakenAudit(name=name, version="1", about=subject, compares=False, fingerprint=name, measures=measures)


def _reading(audit: TakenAudit, name: str, dialogue: str) -> Row:
    order = Order(name, {"content": content_key(name), "audit": audit.fingerprint}, dialogue)
    readings = [{"measure": m.name, "value": derive_unit(0, name, m.name), "detail": ""} for m in audit.measures]
    return {**base_row(order), "dialogue_id": dialogue, "readings": readings, "sketch": None}


if __name__ == "__main__":
    sys.exit(main())
