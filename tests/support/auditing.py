"""Audits in this process, instead of in Ray's workers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.execution.audits import AuditRun, AuditSetting, AuditWork
from pipeline.execution.driver import Silence


class WorkersHere:
    """Implements ``Workers``, and keeps what was called for."""

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


def audit_here(root: Path, *names: str, limits: Mapping[str, float] | None = None) -> None:
    """Take some audits of a corpus."""
    setting = AuditSetting(root, names, limits=limits or {})
    lock = CorpusLock.acquire(root / FOLDER)
    try:
        workers = WorkersHere(setting, lock.epoch)
        asyncio.run(AuditRun(setting, lock, lambda: workers).execute())
    finally:
        lock.release()
