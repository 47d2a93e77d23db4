"""One writer at a time: a file lock for this machine, an epoch for every writer that outlives its run."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path

from pipeline.adapters.files import read_json, write_json
from pipeline.values.errors import CorpusError, StaleWriter


class CorpusLock:
    """A run's claim on a corpus.

    The driver holds the file lock as long as it lives, so a kill frees it. Workers carry the epoch alone; before
    each commit they compare it with the one on disk, and a worker of an earlier run finds that it is out of date.
    """

    def __init__(self, work: Path, epoch: int) -> None:
        self._work = work
        self._handle: int | None = None
        self.epoch = epoch

    @classmethod
    def acquire(cls, work: Path) -> CorpusLock:
        """Claim the corpus for a new run.

        Raises:
            CorpusError: another run holds it; the text names its process and host.
        """
        try:
            work.mkdir(parents=True, exist_ok=True)
            handle = os.open(work / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise CorpusError(f"{work}: cannot be written: {exc.strerror}; check its permissions and mount") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.read(handle, 4096).decode("utf-8", "replace").strip()
            os.close(handle)
            raise CorpusError(f"{work.parent}: another run is working on this corpus ({holder or 'unknown'})") from exc
        try:
            epoch = read_epoch(work) + 1
            write_json(work / "epoch.json", {"epoch": epoch})
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except (OSError, CorpusError) as exc:
            os.close(handle)
            reason = exc.strerror if isinstance(exc, OSError) else exc
            raise CorpusError(f"{work}: cannot claim the corpus: {reason}") from exc
        lock = cls(work, epoch)
        lock._handle = handle
        return lock

    def check(self) -> None:
        """Raise StaleWriter where a later run has claimed the corpus."""
        current = read_epoch(self._work)
        if current != self.epoch:
            raise StaleWriter(f"{self._work.parent}: run {current} has taken over from run {self.epoch}")

    def release(self) -> None:
        """Give the corpus free."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def read_epoch(work: Path) -> int:
    """Return the epoch of the last run that claimed a folder; 0 where none did.

    Raises:
        CorpusError: the file holds none.
    """
    try:
        data = read_json(work / "epoch.json")
        epoch = 0 if data is None else data["epoch"]
        if not isinstance(epoch, int):
            raise TypeError(f"the epoch is {epoch!r}")
    except (CorpusError, KeyError, TypeError) as exc:
        raise CorpusError(
            f'{work / "epoch.json"}: holds no epoch; write {{"epoch": 1000000}} into it and run again'
        ) from exc
    return epoch
