"""Rows of instruction data as files have them: what is wrong with one row costs that row alone."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters import text_rows
from pipeline.adapters.text_rows import kind_of, read_hub_set, read_text_file
from pipeline.values.errors import ManifestError
from pipeline.values.texts import HubSet, RawText, Rule, TextFile


def read(path: Path, encoding: str = "auto") -> list[RawText]:
    return list(read_text_file(path, TextFile.model_validate({"path": path.name, "encoding": encoding})))


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_marks_tell_encodings(tmp_path: Path, encoding: str, is_packed: bool) -> None:
    data = '{"a": "crème 日本"}\r\n\r\n{"b": 1}'.encode(encoding)
    path = write(tmp_path, "a.jsonl.gz" if is_packed else "a.jsonl", gzip.compress(data) if is_packed else data)
    assert [(row.place, row.value) for row in read(path)] == [(1, {"a": "crème 日本"}), (3, {"b": 1})]


def test_encoding_that_is_stated_goes_before_utf_8(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"a": "crème"}\n'.encode("latin-1"))
    assert read(path, "latin-1")[0].value == {"a": "crème"}
    assert [str(row.problem.rule) for row in read(path) if row.problem] == ["undecodable"]


def test_wrong_rows_cost_themselves_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "MAX_ROW_CHARACTERS", 60)
    lines = [b'{"a": 1}', b'{"a": ', b'{"a": "\xe9"}', b'{"a": "' + b"x" * 200 + b'"}', b'{"a": 2}', b"[" * 55]
    rows = read(write(tmp_path, "a.jsonl", b"\n".join(lines)))
    assert [row.problem.rule if row.problem else row.value for row in rows] == [
        {"a": 1},
        Rule.BROKEN,
        Rule.UNDECODABLE,
        Rule.TOO_LARGE,
        {"a": 2},
        Rule.BROKEN,
    ]
    assert [row.place for row in rows] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.jsonl.gz", b'{"a": "'), ("b.jsonl.gz", b"["), ("a.json.gz", b'[{"a": "'), ("b.json.gz", b"")],
)
def test_a_file_that_unpacks_to_much_more_takes_little_memory(tmp_path: Path, name: str, start: bytes) -> None:
    path = tmp_path / name
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(start)
        for _ in range(64):
            packed.write(b" " * 2**20)
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        try:
            assert [row.problem.rule for row in read(path) if row.problem] == [Rule.TOO_LARGE]
        except ManifestError as exc:
            assert str(exc).startswith(f"{path}: ")
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_lists_and_tables_are_read_record_by_record(tmp_path: Path) -> None:
    assert [row.value for row in read(write(tmp_path, "a.json", b'[{"a": 1},\n {"a": 2}]'))] == [{"a": 1}, {"a": 2}]
    pq.write_table(pa.table({"a": list(range(600))}), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert [row.value["a"] for row in rows] == list(range(600))
    assert rows[-1].place == 600


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.json", b'[{"a": 1}, {"a"', "a.json: record 2: not JSON"),
        ("a.parquet", b"PAR1 and no more", "a.parquet: row 1: is no whole Parquet file"),
        ("a.jsonl.gz", b"\x1f\x8b\x08 and no more", "a.jsonl.gz: cannot be read: "),
        ("a.jsonl.gz", b"not packed", "a.jsonl.gz: cannot be read: Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-12], "a.jsonl.gz: cannot be read: "),
    ],
)
def test_files_that_are_not_whole_are_named(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(write(tmp_path, name, data))
    assert told in str(caught.value)


def test_endings_say_what_files_are() -> None:
    names = ("a.jsonl", "A.NDJSON.gz", "a.json", "a.parquet", "a.parquet.gz", "a.csv", "jsonl")
    kinds = [kind_of(Path(name)) for name in names]
    assert kinds == [".jsonl", ".ndjson", ".json", ".parquet", None, None, None]


def test_hub_sets_are_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    write(folder, "train.jsonl", b'{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": "d"}\n')
    monkeypatch.chdir(tmp_path)  # where the library finds a folder of that name, it asks nobody else
    rows = list(read_hub_set(HubSet(id="owner/name", revision="v1")))
    assert [(row.place, row.value["output"]) for row in rows] == [(1, "b"), (2, "d")]


def test_hub_sets_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise FileNotFoundError("no such set")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(ManifestError, match="owner/none:train at v1 cannot be read: no such set"):
        list(read_hub_set(HubSet(id="owner/none", revision="v1")))
