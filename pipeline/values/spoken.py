"""Written words in a form fit for a voice.

A voice reads what it is given: "7:30" as "seven colon thirty", "*laughs*" as "asterisk laughs". So numbers, signs and
abbreviations are spelled out, and what is not meant to be said is dropped. Where written English leaves a choice
("1500", "3/5/2024"), the American reading is taken, and each part of the text is judged by itself.
"""

from __future__ import annotations

import re
import unicodedata

from pipeline.values.spoken_numbers import say_numbers
from pipeline.values.spoken_tables import ABBREVIATIONS, KEPT_CAPITALS, STAGE_VERBS

MAX_PASSES = 12
"""Passes until nothing changes: two or three for ordinary text, since removing one mark may make another."""

_SIGNS = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'}
    | {"–": "-", "‐": "-", "‑": "-", "‒": "-", "−": "-", "⁄": "/", "∕": "/", "…": "..."}
    | {"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⅛": " 1/8"}
    | {"™": "", "®": "", "©": "", "\u00ad": "", "\u200b": "", "\ufeff": "", "℃": "°C", "℉": "°F"}
)

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"```[^`]*(?:```|\Z)", " "),  # code is not for the ear
        (r"<[^<>\n]{0,200}>", " "),
        (r"!\[[^\[\]]{0,300}\]\([^()\s]{0,500}\)", " "),
        (r"\[([^\[\]]{1,300})\]\([^()\s]{0,500}\)", r"\1"),
        (r"^\s{0,3}(?:[-*+•>]|#{1,6}|\d{1,2}[.)])\s+", ""),
        (r"^\s*(?:[-*_=]\s?){3,}$", ""),
        (r"(?<!\w)[*_]{2,3}(?=\S)|(?<=\S)[*_]{2,3}(?!\w)", ""),
        (r"~~|`", ""),
    )
)
_STAGE_WORDS = rf"(?:\w{{2,15}} )?(?i:{'|'.join(STAGE_VERBS)})[^*_()\[\]]{{0,60}}"
_STAGE = re.compile(rf"\*{_STAGE_WORDS}\*|(?<!\w)_{_STAGE_WORDS}_(?!\w)|\({_STAGE_WORDS}\)|\[[^\[\]]{{0,200}}\]")

_ASIDE = re.compile(r"[（(](?:笑|微笑|苦笑|泣|拍手|ため息|叹|哭)[^（）()]{0,20}[）)]")
"""Stage directions of Japanese and Chinese."""

_EMAIL = re.compile(r"(?<![\w.])([\w.+-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63}){1,5})")
_URL = re.compile(r"(?:https?://|www\.)(?:www\.)?([\w.-]{1,200})[^\s\"'<>)]*", re.IGNORECASE)
_DOMAIN = re.compile(r"(?<![\w.@])((?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|io|edu|gov|co|ai|app|dev|tv))\b(?:/\S*)?")
_HASHTAG = re.compile(r"(?<!\w)[#@](?=[^\W\d])([\w]{1,80})")
_STREET = re.compile(r"(\d (?:[A-Z]\w{1,30} ){1,3})St\.(?=(\s+[A-Z])?)")
_INITIALS = re.compile(r"\b(?:[A-Z]\.){2,8}(?:(?=\s+[A-Z])|(?<=\.))")
_ABBREVIATIONS = tuple((re.compile(rf"(?<![\w.]){pattern}(?!\w)"), words) for pattern, words in ABBREVIATIONS.items())
_ANY_ABBREVIATION = re.compile(rf"(?<![\w.])(?:{'|'.join(ABBREVIATIONS)})(?!\w)")
"""Most texts have none, which one search tells sooner than a search for each."""

# Most texts have nothing that a step looks for. One search for the signs without which it changes nothing tells that
# sooner than all of its own.
_SOME_MARKUP = re.compile(r"[`<\[*_~(\n]|^\s*[-+•>#=\d]")
_SOME_ADDRESS = re.compile(r"[#@]|://|(?i:www)\.|\.(?:com|org|net|io|edu|gov|co|ai|app|dev|tv)\b")
_SOME_SIGN_BEFORE = re.compile(r"[#♯♭~≈<±+÷]|\bA (?:flat |sharp )?(?:minor|major)\b")
_SOME_SIGN = re.compile(r"[-&+=%@°²³>/()—―→➜…]")
_PERHAPS_UNSAYABLE = re.compile(r"[^A-Za-z'.,?!;: -]")

_POWERS = (("²", "squared"), ("³", "cubed"))
_CAPITALS = re.compile(r"\b[^\W\d_a-z]{2,}(?:'[^\W\d_a-z]+)?s?\b(?! and [A-Z]\b)")


def is_speakable(text: str) -> bool:
    """True where a voice has something to say: a letter or a digit."""
    return any(sign.isalnum() for sign in text)


def spoken_form(text: str, language: str = "en") -> str:
    """Return the words of a text as a voice should say them.

    English: what is left consists of letters, apostrophes in words, ``. , ? ! ; : -`` and single spaces; the empty
    text where nothing is left to say. Other languages keep their words, digits and punctuation: only markup,
    links, stage directions, emoji and superfluous space go. Their numbers are left to what reads the text into
    phonemes, which knows the counters and readings that a number takes in its sentence. A spoken form is its own.

    Args:
        language: BCP 47 tag; everything that begins with ``en`` is English.
    """
    is_english = language.lower().split("-")[0] == "en"
    for _ in range(MAX_PASSES):
        once = _speak_english(text) if is_english else _strip_markup_only(text)
        if once == text:
            break
        text = once
    return text


def _speak_english(text: str) -> str:
    text = _drop_markup(_normalise(text))
    text = _say_addresses(text) if _SOME_ADDRESS.search(text) else text
    text = _say_abbreviations(text)
    text = _say_signs_before_numbers(text) if _SOME_SIGN_BEFORE.search(text) else text
    text = say_numbers(text)
    text = _say_signs(text) if _SOME_SIGN.search(text) else text
    text = _CAPITALS.sub(_lower_shouting, text)
    return _tidy(_PERHAPS_UNSAYABLE.sub(lambda hit: hit[0] if _is_sayable(hit[0]) else " ", text))


def _strip_markup_only(text: str) -> str:
    text = _drop_markup(unicodedata.normalize("NFC", text))
    text = _URL.sub(" ", _EMAIL.sub(" ", _ASIDE.sub(" ", text)))
    text = re.sub(r"(?<!\w)[#@](?=\w)|[*_`~|<>\\^]", " ", text)
    kept = (sign if unicodedata.category(sign)[0] in "LMNPZ" or sign in "+=%°$€£¥₹" else " " for sign in text)
    return re.sub(r"\s+([,.!?;:、。，！？；：])", r"\1", " ".join("".join(kept).split()))


def _normalise(text: str) -> str:
    is_plain = text.isascii()  # then nothing is to be folded, sign by sign
    if not is_plain:
        text = unicodedata.normalize("NFC", text).translate(_SIGNS)
        # Superscripts are read by the unit rules before compatibility folding makes plain digits of them.
        folded = (sign if sign in "²³°" else unicodedata.normalize("NFKC", sign) for sign in text)
        text = "".join(folded).translate(_SIGNS)
    if text.count("'") > 1:
        text = re.sub(r"(?<!\w)'(?!\d)([^'\n]{1,200})'(?!\w)", r"\1", text)  # a pair of single quotes
    if not is_plain:
        text = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
    return re.sub(r"\.{2,}", "…", text) if ".." in text else text


def _drop_markup(text: str) -> str:
    if not _SOME_MARKUP.search(text):
        return text
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    text = _STAGE.sub(" ", text)
    return re.sub(r"(?<![.!?:;,\s…])\s*\n\s*", ". ", text)


def _say_addresses(text: str) -> str:
    text = _EMAIL.sub(lambda hit: f"{_say_dots(hit[1])} at {_say_dots(hit[2])}", text)
    text = _URL.sub(lambda hit: _say_dots(hit[1].rstrip(".")) + ("." if hit[0].endswith(".") else ""), text)
    text = _DOMAIN.sub(lambda hit: _say_dots(hit[1]), text)
    return _HASHTAG.sub(lambda hit: _split_words(hit[1]), text)


def _say_dots(address: str) -> str:
    words = address.replace(".", " dot ").replace("+", " plus ").replace("-", " ").replace("_", " ")
    return f" {words} "


def _split_words(tag: str) -> str:
    """``SunsetVibes`` and ``sunset_vibes`` are two words each."""
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", tag.replace("_", " "))


def _say_abbreviations(text: str) -> str:
    if "St." in text:
        text = _STREET.sub(lambda hit: f"{hit[1]}Street{'.' if hit[2] else ''}", text)
    if _ANY_ABBREVIATION.search(text):
        for pattern, words in _ABBREVIATIONS:
            text = pattern.sub(words, text)
    if "tc" in text:
        text = re.sub(r"\b[Ee]tc\.(?=\s+[A-Z]|\s*$)", "et cetera.", text)
        text = re.sub(r"\b[Ee]tc\b\.?", "et cetera", text)
    return _INITIALS.sub(lambda hit: hit[0].replace(".", ""), text)


def _say_signs_before_numbers(text: str) -> str:
    text = re.sub(r"\b([A-G])[#♯](?!\w)", r"\1 sharp", text)
    text = re.sub(r"\b([A-G])♭", r"\1 flat", text)
    # With a hyphen engines say the letter; without one, the article.
    text = re.sub(r"(?<=\b(?:in|an|to) )A (?=(?:flat |sharp )?(?:minor|major)\b)", "A-", text)
    text = re.sub(r"[~≈]\s?(?=[$€£¥₹]?\d)", "about ", text)
    text = re.sub(r"(?<=\d)\s?<\s?(?=\d)", " less than ", text)
    text = re.sub(r"<3", " ", text)  # a heart
    text = re.sub(r"±\s?(?=\d)", "plus or minus ", text)
    text = re.sub(r"(?<=\d)\s?\+(?=\s|$|[,.!?;:)])", " plus", text)
    return re.sub(r"(?<=\d)\s?÷\s?(?=\d)", " divided by ", text)


def _say_signs(text: str) -> str:
    text = re.sub(r"\b([Kk])m/h\b", "kilometers per hour", text)
    for sign, words in (
        ("&", "and"),
        ("+", "plus"),
        ("=", "equals"),
        ("%", "percent"),
        ("@", "at"),
        ("°", "degrees"),
        *_POWERS,
    ):
        text = text.replace(sign, f" {words} ")
    text = re.sub(r"(?<=\w)\s*>\s*(?=\w)", " greater than ", text)
    text = re.sub(r"(?<=[a-z])/(?=[a-z])", " or ", text)
    text = re.sub(r"\s?\(\s?(?=\w)", ", ", text)
    text = re.sub(r"(?<=[\w.!?])\s?\)(?=\s*[\w])", ", ", text)
    text = re.sub(r"\s*(?:—|―|-{2,}|→|➜|(?<=\s)-(?=\s))\s*", ", ", text)
    # An ellipsis ends a sentence where a capital or nothing follows; elsewhere it is a short pause.
    text = re.sub(r"…(?=\s*(?:[A-Z\"']|$))", ". ", text)
    return text.replace("…", ", ")


def _lower_shouting(hit: re.Match[str]) -> str:
    word = hit[0]
    has_vowel = any(sign in "AEIOUYÀÁÂÄÅÈÉÊËÌÍÎÏÒÓÔÖØÙÚÛÜ" for sign in word)
    if word in KEPT_CAPITALS or not has_vowel:
        return word
    is_name_like = hit.start() == 0 or hit.string[: hit.start()].rstrip()[-1:] in (".", "!", "?", "")
    return word.capitalize() if is_name_like else word.lower()


def _is_sayable(sign: str) -> bool:
    return sign.isalpha() or sign in "'.,?!;:-"


def _tidy(text: str) -> str:
    """Leave one space between words, one mark after a word, and no mark that nothing stands before."""
    text = " ".join(text.split())
    # Apostrophes stay between letters and as the possessive of a plural ("the dogs' bowls").
    if "'" in text:
        text = re.sub(r"(?<![^\W\d_])'|(?<![sS])'(?![^\W\d_])|(?<=[sS])'(?!\s?[^\W\d_])", "", text)
    if "-" in text:
        text = re.sub(r"(?<![^\W\d_])-+|-+(?![^\W\d_])", " ", text)
    text = re.sub(r"\s+([.,?!;:])", r"\1", text)
    text = re.sub(r"[.,?!;:]{2,}", _strongest_mark, text)
    text = re.sub(r"([.,?!;:])(?=[^\s.,?!;:])", r"\1 ", text)
    text = re.sub(r"^[\s.,?!;:]+", "", " ".join(text.split()))
    return re.sub(r"[,;:-]+$", "", text) if is_speakable(text) else ""


def _strongest_mark(hit: re.Match[str]) -> str:
    return next(mark for mark in "?!.;:," if mark in hit[0])
