"""Texts as sets of overlapping runs of characters, and sketches of such sets: how many words two texts share.

Characters and not words, since not every language puts spaces between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rensa import RMinHash

from pipeline.values.ids import normalise_text

NUM_HASHES = 128
HASH_SEED = 1

_NO_WORD = re.compile(r"[\W_]+")


def shingles(text: str, length: int) -> frozenset[str]:
    """All runs of ``length`` characters of a text's words; case, punctuation and white space do not count."""
    return frozenset(list_shingles(text, length))


def list_shingles(text: str, length: int) -> list[str]:
    """The same in their order, each as often as it stands there; a sketch of them is that of the set."""
    folded = normalise_text(text)
    words = f" {_NO_WORD.sub(' ', folded).strip() or folded} "
    return [words[at : at + length] for at in range(max(1, len(words) - length + 1))]


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Share of what two sets have together that both have, rounded to four decimals."""
    return round(len(a & b) / len(a | b), 4)


def sketch(grams: Iterable[str]) -> RMinHash:
    """MinHash of a set: 128 hashes of 32 bits, of which two sets share as many as their Jaccard similarity says."""
    made = RMinHash(NUM_HASHES, HASH_SEED)
    made.update(list(grams))
    return made
