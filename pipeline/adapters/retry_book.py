"""How often failed records were taken again, a file a shard under ``work/retries/``: whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.values.errors import CorpusError

FOLDER = "retries"

Retries = Mapping[str, Mapping[str, int]]
"""By stage and record: how many times it was taken again."""

_RETRIES = TypeAdapter(dict[str, dict[str, Annotated[int, Field(ge=1)]]])


class RetryBook:
    """Reads and writes which records of the writing stages are asked for once more, with other seeds.

    Media have theirs in the book of repairs, for another attempt at an asset is the same thing whoever asks for it.

    Args:
        work: The corpus's ``work`` folder.
        lock: Of the run that writes; None for one that only reads.
    """

    def __init__(self, work: Path, lock: CorpusLock | None = None) -> None:
        self._folder = work / FOLDER
        self._lock = lock

    def read(self, shard: int) -> Retries:
        """Return a shard's retries; none where nothing was taken again.

        Raises:
            CorpusError: the file is damaged. Without it, what a retry has mended would silently fail again.
        """
        path = self._path(shard)
        try:
            return _RETRIES.validate_python(read_json(path) or {})
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            where = ".".join(map(str, error["loc"]))
            raise CorpusError(
                f"{path}: {where}: {error['msg']}; restore it from a copy, or remove it: its records then are what "
                "they were before they were taken again"
            ) from exc

    def write(self, shard: int, retries: Retries) -> None:
        """Replace a shard's retries."""
        check = self._lock.check if self._lock else (lambda: None)
        told = {stage: dict(sorted(records.items())) for stage, records in sorted(retries.items())}
        write_json(self._path(shard), told, check)

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard:05d}.json"
