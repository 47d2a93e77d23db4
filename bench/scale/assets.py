"""What an asset costs beside its encoding: shards rendered and packed again, by renderers that have media ready.

Orders, hashes, journal, stage file and published table are the real ones, in this process alone: beside workers that
fight over two cores the same work takes up to half as much CPU again, and so does encoding, which is to be left out.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

from bench.render.stage import Silent
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.renderers import minimal
from pipeline.contracts.render import Brief, Render, Renderer, RenderFailure
from pipeline.execution.project import load_project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import MEDIA, Modality, PlannedDialogue
from pipeline.values.units import Seconds
from pipeline.work.batching import BatchSize
from pipeline.work.rendering import RenderJob, render_assets

MAKERS = {Modality.IMAGE: minimal.make_gradient, Modality.MUSIC: minimal.make_tone, Modality.SPEECH: minimal.make_tone}
NUM_READY = 50
"""Different media of a kind; a shard's are these over and over."""

NUM_SHARDS = 8
"""After a first one, in which modules are loaded."""


class ReadyRenderer:
    """Has made its media before it is asked."""

    def __init__(self, modality: Modality) -> None:
        make = MAKERS[modality]
        self._ready = cycle([make(Brief(id="", modality=modality, text="", seed=seed)) for seed in range(NUM_READY)])

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        """Return the next ones."""
        return list(islice(self._ready, len(briefs)))

    def provenance(self) -> Mapping[str, str]:
        """Nothing to tell."""
        return {}


def measure_assets(folder: Path, scratch: Path) -> Seconds:
    """Return CPU an asset of a corpus in its folder, whose words are copied; of its shards the median.

    Raises:
        CorpusError: the corpus is damaged.
    """
    corpus = scratch / "corpus"
    others = shutil.ignore_patterns(*(f"{modality}*" for modality in MEDIA), "*.jsonl")
    shutil.copytree(folder / "corpus" / "work", corpus / "work", ignore=others)
    project = load_project(folder / "manifest.yaml", corpus)
    lock = CorpusLock.acquire(corpus / "work")
    try:
        work = ShardWork(project, lock.epoch, Silent())
        shards: dict[int, list[PlannedDialogue]] = defaultdict(list)
        for row in work.folder.read_plan():
            shards[row.shard].append(row)
        took = [_make(work, shard, shards[shard]) for shard in sorted(shards)[: NUM_SHARDS + 1]]
    finally:
        lock.release()
    kept = sorted(took[1:] or took)
    return kept[len(kept) // 2]


def _make(work: ShardWork, shard: int, planned: Sequence[PlannedDialogue]) -> Seconds:
    """Render and pack a shard; return CPU an asset."""
    store, num_assets = work.folder.shard(shard), 0
    jobs = [_job(work, modality, ReadyRenderer(modality)) for modality in work.project.manifest.media]
    started = time.process_time()
    for job in jobs:
        num_assets += render_assets(work.render_orders(store, job.modality, planned), store, job).num_ok
    work.pack(shard, planned, {})
    return (time.process_time() - started) / num_assets


def _job(work: ShardWork, modality: Modality, renderer: Renderer) -> RenderJob:
    choice, plugin = work.project.manifest.render.section(modality), work.project.plugin(modality)
    if choice is None:
        raise ValueError(f"no section for {modality}")
    return RenderJob(
        modality=modality,
        corpus_seed=work.project.manifest.seed,
        choice=choice,
        version=plugin.version,
        is_draft=plugin.is_draft,
        size=BatchSize(choice.batch),
        load=lambda: renderer,
        watch=Silent(),
    )
