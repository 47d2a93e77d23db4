from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipeline.adapters.published_set as published_set
from pipeline.adapters.published_set import find_published, read_published_records, read_published_topics
from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality, Part, Turn
from pipeline.work.mix_estimate import MixEstimate
from pipeline.work.published_shapes import (
    PublishedScenario,
    Reason,
    Unfit,
    find_id,
    find_origin,
    parse_description,
    parse_scenario,
    parse_turns,
)

ASKED = "What is this? [image: a red kite over dunes]"
ANSWERED = "A kite. Here is a tune for it. [music: airy folk, flute and harp]"
TURNS = (
    Turn(
        role="user",
        parts=(
            Part(kind=Modality.TEXT, text="What is this?"),
            Part(kind=Modality.IMAGE, text="a red kite over dunes"),
        ),
    ),
    Turn(
        role="assistant",
        parts=(
            Part(kind=Modality.TEXT, text="A kite. Here is a tune for it."),
            Part(kind=Modality.MUSIC, text="airy folk, flute and harp"),
        ),
    ),
)

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(["", "Hi there.", ASKED, "[image: ]", "[music", "\ud800", "\x1b[2J", "x" * 4001, "User: a"])
KEYS = st.sampled_from(["role", "from", "message", "content", "user", "AnyGPT", "id", "scenario", "topic", "chat", "x"])
LIKE_OURS = st.recursive(
    WORDS | ANY_JSON,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=16,
)


def write(folder: Path, text: str | bytes, name: str = "text_chat.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path) -> list[tuple[str | None, Any]]:
    return [(record.key, record.value) for record in read_published_records(path)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1], "b": "x"}', [("a", [1]), ("b", "x")]),
        (' [ {"a": 1} , 12 ] \n', [(None, {"a": 1}), (None, 12)]),
        ('{"a": 1}\n{"a": 2}\n\n', [(None, {"a": 1}), (None, {"a": 2})]),
        ("\ufeff[]", []),
        ("{}", []),
    ],
)
def test_objects_lists_and_lines_are_read(tmp_path: Path, text: str, expected: list[Any]) -> None:
    assert read(write(tmp_path, text)) == expected


@pytest.mark.parametrize("size", [1, 2, 7])
def test_records_that_pieces_cut_in_two_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(published_set, "_PIECE_CHARACTERS", size)
    value = {"first": [12345, -1.5e300, 'ünï \\ " x'], "second": {"deep": [True, None]}, "": 123456789, "last": 2.5e-10}
    assert read(write(tmp_path, json.dumps(value, indent=1))) == list(value.items())
    assert read(write(tmp_path, json.dumps(list(value.values())))) == [(None, item) for item in value.values()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "an object or a list of records is expected"),
        ("hello", "begins with 'h'"),
        ('{"a": 1', "record 1: not JSON: ',' is expected where the end of the file stands"),
        ('{"a" 1}', "record 1: not JSON: ':' is expected where '1' stands"),
        ("{a: 1}", "record 1: a key in quotation marks is expected"),
        ("[1, 2,]", "record 3: not JSON: Expecting value"),
        ("[1] [2]", "goes on behind the end"),
        ("[" * 200_000, "record 1: nested too deep"),
        ('{"a":' * 200_000, "record 1: nested too deep"),
        (b'["\xff"]', "not UTF-8"),
        ("[" + "9" * 5000 + "]", "record 1: not JSON: Exceeds the limit"),
        ('["' + "x" * 2**21 + '"]', "record 1: "),
    ],
)
def test_what_is_no_file_of_records_is_refused_by_place(tmp_path: Path, text: str | bytes, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ManifestError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)


def test_a_record_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_set, "MAX_RECORD_CHARACTERS", 100)
    monkeypatch.setattr(published_set, "_PIECE_CHARACTERS", 50)
    with pytest.raises(ManifestError, match="record 2: not JSON, or over 100 characters"):
        read(write(tmp_path, '["short", "' + "x" * 500 + '"]'))


def test_topics_lose_numbers_and_bullets_only(tmp_path: Path) -> None:
    path = write(
        tmp_path, "\ufeff1. Kites at dawn\r\n\n- Tea\n  12) Rain \n24 hours in Rome\n3.5 stars\n", "topics.txt"
    )
    assert read_published_topics(path) == ["Kites at dawn", "Tea", "Rain", "24 hours in Rome", "3.5 stars"]


def test_topics_that_are_no_text_or_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ManifestError, match=r"topics\.txt: cannot be read as UTF-8"):
        read_published_topics(write(tmp_path, b"\xff\xfe", "topics.txt"))
    monkeypatch.setattr(published_set, "MAX_TOPICS_BYTES", 3)
    with pytest.raises(ManifestError, match=r"topics\.txt: over 0 MiB"):
        read_published_topics(write(tmp_path, "kites", "topics.txt"))


def test_folders_are_found_alone_and_as_parts(tmp_path: Path) -> None:
    write(tmp_path / "part2" / "data_construction", "x", "topics.txt")
    write(tmp_path / "part1" / "data_construction", "[]")
    found = find_published(tmp_path)
    assert [(folder.name, list(folder.files)) for folder in found] == [
        ("part1/data_construction", ["text_chat.json"]),
        ("part2/data_construction", ["topics.txt"]),
    ]
    assert [folder.name for folder in find_published(tmp_path / "part1")] == ["data_construction"]
    assert [folder.name for folder in find_published(tmp_path / "part1" / "data_construction")] == ["."]


def test_links_out_large_files_and_empty_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    with pytest.raises(ManifestError, match=r"holds none of topics\.txt"):
        find_published(source)
    secret = write(tmp_path, "[]", "secret")
    source.mkdir()
    (source / "scenario.json").symlink_to(secret)
    with pytest.raises(ManifestError, match=r"scenario\.json: is a link out of"):
        find_published(source)
    (source / "scenario.json").unlink()
    write(source, "[1, 2]")
    monkeypatch.setattr(published_set, "MAX_FILE_BYTES", 3)
    with pytest.raises(ManifestError, match=r"text_chat\.json: over 0 MiB"):
        find_published(source)


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "USER", "message": ASKED}, {"role": "AnyGPT", "message": ANSWERED}],
        {"chat": [{"role": "USER", "message": ASKED, "speech": "a.mp3"}, {"role": "AnyGPT", "message": ANSWERED}]},
        {"id": 1, "conversation": [[{"role": "user", "message": ASKED}, {"role": "assistant", "message": ANSWERED}]]},
        {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": ANSWERED}]},
        [{"User": ASKED}, {"Chatbot": ANSWERED}],
        [{"User": ASKED, "Assistant": ANSWERED}],
        [f"User: {ASKED}", f"AnyGPT: {ANSWERED}"],
        {"text_chat": f"User: {ASKED}\n\nAssistant: {ANSWERED}\n"},
        f"[Human]: {ASKED}\n[AnyGPT]: {ANSWERED}",
        f"**User**: {ASKED}\n**Assistant**: {ANSWERED}",
    ],
)
def test_every_known_shape_becomes_the_same_turns(value: Any) -> None:
    assert parse_turns(value, {}) == TURNS


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Look: [Image: a cat].", [("text", "Look:."), ("image", "a cat")]),
        ("[image 1: a cat][image_2: a dog]", [("image", "a cat"), ("image", "a dog")]),
        (
            "One [music: jazz]\nand  [image: a cat] two",
            [("text", "One and two"), ("music", "jazz"), ("image", "a cat")],
        ),
        ("[image: a cat] .", [("image", "a cat")]),
        ("Press [enter], please", [("text", "Press [enter], please")]),
        ("[image: e765d90e_0.png]", [("image", "a lighthouse")]),
    ],
)
def test_tags_become_parts_behind_the_words(text: str, parts: list[tuple[str, str]]) -> None:
    turns = parse_turns([{"user": text, "ai": "Fine."}], {Modality.IMAGE: {"e765d90e_0": "a lighthouse"}})
    assert [(part.kind.value, part.text) for part in turns[0].parts] == parts


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        ({"talk": []}, Reason.UNKNOWN_SHAPE, "none of the keys chat.*has 'talk'"),
        ({"chat": 7}, Reason.UNKNOWN_SHAPE, "neither a list nor a text .int"),
        ([7], Reason.UNKNOWN_SHAPE, "neither an object nor a text"),
        ([{"role": "system", "message": "Hi"}], Reason.UNKNOWN_SHAPE, "role is 'system'"),
        ([{"role": ["user"], "message": "Hi"}], Reason.UNKNOWN_SHAPE, "role is list"),
        ([{"role": "user", "words": "Hi"}], Reason.UNKNOWN_SHAPE, "no text under message"),
        ("Hello there.", Reason.UNKNOWN_SHAPE, "no role stands in front of 'Hello"),
        ([], Reason.NO_TURNS, "no turns"),
        ([{"user": "Hi"}], Reason.ROLES, "turn by turn"),
        ([{"ai": "Hi"}, {"user": "Hi"}], Reason.ROLES, "turn by turn"),
        ([{"user": " . "}, {"ai": "Hi"}], Reason.EMPTY_TURN, "without words"),
        ([{"user": "[image: cat"}, {"ai": "Hi"}], Reason.BROKEN_TAG, r"holds '\[image: cat'"),
        ([{"user": "Hi [image]"}, {"ai": "Hi"}], Reason.BROKEN_TAG, r"holds '\[image\]'"),
        ([{"user": "[speech: hello]"}, {"ai": "Hi"}], Reason.BROKEN_TAG, "speech"),
        ([{"user": "[image: e765d90e_7]"}, {"ai": "Hi"}], Reason.BROKEN_TAG, "gives no description"),
        ([{"user": "Hi \x1b[2J"}, {"ai": "Hi"}], Reason.CONTROL, "x1b"),
        ([{"user": "Hi \ud800"}, {"ai": "Hi"}], Reason.CONTROL, "ud800"),
        ([{"user": "x" * 4001}, {"ai": "Hi"}], Reason.TOO_LONG, "4,001 characters"),
        ([{"user": "Hi"}, {"ai": "Hi"}] * 33, Reason.TOO_LONG, "over 64 turns"),
    ],
)
def test_what_is_no_dialogue_has_a_reason(value: Any, reason: Reason, says: str) -> None:
    with pytest.raises(Unfit, match=says) as caught:
        parse_turns(value, {})
    assert caught.value.reason is reason


def test_scenarios_and_descriptions_are_texts_or_objects_with_one() -> None:
    assert parse_scenario(" A user  shares a picture. ").text == "A user shares a picture."
    assert parse_scenario({"scene": "Rain.", "topic": "weather"}).model_dump() == {"text": "Rain.", "topic": "weather"}
    assert parse_description({"caption": "a cat"}) == parse_description("a cat") == "a cat"
    unknown: tuple[Any, ...] = (None, [], {}, {"scenario": 5}, "")
    for broken in unknown:
        with pytest.raises(Unfit):
            parse_scenario(broken)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], ("weather", "Rain.")),
        ({"scenario": "Snow."}, ("weather", "Snow.")),
        ({"scenario": {"text": "Snow.", "topic": "winter"}}, ("winter", "Snow.")),
        ({"scenario": {"text": "Snow.", "topic": "winter"}, "topic": "skiing"}, ("skiing", "Snow.")),
        ({"scenario": 7, "topic": None}, ("weather", "Rain.")),
        ({"topic": "monsoon"}, ("monsoon", "Rain.")),
    ],
)
def test_what_a_dialogue_says_of_its_origin_goes_first(value: Any, expected: tuple[str, str]) -> None:
    assert find_origin(value, PublishedScenario(text="Rain.", topic="weather")) == expected
    assert find_origin([], None) == (None, None)


def test_ids_come_from_the_file_or_the_record() -> None:
    assert find_id("e765d90e", {"id": "other"}) == "e765d90e"
    assert find_id(None, {"id": 7}) == "7"
    assert find_id(None, {"id": True}) is None
    assert find_id(None, []) is None


@settings(max_examples=300, deadline=None)
@given(LIKE_OURS)
def test_no_record_breaks_the_readers(value: Any) -> None:
    for parse in (parse_scenario, parse_description, lambda v: find_origin(v, None), lambda v: find_id(None, v)):
        try:
            parse(value)
        except Unfit as exc:
            assert exc.reason in Reason
    try:
        turns = parse_turns(value, {})
    except Unfit as exc:
        assert str(exc)
    else:
        assert [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
        assert all(turn.parts for turn in turns)
        json.dumps([turn.model_dump(mode="json") for turn in turns], ensure_ascii=False).encode()
        mix = MixEstimate()
        mix.add(turns)
        assert mix.cells()[0].weight == 1


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text('[]{}",:01ae \\\n', max_size=60) | ANY_JSON.map(json.dumps))
def test_no_bytes_break_the_scanner(tmp_path: Path, data: bytes | str) -> None:
    path = write(tmp_path, data)
    try:
        records = read(path)
    except ManifestError as exc:
        assert str(path) in str(exc)
    else:
        assert len(records) <= len(data)
