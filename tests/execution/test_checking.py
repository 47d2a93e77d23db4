"""Manifests whose words are in order and that name what is not there: everything is told at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.adapters.model_files import ModelCache
from pipeline.cli.app import app
from pipeline.execution.diagnosis import diagnose
from pipeline.execution.driver import Run
from pipeline.execution.project import load_project
from pipeline.values.errors import ManifestError

MANIFEST = """\
schema_version: 1
name: small
topics:
  list: [kites]
mix:
  - {name: draw, gives: [text], answers: [text, image, music], rounds: [1, 2]}
  - {name: talk, gives: [speech], answers: [speech]}
writer:
  engine: openai
  model: made-up
render:
  image: {renderer: minimal-image}
  music:
    renderer: musicgen
    options: {model: facebook/musicgen-small}
  speech:
    renderer: minimal-speech
    voices_file: voices.yaml
    voices: {user: [anna], assistant: dora}
"""

VOICES = """\
voices:
  - {name: anna, renderer: minimal-speech, languages: [en], licence: CC0-1.0}
  - {name: dora, renderer: minimal-speech, languages: [en], licence: CC0-1.0}
"""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    (folder / "voices.yaml").write_text(VOICES, "utf-8")
    path = folder / "m.yaml"
    path.write_text(text, "utf-8")
    return path


def complaint(folder: Path, text: str) -> str:
    """What is said of a wrong manifest, without the folder."""
    with pytest.raises(ManifestError) as caught:
        load_project(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def change(*pairs: tuple[str, str]) -> str:
    text = MANIFEST
    for good, wrong in pairs:
        assert good in text
        text = text.replace(good, wrong, 1)
    return text


def test_the_good_manifest_is_good(tmp_path: Path) -> None:
    assert load_project(write(tmp_path, MANIFEST)).casting is not None


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is a folder; name the manifest, a YAML file"):
        load_project(tmp_path)
    (tmp_path / "ledger.json").write_text('{"manifest": {}}')
    with pytest.raises(ManifestError, match="name the manifest that this corpus was made from, a YAML file"):
        load_project(tmp_path)


@pytest.mark.parametrize(
    ("good", "wrong", "expected"),
    [
        (
            "minimal-image",
            "minimal-imag",
            "m.yaml:12: render.image.renderer: no renderer called 'minimal-imag' is installed; did you mean minimal-i",
        ),
        ("minimal-image", "kokoro", "m.yaml:12: render.image.renderer: kokoro makes speech, not image"),
        (
            "[anna]",
            "[anna, ana]",
            "m.yaml:19: render.speech.voices.user.1: 'ana' is no voice of minimal-speech; ",
        ),
        (
            "assistant: dora",
            "assistant: nora",
            "m.yaml:19: render.speech.voices.assistant: 'nora' is no voice of minimal-speech; ",
        ),
        ("[anna]", '["language:fr"]', "m.yaml:19: render.speech.voices.user.0: minimal-speech has no voice for 'langu"),
        (
            "voices_file: voices",
            "voices_file: vices",
            "m.yaml:18: render.speech.voices_file: vices.yaml is no file; a r",
        ),
        (
            "  list: [kites]",
            "  list: [kites]\n  generate: {meta_topics: [night-markets, nigth-markets]}",
            "m.yaml:5: topics.generate.meta_topics.1: 'nigth-markets' does not stand in meta_topics.yaml; did you mean "
            "night-markets?",
        ),
        (
            "[kites]",
            '[kites, "a\\tb", ""]',
            "m.yaml:4: topics.list.2: a topic is 1 to 200 printable characters (is '')",
        ),
        ("  list: [kites]", "  files: [gone.txt]", "m.yaml:4: topics.files.0: gone.txt is no file; a relative path"),
        (
            "name: small",
            "name: small\nprompts: gone",
            "m.yaml:3: prompts: gone is no folder; a relative path counts from",
        ),
        (
            "engine: openai\n  model: made-up",
            "engine: embedded\n  model: smollm2-135m-instruct",
            "m.yaml:10: writer.model: no embedded model is called 'smollm2-135m-instruct'; did you mean smollm2-135m",
        ),
        (
            "engine: openai\n  model: made-up",
            "engine: embedded\n  model: minilm-l6-v2-int8",
            "m.yaml:10: writer.model: no embedded model is called 'minilm-l6-v2-int8'; there are ",
        ),
        (
            "{model: facebook/musicgen-small}",
            "{model: facebook/musicgen-small, top_kk: 3}",
            "m.yaml:15: render.music.options.top_kk: no such key here; did you mean top_k?",
        ),
        (
            "{model: facebook/musicgen-small}",
            "{model: facebook/musicgen-small, top_k: many, device: gpu}",
            "m.yaml:15: render.music.options.device: must be auto, cpu, mps, cuda, or a GPU by its number such as "
            "cuda:1 (is 'gpu')\nm.yaml:15: render.music.options.top_k: must be a whole number (is 'many')",
        ),
        (
            "{model: facebook/musicgen-small}",
            "{model: my/own}",
            "m.yaml:15: render.music.options: the licence of my/own is not known here; state it",
        ),
        (
            "options: {model: facebook/musicgen-small}",
            "seconds: [10, 45]",
            "m.yaml:15: render.music.seconds: musicgen makes 30 s at most; lower it to 30 (is [10, 45])",
        ),
        (
            "musicgen\n    options: {model: facebook/musicgen-small}",
            "soundfont\n    options: {max_duration: 20}\n    seconds: [10, 30]",
            "m.yaml:16: render.music.seconds: soundfont makes 20 s at most; lower it to 20 (is [10, 30])",
        ),
        (
            "image: {renderer: minimal-image",
            "image: {renderer: storyboard, width: 2048, height: 256",
            "m.yaml:12: render.image.width: 2048 x 256 pixels, one side may be at most 4 times the other",
        ),
        (
            "image: {renderer: minimal-image",
            "image: {renderer: diffusers, options: {model: stable-diffusion-v1-5/stable-diffusion-v1-5}, width: 500",
            "m.yaml:12: render.image.width: 500 is no multiple of 8; state 496 or 504",
        ),
        (
            "name: small",
            "name: small\nintended_use: commercial",
            "m.yaml:14: render.music: musicgen uses models that forbid commercial use",
        ),
        (
            "name: small",
            "name: small\nbudget: 5",
            "m.yaml:9: writer: nobody stated what made-up costs, so no budget can",
        ),
    ],
)
def test_what_is_not_there_is_named_with_its_line(tmp_path: Path, good: str, wrong: str, expected: str) -> None:
    assert expected in complaint(tmp_path, change((good, wrong)))


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    wrong = change(
        ("[kites]", "[kites, '']"),
        ("minimal-image", "minimal-imag"),
        ("options: {model: facebook/musicgen-small}", "options: {tempo: 7}\n    seconds: [10, 45]"),
        ("[anna]", "[ana, benn]"),
        ("assistant: dora", "assistant: nora"),
    )
    assert [line.split(": ")[1] for line in complaint(tmp_path, wrong).splitlines()] == [
        "topics.list.1",
        "render.image.renderer",
        "render.music.options.tempo",
        "render.speech.voices.user.0",
        "render.speech.voices.user.1",
        "render.speech.voices.assistant",
    ]


def test_a_wrong_word_does_not_hide_what_is_not_there(tmp_path: Path) -> None:
    wrong = change(("model: made-up", "model: made-up\n  temprature: 1"), ("minimal-image", "minimal-imag, widht: 9"))
    said = complaint(tmp_path, wrong).splitlines()
    assert [line.split(": ")[:2] for line in said] == [
        ["m.yaml:11", "writer.temprature"],
        ["m.yaml:13", "render.image.widht"],
        ["m.yaml:13", "render.image.renderer"],
    ]


def test_nothing_is_said_of_what_may_follow_from_a_wrong_word(tmp_path: Path) -> None:
    wrong = change(("voices_file: voices.yaml", "voices_fil: voices.yaml"), ("[kites]", "['']"))
    said = complaint(tmp_path, wrong).splitlines()
    assert [line.split(": ")[1] for line in said] == ["render.speech.voices_fil", "topics.list.0"]
    wrong = change(("name: small", "name: small\npromts: mine"), ("[kites]", "['']"))
    assert [line.split(": ")[1] for line in complaint(tmp_path, wrong).splitlines()] == ["promts"]


def test_wrong_lines_of_topic_files_are_all_told_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("[nowhere]\n" + "x" * 201)
    (tmp_path / "two.txt").write_text("[nowhere]\n")
    said = complaint(tmp_path, change(("list: [kites]", "files: [one.txt, two.txt]")))
    assert [line.split(": ")[0] for line in said.splitlines()] == ["one.txt:1", "one.txt:2", "two.txt:1"]


def test_an_address_in_the_environment_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:sesame@here/v1")
    said = complaint(tmp_path, MANIFEST)
    assert said.startswith("m.yaml:8: writer: $OPENAI_BASE_URL: holds a user name or password")
    assert "sesame" not in said


def run(*arguments: object) -> BaseException | None:
    return CliRunner().invoke(app, ["run", *map(str, arguments)]).exception


def test_a_missing_key_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[Run] = []
    monkeypatch.setattr(Run, "__post_init__", began.append)
    images = change(("answers: [text, image, music]", "answers: [text, image]"))
    path = write(tmp_path, images)
    error = run(path, "--corpus", tmp_path / "corpus")
    assert isinstance(error, ManifestError)
    assert str(error).startswith(f"{path}:8: writer.api_key_env: $OPENAI_API_KEY is not set")
    assert began == []
    assert not (tmp_path / "corpus").exists()
    path = write(tmp_path, images.replace("model: made-up", "model: made-up\n  api_key_env: MY_KEY"))
    assert f"{path}:11: writer.api_key_env: $MY_KEY is not set" in str(run(path, "--corpus", tmp_path / "corpus"))


@pytest.mark.parametrize(
    ("change_writer", "until"),
    [
        ("model: made-up\n  base_url: http://127.0.0.1:9/v1", "dialogues"),
        ("model: made-up", "topics"),  # people wrote them: there is nothing to call for
    ],
)
def test_a_key_that_nobody_needs_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change_writer: str, until: str
) -> None:
    class Begun(Exception):
        pass

    def begin(run: Run) -> None:
        raise Begun

    monkeypatch.setattr(Run, "__post_init__", begin)
    images = change(("answers: [text, image, music]", "answers: [text, image]"), ("model: made-up", change_writer))
    assert isinstance(run(write(tmp_path, images), "--corpus", tmp_path / "corpus", "--until", until), Begun)


PAINTED = (
    MANIFEST.replace("answers: [text, image, music]", "answers: [text, image]")
    .replace("model: made-up", "model: made-up\n  base_url: http://127.0.0.1:9/v1")
    .replace("[kites]", "[kites, boats, bells, ovens, trams, maps]")  # enough for both cells of the mix
)


def test_a_renderers_missing_key_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Run] = []
    monkeypatch.setattr(Run, "__post_init__", began.append)
    remote = "{renderer: openai-images, width: 1024, height: 1024, options: {model: gpt-image-1}}"
    path = write(tmp_path, PAINTED.replace("{renderer: minimal-image}", remote))
    error = run(path, "--corpus", tmp_path / "corpus")
    assert isinstance(error, ManifestError)
    assert str(error).startswith(f"{path}:13: render.image.options.api_key_env: $OPENAI_API_KEY is not set")
    assert began == []
    assert not (tmp_path / "corpus").exists()
    told = CliRunner().invoke(app, ["plan", str(path), "--corpus", str(tmp_path / "corpus")]).output
    assert f"A run would be refused: {path}:13: render.image.options.api_key_env: $OPENAI_API_KEY" in told
    (fact,) = [fact for fact in diagnose(load_project(path), ModelCache()) if fact.name.startswith("render.")]
    assert (fact.state, fact.text.partition(",")[0]) == ("problem", "$OPENAI_API_KEY is not set")
    both = path.read_text("utf-8").replace("\n  base_url: http://127.0.0.1:9/v1", "")
    said = str(run(write(tmp_path, both), "--corpus", tmp_path / "corpus")).splitlines()
    assert [line.split(": ")[1] for line in said] == ["writer.api_key_env", "render.image.options.api_key_env"]


@pytest.mark.parametrize(
    ("options", "until"),
    [
        ("{model: painter}", "dialogues"),
        ("{model: painter, base_url: 'http://127.0.0.1:9/v1'}", "render"),
        ("{model: painter, api_key_env: MY_KEY}", "render"),
    ],
)
def test_a_renderers_key_that_is_there_or_that_nobody_needs_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, until: str
) -> None:
    class Begun(Exception):
        pass

    def begin(run: Run) -> None:
        raise Begun

    monkeypatch.setattr(Run, "__post_init__", begin)
    monkeypatch.setenv("MY_KEY", "sesame")
    remote = f"{{renderer: openai-images, options: {options}}}"
    path = write(tmp_path, PAINTED.replace("{renderer: minimal-image}", remote))
    assert isinstance(run(path, "--corpus", tmp_path / "corpus", "--until", until), Begun)


def test_the_stages_to_stop_after_are_a_choice() -> None:
    result = CliRunner().invoke(app, ["run", "m.yaml", "--until", "lunch"])
    assert result.exit_code == 2
    told = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    for stage in ("topics", "scenarios", "dialogues", "render"):
        assert stage in told
        assert stage in result.output


@pytest.mark.parametrize(
    ("screen", "expected"),
    [
        (
            "limits: {image.contrst: 0.1}",
            "m.yaml:21: screen.limits.image.contrst: no audit takes such a measure; did you mean image.contrast?",
        ),
        (
            "audits: {picture-basic: {}}",
            "m.yaml:21: screen.audits.picture-basic: no audit of that name is installed; did you mean picture-basics?",
        ),
        (
            "audits: {picture-basics: {speed: 3}}",
            "m.yaml:21: screen.audits.picture-basics: audit picture-basics: option speed: ",
        ),
        ("limits: {image.contrast: high}", "m.yaml:21: screen.limits.image.contrast: "),
    ],
)
def test_limits_of_the_screen_are_checked_before_anything_is_made(tmp_path: Path, screen: str, expected: str) -> None:
    assert expected in complaint(tmp_path, f"{MANIFEST}screen:\n  {screen}\n")
