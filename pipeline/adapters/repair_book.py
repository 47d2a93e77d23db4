"""The repairs of a corpus on disk, a file a shard under ``work/repairs/``."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.shard_book import ShardBook
from pipeline.values.repairs import Repair

_REPAIRS = TypeAdapter(dict[str, Repair])
_LOSS = "its assets are then rendered as they were before they were repaired"


class RepairBook(ShardBook[Repair]):
    """Reads and writes which attempts the render stage is to make.

    Args:
        work: The corpus's ``work`` folder.
        lock: Of the run that writes; None for one that only reads.
    """

    def __init__(self, work: Path, lock: CorpusLock | None = None) -> None:
        super().__init__(work / "repairs", _REPAIRS, _LOSS, lock)
