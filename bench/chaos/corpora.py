"""The corpora that are made under kills, and what two makings of one are compared by."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.adapters.corpus import CorpusFolder
from pipeline.values.ids import content_key
from tests.support.projects import describe, verify, write_manifest
from tests.support.runs import read_journalled, read_published

IN_FLIGHT = 8
"""Calls of the one composer at a time: so many may a kill have repeated."""

MIXES: dict[str, list[dict[str, Any]]] = {
    "text": [{"name": "text", "gives": ["text"], "answers": ["text"], "rounds": [1, 2]}],
    "image": [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 2]}],
    "music": [{"name": "play", "gives": ["text"], "answers": ["text", "music"], "rounds": [1, 2]}],
    "speech": [{"name": "talk", "gives": ["speech"], "answers": ["speech"], "rounds": [1, 2]}],
    "all": [
        {"name": "talk", "weight": 3, "gives": ["speech"], "answers": ["speech", "image"], "rounds": [1, 2]},
        {"name": "tune", "weight": 1, "gives": ["text", "music"], "answers": ["text"], "rounds": [1, 1]},
    ],
}
"""By what a manifest has in use: none of the media, each of them alone, all together."""

_MEDIA = ("image", "audio")
_VARYING = ("render_seconds",)


def write_project(folder: Path, mix: str, url: str, address: str | None) -> Path:
    """Write a manifest of forty dialogues in twenty shards; return its path."""
    manifest = describe(url, mix=MIXES[mix])
    manifest["writer"]["in_flight"] = IN_FLIGHT
    manifest["execution"] = {"shards_in_flight": 8, "composers": 1} | ({"address": address} if address else {})
    return write_manifest(folder, manifest)


def read_contents(corpus: Path) -> dict[str, str]:
    """Return a hash of every published row by table and id: all columns but media, whose SHA-256 is one, and times.

    Raises:
        AssertionError: an id stands twice in a table.
    """
    found: dict[str, str] = {}
    for table, ids in read_published(corpus, "id").items():
        found |= dict.fromkeys((f"{table}/{name}" for name in ids), "")
    folder = CorpusFolder(corpus)
    ledger = folder.read_ledger()
    for entry in ledger.shards if ledger else ():
        for file in folder.read_shard_ledger(entry).files:
            path = folder.inside(file.path)
            columns = [name for name in pq.read_schema(path).names if name not in (*_MEDIA, *_VARYING)]
            for row in pq.read_table(path, columns=columns).to_pylist():
                found[f"{file.table}/{row['id']}"] = content_key(row)
    return found


def count_calls(corpus: Path) -> Counter[str]:
    """Return how many times each question was put to the endpoint."""
    return Counter(entry["key"] for entry in read_journalled(corpus, "intent"))


def count_lines(corpus: Path) -> int:
    """Return the lines in all journals: what a run has done so far, as far as is known from outside."""
    return sum(path.read_bytes().count(b"\n") for path in (corpus / "work").rglob("*-e*.jsonl"))


def find_faults(corpus: Path, undisturbed: Path, num_kills: int) -> list[str]:
    """Say what is not as it would be without any kill; an empty list where nothing is."""
    faults = []
    have, wanted = read_contents(corpus), read_contents(undisturbed)
    for what, names in (("missing", wanted.keys() - have.keys()), ("beyond", have.keys() - wanted.keys())):
        faults += [f"{what}: {name}" for name in sorted(names)]
    faults += [f"differs: {name}" for name in sorted(have.keys() & wanted.keys()) if have[name] != wanted[name]]
    # Notes tell of what a kill left half written under another name, which no reader ever sees.
    faults += [f"verify: {finding}" for finding in verify(corpus).findings if finding.severity != "note"]
    folder = CorpusFolder(corpus)
    ledger = folder.read_ledger()
    faults += [f"orphan: {path}" for path in folder.find_unreferenced(ledger)] if ledger else ["no ledger"]
    calls, expected = count_calls(corpus), count_calls(undisturbed)
    if calls.keys() != expected.keys():
        faults.append(f"{len(calls.keys() ^ expected.keys())} questions are not those of an undisturbed run")
    repeated = calls.total() - len(calls)
    if repeated > num_kills * IN_FLIGHT:
        faults.append(f"{repeated} calls repeated, at most {num_kills} kills x {IN_FLIGHT} in flight")
    return faults
