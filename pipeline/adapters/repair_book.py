"""The repairs of a corpus on disk, a file a shard under ``work/repairs/``: whole or not there, and never garbage."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.values.errors import CorpusError
from pipeline.values.repairs import Repair, Repairs

FOLDER = "repairs"
_REPAIRS = TypeAdapter(dict[str, Repair])


class RepairBook:
    """Reads and writes which attempts the render stage is to make.

    Args:
        work: The corpus's ``work`` folder.
        lock: Of the run that writes; None for one that only reads.
    """

    def __init__(self, work: Path, lock: CorpusLock | None = None) -> None:
        self._folder = work / FOLDER
        self._lock = lock

    def read(self, shard: int) -> dict[str, Repair]:
        """Return a shard's repairs; none where nothing was repaired.

        Raises:
            CorpusError: the file is damaged. Without it assets would silently go back to their first attempts.
        """
        path = self._path(shard)
        try:
            return _REPAIRS.validate_python(read_json(path) or {})
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            where = ".".join(map(str, error["loc"]))
            raise CorpusError(
                f"{path}: {where}: {error['msg']}; restore it from a copy, or remove it: its assets are then rendered "
                "as they were before they were repaired"
            ) from exc

    def write(self, shard: int, repairs: Repairs) -> None:
        """Replace a shard's repairs."""
        check = self._lock.check if self._lock else (lambda: None)
        write_json(self._path(shard), {key: repairs[key].model_dump(mode="json") for key in sorted(repairs)}, check)

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard:05d}.json"
