"""Japanese and Mandarin as the phonemes that Kokoro was trained on."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.adapters.phonemes import chinese, japanese
from pipeline.adapters.phonemes.chinese import ChineseReader, say_syllable
from pipeline.adapters.phonemes.japanese import JapaneseReader, join_words, say_kana


@pytest.mark.parametrize(
    ("kana", "phonemes"),
    [
        ("コンサート", "koɴsaːto"),
        ("サンボン", "samboɴ"),
        ("テンキ", "teŋkʲi"),
        ("コンニチワ", "koɲɲiʨiβa"),
        ("アンナ", "anna"),
        ("ガッコー", "ɡaʔkoː"),
        ("キョーシツ", "kʲoːɕiʦɨ"),
        ("マシ’タ", "maɕita"),
        ("ヴァイオリン", "vaioɾʲiɴ"),
        ("Ｘ", ""),
    ],
)
def test_kana_become_phonemes(kana: str, phonemes: str) -> None:
    assert say_kana(kana) == phonemes


def word(string: str, pron: str = "、") -> dict[str, Any]:
    return {"string": string, "pron": pron}


def test_words_stand_apart_and_marks_and_stops_are_joined() -> None:
    said = [
        word("「"),
        word("すごい", "スゴイ"),
        word("」"),
        word("と", "ト"),
        word("行っ", "イッ"),
        word("た", "タ"),
        word("。"),
    ]
    assert join_words(said) == "“sɨɡoi” to iʔta."
    assert (
        join_words([word("ましょ", "マショ"), word("う", "ー"), word("、"), word("ね", "ネ"), word("！")])
        == "maɕoː, ne!"
    )
    assert join_words([word("。")]) == "."
    assert join_words([]) == ""


@pytest.mark.parametrize(
    ("initial", "final", "phonemes"),
    [
        ("zh", "ong1", "ꭧʊ→ŋ"),
        ("", "uei4", "wei↘"),
        ("s", "i4", "sɨ↘"),
        ("x", "i3", "ɕi↓"),
        ("n", "v3", "ny↓"),
        ("d", "e5", "tɤ"),
        ("", "er2", "ɚ↗"),
        ("", "o2", "ɔ↗"),
        ("w", "", ""),
    ],
)
def test_syllables_become_phonemes_with_the_tone_behind_the_vowel(initial: str, final: str, phonemes: str) -> None:
    assert say_syllable(initial, final) == phonemes


# Open JTalk's Python package asks Sudachi's for its dictionary by the former name.
@pytest.mark.filterwarnings("ignore:Dictionary.create:DeprecationWarning")
def test_japanese_is_read_by_its_context() -> None:
    for module in japanese.PACKAGES:
        pytest.importorskip(module)
    read = JapaneseReader()
    assert read("今日は3本の缶を500円で買いました。").startswith("kʲoː βa saɴ boɴ no kaɴ o ɡo")
    assert read("午後7時30分に、学校へ行って。") == "ɡoɡo ɕiʨi ʥi saɴ ʥɨʔpɯɴ ɲi, ɡaʔkoː e iʔte."
    assert read("。") in ("", ".")


def test_mandarin_is_read_word_by_word_with_numbers_spelled() -> None:
    for module in chinese.PACKAGES:
        pytest.importorskip(module)
    read = ChineseReader(read_latin=lambda text: text.upper())
    assert read("你好，今天去北京！") == "ni↓xau↓, ʨi→ntʰjɛ→n ʨʰy↘ pei↓ʨi→ŋ!"
    assert read("他在银行工作。") == "tʰa→ ʦai↘ i↗nxa↗ŋ kʊ→ŋʦwo↘."
    assert read("喜欢jazz。") == "ɕi↓xwa→n JAZZ."
    assert read.spell_numbers("下午7:30，100%，8:00") == "下午七点三十分，百分之一百，八点"
    assert read.spell_numbers("电话13800138000") == "电话一三八零零一三八零零零"
