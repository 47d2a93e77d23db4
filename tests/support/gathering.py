"""Imports and merges that are killed: each at its n-th change of the folder that it writes to.

A process of its own forks one child for every kill, so that all of them together cost one start of Python, and no
thread of the tests' process is cut in the middle.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.ledger import Ledger
from pipeline.execution import imports
from pipeline.execution.imports import ImportRun, ImportSetting, check_out, open_source
from pipeline.execution.merging import MergeRun, MergeSetting

PER_SHARD = 2
"""Dialogues in a shard of an import that is killed; whoever compares does the same without a kill."""

WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")


def bring(setting: ImportSetting) -> Ledger:
    """Import, as the command does."""
    check_out(setting)
    source = open_source(setting)
    lock = CorpusLock.acquire(setting.out / "work")
    try:
        return ImportRun(setting, source, lock).execute()
    finally:
        lock.release()


def merge(setting: MergeSetting) -> Ledger:
    """Merge, as the command does."""
    setting.check()
    lock = CorpusLock.acquire(setting.out / "work")
    try:
        return MergeRun(setting, lock).execute()[0]
    finally:
        lock.release()


def gather(sources: Sequence[Path], out: Path) -> Ledger:
    """Import one source, or merge several."""
    return merge(MergeSetting(tuple(sources), out)) if len(sources) > 1 else bring(ImportSetting(sources[0], out))


def kill_gathering(sources: Sequence[Path], outs: Sequence[Path]) -> list[int]:
    """Gather into each of some folders and be killed there: before the first file is named, then at points spread out.

    Returns:
        The change before which each was killed, counted from 1.
    """
    command = [sys.executable, "-m", "tests.support.gathering", json.dumps([[*map(str, sources)], [*map(str, outs)]])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points: list[int] = json.loads(done.stdout)
    return points


def _main(sources: list[str], outs: list[str]) -> None:
    imports.DIALOGUES_A_SHARD = PER_SHARD
    paths = [Path(source) for source in sources]
    counted = Path(outs[0]).with_name("counted")
    first, changes = _fork(paths, counted, 10**9)
    more = len(outs) - 1
    points = [first, *(first + (changes - first) * number // more for number in range(1, more + 1))]
    for out, point in zip(outs, points, strict=True):
        assert _fork(paths, Path(out), point) == [-signal.SIGKILL]
    print(json.dumps(points))


def _fork(sources: Sequence[Path], out: Path, point: int) -> list[int]:
    """Gather in a child that is killed at a change.

    Returns:
        Which change was the first renaming, and how many there were; minus the signal where it was killed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        counter = _Counter(out, point)
        sys.addaudithook(counter.take)
        gather(sources, out)
        os.write(writer, json.dumps([counter.first_renaming, counter.count]).encode())
        os._exit(0)
    os.close(writer)
    told = os.read(reader, 100)
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return list(json.loads(told)) if status == 0 else [status]


class _Counter:
    """Counts changes of a folder, and kills the process before one of them."""

    def __init__(self, out: Path, point: int) -> None:
        self._out, self._point = str(out), point
        self.count = self.first_renaming = 0

    def take(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in WRITES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and str(arguments[0]).startswith(self._out):
            self.count += 1
            if event == "os.rename" and not self.first_renaming:
                self.first_renaming = self.count
            if self.count == self._point:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
