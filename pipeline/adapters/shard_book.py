"""What people and commands have asked of a shard, a JSON file each: whole or not there, and never garbage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.values.errors import CorpusError

T = TypeVar("T")


class ShardBook(Generic[T]):
    """Reads and writes such files.

    Args:
        folder: That holds them.
        entries: What a file holds, by key.
        loss: What becomes of the corpus without a file, for words of errors.
        lock: Of the run that writes; None for one that only reads.
    """

    def __init__(self, folder: Path, entries: TypeAdapter[dict[str, T]], loss: str, lock: CorpusLock | None) -> None:
        self._folder = folder
        self._entries = entries
        self._loss = loss
        self._lock = lock

    def read(self, shard: int) -> dict[str, T]:
        """Return a shard's entries; none where nothing was asked.

        Raises:
            CorpusError: the file is damaged. Taken for none, it would silently undo what was asked.
        """
        path = self._path(shard)
        try:
            return self._entries.validate_python(read_json(path) or {})
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            where = ".".join(map(str, error["loc"]))
            raise CorpusError(
                f"{path}: {where}: {error['msg']}; restore it from a copy, or remove it: {self._loss}"
            ) from exc

    def write(self, shard: int, entries: Mapping[str, T]) -> None:
        """Replace a shard's entries."""
        check = self._lock.check if self._lock else (lambda: None)
        ordered = {key: entries[key] for key in sorted(entries)}
        write_json(self._path(shard), self._entries.dump_python(ordered, mode="json"), check)

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard:05d}.json"
