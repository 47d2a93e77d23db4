"""Lists of names as one regular expression, which holds on the borders of words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.values.languages import is_unspaced


def compile_names(names: Iterable[str], *, ignore_case: bool = False) -> re.Pattern[str]:
    """Return what finds any of some names, the longest first.

    A single word keeps its case ("Disney"; "nike" may be a goddess), so that ordinary words are no names; several words
    are found in any case. Where no spaces stand between words, a name is found anywhere.

    Args:
        ignore_case: Find single words in any case too.
    """
    ranked = sorted({" ".join(name.split()) for name in names if name.strip()}, key=lambda name: (-len(name), name))
    return re.compile("|".join(_pattern(name, ignore_case) for name in ranked) or r"\Z\A")


def _pattern(name: str, ignore_case: bool) -> str:
    words = r"\s+".join(re.escape(word) for word in name.split())
    if is_unspaced(name):
        return words
    bounded = rf"(?<!\w){words}(?!\w)"
    return f"(?i:{bounded})" if ignore_case or " " in name else bounded
