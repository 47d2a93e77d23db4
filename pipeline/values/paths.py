"""Paths as people write them into files."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

LONGEST_NAME = 255
"""Bytes of one name in a path, on all common file systems."""

LONGEST_PATH = 2048
"""Bytes; systems allow 4,096, and folders stand before it."""


def check_path(text: str) -> str:
    """Return a path as it stands; no file system could look up one that is refused.

    Raises:
        ValueError: it is empty or too long, or holds a character that cannot be shown.
    """
    if not text.isprintable():
        raise ValueError(f"is no path of a file: it holds what cannot be shown (is {text!a:.80})")
    data = text.encode()
    if not 0 < len(data) <= LONGEST_PATH or max(map(len, data.split(b"/"))) > LONGEST_NAME:
        raise ValueError(
            f"is no path of a file: it must have 1 to {LONGEST_PATH:,} bytes, at most {LONGEST_NAME} between slashes "
            f"(is {text!a:.80})"
        )
    return text


FilePath = Annotated[str, AfterValidator(check_path)]
"""A path in a file that a person writes."""
