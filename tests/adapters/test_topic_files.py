"""Topic files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.topic_files import make_topic, read_topics
from pipeline.values.errors import ManifestError
from pipeline.values.ids import topic_id

META_TOPICS = {"night-markets", "dogs"}


def read(folder: Path, text: str | bytes) -> list[tuple[str, str]]:
    path = folder / "topics.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [(topic.text, topic.meta_topic) for topic in read_topics(path, META_TOPICS)]


def test_topics_belong_to_the_heading_above_them(tmp_path: Path) -> None:
    text = "a kite festival\n[night-markets]\n  noodles   at midnight \n\n# a remark\n[dogs]\nbath day # at last\n"
    assert read(tmp_path, text) == [
        ("a kite festival", ""),
        ("noodles at midnight", "night-markets"),
        ("bath day", "dogs"),
    ]


def test_an_empty_file_has_no_topics(tmp_path: Path) -> None:
    assert read(tmp_path, "") == []
    assert read(tmp_path, "# nothing\n\n") == []


def test_windows_line_ends_are_no_part_of_a_topic(tmp_path: Path) -> None:
    assert read(tmp_path, "[dogs]\r\nbath day\r\n") == [("bath day", "dogs")]


def test_ids_come_from_the_words_alone(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text("Bath  Day\n[dogs]\nbath day\n")
    assert {topic.id for topic in read_topics(path, META_TOPICS)} == {topic_id("bath day")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kites\n[cats]\n", r"topics\.txt:2: \[cats\] is no meta-topic of meta_topics\.yaml"),
        ("kites\n" + "x" * 201, r"topics\.txt:2: a topic is 1 to 200 printable characters \(is 'xxx"),
        ("a\x1b[31m red\n", r"topics\.txt:1: a topic is 1 to 200 printable characters \(is 'a\\x1b\[31m red'\)"),
        ("a \u202etrick\n", r"topics\.txt:1: a topic is 1 to 200 printable"),
        (b"caf\xe9\n", r"topics\.txt: cannot be read as UTF-8 text: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        read(tmp_path, text)


def test_the_longest_topic_is_let_through(tmp_path: Path) -> None:
    assert read(tmp_path, "x" * 200) == [("x" * 200, "")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.txt: cannot be read"):
        read_topics(tmp_path / "nowhere.txt", META_TOPICS)


def test_an_empty_topic_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"m\.yaml: topics\.list: a topic is 1 to 200 printable"):
        make_topic("", "", "m.yaml: topics.list")
