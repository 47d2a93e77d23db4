"""Files of a corpus that somebody made to mislead: sound by every hash, and nothing of theirs is followed outside."""

from __future__ import annotations

import io
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.decoding import decode_integers, decode_sound
from pipeline.adapters.journal import FileJournal
from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.ledger import ShardEntry
from pipeline.contracts.storage import Receipt
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex

RECEIPT = Receipt(
    stage="image", file="image-0123.parquet", sha256="", num_bytes=1, num_rows=0, order_key="", num_ok=0, num_failed=0
).model_dump(mode="json")


@pytest.mark.parametrize("key", ["file", "stage"])
@pytest.mark.parametrize("name", ["../victim", "{root}/victim", "..", "a/../../victim", "a\\b", "a\0b", "", "x" * 300])
def test_a_receipt_names_no_file_elsewhere(tmp_path: Path, key: str, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = tmp_path / "shard"
    folder.mkdir()
    stated = {**RECEIPT, key: name.format(root=tmp_path)}
    (folder / "image.json").write_text(json.dumps(stated))
    store = ShardFolder(folder)
    assert store.receipt("image") is None
    assert list(store.rows("image")) == []
    assert victim.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard", "victim"]


@pytest.mark.parametrize("path", ["../outside.json", "/etc/hosts", "led\0ger.json", "ring/x"])
def test_a_ledger_names_no_file_elsewhere(tmp_path: Path, path: str) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    (tmp_path / "outside.json").write_text("{}")
    (root / "ring").symlink_to("ring")
    with pytest.raises(CorpusError, match=r"ledger\.json: names .*, which ") as caught:
        CorpusFolder(root).inside(path)
    assert len(str(caught.value)) < 1000 + len(str(root)) + len(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"shard": "x"}', "{", "[" * 100_000])
def test_a_shards_ledger_that_is_none_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "shard.json").write_text(text)
    entry = ShardEntry(shard=0, path="shard.json", sha256=sha256_hex(text), order_key="")
    with pytest.raises(CorpusError, match=r"shard\.json: .*run the manifest again"):
        CorpusFolder(tmp_path).read_shard_ledger(entry)


def _journal_of(folder: Path, *bodies: bytes) -> FileJournal:
    lines = [b"%08x %s\n" % (zlib.crc32(body), body) for body in bodies]
    (folder / "image-e00001.jsonl").write_bytes(b"".join(lines))
    (folder / "image-e00001.blob").write_bytes(b"0123456789")
    return FileJournal(folder, "image", 0)


@pytest.mark.parametrize(
    "blob",
    [7, None, [], {}, {"offset": 0}, {"offset": -1, "size": 3, "sha256": ""}, {"offset": 0, "size": 1.5, "sha256": ""},
     {"offset": 2**70, "size": 1, "sha256": ""}, {"offset": True, "size": 1, "sha256": ""}],
)  # fmt: skip
def test_an_entry_whose_bytes_lie_nowhere_is_damaged(tmp_path: Path, blob: Any) -> None:
    journal = _journal_of(tmp_path, json.dumps({"key": "a", "blob": blob}).encode(), b'{"key": "b"}')
    assert [entry["key"] for entry in journal.entries()] == ["b"]
    assert journal.num_damaged == 1


def test_a_line_nested_without_end_is_damaged(tmp_path: Path) -> None:
    journal = _journal_of(tmp_path, b'{"a":' * 100_000, b'{"key": "b"}')
    assert [entry["key"] for entry in journal.entries()] == ["b"]


def test_bytes_that_are_not_there_take_no_memory(tmp_path: Path) -> None:
    place = {"offset": 0, "size": 2**40, "sha256": ""}
    journal = _journal_of(tmp_path, json.dumps({"blob": place}).encode())
    (entry,) = journal.entries()
    tracemalloc.start()
    try:
        assert journal.blob(entry) is None
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def _long_sound(seconds: int) -> bytes:
    """A FLAC of silence whose header claims so many seconds: a few hundred bytes."""
    target = io.BytesIO()
    soundfile.write(target, [0.0] * 4096, 8000, format="FLAC", subtype="PCM_16")
    data = bytearray(target.getvalue())
    # STREAMINFO: the number of samples is the low 36 bits of the eight bytes from offset 18.
    head = int.from_bytes(data[18:26], "big") >> 36 << 36
    data[18:26] = (head | seconds * 8000).to_bytes(8, "big")
    return bytes(data)


@pytest.mark.parametrize("decode", [decode_sound, decode_integers])
@pytest.mark.parametrize("seconds", [60, 9 * 3600, 10**6])
def test_a_header_that_claims_hours_takes_no_memory(decode: Any, seconds: int) -> None:
    data = _long_sound(seconds)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"cut off|at most|cannot be decoded"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["../../victim", "a/b", "..", "a\0b"])
def test_an_index_of_audits_names_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "corpus" / "audits").mkdir(parents=True)
    (tmp_path / "victim.json").write_text("{}")
    taken = {"name": name, "version": "1", "about": "image", "compares": True, "fingerprint": "", "measures": []}
    (tmp_path / "corpus" / "audits" / "index.json").write_text(json.dumps([taken]))
    with pytest.raises(CorpusError, match=r"index\.json: is damaged"):
        list(CorpusReadings(tmp_path / "corpus").findings())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "victim.json"]
