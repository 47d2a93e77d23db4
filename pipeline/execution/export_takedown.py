"""Taking dialogues out of exports: the shards that held them are made anew the way they were made, others stay."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.adapters.files import STAGING, read_json
from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.export import ExportSummary
from pipeline.execution.driver import Silence
from pipeline.execution.exports import ORDERED, STATE, ExportRun, ExportSetting, ExportWork
from pipeline.values.errors import CorpusError
from pipeline.values.records import Record
from pipeline.work.exporting import Selection, Splits


class _Ordered(Record):
    """What an export was ordered with; see :class:`pipeline.execution.exports.ExportSetting`."""

    to: str
    options: Mapping[str, Any]
    splits: Splits
    selection: Selection
    chosen_ids: tuple[str, ...] | None


class _OneWorker:
    """A pool of one worker in this process: of few shards, a cluster would take longer to start."""

    def __init__(self, work: ExportWork) -> None:
        self._work = work

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method, on another thread."""
        return await asyncio.to_thread(getattr(self._work, method), *arguments)

    async def collect(self) -> list[dict[str, Any]]:
        """Return nothing: nobody watches."""
        return []

    async def drain(self) -> None:
        """Let what was begun come to its end."""

    async def close(self) -> None:
        """Hold nothing that would have to be let go."""


def find_setting(corpus: Path, out: Path, beside: Path | None = None) -> ExportSetting:
    """Return how an export was made.

    Args:
        beside: Folder of its receipts, where they do not lie in the export.

    Raises:
        CorpusError: it is no export, or was written before exports noted down how they were ordered.
        ManifestError: its plug-in is not there or cannot run here.
    """
    state = beside or out / STATE
    if not state.is_dir():
        raise CorpusError(f"{out}: is no export that can be made anew; name a folder that `anyinstruct export` wrote")
    try:
        found = _Ordered.model_validate(read_json(state / ORDERED))
    except ValidationError as exc:
        raise CorpusError(
            f"{out}: does not say how it was ordered, as an export of an older version; take the dialogues down "
            "without it, and then give the command of the export again, which writes their shards anew"
        ) from exc
    chosen = None if found.chosen_ids is None else frozenset(found.chosen_ids)
    setting = ExportSetting(corpus, out, found.to, found.options, found.splits, found.selection, chosen, beside)
    setting.choose()
    return setting


def refresh_export(setting: ExportSetting) -> ExportSummary:
    """Bring an export up to date with its corpus, and remove what a kill has left of it.

    Raises:
        CorpusError: another command works on it, or it cannot be written.
    """
    lock = CorpusLock.acquire(setting.state)
    try:
        summary = asyncio.run(
            ExportRun(setting, lock, lambda: _OneWorker(ExportWork(setting, lock.epoch, Silence()))).execute()
        )
        for staging in setting.state.glob(f"{STAGING}*"):
            shutil.rmtree(staging, ignore_errors=True)
        return summary
    finally:
        lock.release()
