"""Casting, and the random choices that briefs draw from their ids."""

from __future__ import annotations

import pytest

from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import SpeechSection, VoiceChoice
from pipeline.work.briefs import cast

VOICES = load_voices(shipped("manifests", "voices.yaml"))


def section(renderer: str, assistant: str, *user: str) -> SpeechSection:
    return SpeechSection(renderer=renderer, voices=VoiceChoice(user=user, assistant=assistant))


def test_a_language_names_all_voices_that_speak_it() -> None:
    assert len(cast(section("kokoro", "af_heart", "language:en"), VOICES).pool) == 28
    assert {name[0] for name in cast(section("kokoro", "af_heart", "language:en-GB"), VOICES).pool} == {"b"}


def test_named_voices_and_sets_add_up() -> None:
    pool = cast(section("kokoro", "af_heart", "am_puck", "language:en-GB", "am_puck"), VOICES).pool
    assert len(pool) == 9
    assert "am_puck" in pool


def test_a_user_keeps_one_voice_and_the_assistant_has_its_own() -> None:
    casting = cast(section("kokoro", "af_heart", "language:en"), VOICES)
    drawn = {casting.voice_of("user", f"dialogue {number}").name for number in range(200)}
    assert len(drawn) == 28
    assert casting.voice_of("user", "one") == casting.voice_of("user", "one")
    assert casting.voice_of("assistant", "one").name == casting.voice_of("assistant", "two").name == "af_heart"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (section("kokoro", "af_heart", "nobody"), "voices.user: 'nobody' is no voice of kokoro"),
        (section("kokoro", "joe", "af_heart"), "voices.assistant: 'joe' is no voice of kokoro"),
        (section("piper", "joe", "language:fr"), "piper has no voice for 'language:fr'"),
    ],
)
def test_a_voice_that_cannot_be_cast_is_named(choice: SpeechSection, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        cast(choice, VOICES)
