"""Speech of an endpoint: what is asked for, what is made of the answer, and what a manifest may state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.adapters.renderers.openai_speech import OLD_VOICES, PLUGIN, OpenAISpeechOptions
from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.contracts.remote import MediaAnswer, RemotePlugin
from pipeline.contracts.render import AudioFacts, KnowsItsVoices, Outcome, Render, RenderFailure, SpeaksWithEmotion
from tests.support.fault_server import KEY, FaultServer
from tests.support.media_server import NOVA, RATE, calling, sound, speak, speech_brief

TEXT = "Good morning to you."


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


def call(server: FaultServer, brief: dict[str, Any] | None = None, **options: Any) -> MediaAnswer:
    async def run() -> MediaAnswer:
        async with calling(server, PLUGIN, **options) as renderer:
            return await renderer.call(speech_brief(**(brief or {})))

    return asyncio.run(run())


def asked(brief: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    server = FaultServer(sound(speak(TEXT)))
    call(server, brief, **options)
    return server.bodies[0]


def finish(data: bytes, **options: Any) -> Outcome:
    renderer = PLUGIN.load(OpenAISpeechOptions.model_validate({"model": "m", **options}), None)  # type: ignore[arg-type]
    return renderer.finish(speech_brief(), data)  # type: ignore[attr-defined, no-any-return]


def test_what_is_not_stated_is_not_sent() -> None:
    body = {"model": "m", "input": TEXT, "voice": "nova", "response_format": "wav"}
    assert asked() == body
    assert asked({"rate": 1.1}) == body | {"speed": 1.1}
    assert asked({"rate": 1.1}, send_rate=False) == body


def test_an_emotion_follows_the_instructions() -> None:
    stated = asked({"emotion": "cheerful"}, instructions="Speak slowly.", response_format="flac", extra={"lang": "en"})
    assert stated["instructions"] == "Speak slowly.\ncheerful"
    assert (stated["response_format"], stated["lang"]) == ("flac", "en")
    assert asked({"emotion": "cheerful"})["instructions"] == "cheerful"


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "opus", "pcm"])
def test_every_format_of_the_protocol_becomes_a_clip(kind: str) -> None:
    outcome = finish(speak(TEXT, kind), response_format=kind)
    assert isinstance(outcome, Render), outcome
    assert isinstance(outcome.facts, AudioFacts)
    assert outcome.extension == "flac"
    assert (outcome.facts.sample_rate, outcome.facts.channels) == (RATE, 1)
    assert outcome.notes["loudness"] == pytest.approx(-23.0, abs=0.5)
    assert outcome.notes["voice"] == "openai_nova"


def test_a_stream_that_does_not_know_its_length_is_read_to_its_end() -> None:
    data = bytearray(speak(TEXT))
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    assert finish(bytes(data)) == finish(speak(TEXT))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<html>It works!</html>", "undecodable"),
        (b"", "undecodable"),
        (speak(TEXT, "flac")[:-4000], "undecodable"),
        (speak("x"), "too_short"),
        (speak(TEXT * 20), "too_long"),
    ],
)
def test_what_is_no_speech_fails_its_gate(data: bytes, code: str) -> None:
    outcome = finish(data)
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == code


def test_a_clip_costs_its_words_and_its_time() -> None:
    price = {"million_characters": 1000.0, "minute": 0.6}
    seconds = 0.3 + len(TEXT) / 14.0 + 0.2
    for kind in ("wav", "pcm", "flac"):
        server = FaultServer(sound(speak(TEXT, kind)))
        usd = call(server, response_format=kind, price=price).usd
        assert usd == pytest.approx(len(TEXT) * 1e-3 + seconds / 100, rel=0.01)
    unread = call(FaultServer(sound(b"noise")), price=price).usd
    assert unread > usd


def test_a_call_never_costs_more_than_what_is_held_for_it() -> None:
    options = OpenAISpeechOptions(model="gpt-4o-mini-tts")
    renderer = PLUGIN.load(options, None)  # type: ignore[arg-type]
    held = renderer.bound(speech_brief())  # type: ignore[attr-defined]
    assert held > PLUGIN.expect_cost(options, speech_brief()) > 0.0


def test_voices_and_emotions_are_those_that_the_model_has() -> None:
    assert isinstance(PLUGIN, RemotePlugin)
    assert isinstance(PLUGIN, KnowsItsVoices)
    assert isinstance(PLUGIN, SpeaksWithEmotion)
    old, new = OpenAISpeechOptions(model="tts-1"), OpenAISpeechOptions(model="gpt-4o-mini-tts")
    verse = NOVA.model_copy(update={"speaker": "verse"})
    assert PLUGIN.refuse_voice(old, NOVA) is PLUGIN.refuse_voice(new, verse) is None
    assert "tts-1 has no voice 'verse'" in str(PLUGIN.refuse_voice(old, verse))
    assert "takes no instructions" in str(PLUGIN.refuse_emotion(old, "sad"))
    assert PLUGIN.refuse_emotion(new, "sad") is None


def test_the_shipped_voices_are_those_of_the_protocol() -> None:
    voices = [
        voice for voice in load_voices(shipped("manifests", "voices.yaml")).values() if voice.renderer == PLUGIN.name
    ]
    assert {voice.speaker for voice in voices} == OLD_VOICES | {"ballad", "verse"}
    assert all(voice.name == f"openai_{voice.speaker}" and voice.licence == "terms of service" for voice in voices)


def test_a_brief_of_another_renderers_voice_is_refused_before_it_is_paid_for() -> None:
    renderer = PLUGIN.load(OpenAISpeechOptions(model="m", base_url="http://127.0.0.1:9/v1"), None)  # type: ignore[arg-type]
    other = NOVA.model_copy(update={"renderer": "kokoro"})
    [outcome] = renderer.render([speech_brief(voice=other)])
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == "bad_brief"
