"""Which dialogues of instruction data are fit to be spoken, by explicit rules; the first that is broken counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.values.languages import LANGUAGES, Language, count_words
from pipeline.values.spoken import is_speakable, spoken_form
from pipeline.values.texts import RULES, NotTaken, Rule, TextRules
from pipeline.work.audits.language import is_foreign
from pipeline.work.audits.speakable import find_all_unfit
from pipeline.work.text_shapes import Said, Shaped

_UNFIT = {
    "a link": Rule.LINK,
    "code": Rule.CODE,
    "a table": Rule.TABLE,
    "markup": Rule.MARKUP,
    "a numbered list": Rule.LIST,
    "a sign": Rule.SIGN,
}
"""The rule for what the audit of speakable words finds."""

_LATEX = re.compile(r"\\(?:[a-zA-Z]{2,}|[()\[\]])|\$[^$\n]{0,200}[\\^_=][^$\n]{0,200}\$")
_SUM = re.compile(r"[\w)]\s?[=≈≤≥≠]\s?[\w(−-]|\b\w\^[\w({]|[∑∫√π±]|\d\s?[×÷*]\s?\d")
_LIST = re.compile(r"^[ \t]{0,8}(?:[-*+•‣◦]|\d{1,2}[.)]|[a-z][.)])[ \t]+\S", re.MULTILINE)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.\w|\b[\w-]{2,63}\.(?:com|org|net|io|edu|gov)\b", re.IGNORECASE)
_FENCE = re.compile(r"```")
_DROPPED = re.compile(r"[*_(\[<（]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_ALTERNATION = ("user", "assistant")

MIN_JUDGED_WORDS = 8
"""Words from which a turn's language is judged by itself, and not with its dialogue's alone: short ones mislead."""

MAX_MENDED_WORDS = 400
"""Longest turn that is handed to a model to be reworded; what is left of a longer one has little to do with it."""


@dataclass(frozen=True)
class Fitness:
    """What a corpus asks of a dialogue.

    Attributes:
        rounds: Fewest and most user turns.
        language: BCP 47 tag of what is spoken.
        ignored: Rules that are not asked, since what they forbid is mended later.
    """

    rules: TextRules
    rounds: tuple[int, int]
    language: str
    ignored: frozenset[Rule] = frozenset()


def judge(shaped: Shaped, fitness: Fitness) -> tuple[str, ...]:
    """Return a dialogue's turns, user first, with their white space folded.

    Raises:
        NotTaken: names the rule that it breaks.
    """
    rules = fitness.rules
    if shaped.has_system and rules.system == "reject":
        raise NotTaken(Rule.SYSTEM)
    _check_turns(shaped.turns, fitness.rounds)
    for _, words in shaped.turns:
        _check_signs(words, fitness.ignored)
    turns = tuple(" ".join(words.split()) for _, words in shaped.turns)
    for words in turns:
        _check_length(words, fitness)
        if Rule.UNSPEAKABLE not in fitness.ignored:
            _check_voice(words, rules.min_speakable, fitness.language)
    _check_language(turns, LANGUAGES[fitness.language])
    return turns


def _check_turns(turns: Sequence[Said], rounds: tuple[int, int]) -> None:
    if not turns or len(turns) % 2 or any(role != _ALTERNATION[i % 2] for i, (role, _) in enumerate(turns)):
        raise NotTaken(Rule.ROLES)
    low, high = rounds
    if not low <= len(turns) // 2 <= high:
        raise NotTaken(Rule.ROUNDS, f"has {len(turns) // 2} rounds, and the mix's cell {low} to {high}")
    if not all(any(sign.isalnum() for sign in words) for _, words in turns):
        raise NotTaken(Rule.EMPTY)


def _check_length(words: str, fitness: Fitness) -> None:
    low, high = fitness.rules.words
    count = count_words(words)
    if count < low:
        raise NotTaken(Rule.TOO_SHORT, f"a turn has {count:g} words, at least {low} are asked for")
    if Rule.TOO_LONG in fitness.ignored:
        high = MAX_MENDED_WORDS
    if count > high:
        raise NotTaken(Rule.TOO_LONG, f"a turn has {count:g} words, at most {high} are allowed")


def _check_signs(words: str, ignored: Collection[Rule]) -> None:
    """Look at words as they stand there: lines tell lists and tables."""
    if "\ufffd" in words:
        raise NotTaken(Rule.UNDECODABLE)
    if _CONTROL.search(words):
        raise NotTaken(Rule.CONTROL)
    if _FENCE.search(words):
        raise NotTaken(Rule.CODE)
    if _LATEX.search(words):
        raise NotTaken(Rule.FORMULA)
    if Rule.LIST not in ignored and len(_LIST.findall(words)) > 1:
        raise NotTaken(Rule.LIST)
    found = next((rule for what in find_all_unfit(words) if (rule := _UNFIT[what]) not in ignored), None)
    if found in (None, Rule.SIGN) and _SUM.search(words):
        found = Rule.FORMULA
    if found is None and _ADDRESS.search(words):
        found = Rule.LINK
    if found is not None:
        raise NotTaken(found)


def _check_voice(words: str, min_speakable: float, language: str) -> None:
    signs = [sign for sign in words if not sign.isspace()]
    share = sum(unicodedata.category(sign)[0] in "LMP" for sign in signs) / len(signs)
    if share < min_speakable:
        raise NotTaken(Rule.UNSPEAKABLE, f"{share:.0%} of a turn's signs are letters or punctuation")
    # Most prose holds nothing that would be dropped, and its spoken form takes longer than all other rules.
    if _DROPPED.search(words) and not is_speakable(spoken_form(words, language)):
        raise NotTaken(Rule.UNSPEAKABLE, "nothing of a turn is left for a voice")


def _check_language(turns: Sequence[str], language: Language) -> None:
    judged = [words for words in turns if count_words(words) >= MIN_JUDGED_WORDS]
    if len(judged) < len(turns):
        judged.append(" ".join(turns))
    if any(is_foreign(words, language) for words in judged):
        raise NotTaken(Rule.LANGUAGE, f"{RULES[Rule.LANGUAGE]}, {language.name}")
