"""``voices``: the table, its filters, and samples."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.adapters.probes import probe_sound
from pipeline.adapters.renderers import piper
from pipeline.cli.app import main
from tests.support.projects import describe, write_manifest


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command line in an empty folder; return exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run_it(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anyinstruct", "voices", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run_it


def write(folder: Path, *voices: dict[str, Any]) -> str:
    path = folder / "voices.yaml"
    path.write_text(yaml.safe_dump({"voices": list(voices)}), encoding="utf-8")
    return str(path)


def voice(name: str, renderer: str = "minimal-speech", **changes: Any) -> dict[str, Any]:
    return {"name": name, "renderer": renderer, "languages": ["en-US"], "licence": "CC0-1.0", **changes}


def test_voices_are_listed_with_what_is_known_of_them(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path, voice("anna", gender="female", age="23"), voice("ben", languages=["fr-FR", "en"]))
    code, out, _ = run("--file", file)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[1] == ["anna", "minimal-speech", "en-US", "female", "23", "CC0-1.0", "yes"]
    assert lines[2] == ["ben", "minimal-speech", "fr-FR,", "en", "CC0-1.0", "yes"]
    assert out.splitlines()[-1] == "2 of 2 voices, 2 usable here"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--language", "fr"), {"ben"}),
        (("--language", "en"), {"anna", "ben", "carl"}),
        (("--gender", "female"), {"anna"}),
        (("--licence", "mit"), {"carl"}),
        (("--renderer", "piper"), {"carl"}),
        (("--renderer", "piper", "--gender", "female"), set()),
    ],
)
def test_filters_add_up(run: Any, tmp_path: Path, words: tuple[str, ...], expected: set[str]) -> None:
    file = write(
        tmp_path,
        voice("anna", gender="female"),
        voice("ben", languages=["fr-FR", "en"]),
        voice("carl", "piper", speaker="joe", gender="male", licence="MIT"),
    )
    listed = json.loads(run("--file", file, "--json", *words)[1])
    assert {one["name"] for one in listed} == expected


def test_the_shipped_voices_are_listed_without_a_file(run: Any) -> None:
    _, out, _ = run("--renderer", "kokoro", "--language", "en-GB")
    assert "bf_emma" in out
    assert "8 of " in out.splitlines()[-1]


def test_why_a_voice_cannot_be_used_is_told(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(
        tmp_path,
        voice("joe", "piper"),
        voice("amy", "piper"),
        voice("p225", "coqui"),
        voice("x", "a-strangers"),
        voice("zulu", "kokoro", languages=["zu"]),
    )
    told = {one["name"]: one["problem"] for one in json.loads(run("--file", file, "--json")[1])}
    assert told["joe"] is None
    assert "piper has no speaker 'amy', only joe" in told["amy"]
    assert "coqui" in told["p225"]  # its packages are missing, or it wants to be told a model
    assert "no renderer called 'a-strangers' is installed" in told["x"]
    assert "speaks zu; kokoro has phonemes here for" in told["zulu"]
    monkeypatch.setattr(piper.PLUGIN, "missing", lambda: "the package piper-tts is not installed")
    assert "no: the package piper-tts is not installed" in run("--file", file, "--renderer", "piper")[1]
    monkeypatch.undo()


def test_voices_whose_files_are_not_fetched_say_what_to_do(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYINSTRUCT_CACHE", str(tmp_path / "cache"))
    _, out, _ = run("--renderer", "piper")
    assert "no: piper-en-us-joe-medium not fetched: anyinstruct doctor --fetch" in out
    assert "1 of " in out
    assert "0 usable here" in out


def test_a_manifest_shows_the_voices_that_it_chooses(run: Any, tmp_path: Path) -> None:
    made = describe("http://localhost:1/v1")
    made["render"]["speech"]["voices"] = {"user": ["2 of language:en"], "assistant": "eve"}
    path = str(write_manifest(tmp_path, made))
    listed = [one["name"] for one in json.loads(run("--manifest", path, "--json")[1])]
    assert 2 <= len(listed) <= 3
    assert "eve" in listed
    code, _, err = run("--manifest", path, "--file", str(tmp_path / "voices.yaml"))
    assert code == 1
    assert "state one of them" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--gender", "robot"), "gender is female or male"),
        (("--language", "english"), "no language tag"),
        (("--file", "none.yaml"), "none.yaml: cannot be read"),
        (("sample", "joey", "--text", "Hi"), "no voice is called 'joey'; did you mean joe?"),
        (("sample", "joe", "af_sky", "--text", "Hi", "--option", "loudness=-20"), "are of one renderer"),
    ],
)
def test_what_cannot_be_is_refused(run: Any, words: tuple[str, ...], expected: str) -> None:
    code, _, err = run(*words)
    assert code == 1
    assert expected in err
    assert "Traceback" not in err


def test_each_voice_says_the_line_whatever_speaks_it(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path, voice("anna"), voice("ben"), voice("joe", "piper"))
    words = ("sample", "joe", "ben", "anna", "ben", "--text", "Yes.", "--file", file, "--out", "spoken", "--json")
    code, out, _ = run(*words)
    documents = json.loads(out)
    assert code == 0
    assert [document["renderer"] for document in documents] == ["piper", "minimal-speech"]
    items = [item for document in documents for item in document["items"]]
    assert {item["path"] for item in items} == {
        "spoken/piper-joe.flac",
        "spoken/minimal-speech-anna.flac",
        "spoken/minimal-speech-ben.flac",
    }
    assert all(probe_sound((tmp_path / item["path"]).read_bytes()).extension == "flac" for item in items)
    assert {item["spoken"] for item in items} == {"Yes."}


def test_a_manifests_voices_are_sampled_as_it_renders_them(run: Any, tmp_path: Path) -> None:
    path = str(write_manifest(tmp_path, describe("http://localhost:1/v1")))
    code, out, _ = run("sample", "eve", "--text", "Yes.", "--manifest", path)
    assert code == 0
    assert "tries/minimal-speech-eve.flac" in out


def test_a_voice_that_cannot_speak_fails_and_the_others_do_not(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path, voice("joe", "piper"), voice("amy", "piper"))
    code, out, _ = run("sample", "joe", "amy", "--text", "Yes.", "--file", file)
    assert code == 1
    assert "tries/piper-joe.flac: " in out
    assert "failed: unknown_voice: voice 'amy': piper has no speaker 'amy', only joe" in out
