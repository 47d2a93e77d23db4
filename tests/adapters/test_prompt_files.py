"""The prompts folder: read once, checked whole, and filled without evaluating what is filled in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters.prompt_files import PromptFolder
from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality, Part

META = """\
- id: dogs
  name: Dogs
  area: daily-life
  scope: Walks and wet fur.
  seeds: [a lead, a bone]
"""
DEMONSTRATION = """\
- id: bath-day
  topic: bath day
  gives: [speech]
  answers: [text, image]
  features: [describe]
  scenario: Somebody washes a dog.
  turns:
    - role: user
      parts:
        - speech: Show me a wet dog.
    - role: assistant
      parts:
        - text: Here it is.
        - image: a wet dog in a tin tub
"""
REQUIREMENTS = """\
- id: by-night
  when: {gives: [speech], answers: []}
  min_rounds: 2
  feature: describe
  text: It happens at night.
- id: plain
  text: It is short.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "demonstrations").mkdir()
    (tmp_path / "meta_topics.yaml").write_text(META)
    (tmp_path / "requirements.yaml").write_text(REQUIREMENTS)
    (tmp_path / "demonstrations" / "a.yaml").write_text(DEMONSTRATION)
    (tmp_path / "templates" / "hello.j2").write_text(
        "Topic: {{ topic }}\n{% if scope %}\nIn: {{ scope }}\n{% endif %}\n"
    )
    return tmp_path


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def test_a_folder_is_read_into_records(folder: Path) -> None:
    book = PromptFolder(folder)
    assert book.meta_topics["dogs"].seeds == ("a lead", "a bone")
    made = book.demonstrations["bath-day"]
    assert [turn.role for turn in made.turns] == ["user", "assistant"]
    assert made.turns[0].parts == (Part(kind=Modality.SPEECH, text="Show me a wet dog.", spoken="Show me a wet dog."),)
    assert made.turns[1].parts[1] == Part(kind=Modality.IMAGE, text="a wet dog in a tin tub")
    assert (made.gives, made.answers) == (("speech",), ("text", "image"))
    night, plain = book.requirements["by-night"], book.requirements["plain"]
    assert (night.gives, night.answers, night.min_rounds, night.feature) == (("speech",), (), 2, "describe")
    assert (plain.gives, plain.answers, plain.min_rounds, plain.feature) == ((), (), 1, None)


def test_a_picture_that_changes_another_names_it(folder: Path) -> None:
    path = folder / "demonstrations" / "a.yaml"
    again = """    - role: user
      parts:
        - speech: Now dry it.
    - role: assistant
      parts:
        - text: Done.
        - image: a dry dog in a tin tub
          edits: the picture of turn 2
"""
    path.write_text(DEMONSTRATION + again)
    made = PromptFolder(folder).demonstrations["bath-day"]
    assert made.turns[3].parts[1] == Part(kind=Modality.IMAGE, text="a dry dog in a tin tub", edits="1.1")
    assert made.turns[1].parts[1].edits is None
    edit(path, ("the picture of turn 2", "the picture of turn 4"))
    with pytest.raises(ManifestError, match="edits 'the picture of turn 4': no earlier picture; there are: the"):
        PromptFolder(folder)


def test_all_files_of_demonstrations_are_read(folder: Path) -> None:
    (folder / "demonstrations" / "mine.yaml").write_text(DEMONSTRATION.replace("id: bath-day", "id: mine"))
    assert list(PromptFolder(folder).demonstrations) == ["bath-day", "mine"]


def test_values_are_filled_in_and_lines_without_value_left_out(folder: Path) -> None:
    book = PromptFolder(folder)
    assert book.text("hello", topic="bath day", scope="") == "Topic: bath day"
    assert book.text("hello", topic="bath day", scope="the yard") == "Topic: bath day\nIn: the yard"


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ 7 * 7 }}",
        "{% for x in range(9) %}x{% endfor %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{# gone #}",
        "{% include 'hello.j2' %}",
        "<b>&amp;</b>",
    ],
)
def test_template_syntax_in_a_value_is_not_evaluated(folder: Path, hostile: str) -> None:
    assert PromptFolder(folder).text("hello", topic=hostile, scope="") == f"Topic: {hostile}"


def test_a_template_cannot_reach_python(folder: Path) -> None:
    (folder / "templates" / "bad.j2").write_text("{{ topic.__class__.__mro__ }}")
    with pytest.raises(ManifestError, match=r"templates/bad\.j2: .*unsafe"):
        PromptFolder(folder).text("bad", topic="x")


def test_a_missing_template_is_named(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"templates/nowhere\.j2: there is no such template"):
        PromptFolder(folder).text("nowhere")
    with pytest.raises(ManifestError, match=r"templates/nowhere\.j2: cannot be read: No such file"):
        PromptFolder(folder).key("hello", "nowhere")


def test_a_value_that_no_stage_gives_is_named(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"templates/hello\.j2: 'topic' is undefined"):
        PromptFolder(folder).text("hello", scope="")


def test_a_wrong_template_is_named_with_its_line(folder: Path) -> None:
    (folder / "templates" / "bad.j2").write_text("first\n{% if %}\n")
    with pytest.raises(ManifestError, match=r"templates/bad\.j2:2: Expected an expression"):
        PromptFolder(folder).text("bad")


def test_a_key_covers_the_named_templates_and_nothing_else(folder: Path) -> None:
    (folder / "templates" / "other.j2").write_text("Other.")
    book = PromptFolder(folder)
    key, both = book.key("hello"), book.key("hello", "other")
    (folder / "templates" / "other.j2").write_text("Another.")
    assert book.key("hello") == key
    assert book.key("hello", "other") != both
    assert book.key("other", "hello") != book.key("hello", "other")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("meta_topics.yaml", "metatopic"),
        ("requirements.yaml", "requirement"),
        ("demonstrations/a.yaml", "demonstration"),
    ],
)
def test_an_id_that_stands_twice_is_named(folder: Path, name: str, kind: str) -> None:
    text = (folder / name).read_text()
    (folder / name).write_text(text + text)
    with pytest.raises(ManifestError, match=rf"the id '(dogs|by-night|bath-day)' of a {kind} stands twice"):
        PromptFolder(folder)


def test_an_id_that_stands_in_two_files_is_named(folder: Path) -> None:
    (folder / "demonstrations" / "b.yaml").write_text(DEMONSTRATION)
    with pytest.raises(ManifestError, match="the id 'bath-day' of a demonstration stands twice"):
        PromptFolder(folder)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("- speech: Show me a wet dog.", "- video: a wet dog", "a.yaml:10: 0.turns.0.parts.0: 'video' is no modality"),
        (
            "- speech: Show",
            "- kind: speech\n          text: Show",
            "a.yaml:10: 0.turns.0.parts.0: a part is one key out",
        ),
        ("- speech: Show me a wet dog.", "- just words", "a.yaml:10: 0.turns.0.parts.0: a part is one key out"),
        (
            "- text: Here it is.",
            "- text: 7",
            "a.yaml:13: 0.turns.1.parts.0.text: must be text (is 7)",
        ),
        ("role: user", "role: narrator", "a.yaml:8: 0.turns.0.role: must be 'user' or 'assistant' (is 'narr"),
        ("role: user", "role: assistant", "a.yaml:1: 0: turns begin with the user, alternate, and end with the assist"),
        (
            "      parts:\n        - speech: Show me a wet dog.",
            "      parts: 5",
            "a.yaml:9: 0.turns.0.parts: must be a list, such as [a, b] (is 5)",
        ),
        (
            "      parts:\n        - speech: Show me a wet dog.",
            "      parts: []",
            "a.yaml:9: 0.turns.0.parts: must have at least 1 entry",
        ),
        ("gives: [speech]", "gives: [speech, image]", "a.yaml:1: 0: gives is not what the user's turns hold: speech"),
        ("answers: [text, image]", "answers: [text]", "answers is not what the assistant's turns hold: text, image"),
        ("  scenario: Somebody washes a dog.\n", "", "a.yaml:1: 0.scenario: is missing"),
        ("  features:", "  feature:", "a.yaml:5: 0.feature: no such key here; did you mean features?"),
        (
            "- image: a wet dog in a tin tub",
            "- image: a wet dog\n          edits: the picture of turn 1",
            "a.yaml:1: 0: turn 2: edits 'the picture of turn 1': no earlier picture; there are: none",
        ),
        (
            "- text: Here it is.",
            "- text: Here it is.\n          edits: the picture of turn 1",
            "a.yaml:13: 0.turns.1.parts.0: edits stands beside an image, not beside text",
        ),
    ],
)
def test_a_wrong_demonstration_is_named_with_its_line(folder: Path, old: str, new: str, expected: str) -> None:
    edit(folder / "demonstrations" / "a.yaml", (old, new))
    with pytest.raises(ManifestError, match=re.escape(expected)):
        PromptFolder(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("requirements.yaml", "[speech]", "[smell]", "requirements.yaml:2: 0.when.gives.0: must be 'text'"),
        ("requirements.yaml", "min_rounds: 2", "min_rounds: two", "requirements.yaml:3: 0.min_rounds: must be a whole"),
        ("meta_topics.yaml", "seeds: [a lead, a bone]", "seed: [a lead]", "meta_topics.yaml:5: 0.seed: no such key"),
        ("meta_topics.yaml", "  scope: Walks and wet fur.\n", "", "meta_topics.yaml:1: 0.scope: is missing"),
    ],
)
def test_other_wrong_files_are_named_with_their_line(
    folder: Path, name: str, old: str, new: str, expected: str
) -> None:
    edit(folder / name, (old, new))
    with pytest.raises(ManifestError, match=re.escape(expected)):
        PromptFolder(folder)


def empty_demonstrations(folder: Path) -> None:
    (folder / "demonstrations" / "a.yaml").unlink()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (empty_demonstrations, r"demonstrations: holds no \.yaml file with demonstrations"),
        (lambda folder: (folder / "meta_topics.yaml").unlink(), r"meta_topics\.yaml: cannot be read: No such file"),
        (lambda folder: (folder / "requirements.yaml").unlink(), r"requirements\.yaml: cannot be read: No such file"),
    ],
)
def test_a_missing_file_is_named(folder: Path, change: Callable[[Path], None], expected: str) -> None:
    change(folder)
    with pytest.raises(ManifestError, match=expected):
        PromptFolder(folder)
