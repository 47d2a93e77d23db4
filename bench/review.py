"""How long a reviewer of a large corpus waits, and how much memory the page's server takes.

    python -m bench.review FOLDER [--dialogues 100000]     makes FOLDER once, then measures it

The corpus has a picture and two spoken turns a dialogue, each a few kilobytes, in shards of 1,000; readings of three
measures for each of them, and of one more that compares pictures over all shards.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.made_corpora import write_corpus
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import FOLDER, OVER_ALL, TakenAudit, write_index
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import Measure, Subject
from pipeline.contracts.review import Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.review_desk import ReviewDesk
from pipeline.values.ids import content_key, derive_random
from pipeline.work.auditing import SCHEMA
from pipeline.work.review_selection import Query

SHARD = 1_000
MEDIA_BYTES = 4_000
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
    write_corpus(root, number, SHARD, MEDIA_BYTES)
    lock = CorpusLock.acquire(root / FOLDER)
    kinds: tuple[Subject, ...] = ("image", "speech")
    audits = [*(_audit(about, about, compares=False) for about in kinds), _audit("alike", "image", compares=True)]
    alike: list[Row] = []
    for shard in PublishedCorpus(root).shards:
        store = ShardFolder(root / FOLDER / f"{shard.number:05d}", lock)
        for taken in audits[:-1]:
            _commit(store, taken, [_reading(taken, entry) for entry in shard.index(taken.about)])
        alike += [_reading(audits[-1], entry) for entry in shard.index("image")]
    _commit(ShardFolder(root / FOLDER / OVER_ALL, lock), audits[-1], alike)
    write_index(root, audits, lock)
    lock.release()


def _audit(name: str, about: Subject, *, compares: bool) -> TakenAudit:
    names = [f"{name}.{what}" for what in (MEASURES if not compares else MEASURES[-1:])]
    measures = tuple(Measure(name=one, better="lower", limit=0.999, summary="-") for one in names)
    key = content_key(name)
    return TakenAudit(name=name, version="1", about=about, compares=compares, fingerprint=key, measures=measures)


def _reading(audit: TakenAudit, entry: tuple[str, str, str]) -> Row:
    name, dialogue, content = entry
    random = derive_random(1, name, audit.name)
    readings = [{"measure": measure.name, "value": random.random(), "detail": ""} for measure in audit.measures]
    inputs = f'{{"audit": "{audit.fingerprint}", "content": "{content}"}}'
    base = {"record_id": name, "dialogue_id": dialogue, "inputs": inputs, "status": "ok"}
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
