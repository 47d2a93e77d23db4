"""The Batch API under whole runs: the same stages, the same corpus, half the price, and no batch handed in twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.watch import Drained
from pipeline.execution.driver import Run
from pipeline.execution.project import load_project
from tests.support.batch_server import BatchServer, Line, answered, serving_batches
from tests.support.endpoint import fit
from tests.support.projects import describe, make, verify, write_manifest


def write_well(line: Line) -> Line:
    """Answer as the schema asks, the same to the same request."""
    outcome = answered(line)
    schema = line["body"]["response_format"]["json_schema"]["schema"]
    text = json.dumps(fit(schema, Random(line["custom_id"])))
    outcome["response"]["body"]["choices"][0]["message"]["content"] = text
    return outcome


def describe_batches(url: str) -> dict[str, Any]:
    manifest = describe(url)
    manifest["writer"] |= {"mode": "batch", "batch_poll_seconds": 0.2, "price": {"input": 10, "output": 100}}
    manifest["size"] |= {"max_dialogues": 8}
    # One kind of media, so that one render worker starts.
    manifest["mix"] = [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]
    return manifest


async def drain_once_handed_in(run: Run, server: BatchServer) -> None:
    async def drain() -> None:
        while not server.batches:
            await asyncio.sleep(0.05)
        await run.drain()

    draining = asyncio.create_task(drain())
    try:
        await run.execute()
    finally:
        await draining


def test_a_corpus_by_batches_is_stopped_gone_on_with_and_whole(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_KEY", "none")
    server = BatchServer(outcomes=[write_well], polls_to_end=10**9)
    with serving_batches(server) as url:
        path, corpus = write_manifest(tmp_path, describe_batches(url)), tmp_path / "corpus"
        lock = CorpusLock.acquire(corpus / "work")
        try:
            with pytest.raises(Drained):
                asyncio.run(drain_once_handed_in(Run(load_project(path, corpus), lock), server))
        finally:
            lock.release()
        [waiting] = server.batches
        assert len(waiting.lines) == 8
        server.polls_to_end = 1
        ledger, _ = make(path, corpus)
    assert ledger is not None
    assert ledger.counts == {"planned": 8, "kept": 8, "rejected": 0, "failed": 0}
    assert ledger.num_lost_calls == 0
    # Sixteen calls in all: none was handed in twice, though a run ended between handing in and answer.
    ids = [line["custom_id"] for batch in server.batches for line in batch.lines]
    assert len(ids) == len(set(ids)) == 16
    usd = sum(columns["usd"] for models in ledger.spend.values() for columns in models.values())
    assert usd == pytest.approx(16 * (90 * 10 + 7 * 100) / 1e6 / 2)
    assert verify(corpus).is_sound
    assert CorpusFolder(corpus).batches().num_bytes() > 0
