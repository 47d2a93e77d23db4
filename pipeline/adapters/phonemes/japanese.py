"""Japanese text as the phonemes that Kokoro v1.0 was trained on.

Open JTalk reads the text: ideographs by their context, numbers with their counters, signs and Latin letters. What it
gives, katakana word by word, is written here in the phoneme set of misaki 0.9, word by word as there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

PACKAGES = {"pyopenjtalk": "pyopenjtalk-plus"}
"""By module."""

_KANA = """
ア a イ i ウ ɯ エ e オ o ァ a ィ i ゥ ɯ ェ e ォ o ヰ i ヱ e ヲ o イェ je ウィ βi ウェ βe ウォ βo ワ βa ヮ βa
カ ka キ kʲi ク kɯ ケ ke コ ko ヵ ka ヶ ke キェ kʲe キャ kʲa キュ kʲɨ キョ kʲo クァ kᵝa クィ kᵝi クェ kᵝe クォ kᵝo
ガ ɡa ギ ɡʲi グ ɡɯ ゲ ɡe ゴ ɡo ギャ ɡʲa ギュ ɡʲɨ ギョ ɡʲo グァ ɡᵝa グィ ɡᵝi グェ ɡᵝe グォ ɡᵝo
サ sa シ ɕi ス sɨ セ se ソ so シェ ɕe シャ ɕa シュ ɕɨ ショ ɕo ザ ʣa ジ ʥi ズ zɨ ゼ ʣe ゾ ʣo
ジェ ʥe ジャ ʥa ジュ ʥɨ ジョ ʥo タ ta チ ʨi ツ ʦɨ テ te ト to チェ ʨe チャ ʨa チュ ʨɨ チョ ʨo
ツァ ʦa ツィ ʦʲi ツェ ʦe ツォ ʦo ティ tʲi テュ tʲɨ トゥ tɯ ダ da ヂ ʥi ヅ zɨ デ de ド do ヂャ ʥa ヂュ ʥɨ ヂョ ʥo
ディ dʲi デュ dʲɨ ドゥ dɯ ナ na ニ ɲi ヌ nɯ ネ ne ノ no ニェ ɲe ニャ ɲa ニュ ɲɨ ニョ ɲo
ハ ha ヒ çi フ ɸɯ ヘ he ホ ho ヒェ çe ヒャ ça ヒュ çɨ ヒョ ço ファ ɸa フィ ɸʲi フェ ɸe フォ ɸo フュ ɸʲɨ フョ ɸʲo
バ ba ビ bʲi ブ bɯ ベ be ボ bo ビャ bʲa ビュ bʲɨ ビョ bʲo パ pa ピ pʲi プ pɯ ペ pe ポ po ピャ pʲa ピュ pʲɨ ピョ pʲo
マ ma ミ mʲi ム mɯ メ me モ mo ミャ mʲa ミュ mʲɨ ミョ mʲo ヤ ja ユ jɯ ヨ jo ャ ja ュ jɯ ョ jo
ラ ɾa リ ɾʲi ル ɾɯ レ ɾe ロ ɾo リャ ɾʲa リュ ɾʲɨ リョ ɾʲo
ヴ vɯ ヴァ va ヴィ vʲi ヴェ ve ヴォ vo ヴュ bʲɨ ヴョ bʲo ヷ va ヸ vʲi ヹ ve ヺ vo ー ː ッ ʔ
"""
_PHONEMES = dict(zip(_KANA.split()[::2], _KANA.split()[1::2], strict=True))
_MORA = re.compile("|".join(sorted({*_PHONEMES, "ン"}, key=len, reverse=True)))

_NASALS = (("mpb", "m"), ("kɡ", "ŋ"), ("ɲʨʥ", "ɲ"), ("ntdɾz", "n"))
"""How ン sounds before a phoneme; elsewhere it is the uvular nasal."""

_MARKS = {"、": ",", "，": ",", "。": ".", "．": ".", "！": "!", "？": "?", "：": ":", "；": ";", "…": "…"} | {
    **dict.fromkeys("「『〈《【", "“"),
    **dict.fromkeys("」』〉》】", "”"),
    **dict.fromkeys("〜～―", "—"),
}
_OPENING = "“"


class JapaneseReader:
    """Reads Japanese aloud into phonemes. Loading takes a second and some 100 MB for dictionaries."""

    def __init__(self) -> None:
        import pyopenjtalk

        self._analyse = pyopenjtalk.run_frontend

    def __call__(self, text: str) -> str:
        """Return phonemes, words apart by spaces, marks joined to the word before them."""
        return join_words(self._analyse(text))


def join_words(words: Sequence[Any]) -> str:
    """Write analysed words as phonemes.

    Args:
        words: As Open JTalk gives them, each with ``string`` (as written) and ``pron`` (katakana; ``、`` for marks).
    """
    said = ""
    for word in words:
        mark = _MARKS.get(word["string"])
        sounds = "" if mark else say_kana(word["pron"])
        if mark == _OPENING:
            said += f" {mark}"
        elif mark:
            said = f"{said.rstrip()}{mark} "
        elif sounds:
            # A long vowel or a stop belongs to both words between which it stands.
            is_joined = sounds[0] in "ːʔ" or said.endswith("ʔ") or said.endswith(_OPENING)
            said += sounds if is_joined else f" {sounds}"
    return " ".join(said.split())


def say_kana(kana: str) -> str:
    """Write one word in katakana as phonemes; other signs, such as the mark of an unvoiced vowel, are left out."""
    moras = _MORA.findall(kana.replace("’", ""))
    sounds = [_PHONEMES.get(mora, "") for mora in moras]
    for place, mora in enumerate(moras):
        if mora == "ン":
            after = sounds[place + 1][:1] if place + 1 < len(sounds) else ""
            sounds[place] = next((nasal for before, nasal in _NASALS if after and after in before), "ɴ")
    return "".join(sounds)
