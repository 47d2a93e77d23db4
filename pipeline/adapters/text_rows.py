"""Rows of text-only instruction data as they stand in files and on the hub, one at a time.

The files come from the net, so nothing in them is trusted. What is wrong with one row is told with the row, and the
next one is read; only a file that cannot be read at all is an error.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.published_set import scan_records
from pipeline.values.errors import ManifestError
from pipeline.values.texts import HubSet, NotTaken, RawText, Rule, TextFile

LINES, RECORDS, PARQUET = (".jsonl", ".ndjson"), ".json", ".parquet"
KNOWN = (*LINES, RECORDS, PARQUET)

MAX_ROW_CHARACTERS = 2**20
"""About a thousand times a dialogue that is fit for speech."""

_BATCH_ROWS = 256
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_REPLACED = "\ufffd"
"""What stands where bytes did not decode."""


def kind_of(path: Path) -> str | None:
    """Return the ending that says what a file is, without ``.gz``; None for an unknown one."""
    name = path.name.casefold()
    ending = Path(name.removesuffix(".gz")).suffix
    if ending not in KNOWN or (ending == PARQUET and name.endswith(".gz")):
        return None
    return ending


def read_text_file(path: Path, source: TextFile) -> Iterator[RawText]:
    """Yield the rows of a file; empty lines are none.

    Raises:
        ManifestError: it cannot be read, is no file of its ending, or breaks off; names the file and the place.
    """
    ending = kind_of(path)
    try:
        if ending == PARQUET:
            yield from _read_parquet(path)
            return
        with _opened(path, source.encoding) as file:
            if ending == RECORDS:
                yield from (RawText(found.number, found.value) for found in scan_records(path, file))
            else:
                yield from _read_lines(file)
    except (OSError, EOFError, zlib.error) as exc:
        raise ManifestError(f"{path}: cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    except UnicodeError as exc:
        raise ManifestError(f"{path}: is no text of its encoding ({exc}); state encoding") from exc


def read_hub_set(source: HubSet) -> Iterator[RawText]:
    """Yield the rows of a split on the hub, as they come in; no code of the data set's is run.

    Raises:
        ManifestError: the package is missing, there is no such set, or it cannot be reached.
    """
    try:
        from datasets import load_dataset
    except ImportError as exc:
        raise ManifestError("texts.hub: the package datasets is missing; pip install 'anyinstruct[texts]'") from exc
    try:
        rows = load_dataset(source.id, source.config, split=source.split, revision=source.revision, streaming=True)
        for number, row in enumerate(rows, 1):
            yield RawText(number, row)
    # Besides its own, the library lets errors of its file formats and of the connection through.
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as exc:
        raise ManifestError(f"texts.hub: {source.name} at {source.revision} cannot be read: {exc}") from exc


def _read_parquet(path: Path) -> Iterator[RawText]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield RawText(number, row)
    except pa.ArrowException as exc:
        raise ManifestError(f"{path}: row {number + 1}: is no whole Parquet file: {exc}") from exc


@contextmanager
def _opened(path: Path, stated: str) -> Iterator[TextIO]:
    """Open a file of text; what does not decode is replaced, so that it costs its row alone."""
    is_packed = path.name.casefold().endswith(".gz")
    with gzip.open(path) if is_packed else path.open("rb") as file:
        encoding = _find_encoding(file.read(4)) if stated == "auto" else stated
    if is_packed:
        with gzip.open(path, "rt", encoding=encoding, errors="replace") as text:
            yield text
    else:
        with path.open(encoding=encoding, errors="replace") as text:
            yield text


def _find_encoding(start: bytes) -> str:
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")


def _read_lines(file: TextIO) -> Iterator[RawText]:
    number = 0
    while line := file.readline(MAX_ROW_CHARACTERS):
        number += 1
        if not line.endswith("\n") and len(line) == MAX_ROW_CHARACTERS:
            while (rest := file.readline(MAX_ROW_CHARACTERS)) and not rest.endswith("\n"):
                pass
            yield RawText(number, None, NotTaken(Rule.TOO_LARGE, f"over {MAX_ROW_CHARACTERS:,} characters"))
        elif line.strip():
            yield _parse(number, line)


def _parse(number: int, line: str) -> RawText:
    if _REPLACED in line:
        return RawText(number, None, NotTaken(Rule.UNDECODABLE))
    try:
        return RawText(number, json.loads(line))
    except (ValueError, RecursionError) as exc:
        return RawText(number, None, NotTaken(Rule.BROKEN, f"is no JSON: {exc}"[:200]))
