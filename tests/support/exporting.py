"""Exports of tiny corpora in this process, instead of Ray's workers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.export import ExportSummary
from pipeline.execution.driver import Silence
from pipeline.execution.exports import ExportRun, ExportSetting, ExportWork
from pipeline.work.exporting import Selection, Splits


class Here:
    """Workers of this process."""

    def __init__(self, setting: ExportSetting, epoch: int) -> None:
        self._work = ExportWork(setting, epoch, Silence())
        self.shards: list[int] = []

    async def call(self, method: str, *arguments: Any) -> Any:
        self.shards.append(arguments[0])
        return getattr(self._work, method)(*arguments)

    async def collect(self) -> list[dict[str, Any]]:
        return []

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        pass


def export_here(setting: ExportSetting) -> tuple[ExportSummary, list[int]]:
    """Export in this process; what was written, and the shards that had to be."""
    lock = CorpusLock.acquire(setting.state)
    workers = Here(setting, lock.epoch)
    try:
        summary = asyncio.run(ExportRun(setting, lock, lambda: workers).execute())
    finally:
        lock.release()
    return summary, workers.shards


def export_to(
    corpus: Path,
    out: Path,
    to: str,
    options: Mapping[str, Any] | None = None,
    splits: Mapping[str, float] | None = None,
    cells: tuple[str, ...] = (),
) -> ExportSummary:
    """Export a corpus in this process."""
    rules = Splits() if splits is None else Splits(shares=splits)
    setting = ExportSetting(corpus, out, to, options or {}, rules, Selection(cells=cells))
    return export_here(setting)[0]
