"""Whether words that came back are in the language that was asked for.

Scripts decide where they can: they need no model and hold for two words. Where many languages share a script,
py3langid is asked as well; it was right on all of 410 English fields of the demonstrations, 387 by models of 135
million and 1.5 billion parameters, and 31 short sentences of nine other languages in Latin letters. It was wrong on
three of eleven short Japanese texts, those without kana.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from pipeline.values.languages import Language, split_words
from pipeline.work.asking import InvalidAnswer

MIN_SHARE = 0.6
"""Of words in a language's own letters, a kana or ideograph being one: names and loans stand in others."""

MIN_TELLING_SHARE = 0.1
"""Of telling letters among a language's own; Japanese prose has about half of its signs in kana."""

MIN_SIGNS = 8
"""Own letters from which the telling ones are asked for: shorter Japanese can do without kana."""

MIN_WORDS = 4
"""Words from which the identifier is asked."""

MIN_CERTAINTY = 0.7
"""Of the identifier about another language, for a refusal; its nearest relatives share the rest."""


def check_language(name: str, text: str, language: Language) -> None:
    """Refuse a field that is plainly in another language.

    Raises:
        InvalidAnswer: names the field, the language wanted, and what was found.
    """
    words = [word for word in split_words(text) if not word.isdigit()]
    own = list(filter(_first_of(language.letters), words))
    wanted = f"the field {name} must be written in {language.name}"
    if len(own) < MIN_SHARE * len(words):
        raise InvalidAnswer(f"{wanted}; only {len(own)} of its {len(words)} words or characters are: {text[:60]!r}")
    if language.telling and len(own) >= MIN_SIGNS:
        telling = sum(map(bool, map(_first_of(language.telling), own)))
        if telling < MIN_TELLING_SHARE * len(own):
            raise InvalidAnswer(f"{wanted}; its characters are those of another language: {text[:60]!r}")
    if language.shares_script and len(words) >= MIN_WORDS:
        tag, certainty = _identifier().classify(text)
        if tag != language.tag and certainty >= MIN_CERTAINTY:
            raise InvalidAnswer(f"{wanted}; it reads as another language ({tag}): {text[:60]!r}")


@cache
def _first_of(letters: str) -> Callable[[str], re.Match[str] | None]:
    """Return what tells whether a word begins with one of some letters."""
    return re.compile(f"[{letters}]").match


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
