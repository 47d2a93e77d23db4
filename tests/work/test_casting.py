"""Which voices a manifest comes to, and whose turn is whose."""

from __future__ import annotations

import pytest

from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import Voice
from pipeline.values.errors import ManifestError
from pipeline.values.render_sections import SpeechSection, VoiceChoice
from pipeline.work.casting import cast, choose_voices

VOICES = load_voices(shipped("manifests", "voices.yaml"))
SEED = 3


def section(renderer: str, assistant: str, *user: str) -> SpeechSection:
    return SpeechSection(renderer=renderer, voices=VoiceChoice(user=user, assistant=assistant))


def kokoro(*entries: str, seed: int = SEED) -> set[str]:
    return set(choose_voices(entries, "kokoro", VOICES, seed))


def test_a_language_names_all_voices_that_speak_it() -> None:
    assert len(kokoro("language:en")) == 28
    assert {name[0] for name in kokoro("language:en-GB")} == {"b"}


def test_conditions_narrow_a_set_and_entries_add_up() -> None:
    women = kokoro("language:en+gender:female")
    assert {name[:2] for name in women} == {"af", "bf"}
    assert kokoro("language:en+gender:female", "language:en+gender:male") == kokoro("language:en")
    assert kokoro("am_puck", "language:en-GB", "am_puck") == kokoro("language:en-GB") | {"am_puck"}
    assert kokoro("renderer:kokoro") == {voice.name for voice in VOICES.values() if voice.renderer == "kokoro"}


def test_a_number_out_of_a_set_is_drawn_by_the_corpus_seed_and_stays() -> None:
    drawn = kokoro("9 of language:en")
    assert len(drawn) == 9
    assert drawn <= kokoro("language:en")
    assert drawn == kokoro("9 of language:en")
    assert drawn < kokoro("12 of language:en")
    assert len({frozenset(kokoro("9 of language:en", seed=seed)) for seed in range(20)}) == 20
    assert kokoro("28 of language:en") == kokoro("language:en")


def test_a_voice_more_in_the_file_moves_at_most_one_of_those_drawn() -> None:
    def draw(voices: dict[str, Voice]) -> set[str]:
        return set(choose_voices(["9 of language:en"], "kokoro", voices, SEED))

    before = draw(dict(VOICES))
    moved = set()
    for number in range(30):
        stranger = VOICES["af_heart"].model_copy(update={"name": f"stranger_{number}"})
        after = draw({**VOICES, stranger.name: stranger})
        assert len(before - after) <= 1
        moved |= after - before
    assert moved


def test_thirty_nine_english_voices_and_one_assistant() -> None:
    casting = cast(section("coqui", "vctk_p273", "39 of language:en"), VOICES, SEED)
    assert len(casting.pool) == 39
    assert {casting.voice_of("assistant", f"dialogue {number}").name for number in range(9)} == {"vctk_p273"}
    assert {casting.voice_of("user", f"dialogue {number}").name for number in range(600)} == set(casting.pool)


def test_a_user_keeps_one_voice_and_the_assistant_has_its_own() -> None:
    casting = cast(section("kokoro", "af_heart", "language:en"), VOICES, SEED)
    drawn = {casting.voice_of("user", f"dialogue {number}").name for number in range(200)}
    assert len(drawn) == 28
    assert casting.voice_of("user", "one") == casting.voice_of("user", "one")
    assert casting.voice_of("assistant", "one").name == casting.voice_of("assistant", "two").name == "af_heart"


@pytest.mark.parametrize(
    ("renderer", "drawn"),
    [
        ("kokoro", ["af_kore", "af_river", "bf_alice", "af_river", "af_nicole", "am_fenrir"]),
        ("coqui", ["vctk_p275", "vctk_p333", "vctk_p285", "vctk_p323", "vctk_p333", "vctk_p283"]),
    ],
)
def test_a_set_draws_what_it_drew_before_there_were_others(renderer: str, drawn: list[str]) -> None:
    assistant = "af_heart" if renderer == "kokoro" else "vctk_p273"
    casting = cast(section(renderer, assistant, "language:en"), VOICES, 108)
    assert [casting.voice_of("user", f"dialogue {number}").name for number in range(6)] == drawn


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (section("kokoro", "af_heart", "nobody"), "voices.user: 'nobody' is no voice of kokoro; kokoro has af_alloy, "),
        (section("kokoro", "joe", "af_heart"), "voices.assistant: 'joe' is no voice of kokoro but of piper; "),
        (section("piper", "joe", "language:fr"), "piper has no voice for 'language:fr'; .*kokoro has 1"),
        (section("piper", "joe", "language:xx"), "piper has no voice for 'language:xx'; it speaks en-US"),
        (section("piper", "joe", "renderer:kokoro"), "piper has no voice for 'renderer:kokoro'; kokoro has 54"),
        (section("kokoro", "af_heart", "2 of language:fr"), "kokoro has 1 voice for '2 of language:fr': lower"),
    ],
)
def test_a_voice_that_cannot_be_cast_is_named(choice: SpeechSection, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        cast(choice, VOICES, SEED)


def test_a_manifest_names_one_assistant_and_no_made_up_sets() -> None:
    with pytest.raises(ValueError, match="the assistant is one voice"):
        VoiceChoice(user=("joe",), assistant="language:en")
    with pytest.raises(ValueError, match="'lang:en' is no set of voices"):
        VoiceChoice(user=("lang:en",), assistant="joe")
