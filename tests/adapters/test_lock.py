"""One writer at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.adapters.files import write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.values.errors import CorpusError, StaleWriter

HOLD = (
    "import sys, time; from pathlib import Path; from pipeline.adapters.lock import CorpusLock\n"
    "lock = CorpusLock.acquire(Path(sys.argv[1]))\n"
    "print(lock.epoch, flush=True)\n"
    "time.sleep(60)\n"
)


@contextmanager
def holding(work: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the lock, and its epoch."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        epoch = int(holder.stdout.readline())
        try:
            yield holder, epoch
        finally:
            holder.kill()


def test_a_second_run_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    work = tmp_path / "corpus" / "work"
    with holding(work) as (holder, epoch):
        assert epoch == 1
        with pytest.raises(CorpusError, match="another run is working on this corpus") as caught:
            CorpusLock.acquire(work)
        assert str(caught.value).startswith(f"{tmp_path / 'corpus'}: ")
        assert f'"pid": {holder.pid}' in str(caught.value)
        assert socket.gethostname() in str(caught.value)


def test_a_killed_run_frees_the_corpus(tmp_path: Path) -> None:
    with holding(tmp_path) as (holder, epoch):
        holder.kill()
        holder.wait()
        lock = CorpusLock.acquire(tmp_path)
        assert lock.epoch == epoch + 1
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
        lock.release()


def test_a_refused_run_takes_nothing_over(tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path)
    with pytest.raises(CorpusError):
        CorpusLock.acquire(tmp_path)
    lock.check()
    assert lock.epoch == 1
    lock.release()
    lock.release()  # twice does no harm


def test_epochs_rise(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        lock = CorpusLock.acquire(tmp_path)
        epochs.append(lock.epoch)
        lock.release()
    assert epochs == [1, 2, 3]


def test_a_worker_of_an_earlier_run_finds_itself_out_of_date(tmp_path: Path) -> None:
    first = CorpusLock.acquire(tmp_path)
    worker = CorpusLock(tmp_path, first.epoch)
    worker.check()
    first.release()
    second = CorpusLock.acquire(tmp_path)
    with pytest.raises(StaleWriter, match="run 2 has taken over from run 1"):
        worker.check()
    second.check()
    second.release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"epoch": "7"}', '{"epoch": null}'])
def test_a_damaged_epoch_is_refused_and_the_corpus_is_free_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "epoch.json").write_text(text)
    with pytest.raises(CorpusError, match=r"epoch\.json: .*write \{\"epoch\": 1000000\} into it and run again"):
        CorpusLock.acquire(tmp_path)
    write_json(tmp_path / "epoch.json", {"epoch": 1000000})
    lock = CorpusLock.acquire(tmp_path)
    assert lock.epoch == 1000001
    lock.release()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match=r"file/work: cannot be written: Not a directory"):
        CorpusLock.acquire(tmp_path / "file" / "work")
