"""Taking entries out of journals, with their bytes.

Bytes of the others stay where they are, for entries name them by their place: what goes is overwritten with zeros.
Lines come first, so that no line ever points at bytes that are gone; whoever is killed in between does it all again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.adapters.files import replacing
from pipeline.adapters.journal import BLOBS, LINES, parse_line, write_line
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError

_SEGMENT = re.compile(r"(.+-e\d+)\.(?:jsonl|blob)")
_PIECE = 2**20


def erase_entries(folder: Path, erase: Callable[[Row], Row | None]) -> int:
    """Rewrite all journals of a folder; lines that cannot be read go, since nobody knows what stands in them.

    Args:
        erase: Returns the very entry where it stays, another one in its place, or None.

    Returns:
        Number of entries that were changed or removed.

    Raises:
        CorpusError: a file cannot be read or written.
    """
    names = {found[1] for path in folder.glob("*-e*") if (found := _SEGMENT.fullmatch(path.name))}
    return sum(_erase_segment(folder, name, erase) for name in sorted(names))


def _erase_segment(folder: Path, name: str, erase: Callable[[Row], Row | None]) -> int:
    lines, blobs = folder / f"{name}{LINES}", folder / f"{name}{BLOBS}"
    kept: list[bytes] = []
    places: list[tuple[int, int]] = []
    changed = 0
    try:
        former = [line for line in lines.read_bytes().split(b"\n") if line] if lines.is_file() else []
        for line in former:
            entry = parse_line(line)
            left = None if entry is None else erase(entry)
            changed += left is not entry or left is None
            if left is None:
                continue
            kept.append(line if left is entry else write_line(left))
            if "blob" in left:
                places.append((left["blob"]["offset"], left["blob"]["size"]))
        if changed:
            with replacing(lines) as partial:
                partial.write_bytes(b"".join(line + b"\n" for line in kept))
        _blank(blobs, places)
    except OSError as exc:
        raise CorpusError(f"{folder / name}: cannot be rewritten: {exc.strerror}; mend the folder") from exc
    return changed


def _blank(path: Path, kept: Iterable[tuple[int, int]]) -> None:
    """Overwrite all of a file with zeros but for some places; remove it where there are none."""
    if not path.is_file():
        return
    places = sorted(kept)
    if not places:
        path.unlink()
        return
    handle = os.open(path, os.O_RDWR)
    try:
        for start, end in _gaps(places, os.fstat(handle).st_size):
            for offset in range(start, end, _PIECE):
                size = min(_PIECE, end - offset)
                if any(os.pread(handle, size, offset)):
                    os.pwrite(handle, bytes(size), offset)
        os.fsync(handle)
    finally:
        os.close(handle)


def _gaps(places: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield what lies between places, each as start and end."""
    end = 0
    for offset, length in places:
        if offset > end:
            yield end, min(offset, size)
        end = max(end, offset + length)
    if end < size:
        yield end, size
