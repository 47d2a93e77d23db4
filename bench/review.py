"""How long a reviewer of a large corpus waits, and how much memory the page's server takes.

    python -m bench.review FOLDER [--dialogues 100000]     makes FOLDER once, then measures it

The corpus has the published size's media a dialogue (1.9 pictures, 1.05 pieces of music, 4.66 spoken turns), each of
them a kilobyte, in shards of 1,000; readings of one audit a medium with three measures each, and of one that
compares pictures over all shards. Written without our stages: only its shape matters here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import MEDIUM_OF, TABLE_OF
from pipeline.adapters.readings import FOLDER, OVER_ALL, TakenAudit, write_index
from pipeline.adapters.store import ROWS_PER_GROUP, ShardFolder
from pipeline.contracts.audit import Measure, Subject
from pipeline.contracts.review import Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.review_desk import ReviewDesk
from pipeline.values.ids import content_key, derive_random
from pipeline.work.auditing import SCHEMA
from pipeline.work.review_selection import Query
from pipeline.work.tables import PUBLISHED

SHARD = 1_000
MEDIA: dict[Subject, float] = {"image": 1.9, "music": 1.05, "speech": 4.66}
MEDIA_BYTES = 1_000
MEASURES = ("loudness", "silence", "error")
SHOWN = 50
"""Dialogues that are opened one after the other."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the corpus where it is not there, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dialogues", type=int, default=100_000)
    options = parser.parse_args(arguments)
    if not (options.folder / "dialogues").is_dir():
        make_corpus(options.folder, options.dialogues)
    measure(options.folder)
    return 0


def measure(root: Path) -> None:
    """Open the corpus and go through some of it, as a reviewer does."""
    process = psutil.Process()
    before = process.memory_info().rss
    desk, seconds = _time(partial(ReviewDesk, root, "bench"))
    print(f"open {len(desk):,} dialogues: {seconds:.1f} s, {(process.memory_info().rss - before) / 2**20:.0f} MiB")
    for query in (
        Query(),
        Query(order="worst", measure="image.error"),
        Query(findings=True),
        Query(state="unreviewed"),
    ):
        ids, seconds = _time(partial(desk.choose, query))
        print(f"choose {query.model_dump(exclude_defaults=True)}: {len(ids):,} in {seconds * 1000:.0f} ms")
    ids = desk.choose(Query())[:SHOWN]
    read = sorted(_time(partial(desk.read, name))[1] for name in ids)
    print(f"show a dialogue: median {read[SHOWN // 2] * 1000:.0f} ms, slowest {read[-1] * 1000:.0f} ms")
    assets = [
        (p["asset"]["about"], name, p["asset"]["id"]) for name in ids for p in _parts(desk.read(name)) if p["asset"]
    ]
    media = sorted(_time(partial(desk.media, *asset))[1] for asset in assets)
    print(f"serve a medium: median {media[len(media) // 2] * 1000:.0f} ms, slowest {media[-1] * 1000:.0f} ms")
    judged = sorted(_time(partial(desk.judge, Verdict(dialogue_id=name, decision=None)))[1] for name in ids)
    print(f"keep a verdict: median {judged[SHOWN // 2] * 1000:.1f} ms, slowest {judged[-1] * 1000:.1f} ms")
    print(f"memory at the end: {process.memory_info().rss / 2**20:.0f} MiB, {before / 2**20:.0f} of them before")


def make_corpus(root: Path, number: int) -> None:
    """Write tables and readings."""
    lock = CorpusLock.acquire(root / FOLDER)
    audits = [_audit(about, about, compares=False) for about in MEDIA] + [_audit("alike", "image", compares=True)]
    alike: list[Row] = []
    for shard in range(-(-number // SHARD)):
        ids = [content_key("bench", place) for place in range(shard * SHARD, min(number, (shard + 1) * SHARD))]
        dialogues = [_dialogue(name) for name in ids]
        _write(root, "dialogue", shard, dialogues)
        for about in MEDIA:
            assets = [row for dialogue in dialogues for row in _assets(dialogue, about)]
            _write(root, about, shard, assets)
            taken = next(audit for audit in audits if audit.name == about)
            _commit(ShardFolder(root / FOLDER / f"{shard:05d}", lock), taken, [_reading(taken, row) for row in assets])
            alike += [_reading(audits[-1], row) for row in assets] if about == "image" else []
    _commit(ShardFolder(root / FOLDER / OVER_ALL, lock), audits[-1], alike)
    write_index(root, audits, lock)
    lock.release()


def _dialogue(name: str) -> Row:
    random = derive_random(1, name, "bench")
    turns: list[Row] = [{"role": role, "parts": []} for role in ("user", "assistant", "user", "assistant")]
    for about, mean in MEDIA.items():
        for _ in range(int(mean) + (random.random() < mean % 1)):
            turn = random.randrange(4)
            asset = f"{name}-{turn:02d}-{len(turns[turn]['parts']):02d}-a0"
            text = "A harbour at night, with a ferry that leaves and three lamps on the quay."
            turns[turn]["parts"].append({"kind": about, "text": text, "asset": asset})
    labels = {
        "topic": "harbours",
        "meta_topic": f"meta-topic {random.randrange(100)}",
        "cell": f"cell {random.randrange(8)}",
    }
    return {"id": name, **labels, "scenario": "Two people wait for a ferry.", "num_rounds": 2, "turns": turns}


def _assets(dialogue: Row, about: Subject) -> Iterator[Row]:
    for turn, parts in enumerate(turn["parts"] for turn in dialogue["turns"]):
        for place, part in enumerate(parts):
            if part["kind"] == about:
                random = derive_random(1, part["asset"], "media")
                medium = {"bytes": b"fLaC" + random.randbytes(MEDIA_BYTES), "path": None}
                row = {"id": part["asset"], "dialogue_id": dialogue["id"], "turn": turn, "part": place}
                voice = {"voice": f"voice {random.randrange(108)}"} if about == "speech" else {}
                yield {**row, **voice, MEDIUM_OF[about]: medium, "sha256": content_key(part["asset"])}


def _write(root: Path, subject: Subject, shard: int, rows: Sequence[Row]) -> None:
    folder = root / TABLE_OF[subject]
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), PUBLISHED[TABLE_OF[subject]])
    path = folder / f"train-{shard:05d}.parquet"
    pq.write_table(table, path, row_group_size=ROWS_PER_GROUP, compression="zstd", write_page_checksum=True)


def _audit(name: str, about: Subject, *, compares: bool) -> TakenAudit:
    names = [f"{name}.{what}" for what in (MEASURES if not compares else MEASURES[-1:])]
    measures = tuple(Measure(name=one, better="lower", limit=0.999, summary="-") for one in names)
    key = content_key(name)
    return TakenAudit(name=name, version="1", about=about, compares=compares, fingerprint=key, measures=measures)


def _reading(audit: TakenAudit, row: Row) -> Row:
    random = derive_random(1, row["id"], audit.name)
    readings = [{"measure": measure.name, "value": random.random(), "detail": ""} for measure in audit.measures]
    inputs = f'{{"audit": "{audit.fingerprint}", "content": "{row["sha256"]}"}}'
    base = {"record_id": row["id"], "dialogue_id": row["dialogue_id"], "inputs": inputs, "status": "ok"}
    return {**base, "readings": readings}


def _commit(store: ShardFolder, audit: TakenAudit, rows: Sequence[Row]) -> None:
    store.commit(audit.name, SCHEMA, rows, order_key="-", num_ok=len(rows), num_failed=0, facts={})


def _parts(dialogue: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for turn in dialogue["turns"] for part in turn["parts"]]


def _time(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    made = work()
    return made, time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(main())
