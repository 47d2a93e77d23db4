"""Free text inside Markdown: what strangers and models wrote shows letter by letter and does nothing."""

from __future__ import annotations

import re
from typing import Any

_SPECIAL = re.compile(r"([!-&(-+/:-@\[-`{-~])")
"""ASCII punctuation but for the apostrophe, comma, hyphen and full stop: what could begin markup, a tag or a link."""

_LIST_START = re.compile(r"^(\d*)([-.])(?=[ -]|$)")


class Markdown(str):
    """Text that may stand in a Markdown file as it is."""

    __slots__ = ()


def escape_markdown(text: str) -> Markdown:
    """Return free text as one line that Markdown renders letter by letter: no markup, tag, link or table edge."""
    escaped = _SPECIAL.sub(r"\\\1", one_line(text))
    return Markdown(_LIST_START.sub(r"\1\\\2", escaped))


def code_span(value: Any) -> Markdown:
    """Return a value as a code span that also holds inside a table."""
    text = one_line(str(value)).replace("`", "'").replace("|", "\\|")
    return Markdown(f"`{text or ' '}`")


def one_line(text: str) -> str:
    """Return text without line breaks and without characters that show as nothing or do something."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
