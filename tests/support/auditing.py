"""Audits of a corpus in this process, without Ray."""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.execution.audits import AuditRun, AuditSetting, AuditWork
from pipeline.execution.driver import Silence


class Here:
    """Workers of this process, instead of Ray's."""

    def __init__(self, setting: AuditSetting, epoch: int) -> None:
        self._work = AuditWork(setting, epoch, Silence())
        self.calls: list[tuple[str, Any]] = []

    async def call(self, method: str, *arguments: Any) -> Any:
        self.calls.append((method, arguments[0]))
        return getattr(self._work, method)(*arguments)

    async def collect(self) -> list[dict[str, Any]]:
        return []

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        pass


def run_here(setting: AuditSetting) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Audit in this process; summaries by measure, and what the workers were called for."""
    lock = CorpusLock.acquire(setting.root / FOLDER)
    workers = Here(setting, lock.epoch)
    try:
        summaries = asyncio.run(AuditRun(setting, lock, lambda: workers).execute())
    finally:
        lock.release()
    return {summary.measure.name: summary for summary in summaries}, workers.calls
