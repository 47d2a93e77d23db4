"""Small pieces of sentences that every message to a person is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MANY = 8

_ALIKE = 0.7
"""Least likeness of a name that is suggested; at difflib's own 0.6 it would often be quite another."""


def say_count(number: int, noun: str, plural: str | None = None) -> str:
    """Return e.g. ``1 topic``, ``2,000 topics``; ``plural`` for a noun that takes more than an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def say_share(share: float) -> str:
    """Return a share in percent, to a tenth; less than all is never 100 %, and more than none never 0 %."""
    tenths = round(1000 * share)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:.1f}%"


def say_some(names: Iterable[str]) -> str:
    """Return the first of some names in the order of the alphabet, and a sign where there are more."""
    listed = sorted(names)
    return ", ".join(listed[:_MANY]) + (", …" if len(listed) > _MANY else "")


def suggest(word: str, known: Iterable[str], *, lists_all: bool = False) -> str:
    """Say which known name a wrong one is close to, else which there are; to be put behind a semicolon.

    Args:
        lists_all: Name all that there are, and not the first few alone.
    """
    listed = sorted(known)
    near = difflib.get_close_matches(word, listed, n=1, cutoff=_ALIKE)
    if near:
        return f"did you mean {near[0]}?"
    if not listed:
        return "there are none"
    return f"there are {', '.join(listed) if lists_all else say_some(listed)}"
