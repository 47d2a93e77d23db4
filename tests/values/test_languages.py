"""The table of languages, and what counts as a word in them."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from pipeline.values.languages import LANGUAGES, Language, count_words, is_unspaced, split_words
from tests.support.stages import manifest


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))
def test_every_language_has_letters_and_patterns_that_do_not_match_everything(language: Language) -> None:
    assert LANGUAGES[language.tag] is language
    assert re.fullmatch(f"[{language.letters}]", "a") or re.fullmatch(f"[{language.letters}]", "山")
    assert 0 < language.length <= 1
    for pattern in (language.banned, language.serves, language.labels):
        assert re.search(pattern, "", re.IGNORECASE) is None
        assert re.search(pattern, "The old kite. 古い凧。旧风筝。", re.IGNORECASE) is None


def test_a_manifest_names_a_language_of_the_table() -> None:
    assert manifest().language == "en"
    assert manifest(language="ja").language == "ja"
    with pytest.raises(ValidationError, match=r"'tlh' is no language known here; known are en, ja, zh"):
        manifest(language="tlh")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two words, no more.", 4),
        ("hello - world", 3),
        ("", 0),
        ("写真を見せて", 3),
        ("请画一只猫。", 2.5),
        ("DJ の音楽", 2.5),
        ("。！", 1),
    ],
)
def test_two_ideographs_or_kana_count_as_a_word(text: str, words: float) -> None:
    assert count_words(text) == words


def test_words_are_split_without_case_and_marks() -> None:
    assert split_words("The KITE, flies!") == ["the", "kite", "flies"]
    assert split_words("BGMを3つ。") == ["bgm", "を", "3", "つ"]


def test_most_words_decide_whether_a_text_is_unspaced() -> None:
    assert is_unspaced("この曲は Moonlight です")
    assert not is_unspaced("the word 凧 means kite")
    assert not is_unspaced("")
