"""Cuts a description into known phrases and unknown words."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from pipeline.adapters.renderers.storyboard.vocabulary import Category, Meaning, Vocabulary

MAX_CHARACTERS = 700
MAX_TOKENS = 110


@dataclass(frozen=True, slots=True)
class Item:
    """A recognised phrase, an unknown word (no meanings) or a comma (text ``,``)."""

    text: str
    meanings: tuple[Meaning, ...]

    def get(self, category: Category) -> Meaning | None:
        """Return what it means as a word of this category, or None."""
        return next((meaning for meaning in self.meanings if meaning.category == category), None)

    @property
    def is_noun(self) -> bool:
        """Whether it can name a person, a thing or a place."""
        return any(meaning.category in ("person", "thing", "place") for meaning in self.meanings)

    @property
    def is_modifier(self) -> bool:
        """Whether it can stand before a noun to describe it."""
        return any(meaning.category in ("colour", "size", "hair", "old", "young") for meaning in self.meanings)


def tokenise(text: str) -> list[str]:
    """Cut a description into lower-case words and commas; markup, other scripts and digits fall away."""
    text = unicodedata.normalize("NFKD", text[:MAX_CHARACTERS]).casefold()
    text = re.sub(r"<[^>]{0,200}>", " ", text)
    text = "".join(ch for ch in text if not unicodedata.combining(ch))
    text = re.sub(r"['’]s?\b|['’]", "", text)
    return re.findall(r"[a-z]+|[,.;:!?()]", text)[:MAX_TOKENS]


def itemise(text: str, vocabulary: Vocabulary) -> list[Item]:
    """Find known phrases, longest first."""
    tokens = tokenise(text)
    items: list[Item] = []
    at = 0
    while at < len(tokens):
        if not tokens[at].isalpha():
            items.append(Item(",", ()))
            at += 1
            continue
        for length in range(min(vocabulary.longest, len(tokens) - at), 0, -1):
            phrase = tuple(tokens[at : at + length])
            meanings = vocabulary.phrases.get(phrase)
            if meanings is not None:
                items.append(Item(" ".join(phrase), meanings))
                break
        else:
            length = 1
            items.append(Item(tokens[at], ()))
        at += length
    return items
