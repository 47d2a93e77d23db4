"""Files are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.adapters.files import PARTIAL, read_json, replacing, sha256_file, write_json
from pipeline.values.errors import CorpusError, StaleWriter


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as partial:
        partial.write_text("first")
        assert partial.parent == path.parent
        assert partial.name.endswith(PARTIAL)
        assert not path.exists()
    assert path.read_text() == "first"
    assert names(path.parent) == ["file.txt"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("gone wrong"), KeyboardInterrupt(), StaleWriter("late")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_an_error_of_the_disk_says_which_file_and_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    full = pytest.raises(CorpusError, match=r"file\.txt: cannot be written: No space left on device")
    with full as caught, replacing(path) as partial:
        partial.write_text("half")
        raise OSError(28, "No space left on device")
    assert "nothing that was there is lost" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match=r"x\.json: cannot be written"):
        write_json(tmp_path / "file" / "x.json", 1)


def test_a_name_that_is_too_long_is_an_error_of_the_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be written: File name too long"):
        write_json(tmp_path / ("x" * 300), 1)


def test_a_writer_that_may_not_commit_changes_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise StaleWriter("run 2 has taken over from run 1")

    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(StaleWriter, match="run 2"):
        write_json(path, {"a": 2}, refuse)
    assert read_json(path) == {"a": 1}
    assert names(tmp_path) == ["x.json"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    code = (
        "import sys, time; from pathlib import Path; from pipeline.adapters.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('{')\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.kill()
    assert read_json(path) == {"a": 1}
    assert names(tmp_path) == ["x.json", f"x.json.{writer.pid}{PARTIAL}"]


def test_json_round_trips_and_diffs_line_by_line(tmp_path: Path) -> None:
    value = {"b": ["é", 1, 0.1, None, True], "a": {"nested": []}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '  "é",\n' in text


def test_a_missing_json_file_is_none_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    for damaged in (b"", b'{"a": ', b"\xff\xfe", b"[" * 200_000):
        path.write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"x\.json: cannot be read: "):
            read_json(path)


def test_a_file_longer_than_a_piece_is_hashed_whole(tmp_path: Path) -> None:
    data = os.urandom(2**20 + 17)
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == sha256(data).hexdigest()
