"""Manifests and runs for tests: a deterministic endpoint, the smallest valid media, many small shards."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import yaml

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.ledger import Ledger
from pipeline.execution.driver import Run
from pipeline.execution.project import load_project
from pipeline.execution.verification import Verification, set_aside
from tests.support.here import Here

NUM_TOPICS = 40


def describe(url: str, **changes: Any) -> dict[str, Any]:
    """A manifest of 40 dialogues in 20 shards, every modality in use; keyword arguments replace whole sections."""
    return {
        "schema_version": 1,
        "name": "many",
        "seed": 5,
        "topics": {"list": [f"the {number} small bells of the harbour" for number in range(NUM_TOPICS)]},
        "size": {"dialogues_per_topic": 1, "dialogues_per_shard": 2, "replace_losses": False},
        "mix": [
            {"name": "talk", "weight": 3, "gives": ["speech"], "answers": ["speech", "image"], "rounds": [1, 2]},
            {"name": "tune", "weight": 1, "gives": ["text", "music"], "answers": ["text"], "rounds": [1, 1]},
        ],
        "writer": {
            "engine": "openai",
            "model": "tester",
            "base_url": url,
            "api_key_env": "NO_KEY",
            "max_tries": 3,
            "structured": "json_schema",  # stated, so that no probe is among the calls that tests count
        },
        "render": {
            "image": {"renderer": "minimal-image"},
            "music": {"renderer": "minimal-music"},
            "speech": {
                "renderer": "minimal-speech",
                "voices_file": "voices.yaml",
                "voices": {"user": ["anna", "ben", "carl"], "assistant": "dora"},
            },
        },
        "execution": {"shards_in_flight": 8},
    } | changes


def write_manifest(folder: Path, manifest: dict[str, Any], voices: list[dict[str, Any]] | None = None) -> Path:
    """Write the manifest and its voices; return the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("anna", "ben", "carl", "dora", "eve")
    listed = voices or [
        {"name": n, "renderer": "minimal-speech", "speaker": n, "languages": ["en"], "licence": "CC0-1.0"}
        for n in names
    ]
    (folder / "voices.yaml").write_text(yaml.safe_dump({"voices": listed}), encoding="utf-8")
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
    return path


def make(
    path: Path,
    corpus: Path,
    limit: int | None = None,
    until: str | None = None,
    budget: float | None = None,
    *,
    has_ray: bool = True,
) -> tuple[Ledger | None, Run]:
    """Run a manifest, as the command does.

    Args:
        has_ray: False has the workers' part done in this process: the same stages over the same files, in a tenth of
            the time.
    """
    os.environ.setdefault("NO_KEY", "none")
    lock = CorpusLock.acquire(corpus / "work")
    try:
        run = Run(load_project(path, corpus), lock, limit, until, budget)
        if not has_ray:
            here: Any = Here(run.project, lock.epoch)
            run._cluster = here
        return asyncio.run(run.execute()), run
    finally:
        lock.release()


def verify(corpus: Path, fix: bool = False) -> Verification:
    """Verify a corpus; with ``fix``, set aside what is damaged, as the command does."""
    check = Verification(CorpusFolder(corpus))
    check.run()
    if fix:
        set_aside(check.folder, list(check.damaged))
    return check
