"""Stage files: committed whole or not at all; what is damaged is set aside and counts as never made."""

from __future__ import annotations

from hashlib import sha512
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.files import sha256_file
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.store import DAMAGED, ShardFolder
from pipeline.adapters.table_file import write_table
from pipeline.contracts.storage import Receipt
from pipeline.values.errors import StaleWriter
from tests.support.corpora import flip_byte

SCHEMA = pa.schema([("record_id", pa.string()), ("text", pa.string()), ("data", pa.binary())])
COUNTS: dict[str, Any] = {"order_key": "k", "num_ok": 5, "num_failed": 0}


def rows(count: int, salt: str = "") -> list[dict[str, Any]]:
    # Bytes that do not compress, so that most of a file is theirs.
    return [{"record_id": f"r{n}", "text": f"text {n}{salt}", "data": sha(f"{n}{salt}")} for n in range(count)]


def sha(text: str) -> bytes:
    return b"".join(sha512(f"{text} {part}".encode()).digest() for part in range(8))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def committed(folder: Path, count: int = 5) -> tuple[ShardFolder, Receipt]:
    store = ShardFolder(folder)
    return store, store.commit("scenarios", SCHEMA, rows(count), **COUNTS)


def test_committed_rows_come_back_with_their_receipt(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path / "00000")
    assert list(store.rows("scenarios")) == rows(5)
    assert list(store.rows("scenarios", ["text"])) == [{"text": f"text {n}"} for n in range(5)]
    assert store.receipt("scenarios") == receipt
    path = tmp_path / "00000" / receipt.file
    assert receipt == Receipt(
        stage="scenarios",
        file=f"scenarios-{receipt.sha256[:12]}.parquet",
        sha256=sha256_file(path),
        footer_sha256=receipt.footer_sha256,
        num_bytes=path.stat().st_size,
        num_rows=5,
        **COUNTS,
    )
    assert names(tmp_path / "00000") == [receipt.file, "scenarios.json"]
    assert store.is_sound("scenarios")


def test_nothing_is_there_before_a_commit(tmp_path: Path) -> None:
    store = ShardFolder(tmp_path / "00000")
    assert store.receipt("scenarios") is None
    assert list(store.rows("scenarios")) == []
    assert store.is_sound("scenarios")
    assert store.set_asides() == []
    assert not (tmp_path / "00000").exists()


def test_a_commit_of_no_rows_is_a_commit(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path, count=0)
    assert receipt.num_rows == 0
    assert list(store.rows("scenarios")) == []
    assert store.receipt("scenarios") == receipt


def test_equal_rows_make_an_equal_file(tmp_path: Path) -> None:
    _, one = committed(tmp_path / "one")
    _, two = committed(tmp_path / "two")
    assert one == two
    path, digest, count = write_table(tmp_path / "three", "scenarios", SCHEMA, iter(rows(5)))
    assert (path.name, digest, count) == (one.file, one.sha256, 5)
    other, _, _ = write_table(tmp_path / "three", "scenarios", SCHEMA, rows(5, "!"))
    assert other.name != one.file


def test_the_file_that_a_commit_replaces_is_removed(tmp_path: Path) -> None:
    store, former = committed(tmp_path)
    other = store.commit("dialogues", SCHEMA, rows(2), **COUNTS)
    made = store.commit("scenarios", SCHEMA, rows(6), **COUNTS)
    assert names(tmp_path) == sorted([other.file, "dialogues.json", made.file, "scenarios.json"])
    again = store.commit("scenarios", SCHEMA, rows(6), **COUNTS)
    assert again == made != former
    assert list(store.rows("scenarios")) == rows(6)


def test_rows_that_are_read_while_they_are_replaced(tmp_path: Path) -> None:
    """The render stage copies what holds out of the file that its commit replaces."""
    store, _ = committed(tmp_path, count=250)
    store.commit("scenarios", SCHEMA, (row for row in store.rows("scenarios") if row["record_id"] != "r3"), **COUNTS)
    assert [row["record_id"] for row in store.rows("scenarios")] == [f"r{n}" for n in range(250) if n != 3]


def test_a_commit_whose_rows_fail_leaves_the_former_one(tmp_path: Path) -> None:
    def failing() -> Any:
        yield from rows(150)
        raise RuntimeError("the renderer died")

    store, former = committed(tmp_path)
    with pytest.raises(RuntimeError, match="died"):
        store.commit("scenarios", SCHEMA, failing(), **COUNTS)
    assert store.receipt("scenarios") == former
    assert names(tmp_path) == [former.file, "scenarios.json"]


def test_a_restated_receipt_keeps_its_file(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path)
    restated = store.restate(receipt.model_copy(update={"order_key": "other", "num_ok": 4, "facts": {"usd": 0.5}}))
    assert store.receipt("scenarios") == restated
    assert (restated.order_key, restated.num_ok, restated.facts) == ("other", 4, {"usd": 0.5})
    assert list(store.rows("scenarios")) == rows(5)


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_row_groups_hold_at_most_a_hundred_rows(tmp_path: Path, count: int) -> None:
    _, receipt = committed(tmp_path, count)
    meta = pq.ParquetFile(tmp_path / receipt.file).metadata
    sizes = [meta.row_group(index).num_rows for index in range(meta.num_row_groups)]
    assert sizes == [100] * (count // 100) + [count % 100] * bool(count % 100)
    assert receipt.num_rows == sum(sizes) == count


@pytest.mark.parametrize("cut", [1, 8, 400, None])
def test_a_cut_file_is_set_aside_and_counts_as_no_commit(tmp_path: Path, cut: int | None) -> None:
    store, receipt = committed(tmp_path)
    path = tmp_path / receipt.file
    path.write_bytes(path.read_bytes()[:-cut] if cut else b"")
    assert store.receipt("scenarios") is None
    assert list(store.rows("scenarios")) == []
    assert store.set_asides() == [tmp_path / f"{receipt.file}{DAMAGED}"]
    made = store.commit("scenarios", SCHEMA, rows(5), **COUNTS)
    assert made == receipt
    assert list(store.rows("scenarios")) == rows(5)


def test_a_file_that_is_gone_counts_as_no_commit(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path)
    (tmp_path / receipt.file).unlink()
    assert store.receipt("scenarios") is None
    assert list(store.rows("scenarios")) == []
    assert store.set_asides() == []


def test_a_flipped_byte_of_the_contents_is_found_while_reading(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path)
    path = tmp_path / receipt.file
    flip_byte(path, path.read_bytes().index(sha("3")[:64]) + 5)
    assert store.receipt("scenarios") == receipt  # the size is right
    assert list(store.rows("scenarios", ["text"])) == [{"text": f"text {n}"} for n in range(5)]
    assert list(store.rows("scenarios")) == []
    assert store.receipt("scenarios") is None
    assert store.set_asides() == [tmp_path / f"{receipt.file}{DAMAGED}"]


def test_row_groups_before_the_damage_are_still_read(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path, count=250)
    path = tmp_path / receipt.file
    flip_byte(path, path.read_bytes().index(sha("150")[:64]))
    assert [row["record_id"] for row in store.rows("scenarios")] == [f"r{n}" for n in range(100)]
    assert store.receipt("scenarios") is None


def test_no_flipped_byte_changes_what_is_read(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path, count=2)
    path = tmp_path / receipt.file
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    # Many bytes of the footer, where the columns have their names, and samples of the pages, which have checksums.
    for offset in [*range(0, len(whole) - footer, 97), *range(len(whole) - footer, len(whole), 5)]:
        store.restate(receipt)
        path.write_bytes(whole)
        flip_byte(path, offset)
        found = list(store.rows("scenarios"))
        if found != rows(2):
            assert found == [], offset
            assert store.receipt("scenarios") is None


def test_no_flipped_byte_gets_past_the_hash(tmp_path: Path) -> None:
    store, receipt = committed(tmp_path, count=1)
    path = tmp_path / receipt.file
    whole = path.read_bytes()
    for offset in range(0, len(whole), 101):
        store.restate(receipt)
        path.write_bytes(whole)
        assert store.is_sound("scenarios")
        flip_byte(path, offset)
        assert not store.is_sound("scenarios"), offset
        assert store.receipt("scenarios") is None
        assert list(store.rows("scenarios")) == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"stage": "scenarios"}', b"\xff\xfe", b'{"file": 7}'])
def test_a_garbage_receipt_is_set_aside_and_counts_as_no_commit(tmp_path: Path, text: bytes) -> None:
    store, receipt = committed(tmp_path)
    (tmp_path / "scenarios.json").write_bytes(text)
    assert store.receipt("scenarios") is None
    assert store.set_asides() == [tmp_path / f"scenarios.json{DAMAGED}"]
    assert store.commit("scenarios", SCHEMA, rows(5), **COUNTS) == receipt


def test_a_stale_epoch_cannot_commit(tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path / "work")
    store = ShardFolder(tmp_path / "00000", CorpusLock(tmp_path / "work", lock.epoch))
    former = store.commit("scenarios", SCHEMA, rows(5), **COUNTS)
    lock.release()
    later = CorpusLock.acquire(tmp_path / "work")
    with pytest.raises(StaleWriter, match="run 2 has taken over from run 1"):
        store.commit("scenarios", SCHEMA, rows(6), **COUNTS)
    with pytest.raises(StaleWriter):
        store.restate(former.model_copy(update={"order_key": "other"}))
    assert names(tmp_path / "00000") == [former.file, "scenarios.json"]
    assert ShardFolder(tmp_path / "00000").receipt("scenarios") == former
    later.release()


def test_a_journal_belongs_to_the_epoch_of_the_lock(tmp_path: Path) -> None:
    for _ in range(2):
        lock = CorpusLock.acquire(tmp_path / "work")
        ShardFolder(tmp_path / "00000", lock).journal("image").append({"epoch": lock.epoch})
        lock.release()
    assert names(tmp_path / "00000") == ["image-e00001.jsonl", "image-e00002.jsonl"]
    assert [entry["epoch"] for entry in ShardFolder(tmp_path / "00000").journal("image").entries()] == [1, 2]
