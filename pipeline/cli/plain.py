"""Text of strangers on a terminal: a corpus may hold anything, escape sequences included."""

from __future__ import annotations

from rich.text import Text


def plain(value: object, limit: int = 300) -> Text:
    """Return a value as one line without control characters, in which no markup is evaluated."""
    text = " ".join(str(value).split())
    printable = "".join(c if c.isprintable() else "�" for c in text)
    return Text(printable if len(printable) <= limit else f"{printable[: limit - 1]}…")
