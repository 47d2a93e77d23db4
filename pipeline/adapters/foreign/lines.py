"""JSON Lines as a source, one row in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.adapters.foreign.folder import MAX_MEDIUM_BYTES
from pipeline.contracts.foreign import Lost, Unreadable
from pipeline.values.errors import ManifestError

MAX_LINE_BYTES = 2 * MAX_MEDIUM_BYTES
"""A line may hold the media of its dialogue as base64."""


def read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield numbers from 1 and values of the lines that are not empty; in place of what is no JSON, an Unreadable.

    Raises:
        ManifestError: the file cannot be read, or a line has no end.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise ManifestError(f"{path}: line {number} is over {MAX_LINE_BYTES // 2**20} MiB")
                if line.strip():
                    yield number, parse_json(line)
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text, or an Unreadable that says why it has none."""
    try:
        return json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as exc:
        return Unreadable(Lost.ROW, f"is no JSON: {exc}" if isinstance(exc, ValueError) else "is nested too deep")
