"""Languages that dialogues can be written in, as data, and what counts as a word in them.

Topics, scenarios, demonstrations and the descriptions that renderers of images and music read stay in English,
whatever the language of a corpus. To add a language: an entry of :data:`LANGUAGES`, and voices that speak it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ENGLISH = "en"

_HAN = "㐀-䶿一-鿿豈-﫿々〇"
_KANA = "ぁ-ゖァ-ヺー"
_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
_UNSPACED = _HAN + _KANA

SIGNS_A_WORD = 2
"""Signs that count as one word where no spaces stand between words: Mandarin words have 1.5 to 2 characters, Japanese
ones with their particles about 2."""

_SIGN = re.compile(f"[{_UNSPACED}]")
_UNIT = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True)
class Language:
    """A language and how its writing is told from others.

    Attributes:
        tag: BCP 47, the base alone.
        name: What prompts call it, in English and in itself.
        label: What names of fields call it, to tell a small model which language goes into them.
        letters: Its letters, as the inside of a regular expression's brackets.
        telling: Letters out of these without which no longer text is in this language; empty for none.
        shares_script: Its letters serve many languages, so that only an identifier can tell it.
        is_spaced: Spaces stand between its words.
        length: Characters that say as much as one of English; limits of length are multiplied by it.
        banned, serves, labels: Regular expressions for what no dialogue is about, for what no user says to an
            assistant, and for who or what stands before a colon in place of the words alone.
    """

    tag: str
    name: str
    label: str
    letters: str
    telling: str = ""
    shares_script: bool = False
    is_spaced: bool = True
    length: float = 1.0
    banned: str = r"\Z\A"
    serves: str = r"\Z\A"
    labels: str = r"\Z\A"


LANGUAGES: Mapping[str, Language] = {
    language.tag: language
    for language in (
        Language(
            tag=ENGLISH,
            name="English",
            label="english",
            letters=_LATIN,
            shares_script=True,
            banned=r"\b(videos?|charts?|diagrams?|spreadsheets?|as an ai|language model)\b",
            serves=r"\b(can|may|could) i (help|assist) you|how (can|may) i (help|assist)",
            labels=r"user|assistant|text|speech|image|music|ai",
        ),
        Language(
            tag="ja",
            name="Japanese (日本語)",
            label="japanese",
            letters=_HAN + _KANA,
            telling=_KANA,
            is_spaced=False,
            length=0.5,
            banned=r"動画|ビデオ|グラフ(?!ィ)|図表|言語モデル|(?:AI|人工知能)として",
            serves=r"(?:お手伝い|お役に立て|ご用件|サポート).{0,12}(?:でしょうか|ですか|ますか)",
            labels=r"ユーザー|アシスタント|テキスト|音声|画像|音楽",
        ),
        Language(
            tag="zh",
            name="Mandarin Chinese in simplified characters (简体中文)",
            label="chinese",
            letters=_HAN,
            is_spaced=False,
            length=0.5,
            banned=r"视频|影片|图表|语言模型|作为(?:一[个名])?(?:AI|人工智能)",
            serves=r"(?:可以|能).{0,6}(?:帮助|帮到|帮)您|有什么.{0,8}(?:帮您|帮助您|为您)",
            labels=r"用户|助手|助理|文本|语音|图片|图像|音乐",
        ),
    )
}


def split_words(text: str) -> list[str]:
    """Return the words of a text without case and marks; each ideograph and kana is one by itself."""
    return _UNIT.findall(text.casefold())


def is_unspaced(text: str) -> bool:
    """True where most of a text is written without spaces between words."""
    if text.isascii():
        return False
    words = split_words(text)
    return 2 * sum(bool(_SIGN.match(word)) for word in words) > len(words)


def count_words(text: str) -> float:
    """Count words between spaces; of ideographs and kana, :data:`SIGNS_A_WORD` are one."""
    num_signs = 0 if text.isascii() else len(_SIGN.findall(text))
    if not num_signs:
        return len(text.split())
    spaced = sum(any(sign.isalnum() for sign in word) for word in _SIGN.sub(" ", text).split())
    return spaced + num_signs / SIGNS_A_WORD
