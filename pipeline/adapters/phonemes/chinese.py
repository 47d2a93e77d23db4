"""Mandarin text as the phonemes that Kokoro v1.0 was trained on.

cn2an spells numbers, rjieba finds the words, pypinyin reads each of them, and its syllables are written here in the
phoneme set of misaki 0.9: tones as arrows behind the vowel, words apart by spaces. Tones stand as the dictionary has
them, since the model learned their changes in speech by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable

PACKAGES = {"cn2an": "cn2an", "pypinyin": "pypinyin", "rjieba": "rjieba"}
"""By module."""

_INITIALS = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ", "h": "x",
    "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ", "s": "s", "": "",
}  # fmt: skip
_FINALS = {
    "a": "a0", "ai": "ai0", "an": "a0n", "ang": "a0ŋ", "ao": "au0", "e": "ɤ0", "ei": "ei0", "en": "ə0n", "eng": "ə0ŋ",
    "er": "ɚ0", "i": "i0", "ia": "ja0", "ian": "jɛ0n", "iang": "ja0ŋ", "iao": "jau0", "ie": "je0", "in": "i0n",
    "ing": "i0ŋ", "io": "jɔ0", "iong": "jʊ0ŋ", "iou": "jou0", "ong": "ʊ0ŋ", "ou": "ou0", "u": "u0", "ua": "wa0",
    "uai": "wai0", "uan": "wa0n", "uang": "wa0ŋ", "uei": "wei0", "uen": "wə0n", "ueng": "wə0ŋ", "uo": "wo0",
    "o": "wo0", "v": "y0", "van": "ɥɛ0n", "ve": "ɥe0", "vn": "y0n", "ê": "ɛ0", "m": "m0", "n": "n0", "ng": "ŋ0",
}  # fmt: skip
"""Finals in their full spelling (``iou``, not ``iu``), ``v`` for ü; 0 is where the tone stands."""

_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
_BUZZED = {"zh", "ch", "sh", "r", "z", "c", "s"}
"""Initials after which a lone i is no vowel of its own."""

_MARKS = str.maketrans(
    {"、": ", ", "，": ", ", "。": ". ", "．": ". ", "！": "! ", "？": "? ", "：": ": ", "；": "; ", "·": " "}
    | {**dict.fromkeys("「『《【（", " “"), **dict.fromkeys("」』》】）", "” "), "～": "—"}
    | {"嗯": "恩"}  # a hum has no syllable in the dictionary; this is how it sounds
)
_HAN = "㐀-䶿一-鿿"
_STRETCH = re.compile(rf"[{_HAN}]+|[A-Za-z][A-Za-z' -]*[A-Za-z]|[A-Za-z]|[^{_HAN}A-Za-z]+")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})[:：](\d{2})(?!\d)")
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{7,}(?![\d.])")
_DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")


class ChineseReader:
    """Reads Mandarin aloud into phonemes, in simplified or traditional characters.

    Args:
        read_latin: Reads Latin words between, e.g. names; the model knows their phonemes too.
    """

    def __init__(self, read_latin: Callable[[str], str]) -> None:
        import cn2an
        import pypinyin
        import rjieba

        self._read_latin = read_latin
        self._spell: Callable[[str, str], str] = cn2an.transform
        self._cut: Callable[[str], list[str]] = rjieba.cut
        self._pinyin = pypinyin

    def __call__(self, text: str) -> str:
        """Return phonemes, words apart by spaces, marks as the model knows them."""
        said = []
        for stretch in _STRETCH.findall(self.spell_numbers(text).translate(_MARKS)):
            if re.match(f"[{_HAN}]", stretch):
                said.append(" ".join(self._say_word(word) for word in self._cut(stretch)))
            elif stretch[0].isascii() and stretch[0].isalpha():
                said.append(f" {self._read_latin(stretch)} ")
            else:
                said.append(stretch)
        return re.sub(r"\s+([,.!?:;”])", r"\1", " ".join("".join(said).split()))

    def spell_numbers(self, text: str) -> str:
        """Spell numbers, dates, times and measures in characters; what is too long for a quantity, digit by digit."""
        text = _CLOCK.sub(lambda hit: f"{hit[1]}点" + ("" if hit[2] == "00" else f"{hit[2]}分"), text)
        text = _LONG_NUMBER.sub(lambda hit: hit[0].translate(_DIGITS), text)
        return self._spell(text, "an2cn")

    def _say_word(self, word: str) -> str:
        style = self._pinyin.Style
        initials = self._pinyin.lazy_pinyin(word, style=style.INITIALS, strict=True, errors="ignore")
        finals = self._pinyin.lazy_pinyin(
            word, style=style.FINALS_TONE3, strict=True, neutral_tone_with_five=True, errors="ignore"
        )
        return "".join(say_syllable(*pair) for pair in zip(initials, finals, strict=True))


def say_syllable(initial: str, final: str) -> str:
    """Write one syllable as phonemes.

    Args:
        initial: Strict initial, e.g. ``zh``; empty for none.
        final: Strict final and its tone from 1 to 5, e.g. ``uei4``.

    Returns:
        Phonemes, none for a syllable that Mandarin does not have.
    """
    vowels, tone = (final[:-1], final[-1]) if final[-1:] in _TONES else (final, "5")
    sounds = "ɨ0" if vowels == "i" and initial in _BUZZED else _FINALS.get(vowels, "")
    if vowels == "o" and not initial:
        sounds = "ɔ0"  # an interjection
    return (_INITIALS.get(initial, "") + sounds).replace("0", _TONES[tone])
