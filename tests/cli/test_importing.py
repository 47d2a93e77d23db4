from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.adapters.topic_files import read_topics
from pipeline.cli.app import app
from pipeline.execution.project import load_project
from pipeline.values.errors import AnyInstructError, ManifestError
from pipeline.values.records import Modality
from pipeline.work.published_shapes import PublishedDialogue

TOPICS = "1. Kites at dawn\n2. kites  at Dawn\n3. Night trains\n# heading\n\n"
SCENARIOS = {
    "e765d90e": {"scenario": "A user shares a photo of a kite.", "topic": "Kites at dawn"},
    "4faf7bd6": "A user asks for train music.",
    "00000000": 5,
}
DIALOGUES: dict[str, Any] = {
    "e765d90e": [
        {"role": "USER", "message": "What is this? [image: a red kite]"},
        {"role": "AnyGPT", "message": "A kite."},
        {"role": "USER", "message": "And a tune?"},
        {"role": "AnyGPT", "message": "Here. [music: airy folk, flute]"},
    ],
    "4faf7bd6": [
        {"role": "USER", "message": "Play a train."},
        {"role": "AnyGPT", "message": "[music: blues, harmonica]"},
    ],
    "c8e0bde8": [
        {"role": "USER", "message": "Show me one. "},
        {"role": "AnyGPT", "message": "[image: a night train] [image: a station]"},
    ],
    "aa9ca2c8": [{"role": "USER", "message": "Hello?"}],
    "0870c750": [{"role": "USER", "message": "See [image: "}, {"role": "AnyGPT", "message": "No."}],
}


def fill(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        if name == "topics":
            (folder / "topics.txt").write_text(value)
        else:
            (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def fill_whole(folder: Path) -> Path:
    media = {"e765d90e_0": "a red kite", "c8e0bde8_0": {"caption": "a night train"}, "bad": 3}
    return fill(
        folder, topics=TOPICS, scenario=SCENARIOS, text_chat=DIALOGUES, image=media, music={"4faf7bd6_0": "blues"}
    )


def do_import(source: Path, out: Path) -> str:
    result = CliRunner().invoke(app, ["import", str(source), str(out)], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def dialogues_of(out: Path) -> list[PublishedDialogue]:
    lines = (out / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    return [PublishedDialogue.model_validate_json(line) for line in lines]


def test_an_import_writes_topics_dialogues_and_a_manifest_that_loads(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = do_import(fill_whole(tmp_path / "source"), out)
    assert sorted(path.name for path in out.iterdir()) == ["dialogues.jsonl", "manifest.yaml", "topics.txt"]
    assert [topic.text for topic in read_topics(out / "topics.txt", ())] == ["Kites at dawn", "Night trains"]
    found = dialogues_of(out)
    assert [(d.id, d.topic, d.scenario) for d in found] == [
        ("e765d90e", "Kites at dawn", "A user shares a photo of a kite."),
        ("4faf7bd6", None, "A user asks for train music."),
        ("c8e0bde8", None, None),
    ]
    assert [part.text for part in found[0].turns[0].parts] == ["What is this?", "a red kite"]
    project = load_project(out / "manifest.yaml")
    assert [topic.text for topic in project.written_topics()] == ["Kites at dawn", "Night trains"]
    cells = {(cell.gives, cell.answers): cell for cell in project.manifest.mix}
    text, image, music = Modality.TEXT, Modality.IMAGE, Modality.MUSIC
    assert cells.keys() == {((text, image), (text, music)), ((text,), (music,)), ((text,), (image,))}
    assert cells[(text, image), (text, music)].rounds == (2, 2)
    assert cells[(text,), (image,)].images == (2, 2)
    assert {cell.weight for cell in cells.values()} == {1}
    assert project.manifest.size.max_dialogues == 3
    rows = [" ".join(line.split()) for line in said.splitlines()]
    assert "topics 4 2 duplicates 1, unusable 1" in rows
    assert "scenarios 3 2 unknown_shape 1" in rows
    assert "dialogues 5 3 roles_do_not_alternate 1, broken_tag 1" in rows
    assert "descriptions of image 3 2 unknown_shape 1" in rows
    assert "descriptions of music 1 1" in rows
    assert "1.33 rounds a dialogue; 2 linked to a scenario" in rows
    assert "text, image text, music 2 1 33.3%" in rows


def test_two_parts_are_one_import(tmp_path: Path) -> None:
    for part in ("part1", "part2"):
        fill_whole(tmp_path / "set" / part / "data_construction")
    out = tmp_path / "out"
    rows = [" ".join(line.split()) for line in do_import(tmp_path / "set", out).splitlines()]
    assert "dialogues 10 6 roles_do_not_alternate 2, broken_tag 2" in rows
    assert "topics 8 2 duplicates 4, unusable 2" in rows
    found = dialogues_of(out)
    assert len({(dialogue.file, dialogue.id) for dialogue in found}) == len(found) == 6
    assert found[0].file == "part1/data_construction/text_chat.json"
    assert len(read_topics(out / "topics.txt", ())) == 2


def test_topics_that_scenarios_name_stand_in_for_a_missing_file(tmp_path: Path) -> None:
    rows = [{"id": 3, "scenario": "Rain falls.", "topic": "Rain"}, {"id": 4, "scenario": "It snows."}]
    chat = [{"id": 3, "chat": "User: Hi\nAssistant: Hello"}, {"id": 3, "chat": "User: Hi\nAssistant: Hello"}]
    out = tmp_path / "out"
    assert "id_twice 1" in do_import(fill(tmp_path / "source", scenario=rows, text_chat=chat), out)
    assert [topic.text for topic in read_topics(out / "topics.txt", ())] == ["Rain"]
    assert [(d.id, d.topic) for d in dialogues_of(out)] == [("3", "Rain")]


def test_topics_alone_make_a_manifest_with_the_shipped_mix(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "Modality matrix" not in do_import(fill(tmp_path / "source", topics="Rain\n"), out)
    assert len(load_project(out / "manifest.yaml").manifest.mix) > 1
    assert "there were none" in (out / "manifest.yaml").read_text()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"text_chat": {"a": {"talk": []}}, "topics": "x"},
            r"text_chat\.json: record 1 \('a'\): none of the keys chat",
        ),
        ({"scenario": [7], "topics": "x"}, r"scenario\.json: record 1: the scenario is neither .*no record of this"),
        ({"image": {"a": []}, "topics": "x"}, r"image\.json: record 1 \('a'\): the entry is neither"),
        ({"text_chat": 5, "topics": "x"}, r"text_chat\.json: begins with '5'"),
        ({"topics": "# nothing\n"}, r"no topic in topics\.txt"),
        ({}, r"holds none of topics\.txt"),
    ],
)
def test_unknown_shapes_are_named_and_nothing_is_written(tmp_path: Path, files: dict[str, Any], expected: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(ManifestError, match=expected):
        do_import(fill(tmp_path / "source", **files), out)
    assert not out.exists() or list(out.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    source = fill_whole(tmp_path / "source")
    with pytest.raises(ManifestError, match=r"topics\.txt: is there already"):
        do_import(source, source)
    assert (source / "topics.txt").read_text() == TOPICS


def test_names_inside_the_files_become_no_paths(tmp_path: Path) -> None:
    chat = {"../../escape": "User: Hi\nAssistant: Hello", "/etc/x": "User: Hi\nAssistant: Hello"}
    out = tmp_path / "deep" / "out"
    do_import(fill(tmp_path / "deep" / "source", topics="../../rain\n", text_chat=chat), out)
    assert [dialogue.id for dialogue in dialogues_of(out)] == ["../../escape", "/etc/x"]
    written = {path.name for path in tmp_path.rglob("*") if path.is_file() and "source" not in path.parts}
    assert written == {"dialogues.jsonl", "manifest.yaml", "topics.txt"}


TEXTS = st.sampled_from(["User: Hi\nAI: [image: a cat]", "", "x", "[image", "\x00", "\ud800", "[music: ..]"])
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["chat", "scenario", "topic", "id", "role", "message"]), inner, max_size=4)
    ),
    max_leaves=10,
)
FILES = st.fixed_dictionaries(
    {"topics": st.sampled_from(["rain", "", "[x]\n#\n" + "y" * 300, "a\x1bb\nrain\n"])},
    optional={name: st.lists(VALUES, max_size=3) | VALUES for name in ("scenario", "text_chat", "image", "music")},
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES)
def test_any_files_end_in_an_import_or_in_an_expected_error(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        do_import(fill(folder / "source", **files), folder / "out")
    except AnyInstructError as exc:
        assert str(folder) in str(exc)
    else:
        assert read_topics(folder / "out" / "topics.txt", ())
        dialogues_of(folder / "out")
