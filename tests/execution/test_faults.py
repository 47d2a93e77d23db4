"""What disks and people do to a corpus: a clear error or a repair, nothing lost, nothing silently kept."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.values.errors import AnyInstructError, CorpusError
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.projects import describe, make, verify, write_manifest

TOPICS = {"list": ["a harbour at dawn", "a stall of roasted corn", "an old tram", "a kite with a broken tail"]}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def manifest(endpoint: Endpoint, tmp_path: Path) -> Path:
    endpoint.take()
    return write_manifest(tmp_path, describe(endpoint.url, topics=TOPICS))


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A small disk of its own at ``folder``; yields a function that mounts it again with other options."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", folder], check=True
        ).check_returncode()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def _flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x55
    path.write_bytes(data)


def test_a_full_disk_is_said_and_survived(local_ray: None, manifest: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "64k") as remount:
        with pytest.raises(CorpusError, match="No space left on device"):
            make(manifest, tmp_path / "disk" / "corpus")
        answered = len(endpoint.take())
        remount("size=16m")
        ledger, _ = make(manifest, tmp_path / "disk" / "corpus")
        assert ledger is not None
        assert ledger.counts["kept"] == 4
        # What was answered before the disk was full was journalled, but for calls whose line no longer fitted.
        assert len(endpoint.take()) + answered <= 8 + 4
        assert verify(tmp_path / "disk" / "corpus").is_sound


def test_a_disk_that_fills_up_at_any_write_is_said_and_survived(
    manifest: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    corpus, ends = tmp_path / "disk" / "corpus", 0
    with mounted(tmp_path / "disk", "8k") as remount:
        # A little more room each time, so that the disk is full at another write: journal, stage file, table, ledger.
        for size in range(8, 2000, 36):
            remount(f"size={size}k")
            try:
                ledger, _ = make(manifest, corpus, has_ray=False)
            except CorpusError as exc:
                assert "No space left on device" in str(exc)
                ends += 1
            else:
                break
        assert ends >= 3
        assert ledger is not None
        assert ledger.counts["kept"] == 4
        assert len(endpoint.take()) <= 8 + 4 * ends
        assert verify(corpus).is_sound
        assert not CorpusFolder(corpus).find_unreferenced(ledger)


def test_permission_that_is_lost_between_runs_is_said_and_nothing_is_lost(
    manifest: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "16m") as remount:
        make(manifest, tmp_path / "disk" / "corpus", until="scenarios", has_ray=False)
        endpoint.take()
        remount("ro")
        with pytest.raises(CorpusError, match="Read-only file system"):
            make(manifest, tmp_path / "disk" / "corpus", has_ray=False)
        assert endpoint.take() == []
        remount("rw")
        ledger, _ = make(manifest, tmp_path / "disk" / "corpus", has_ray=False)
        assert ledger is not None
        assert ledger.counts["kept"] == 4
        assert len(endpoint.take()) == 4


def test_a_clock_that_jumps_back_changes_nothing(
    manifest: Path, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    make(manifest, corpus, until="dialogues", has_ray=False)
    endpoint.take()
    before = time.time()
    monkeypatch.setattr(time, "time", lambda: before - 10**8)
    ledger, _ = make(manifest, corpus, has_ray=False)
    assert ledger is not None
    assert ledger.counts["kept"] == 4
    assert endpoint.take() == []
    monkeypatch.undo()
    again, run = make(manifest, corpus, has_ray=False)
    assert run.was_idle
    assert again == ledger


@pytest.mark.parametrize("version", [0, 2])
def test_a_corpus_of_another_version_is_refused_before_anything_is_spent(
    manifest: Path, endpoint: Endpoint, tmp_path: Path, version: int
) -> None:
    corpus = tmp_path / "corpus"
    make(manifest, corpus, until="scenarios", has_ray=False)
    endpoint.take()
    ledger = json.dumps({"schema_version": version})
    (corpus / "ledger.json").write_text(ledger, encoding="utf-8")
    with pytest.raises(CorpusError, match=f"schema version {version}.*use the program that wrote it"):
        make(manifest, corpus, has_ray=False)
    assert endpoint.take() == []
    assert (corpus / "ledger.json").read_text(encoding="utf-8") == ledger


def test_a_read_only_disk_is_said_before_anything_is_spent(manifest: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "16m") as remount:
        remount("ro")
        with pytest.raises(CorpusError, match="Read-only file system"):
            make(manifest, tmp_path / "disk" / "corpus")
        assert endpoint.take() == []


def test_two_runs_on_one_corpus_do_not_mix(manifest: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path / "corpus" / "work")
    try:
        with pytest.raises(CorpusError, match=f"another run.*{os.getpid()}"):
            make(manifest, tmp_path / "corpus", has_ray=False)
    finally:
        lock.release()
    assert endpoint.take() == []


def test_a_truncated_stage_file_is_made_again_from_the_journal(
    manifest: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    make(manifest, corpus, has_ray=False)
    ledger = (corpus / "ledger.json").read_bytes()
    endpoint.take()
    for stage in ("dialogues", "speech"):
        path = _only(corpus / "work" / "shards" / "00000", f"{stage}-*.parquet")
        path.write_bytes(path.read_bytes()[:-100])
    make(manifest, corpus, has_ray=False)
    assert endpoint.take() == []
    assert (corpus / "ledger.json").read_bytes() == ledger
    assert verify(corpus).is_sound


def test_a_flipped_byte_in_a_table_is_found_and_mended(manifest: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    make(manifest, corpus, has_ray=False)
    path = _only(corpus / "images", "train-00000-*.parquet")
    sound = path.read_bytes()
    endpoint.take()
    _flip(path, 0.4)
    assert not verify(corpus).is_sound
    verify(corpus, fix=True)
    make(manifest, corpus, has_ray=False)
    assert path.read_bytes() == sound
    assert endpoint.take() == []
    assert verify(corpus).is_sound


def test_a_half_written_journal_line_costs_one_call(manifest: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    make(manifest, corpus, until="scenarios", has_ray=False)
    shard = corpus / "work" / "shards" / "00000"
    journal = _only(shard, "scenarios-e*.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    for path in (shard / "scenarios.json", _only(shard, "scenarios-*.parquet")):
        path.unlink()
    endpoint.take()
    ledger, _ = make(manifest, corpus, has_ray=False)
    assert ledger is not None
    assert ledger.counts["kept"] == 4
    assert ledger.num_lost_calls == 1
    assert len(endpoint.take()) == 1 + 4


@pytest.mark.parametrize("name", ["ledger.json", "work/plan.parquet", "work/epoch.json"])
def test_a_root_file_full_of_rubbish_is_named(manifest: Path, endpoint: Endpoint, tmp_path: Path, name: str) -> None:
    corpus = tmp_path / "corpus"
    make(manifest, corpus, has_ray=False)
    sound = (corpus / name).read_bytes()
    (corpus / name).write_bytes(b'{"rubbish": ')
    endpoint.take()
    with pytest.raises(AnyInstructError, match=Path(name).name):
        make(manifest, corpus, has_ray=False)
    assert endpoint.take() == []
    (corpus / name).write_bytes(sound)
    make(manifest, corpus, has_ray=False)
    assert CorpusFolder(corpus).read_ledger() is not None
