"""What all pages of ours share: one environment that escapes whatever it prints, and how figures are written.

Names, captions and dialogues are hostile. They are escaped, and characters that turn the order of a line about or
steer a terminal are shown by their number.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.values.units import Seconds
from pipeline.values.words import say_share

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode Standard Annex 9)."""


def show_plainly(text: str) -> str:
    """Return a text in which no character is a control but the line feed and the tabulator."""
    return "".join(_show(char) for char in text)


def _show(char: str) -> str:
    if char in "\n\t" or (char not in _TURNING and unicodedata.category(char) not in ("Cc", "Cs")):
        return char
    return f"[U+{ord(char):04X}]"


def say_seconds(seconds: Seconds) -> str:
    """Say a length of sound in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.1f}\u00a0s"
    return f"{seconds / 60:,.1f}\u00a0min" if seconds < 7200 else f"{seconds / 3600:,.1f}\u00a0h"


def say_usd(usd: float) -> str:
    """Say dollars, with more places where there are few."""
    return f"{usd:,.2f}" if usd >= 1 or usd == 0 else f"{usd:.4f}"


def say_short(value: float) -> str:
    """Say a number in three digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def render_page(template: str, **values: Any) -> str:
    """Fill in a template of this package."""
    return _environment().get_template(template).render(**values)


def _finalize(value: Any) -> Any:
    return show_plainly(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "work"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,.0f}"
    environment.filters["percent"] = say_share
    environment.filters["decimals"] = lambda number, places: f"{number:,.{places}f}"
    environment.filters["duration"] = say_seconds
    environment.filters["usd"] = say_usd
    environment.filters["short"] = say_short
    return environment
