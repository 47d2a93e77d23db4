"""Voices that speak the language of a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import Voice
from pipeline.execution.project import load_project
from pipeline.values.errors import ManifestError
from pipeline.values.languages import LANGUAGES
from pipeline.work.casting import Casting
from pipeline.work.voice_languages import in_language, refuse_language

VOICES = load_voices(shipped("manifests", "voices.yaml"))
MANIFESTS = ("demo-ja", "demo-zh")


def speaks(*languages: str) -> Voice:
    return Voice(name="v", renderer="coqui", speaker="v", languages=languages, licence="MIT")


def test_a_voice_of_another_language_is_refused_with_those_that_would_do() -> None:
    assert refuse_language(VOICES["jf_alpha"], "ja", VOICES) is None
    assert refuse_language(VOICES["zf_xiaobei"], "zh", VOICES) is None
    assert refuse_language(VOICES["bf_emma"], "en", VOICES) is None
    problem = refuse_language(VOICES["af_heart"], "ja", VOICES)
    assert problem is not None
    assert "'af_heart' speaks en-US, and the corpus's language is ja; choose jf_alpha, " in problem
    assert problem.endswith("or language:ja")
    assert str(refuse_language(VOICES["joe"], "zh", VOICES)).endswith("piper has no voice that does")


def test_a_voice_of_several_languages_speaks_that_of_the_corpus() -> None:
    casting = in_language(Casting({"v": speaks("en-US", "ja", "zh-CN")}, speaks("ja", "en")), "ja")
    assert casting.pool["v"].languages == ("ja",)
    assert casting.assistant == speaks("ja", "en")
    english = Casting({"v": speaks("en-US", "ja")}, speaks("en"))
    assert in_language(english, "en") == english


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_shipped_manifests_of_other_languages_are_accepted(name: str) -> None:
    project = load_project(shipped("manifests", f"{name}.yaml"))
    assert project.manifest.language == name.removeprefix("demo-")
    assert project.casting is not None
    assert all(voice.languages[0].startswith(project.manifest.language) for voice in project.casting.pool.values())


@pytest.mark.parametrize("language", [tag for tag in LANGUAGES if tag != "en"])
def test_voices_that_speak_english_alone_are_refused_for_another_language(tmp_path: Path, language: str) -> None:
    text = shipped("manifests", "demo.yaml").read_text(encoding="utf-8")
    path = tmp_path / "demo.yaml"
    path.write_text(text.replace("seed: 108", f"seed: 108\nlanguage: {language}"), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"voices\.user\.0: voice 'af_alloy' speaks en-US") as caught:
        load_project(path)
    assert f"voices.assistant: voice 'af_heart' speaks en-US, and the corpus's language is {language}" in str(
        caught.value
    )
