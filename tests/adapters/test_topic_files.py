"""Topic files."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from pipeline.adapters.topic_files import make_line_topic, make_topic, read_topic_file, read_topics
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
        (b"kites\ncaf\xe9\n", r"topics\.txt:2: is no UTF-8 text \(invalid continuation byte\); save the file as UTF-8"),
        ("[nigth-markets]\n", r"topics\.txt:1: \[nigth-markets\] .*; did you mean night-markets\?"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        read(tmp_path, text)


def test_all_wrong_lines_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "kites\n[cats]\n" + "x" * 201 + "\nbath day\na\x07b\n")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{tmp_path}/topics.txt:{number}" for number in (2, 3, 5)
    ]
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "[cats]\n" * 53)
    assert len(str(caught.value).splitlines()) == 51
    assert str(caught.value).endswith("topics.txt: and 3 lines more")


def test_the_longest_topic_is_let_through(tmp_path: Path) -> None:
    assert read(tmp_path, "x" * 200) == [("x" * 200, "")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.txt: cannot be read: No such file or directory$"):
        read_topics(tmp_path / "nowhere.txt", META_TOPICS)


def test_an_empty_topic_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"m\.yaml: topics\.list: a topic is 1 to 200 printable"):
        make_topic("", "", "m.yaml: topics.list")


def changed(folder: Path, text: str, added: list[tuple[str, str]]) -> str:
    path = folder / "topics.txt"
    path.write_bytes(text.encode())
    topics = [make_topic(words, meta, "here") for words, meta in added]
    # In the order in which new sections are to stand.
    return read_topic_file(path, ["night-markets", "dogs", "bells"]).add(topics).text


def test_a_topic_is_one_line_at_the_end_of_its_section(tmp_path: Path) -> None:
    text = "# Ours.\nkites\n\n[dogs]\nbath day # at last\n\n# On bells.\n[bells]\nold bells\n"
    after = changed(tmp_path, text, [("walkies", "dogs"), ("new bells", "bells"), ("ferries", ""), ("a nap", "dogs")])
    assert after == (
        "# Ours.\nkites\nferries\n\n[dogs]\nbath day # at last\nwalkies\na nap\n\n# On bells.\n[bells]\nold bells\n"
        "new bells\n"
    )


def test_a_missing_section_is_made_at_its_place(tmp_path: Path) -> None:
    text = "# Ours.\n\n# On dogs.\n[dogs]\nbath day\n"
    added = [("old bells", "bells"), ("noodles", "night-markets"), ("kites", "")]
    assert changed(tmp_path, text, added) == (
        "# Ours.\n\nkites\n\n[night-markets]\nnoodles\n\n# On dogs.\n[dogs]\nbath day\n\n[bells]\nold bells\n"
    )


def test_a_section_of_two_pieces_grows_at_the_last(tmp_path: Path) -> None:
    text = "[dogs]\none\n[bells]\ntwo\n[dogs]\nthree\n"
    assert changed(tmp_path, text, [("four", "dogs")]) == text + "four\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "[dogs]\nwalkies\n"),
        ("kites", "kites\n\n[dogs]\nwalkies\n"),
        ("[dogs]", "[dogs]\nwalkies\n"),
        ("[dogs]\r\nbath day\r\n[bells]\r\nold\r\n", "[dogs]\r\nbath day\r\nwalkies\r\n[bells]\r\nold\r\n"),
        ("# about\n[bells]\nold\n", "# about\n\n[dogs]\nwalkies\n\n[bells]\nold\n"),
    ],
)
def test_line_ends_and_edges_are_kept(tmp_path: Path, text: str, expected: str) -> None:
    assert changed(tmp_path, text, [("walkies", "dogs")]) == expected


def test_what_is_not_meant_stays_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_bytes("# é \r\n  kites  \t# remark\n\n\n[dogs]\nbath day\nno newline".encode())
    file = read_topic_file(path, META_TOPICS)
    assert [(entry.number, entry.topic.text) for entry in file.entries] == [
        (2, "kites"),
        (6, "bath day"),
        (7, "no newline"),
    ]
    file.write()
    assert path.read_bytes() == "# é \r\n  kites  \t# remark\n\n\n[dogs]\nbath day\nno newline".encode()
    file.remove({2, 6}).write()
    assert path.read_bytes() == "# é \r\n\n\n[dogs]\nno newline".encode()


def test_reading_back_gives_what_was_added(tmp_path: Path) -> None:
    rng = Random(3)
    for _ in range(100):
        lines = rng.choices(["", "# remark", "[dogs]", "[bells]", "[night-markets]", "kites at noon", "rain"], k=6)
        added = [(f"topic {rng.randrange(1000)}", rng.choice(["", "dogs", "bells", "night-markets"])) for _ in range(4)]
        text = "\n".join(lines)
        before = read_pairs(tmp_path, text)
        after = changed(tmp_path, text, added)
        assert sorted(read_pairs(tmp_path, after)) == sorted([*before, *added])


def read_pairs(folder: Path, text: str) -> list[tuple[str, str]]:
    path = folder / "topics.txt"
    path.write_text(text)
    return [(topic.text, topic.meta_topic) for topic in read_topics(path, ["night-markets", "dogs", "bells"])]


@pytest.mark.parametrize("text", ["[dogs]", "wall street # 5", "#5", "a\x07b", " ", "x" * 201])
def test_a_topic_that_a_file_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match=r"^here: "):
        make_line_topic(text, "", "here")


def test_a_line_topic_has_its_white_space_folded() -> None:
    assert make_line_topic(" the  [old] bells\n", "", "here").text == "the [old] bells"
