"""The voices file that ships, and what is said of wrong ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.adapters.voices import load_voices
from pipeline.values.errors import ManifestError

SHIPPED = Path(__file__).parents[2] / "manifests" / "voices.yaml"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "voices.yaml"
    path.write_text("voices:\n" + "\n".join(f"  - {{{line}}}" for line in lines) + "\n", encoding="utf-8")
    return path


def test_the_shipped_file_holds_the_voices_it_should() -> None:
    voices = load_voices(SHIPPED)
    assert Counter(voice.renderer for voice in voices.values()) == {"kokoro": 54, "piper": 1, "coqui": 108}
    kokoro = [voice for voice in voices.values() if voice.renderer == "kokoro"]
    assert Counter(voice.gender for voice in kokoro) == {"female": 29, "male": 25}
    assert {voice.licence for voice in kokoro} == {"Apache-2.0"}
    assert voices["joe"].licence == "CC0-1.0"
    assert voices["af_heart"].speaker == "af_heart"
    assert voices["vctk_p225"].speaker == "p225"


GOOD = "name: a, renderer: kokoro, languages: [en-US], licence: MIT"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("name: b, renderer: kokoro, languages: [en-US], licence: MIT, pitch: 3", "voices.yaml:3: .*pitch"),
        ("name: b, renderer: kokoro, languages: [english_us], licence: MIT", "voices.yaml:3: .*no BCP 47 tag"),
        ("name: b, renderer: kokoro, languages: [en-US]", "voices.yaml:3: .*licence"),
        ("name: b, renderer: kokoro, languages: [], licence: MIT", "voices.yaml:3: .*languages"),
        ("name: b, renderer: kokoro, languages: [en], gender: robot, licence: MIT", "voices.yaml:3: .*gender"),
        ("name: 'B b', renderer: kokoro, languages: [en], licence: MIT", "voices.yaml:3: .*name"),
        (GOOD, "voice 'a' stands here 2 times"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        load_voices(write(tmp_path, GOOD, line))


def test_a_speaker_may_be_called_otherwise_than_the_voice(tmp_path: Path) -> None:
    voices = load_voices(write(tmp_path, GOOD + ", speaker: '7'"))
    assert voices["a"].speaker == "7"
    assert voices["a"].gender is None
