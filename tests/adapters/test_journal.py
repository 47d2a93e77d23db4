"""Journals: whatever happens to a byte, every other entry can still be read."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.journal import FileJournal
from pipeline.values.errors import CorpusError
from tests.support.corpora import flip_byte

ENTRIES = [{"event": "answer", "key": f"k{number}", "text": f"line {number}"} for number in range(5)]


def journal(folder: Path, epoch: int = 1, stage: str = "scenarios") -> FileJournal:
    return FileJournal(folder, stage, epoch)


def written(folder: Path, epoch: int = 1) -> FileJournal:
    """A closed journal of five entries."""
    made = journal(folder, epoch)
    for entry in ENTRIES:
        made.append(entry)
    made.close()
    return made


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    written(tmp_path)
    reader = journal(tmp_path, epoch=0)
    assert list(reader.entries()) == ENTRIES
    assert list(reader.entries()) == ENTRIES
    assert reader.num_damaged == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scenarios-e00001.jsonl"]


def test_an_entry_can_be_read_the_moment_it_is_appended(tmp_path: Path) -> None:
    writer, reader = journal(tmp_path), journal(tmp_path, epoch=0)
    for count, entry in enumerate(ENTRIES, 1):
        writer.append(entry)
        assert list(reader.entries()) == ENTRIES[:count]


def test_a_journal_that_was_never_written_is_empty_and_makes_no_file(tmp_path: Path) -> None:
    assert list(journal(tmp_path / "nowhere").entries()) == []
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("missing", [1, 2, 20])
def test_half_a_last_line_costs_that_entry_alone(tmp_path: Path, missing: int) -> None:
    written(tmp_path)
    path = tmp_path / "scenarios-e00001.jsonl"
    path.write_bytes(path.read_bytes()[:-missing])
    reader = journal(tmp_path)
    if missing == 1:  # only the end of the line is gone: the entry is whole
        assert list(reader.entries()) == ENTRIES
    else:
        assert list(reader.entries()) == ENTRIES[:-1]
        assert reader.num_damaged == 1


def test_a_restarted_writer_of_the_same_epoch_closes_its_half_line(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / "scenarios-e00001.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    restarted = journal(tmp_path)
    restarted.append({"event": "answer", "key": "new"})
    assert list(restarted.entries()) == [*ENTRIES[:-1], {"event": "answer", "key": "new"}]
    assert restarted.num_damaged == 1


def test_a_flipped_byte_anywhere_costs_its_line_alone(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / "scenarios-e00001.jsonl"
    whole = path.read_bytes()
    for offset in range(0, len(whole), 3):
        path.write_bytes(whole)
        flip_byte(path, offset)
        reader = journal(tmp_path)
        found = list(reader.entries())
        # Without the mark between them, two lines are one.
        is_end = whole[offset : offset + 1] == b"\n" and offset < len(whole) - 1
        assert len(found) == 5 - (2 if is_end else 1), offset
        assert all(entry in ENTRIES for entry in found)
        assert reader.num_damaged >= 1


def test_a_line_with_a_true_checksum_that_is_no_entry_is_damaged(tmp_path: Path) -> None:
    written(tmp_path)
    with (tmp_path / "scenarios-e00001.jsonl").open("ab") as file:
        for body in (b"[1]", b"{", b"\xff", b""):
            file.write(b"%08x %s\n" % (zlib.crc32(body), body))
        file.write(b"\n\nno checksum\n")
    reader = journal(tmp_path)
    assert list(reader.entries()) == ENTRIES
    assert reader.num_damaged == 5


def test_segments_are_read_oldest_first_and_kept_apart_by_stage(tmp_path: Path) -> None:
    for epoch in (12, 3, 100):
        made = journal(tmp_path, epoch)
        made.append({"epoch": epoch})
        made.close()
    other = journal(tmp_path, 1, "dialogues")
    other.append({"epoch": "other"})
    assert [entry["epoch"] for entry in journal(tmp_path, 0).entries()] == [3, 12, 100]
    assert [entry["epoch"] for entry in other.entries()] == ["other"]


def test_a_writer_appends_to_its_own_epoch_only(tmp_path: Path) -> None:
    written(tmp_path, epoch=1)
    before = (tmp_path / "scenarios-e00001.jsonl").read_bytes()
    written(tmp_path, epoch=2)
    assert (tmp_path / "scenarios-e00001.jsonl").read_bytes() == before
    assert list(journal(tmp_path, 0).entries()) == ENTRIES * 2


def with_blobs(folder: Path) -> FileJournal:
    made = journal(folder, stage="image")
    for number in range(3):
        made.append({"record": f"r{number}"}, bytes([number]) * 10)
    made.close()
    return made


def test_bytes_come_back_by_entry(tmp_path: Path) -> None:
    made = with_blobs(tmp_path)
    made.append({"record": "again"}, b"more")  # reopened: the offset goes on where the file ends
    entries = list(made.entries())
    assert [made.blob(entry) for entry in entries] == [b"\0" * 10, b"\1" * 10, b"\2" * 10, b"more"]
    assert [entry["blob"]["offset"] for entry in entries] == [0, 10, 20, 30]


def test_bytes_are_found_in_the_segment_of_their_entry(tmp_path: Path) -> None:
    for epoch in (1, 2):
        made = journal(tmp_path, epoch, "image")
        made.append({"record": str(epoch)}, b"made by run %d" % epoch)
        made.close()
    reader = journal(tmp_path, 0, "image")
    assert [reader.blob(entry) for entry in reader.entries()] == [b"made by run 1", b"made by run 2"]


def test_cut_bytes_cost_their_entry_alone(tmp_path: Path) -> None:
    made = with_blobs(tmp_path)
    path = tmp_path / "image-e00001.blob"
    path.write_bytes(path.read_bytes()[:-1])
    assert [made.blob(entry) for entry in made.entries()] == [b"\0" * 10, b"\1" * 10, None]


def test_flipped_bytes_cost_their_entry_alone(tmp_path: Path) -> None:
    made = with_blobs(tmp_path)
    flip_byte(tmp_path / "image-e00001.blob", 15)
    assert [made.blob(entry) for entry in made.entries()] == [b"\0" * 10, None, b"\2" * 10]


def test_a_missing_file_of_bytes_costs_all_of_them(tmp_path: Path) -> None:
    made = with_blobs(tmp_path)
    (tmp_path / "image-e00001.blob").unlink()
    assert [made.blob(entry) for entry in made.entries()] == [None] * 3


def test_a_folder_in_which_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match=r"file/shard/scenarios-e00001: cannot write the journal: Not a directory"):
        journal(tmp_path / "file" / "shard").append({"a": 1})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.dictionaries(st.sampled_from("abc"), VALUES), st.none() | st.binary()), max_size=6))
def test_whatever_is_appended_comes_back(items: list[tuple[dict[str, Any], bytes | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = journal(Path(folder))
        for entry, data in items:
            made.append(entry, data)
        made.close()
        found = list(made.entries())
        assert [{key: entry[key] for key in entry if key != "blob"} for entry in found] == [e for e, _ in items]
        assert [made.blob(entry) if "blob" in entry else None for entry in found] == [data for _, data in items]
        assert made.num_damaged == 0


def test_a_journal_that_nobody_holds_has_no_file_open(tmp_path: Path) -> None:
    opened = Path("/proc/self/fd")
    before = len(list(opened.iterdir()))
    held = FileJournal(tmp_path, "image", 0)
    held.append({"key": "held"}, b"bytes")
    assert len(list(opened.iterdir())) == before + 2
    for epoch in range(1, 40):
        FileJournal(tmp_path, "image", epoch).append({"key": f"{epoch}"}, b"bytes")
    assert len(list(opened.iterdir())) == before + 2
    assert [entry["key"] for entry in held.entries()] == ["held", *map(str, range(1, 40))]
