"""The voices file that ships, and what is said of wrong ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.adapters.voices import find_recordings, load_voices
from pipeline.values.errors import ManifestError

SHIPPED = Path(__file__).parents[2] / "manifests" / "voices.yaml"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "voices.yaml"
    path.write_text("voices:\n" + "\n".join(f"  - {{{line}}}" for line in lines) + "\n", encoding="utf-8")
    return path


def test_the_shipped_file_holds_the_voices_it_should() -> None:
    voices = load_voices(SHIPPED)
    assert Counter(voice.renderer for voice in voices.values()) == {
        "kokoro": 54,
        "piper": 1,
        "coqui": 108,
        "openai-speech": 11,
        "minimal-speech": 1,
    }
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
        ("name: b, renderer: coqui, languages: [en], licence: MIT, reference: ../b.wav", "3: .*inside the folder"),
        ("name: b, renderer: coqui, languages: [en], licence: MIT, reference: /b.wav", "3: .*inside the folder"),
        ("name: b, renderer: coqui, languages: [en], licence: MIT, reference: b.wav", "'b': no recording at .*b.wav"),
        ("name: b, renderer: coqui, languages: [en], licence: MIT, reference: b.txt", "'b': no recording at .*b.txt"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        load_voices(write(tmp_path, GOOD, line))


def test_a_speaker_may_be_called_otherwise_than_the_voice(tmp_path: Path) -> None:
    voices = load_voices(write(tmp_path, GOOD + ", speaker: '7'"))
    assert voices["a"].speaker == "7"
    assert voices["a"].gender is None


CLONED = "name: b, renderer: coqui, languages: [en], licence: CC0-1.0"


def test_a_reference_is_a_recording_or_a_folder_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "people" / "b"
    folder.mkdir(parents=True)
    (folder / "2.wav").write_bytes(b"two")
    (folder / "1.flac").write_bytes(b"one")
    (folder / "notes.txt").write_bytes(b"none")
    whole = load_voices(write(tmp_path, f"{CLONED}, reference: people/b"))["b"]
    single = load_voices(write(tmp_path, f"{CLONED}, reference: people/b/1.flac"))["b"]
    assert whole.reference == folder
    assert [path.name for path in find_recordings(folder)] == ["1.flac", "2.wav"]
    assert single.reference == folder / "1.flac"
    assert single.reference_sha256 != whole.reference_sha256
    (folder / "2.wav").write_bytes(b"another")
    again = load_voices(write(tmp_path, f"{CLONED}, reference: people/b"))["b"]
    assert again.reference_sha256 not in (whole.reference_sha256, None)


def test_a_reference_may_not_be_a_link_that_leads_out(tmp_path: Path) -> None:
    outside = tmp_path / "secret.wav"
    outside.write_bytes(b"x")
    inside = tmp_path / "voices"
    inside.mkdir()
    (inside / "b.wav").symlink_to(outside)
    with pytest.raises(ManifestError, match="leads out of"):
        load_voices(write(inside, f"{CLONED}, reference: b.wav"))


def test_what_is_written_of_a_voice_names_no_path_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_bytes(b"x")
    voice = load_voices(write(tmp_path, f"{CLONED}, age: '23', reference: b.wav"))["b"]
    written = voice.model_dump(mode="json")
    assert str(tmp_path) not in str(written)
    assert written["age"] == "23"
    assert written["reference_sha256"] == voice.reference_sha256


def test_a_voice_without_age_and_reference_is_written_as_before_there_were_any(tmp_path: Path) -> None:
    written = load_voices(write(tmp_path, GOOD))["a"].model_dump(mode="json")
    assert set(written) == {"name", "renderer", "speaker", "languages", "gender", "licence"}
