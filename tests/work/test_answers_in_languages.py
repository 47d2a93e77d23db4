"""The rules for words in languages without spaces."""

from __future__ import annotations

import re

import pytest

from pipeline.values.records import Modality, TurnLayout
from pipeline.work.answers import (
    GRAM_SIGNS,
    MAX_CHARACTERS,
    check_overlap,
    four_grams,
    parse_turn,
    plain_text,
    telling_schema,
    turn_schema,
    whole_sentences,
)
from pipeline.work.asking import InvalidAnswer

TEXT, SPEECH, IMAGE = Modality.TEXT, Modality.SPEECH, Modality.IMAGE
USER = TurnLayout(role="user", kinds=(SPEECH, IMAGE))
PICTURE = "a red paper lantern on a dark river at night"


def test_words_are_japanese_and_descriptions_english() -> None:
    turn = parse_turn({"speech": "提灯を3つ描いてください。", "image": PICTURE}, USER, language="ja")
    assert [part.text for part in turn.parts] == ["提灯を3つ描いてください。", PICTURE]
    assert turn.parts[0].spoken == "提灯を3つ描いてください。"


@pytest.mark.parametrize(
    ("speech", "image", "problem"),
    [
        ("Please draw three lanterns.", PICTURE, "speech must be written in Japanese"),
        ("提灯を描いて。", "夜の川に浮かぶ赤い提灯の写真", "image must be written in English"),
        ("はい", PICTURE, "fewer than 2 words, of two characters each"),
        ("何かお手伝いできることはありますか？", PICTURE, "the user speaks as the assistant would"),
        ("この祭りの動画を作ってください。", PICTURE, "a banned subject: '動画'"),
        ("ユーザー：提灯を描いてください。", PICTURE, "a label before the words"),
        ("As an AI, 提灯を描いてください。", PICTURE, "a banned subject: 'As an AI'"),
    ],
)
def test_what_no_japanese_answer_holds(speech: str, image: str, problem: str) -> None:
    with pytest.raises(InvalidAnswer, match=problem):
        parse_turn({"speech": speech, "image": image}, USER, language="ja")


def test_english_rules_know_nothing_of_other_languages() -> None:
    assert plain_text("text", "グラフ and user", 160, 2) == "グラフ and user"
    with pytest.raises(InvalidAnswer, match="banned subject"):
        plain_text("text", "グラフを見せて", 160, 2, "ja")


def test_a_character_that_says_more_has_a_lower_limit() -> None:
    sizes = turn_schema(USER, language="zh")["properties"]
    assert sizes["speech"]["maxLength"] == MAX_CHARACTERS[SPEECH] // 2
    assert sizes["image"]["maxLength"] == MAX_CHARACTERS[IMAGE]
    layout = TurnLayout(role="assistant", kinds=(TEXT,))
    with pytest.raises(InvalidAnswer, match="has 81 characters, at most 80"):
        parse_turn({"text": "好" * 81}, layout, language="zh")


def test_a_small_model_is_held_to_english_in_descriptions_alone() -> None:
    assert telling_schema(USER, "en") == turn_schema(USER)
    schema = telling_schema(USER, "ja")
    assert schema["required"] == list(schema["properties"]) == ["speech_in_japanese", "image_in_english"]
    speech, image = schema["properties"].values()
    assert speech == turn_schema(USER, language="ja")["properties"]["speech"]
    assert image["maxLength"] == MAX_CHARACTERS[IMAGE]
    assert re.search(image["pattern"], "a red kite, 3 birds [far away]")
    for wrong in ("赤い凧", 'a "red" kite', "a \\ kite", "a" * (MAX_CHARACTERS[IMAGE] + 1)):
        assert re.search(image["pattern"], wrong) is None


def test_a_cut_sentence_is_dropped_at_full_width_marks() -> None:
    assert whole_sentences("text", "提灯がきれいです。川が", 11, 2) == "提灯がきれいです。"
    assert whole_sentences("text", "「きれいだ！」川が", 9, 2) == "「きれいだ！」"
    with pytest.raises(InvalidAnswer, match="was cut off"):
        whole_sentences("text", "提灯がとてもきれいで", 10, 2)


def test_grams_are_longer_where_a_sign_is_a_part_of_a_word() -> None:
    assert four_grams("请画一只小小的猫。") == []
    assert four_grams("请画一只睡着的小猫咪") == [tuple("请画一只睡着的小猫咪")]
    assert all(len(gram) == GRAM_SIGNS for gram in four_grams("提灯の光が川面に映る写真です。"))


def test_courtesies_are_no_repetition_but_sentences_are() -> None:
    earlier = ["夏祭りの太鼓の曲を作ってください。"]
    check_overlap("text", "静かなピアノの曲を作ってください。", earlier)
    with pytest.raises(InvalidAnswer, match="repeats earlier words"):
        check_overlap("text", "もっと静かな夏祭りの太鼓の曲を作ってください。", earlier)
