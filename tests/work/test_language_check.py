"""Words in the language that was asked for pass, words in another are refused."""

from __future__ import annotations

import re

import pytest

from pipeline.values.languages import LANGUAGES
from pipeline.work.asking import InvalidAnswer
from pipeline.work.language_check import check_language
from tests.support.stages import read_book

GOOD = {
    "en": (
        "Sure!",
        "Here it is.",
        "Play it in C minor, please, with a bandoneon.",
        "The word for kite is 凧 in Japanese.",
        "Hive 4: calm. Hive 6: furious, second queen seen.",
        "Bossa nova with nylon guitar, shaker and flute, mellow, 96 BPM",
    ),
    "ja": (
        "了解。",
        "京都の夜景",
        "十時、駅前集合",
        "DJのミックスみたいなBGMを作って！",
        "この曲はMoonlight Sonataですか？",
        "提灯の光が川面に映る写真です。",
    ),
    "zh": ("好的。", "请画一只睡在窗边的猫。", "你能做一段DJ混音吗？", "我喜欢jazz和blues。", "請畫一隻貓。"),
}

BAD = {
    "en": (
        "¿Puedes dibujar un gato durmiendo en la ventana?",
        "Voici la musique que tu voulais.",
        "Natürlich, hier ist ein Bild vom Markt.",
        "写真をお願いします。",
        "Вот картина, которую вы просили.",
    ),
    "ja": (
        "Here is the picture of the river.",
        "请画一只睡在窗边的猫，谢谢你。",
        "この写真 shows a beautiful sunset over the sea",
        "안녕하세요, 사진을 보여 주세요.",
    ),
    "zh": (
        "Here is the picture of the river.",
        "写真をお願いします。",
        "这张照片 shows a beautiful sunset over the sea",
    ),
}


@pytest.mark.parametrize(("tag", "text"), [(tag, text) for tag, texts in GOOD.items() for text in texts])
def test_words_in_the_language_pass(tag: str, text: str) -> None:
    check_language("text", text, LANGUAGES[tag])


@pytest.mark.parametrize(("tag", "text"), [(tag, text) for tag, texts in BAD.items() for text in texts])
def test_words_in_another_language_are_refused_with_the_one_wanted(tag: str, text: str) -> None:
    with pytest.raises(InvalidAnswer, match=re.escape(f"the field text must be written in {LANGUAGES[tag].name};")):
        check_language("text", text, LANGUAGES[tag])


def test_all_demonstrations_are_in_english() -> None:
    parts = [part for item in read_book().demonstrations.values() for turn in item.turns for part in turn.parts]
    assert len(parts) > 400
    for part in parts:
        check_language(part.kind, " ".join(part.text.split()), LANGUAGES["en"])
