"""Speech in languages without spaces, as far as it needs no model."""

from __future__ import annotations

import importlib.util

import pytest

from pipeline.adapters.renderers import coqui, kokoro
from pipeline.adapters.renderers.coqui.languages import find_language
from pipeline.adapters.renderers.coqui.options import CoquiOptions
from pipeline.adapters.shipped import shipped
from pipeline.adapters.speech import SpeechOptions, count_letters, split_into_chunks
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import ReadsLanguages
from pipeline.values.spoken import spoken_form

VOICES = load_voices(shipped("manifests", "voices.yaml"))
SENTENCE = "提灯の光が川面に映り、橋の上では子供たちが笑っています。"


def test_a_text_without_spaces_is_cut_at_its_own_marks() -> None:
    assert [chunk.text for chunk in split_into_chunks("はい。いいですね！")] == ["はい。いいですね！"]
    chunks = split_into_chunks(SENTENCE * 5)
    assert [chunk.text for chunk in chunks] == [SENTENCE * 2, SENTENCE * 2, SENTENCE]
    assert {chunk.pause for chunk in chunks} == {0.4}
    assert split_into_chunks("「すごい！」と言った。")[0].text == "「すごい！」と言った。"
    commas = split_into_chunks("赤い提灯と小さな橋、" * 20)
    assert {chunk.text[-1] for chunk in commas} == {"、"}
    assert {chunk.pause for chunk in commas} == {0.18}
    assert [len(chunk.text) for chunk in split_into_chunks("好" * 150)] == [66, 66, 18]


def test_a_syllabic_sign_counts_for_three_letters() -> None:
    assert count_letters("写真 ok。") == 8


def test_numbers_are_left_to_what_reads_them_and_stage_directions_are_not_read() -> None:
    assert spoken_form("3本で500円です（笑）。", "ja") == "3本で500円です。"
    assert spoken_form("（笑う）好的，7:30见！", "zh") == "好的，7:30见！"


def test_kokoro_has_readers_for_all_of_its_voices() -> None:
    mine = [voice for voice in VOICES.values() if voice.renderer == "kokoro"]
    assert len(mine) == 54
    assert [voice.name for voice in mine if kokoro.refuse_language(voice) is not None] == []
    korean = VOICES["jf_alpha"].model_copy(update={"languages": ("ko",)})
    assert "kokoro has phonemes here for en-US" in str(kokoro.refuse_language(korean))


def test_packages_are_missing_for_the_languages_that_need_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert isinstance(kokoro.PLUGIN, ReadsLanguages)
    assert kokoro.PLUGIN.missing_for(SpeechOptions(), "en") is None
    told = kokoro.PLUGIN.missing_for(SpeechOptions(), "ja")
    assert told == "to read ja, pyopenjtalk-plus must be installed: pip install 'anyinstruct[languages]'"
    assert "cn2an, pypinyin, rjieba" in str(kokoro.PLUGIN.missing_for(SpeechOptions(), "zh"))


def test_xtts_calls_languages_its_own_way_and_names_what_it_reads_them_with(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["en", "zh-cn", "ja"]
    assert find_language(VOICES["zf_xiaobei"], known) == "zh-cn"
    assert find_language(VOICES["jf_alpha"], known) == "ja"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    xtts = CoquiOptions.model_validate({"model": "tts_models/multilingual/multi-dataset/xtts_v2"})
    vits = CoquiOptions.model_validate({"model": "tts_models/en/vctk/vits"})
    told = coqui.PLUGIN.missing_for(xtts, "ja")
    assert told == "to read ja, XTTS imports cutlet, which is not installed: pip install 'coqui-tts[ja]'"
    assert coqui.PLUGIN.missing_for(xtts, "en") is None
    assert coqui.PLUGIN.missing_for(vits, "zh") is None
