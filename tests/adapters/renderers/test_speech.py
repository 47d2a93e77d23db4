"""Kokoro and Piper, with their real weights where the cache holds them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from pipeline.adapters.audio import measure_audio
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.loudness import measure_loudness
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers import kokoro, piper
from pipeline.adapters.speech import (
    SpeechOptions,
    finish_speech,
    judge_duration,
    measure_flat_tops,
    split_into_chunks,
)
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import (
    AudioFacts,
    Brief,
    Finish,
    Outcome,
    Render,
    Renderer,
    RendererPlugin,
    RenderFailure,
    Voice,
)
from pipeline.values.errors import RenderError
from pipeline.values.records import Modality

VOICES = load_voices(Path(__file__).parents[3] / "manifests" / "voices.yaml")
PLUGINS: dict[str, RendererPlugin] = {"kokoro": kokoro.PLUGIN, "piper": piper.PLUGIN}
SENTENCE = "Good morning."
VOICE_OF = {"kokoro": VOICES["af_heart"], "piper": VOICES["joe"]}
ENGINES = ("piper", "kokoro")


@cache
def renderer(name: str, threads: int = 1, extension: str = "flac") -> Renderer:
    plugin: Any = PLUGINS[name]
    loaded: Renderer = plugin.load(
        SpeechOptions.model_validate({"threads": threads, "extension": extension}), ModelCache()
    )
    return loaded


def brief_for(name: str, text: str, **changes: Any) -> Brief:
    values = {"id": "b", "modality": Modality.SPEECH, "text": text, "seed": 11, "voice": VOICE_OF[name], **changes}
    return Brief.model_validate(values)


@cache
def render(name: str, text: str, **changes: Any) -> Render:
    [outcome] = renderer(name).render([brief_for(name, text, **changes)])
    assert isinstance(outcome, Render), outcome
    return outcome


def facts_of(outcome: Outcome | Finish) -> AudioFacts:
    assert isinstance(outcome, Render), outcome
    assert isinstance(outcome.facts, AudioFacts)
    return outcome.facts


@pytest.mark.parametrize("name", ENGINES)
def test_a_sentence_is_spoken_at_a_common_level_between_short_silences(name: str) -> None:
    clip = render(name, SENTENCE)
    samples, sample_rate = decode_sound(clip.data)
    assert facts_of(clip) == measure_audio(samples, sample_rate)
    assert sample_rate == {"kokoro": 24_000, "piper": 22_050}[name]
    assert 0.6 < facts_of(clip).duration < 2.0
    assert measure_loudness(samples, sample_rate) == pytest.approx(-23.0, abs=0.5)
    assert facts_of(clip).peak <= 0.9
    heard = np.flatnonzero(np.abs(samples[:, 0]) > 0.02 * facts_of(clip).peak)
    assert 0.03 < heard[0] / sample_rate < 0.15
    assert 0.03 < (len(samples) - heard[-1]) / sample_rate < 0.15
    assert clip.notes["voice"] == VOICE_OF[name].name


@pytest.mark.parametrize("name", ENGINES)
def test_the_number_of_threads_does_not_change_the_bytes(name: str) -> None:
    [clip] = renderer(name, threads=2).render([brief_for(name, "Yes.")])
    assert isinstance(clip, Render)
    assert clip.data == render(name, "Yes.").data


@pytest.mark.parametrize("name", ENGINES)
def test_a_faster_rate_makes_a_shorter_clip(name: str) -> None:
    fast = facts_of(render(name, SENTENCE, rate=1.5)).duration
    slow = facts_of(render(name, SENTENCE, rate=0.75)).duration
    assert fast < 0.85 * slow


@pytest.mark.parametrize("name", ENGINES)
def test_a_bad_brief_fails_alone_and_the_others_keep_their_places(name: str) -> None:
    other = VOICE_OF["piper" if name == "kokoro" else "kokoro"]
    stranger = VOICE_OF[name].model_copy(update={"speaker": "nobody"})
    briefs = [
        brief_for(name, "Yes."),
        brief_for(name, "... !?"),
        brief_for(name, "Yes.", voice=None),
        brief_for(name, "Yes.", voice=other),
        brief_for(name, "Yes.", voice=stranger),
        brief_for(name, "Yes.", rate=9.0),
        brief_for(name, "Yes.", modality=Modality.MUSIC),
        brief_for(name, "word " * 1000),
        brief_for(name, "Yes."),
    ]
    outcomes = renderer(name).render(briefs)
    codes = [outcome.code if isinstance(outcome, RenderFailure) else "made" for outcome in outcomes]
    expected = ["unspeakable", "bad_brief", "bad_brief", "unknown_voice", "bad_brief", "bad_brief", "text_too_long"]
    assert codes == ["made", *expected, "made"]
    assert outcomes[0] == outcomes[-1]


@pytest.mark.parametrize("name", ENGINES)
def test_an_mp3_is_smaller_than_the_flac(name: str) -> None:
    [clip] = renderer(name, extension="mp3").render([brief_for(name, SENTENCE)])
    assert isinstance(clip, Render)
    assert clip.extension == "mp3"
    assert len(clip.data) < len(render(name, SENTENCE).data)
    assert decode_sound(clip.data)[1] == facts_of(clip).sample_rate


@pytest.mark.parametrize("name", [ENGINES[0]])
def test_piper_speaks_another_seed_a_little_differently(name: str) -> None:
    assert render(name, SENTENCE, seed=12).data != render(name, SENTENCE).data


@pytest.mark.parametrize("name", [ENGINES[0]])
def test_a_long_text_is_joined_with_pauses_and_without_clicks(name: str) -> None:
    sentence = "The old lighthouse stood quietly above the bay, watching every ship that came home late in the evening."
    one = facts_of(render(name, sentence)).duration
    clip = render(name, " ".join([sentence] * 3))
    samples, _ = decode_sound(clip.data)
    assert 3 * one < facts_of(clip).duration + 0.5 < 3 * one + 2.0
    # A click is a step between neighbours that speech, here under 8 kHz, does not make out of near silence.
    quiet = np.abs(samples[:-1, 0]) < 0.001
    assert float(np.max(np.abs(np.diff(samples[:, 0]))[quiet])) < 0.15


@pytest.mark.parametrize("name", [ENGINES[0]])
@pytest.mark.parametrize("text", ["[[h@l'oU]] there", "a" * 250, "你好 мир", "ok\x00\ud800ok", "<speak>hi</speak>"])
def test_hostile_texts_are_spoken_or_fail_and_never_raise(name: str, text: str) -> None:
    [outcome] = renderer(name).render([Brief.model_construct(**dict(brief_for(name, "x"), text=text))])
    assert isinstance(outcome, Render | RenderFailure)


@pytest.mark.parametrize("name", [ENGINES[1]])
def test_two_kokoro_voices_say_the_same_words_differently(name: str) -> None:
    [clip] = renderer(name).render([brief_for(name, "Yes.", voice=VOICES["bm_george"])])
    assert isinstance(clip, Render)
    assert clip.data != render(name, "Yes.").data


@pytest.mark.parametrize("name", [ENGINES[1]])
def test_kokoro_refuses_a_language_without_phonemes(name: str) -> None:
    korean = VOICES["jf_alpha"].model_copy(update={"languages": ("ko",)})
    [outcome] = renderer(name).render([brief_for(name, "안녕하세요", voice=korean)])
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == "unsupported_language"
    assert "speaks ko" in outcome.message


# Open JTalk's Python package asks Sudachi's for its dictionary by the former name.
@pytest.mark.filterwarnings("ignore:Dictionary.create:DeprecationWarning")
@pytest.mark.parametrize(
    ("voice", "text"), [("jf_alpha", "はい、お茶は3本です。"), ("zm_yunxi", "好的，一共3个，OK！")]
)
@pytest.mark.parametrize("name", [ENGINES[1]])
def test_kokoro_speaks_japanese_and_mandarin(name: str, voice: str, text: str) -> None:
    for module in kokoro.OWN_READERS[VOICES[voice].languages[0].partition("-")[0]]:
        pytest.importorskip(module)
    [outcome] = renderer(name).render([brief_for(name, text, voice=VOICES[voice])])
    assert 1.0 < facts_of(outcome).duration < 5.0


@pytest.mark.parametrize("name", [ENGINES[1]])
def test_the_voices_file_lists_exactly_the_speakers_of_kokoro(name: str) -> None:
    speakers = {voice.speaker for voice in VOICES.values() if voice.renderer == name}
    with np.load(ModelCache().path(kokoro.VOICES) / "voices.npz") as held:
        assert speakers == set(held.files)


@pytest.mark.parametrize("name", ["piper", "kokoro"])
def test_damaged_model_files_are_a_render_error(name: str, tmp_path: Path) -> None:
    class Damaged:
        def path(self, model: str) -> Path:
            (tmp_path / model).mkdir(exist_ok=True)
            (tmp_path / model / "model.onnx").write_bytes(b"nonsense")
            (tmp_path / model / "model.onnx.json").write_bytes(b"{}")
            return tmp_path / model

    with pytest.raises(RenderError, match=f"{name} cannot be loaded from"):
        PLUGINS[name].load(SpeechOptions(), Damaged())


@pytest.mark.parametrize("name", ["piper", "kokoro"])
def test_a_plugin_tells_what_it_needs_without_loading_anything(name: str) -> None:
    plugin, options = PLUGINS[name], SpeechOptions()
    assert set(plugin.models(options)) <= set(plugin.licences(options))
    assert plugin.is_commercial_use_allowed(options)
    assert plugin.missing() is None
    assert plugin.estimate(options, brief_for(name, "word " * 50)) > plugin.estimate(options, brief_for(name, "word"))


def test_options_are_closed_and_bounded() -> None:
    for wrong in ({"thread": 1}, {"threads": 0}, {"extension": "ogg"}, {"loudness": 0.0}):
        with pytest.raises(ValidationError):
            SpeechOptions.model_validate(wrong)


def test_texts_are_cut_at_sentences_first_and_short_ones_stay_together() -> None:
    assert [chunk.text for chunk in split_into_chunks("Yes. No. Well, then.")] == ["Yes. No. Well, then."]
    long = "A sentence of some length that goes on, and on, until it is well over the middle of a chunk, at last. "
    chunks = split_into_chunks(long * 3)
    assert [chunk.text for chunk in chunks] == [long.strip()] * 3
    assert chunks[0].pause == 0.4
    commas = split_into_chunks("some words here, " * 40)
    assert max(len(chunk.text) for chunk in commas) <= 200
    assert {chunk.text[-1] for chunk in commas} == {","}
    assert [len(chunk.text) for chunk in split_into_chunks("x" * 450)] == [200, 200, 50]


def _noise(seconds: float, amplitude: float = 0.1) -> npt.NDArray[np.float32]:
    generator = np.random.default_rng(5)
    return (amplitude * generator.standard_normal((round(seconds * 24_000), 1))).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "text", "code"),
    [
        (np.zeros((24_000, 1), dtype=np.float32), "some words", "silent"),
        (np.zeros((0, 1), dtype=np.float32), "some words", "silent"),
        (_noise(1.0, amplitude=1e-4), "some words", "silent"),
        (np.clip(_noise(1.0), -0.1, 0.1), "some words", "clipped"),
        (_noise(0.1), "a", "too_short"),
        (_noise(1.0), "word " * 20, "too_short"),
        (_noise(12.0), "some words", "too_long"),
    ],
)
def test_each_gate_closes_with_its_code(samples: npt.NDArray[np.float32], text: str, code: str) -> None:
    outcome = finish_speech(samples, 24_000, brief_for("piper", text), SpeechOptions())
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == code
    assert outcome.message.startswith("brief b: ")


def test_plausible_speech_passes_the_gates() -> None:
    assert isinstance(
        finish_speech(_noise(2.0), 24_000, brief_for("piper", "some words to say"), SpeechOptions()), Render
    )


def test_the_bounds_of_duration_follow_the_rate() -> None:
    text = "word " * 20
    assert judge_duration(2.6, brief_for("piper", text)) is None
    assert judge_duration(2.6, brief_for("piper", text, rate=0.8)) is not None
    assert judge_duration(1.6, brief_for("piper", text, rate=2.0)) is None


def test_flat_tops_are_counted_and_a_pure_tone_has_none() -> None:
    tone = np.sin(2 * np.pi * 100 * np.arange(24_000) / 24_000).astype(np.float32)[:, None]
    assert measure_flat_tops(tone) == 0.0
    assert measure_flat_tops(np.clip(tone, -0.5, 0.5)) > 0.5


def test_a_voice_of_another_kind_is_no_speaker_of_piper() -> None:
    voice = Voice(name="x", renderer="piper", speaker="amy", languages=("en-US",), licence="CC0-1.0")
    [outcome] = renderer("piper").render([brief_for("piper", "Yes.", voice=voice)])
    assert isinstance(outcome, RenderFailure)
    assert "only joe" in outcome.message
