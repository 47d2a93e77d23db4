"""How often failed records were taken again, a file a shard under ``work/retries/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.shard_book import ShardBook

Retries = Mapping[str, Mapping[str, int]]
"""By stage and record: how many times it was taken again."""

_RETRIES = TypeAdapter(dict[str, Mapping[str, Annotated[int, Field(ge=1)]]])
_LOSS = "its records then are what they were before they were taken again"


class RetryBook(ShardBook[Mapping[str, int]]):
    """Reads and writes which records of the writing stages are asked for once more, with other seeds.

    Media have theirs in the book of repairs, for another attempt at an asset is the same thing whoever asks for it.

    Args:
        work: The corpus's ``work`` folder.
        lock: Of the run that writes; None for one that only reads.
    """

    def __init__(self, work: Path, lock: CorpusLock | None = None) -> None:
        super().__init__(work / "retries", _RETRIES, _LOSS, lock)

    def write(self, shard: int, entries: Retries) -> None:
        """Replace a shard's retries."""
        super().write(shard, {stage: dict(sorted(records.items())) for stage, records in entries.items()})
