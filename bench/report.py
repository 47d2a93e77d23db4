"""How long a report of many dialogues takes, and how much memory: ``python -m bench.report [DIALOGUES]``.

The corpus is made of rows as they are published, by the writers of the program, with media of a few bytes, and has
readings of three measures an asset. Times are of CPU: other programs of the machine do not count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.readings import FOLDER, TakenAudit, write_index
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import Measure, Subject
from pipeline.contracts.storage import Row
from pipeline.execution.comparing import compare_corpora
from pipeline.execution.reporting import gather_figures, write_page
from pipeline.values.ids import content_key, derive_unit
from pipeline.work.auditing import SCHEMA
from pipeline.work.orders import Order, base_row
from pipeline.work.tables import PUBLISHED

PER_SHARD = 1000
ASSETS: dict[Subject, int] = {"image": 2, "music": 1, "speech": 5}
"""An average dialogue of the published size, rounded up."""
TABLES: dict[Subject, str] = {"image": "images", "music": "music", "speech": "speech"}
WHATS = ("loudness", "silent_share", "duration_error")


def main() -> None:
    """Make a corpus, report on it, compare it with itself, and print what that took."""
    num_dialogues = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "corpus"
        make(root, num_dialogues)
        before = _peak()
        started = time.process_time()
        figures = gather_figures(root, 6)
        gathered = time.process_time()
        page = write_page(root, figures, 16_000_000)
        written = time.process_time()
        print(f"{num_dialogues:,} dialogues, {sum(asset.num_assets for asset in figures.assets):,} assets")
        print(f"figures {gathered - started:.2f} s of CPU, page {written - gathered:.2f} s, {len(page) / 1e6:.2f} MB")
        print(f"peak memory {before:,.0f} MB before, {_peak():,.0f} MB after")
        started = time.process_time()
        compare_corpora(root, root)
        print(f"diff with itself {time.process_time() - started:.2f} s of CPU, peak memory {_peak():,.0f} MB")


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


def _peak() -> float:
    """Most memory that this process has held, in MB."""
    size = getrusage(RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size / 1e3


if __name__ == "__main__":
    main()
