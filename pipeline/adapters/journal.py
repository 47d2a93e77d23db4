"""Append-only journals: one JSON line an entry, guarded by a checksum, bytes in a file beside.

A segment has one writer, the run of one epoch. A kill can cut the last line of a segment; a disk can flip a byte
anywhere. Both show in the checksum, cost that one entry, and are counted.
"""

from __future__ import annotations

import json
import os
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import encode_json, sha256_hex
from pipeline.values.units import Bytes

LINES, BLOBS = ".jsonl", ".blob"


class FileJournal:
    """Journal of one stage in one shard's folder: ``<stage>-e<epoch>.jsonl`` and, where needed, ``.blob``.

    It is closed once nobody holds it any longer: a worker goes through thousands of shards, and a process may have a
    thousand files open.
    """

    def __init__(self, folder: Path, stage: str, epoch: int) -> None:
        self._folder = folder
        self._stage = stage
        self._segment = f"{stage}-e{epoch:05d}"
        self._handles: dict[str, int] = {}
        self._blob_end = 0
        weakref.finalize(self, _close_all, self._handles)
        self.num_damaged = 0

    def entries(self, event: str | None = None) -> Iterator[Row]:
        """Yield all whole entries, oldest segment first; damaged ones are counted.

        Args:
            event: Yield those of this event alone, and read past the others without parsing them.
        """
        self.num_damaged = 0
        mark = b"" if event is None else encode_json({"event": event})[1:-1]
        for path in sorted(self._folder.glob(f"{self._stage}-e*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                if not line or mark not in line:
                    continue
                entry = parse_line(line)
                if entry is None:
                    self.num_damaged += 1
                    continue
                if event is not None and entry.get("event") != event:
                    continue
                if "blob" in entry:
                    entry["blob"]["segment"] = path.stem
                yield entry

    def blob(self, entry: Row) -> bytes | None:
        """Return the bytes of an entry that :meth:`entries` yielded, or None where they are not whole."""
        place = entry["blob"]
        try:
            data = self._read_blob(place)
        except OSError:
            return None
        return data if sha256_hex(data) == place["sha256"] else None

    def _read_blob(self, place: Row) -> bytes:
        # Kept open, since a shard's blobs are read one after the other.
        name = f"{place['segment']}{BLOBS}"
        if name not in self._handles:
            self._handles[name] = os.open(self._folder / name, os.O_RDONLY)
        handle = self._handles[name]
        if place["offset"] + place["size"] > os.fstat(handle).st_size:
            return b""  # and no memory is taken for what is not there
        return os.pread(handle, place["size"], place["offset"])

    def append(self, entry: Row, blob: bytes | None = None) -> Row:
        """Write one entry through to the operating system; its bytes first, so that a line never points at nothing."""
        try:
            if blob is not None:
                entry = {**entry, "blob": self._append_blob(blob)}
            _write_all(self._open(LINES), write_line(entry) + b"\n")
        except OSError as exc:
            raise CorpusError(
                f"{self._folder / self._segment}: cannot write the journal: {exc.strerror}; what was journalled before "
                "is safe, free some space or mend the folder and run again"
            ) from exc
        return entry if blob is None else {**entry, "blob": {**entry["blob"], "segment": self._segment}}

    def num_bytes(self) -> Bytes:
        """Size of all segments together."""
        return sum(path.stat().st_size for path in self._folder.glob(f"{self._stage}-e*.jsonl"))

    def close(self) -> None:
        """Close the segment; appending again reopens it."""
        _close_all(self._handles)

    def _append_blob(self, blob: bytes) -> Row:
        if BLOBS not in self._handles:
            self._blob_end = os.fstat(self._open(BLOBS)).st_size
        offset = self._blob_end
        _write_all(self._open(BLOBS), blob)
        self._blob_end += len(blob)
        return {"offset": offset, "size": len(blob), "sha256": sha256_hex(blob)}

    def _open(self, suffix: str) -> int:
        if suffix in self._handles:
            return self._handles[suffix]
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._segment}{suffix}"
        handle = self._handles[suffix] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        # A worker that was restarted within one run may find its own half line: close it off.
        size = os.fstat(handle).st_size
        if suffix == LINES and size:
            with path.open("rb") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    _write_all(handle, b"\n")
        return handle


def _close_all(handles: dict[str, int]) -> None:
    while handles:
        os.close(handles.popitem()[1])


def parse_line(line: bytes) -> Row | None:
    """Return the entry of a line; None where it is cut off or damaged."""
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        entry = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and ("blob" not in entry or _is_place(entry["blob"])) else None


def write_line(entry: Row) -> bytes:
    """Return an entry as a line, without its end; the other way round than :func:`parse_line`."""
    body = encode_json(entry)
    return b"%08x %s" % (zlib.crc32(body), body)


def _is_place(blob: Any) -> bool:
    """Whether an entry says where its bytes lie as a writer does."""
    if not isinstance(blob, dict) or not isinstance(blob.get("sha256"), str):
        return False
    return all(type(blob.get(name)) is int and 0 <= blob[name] < 2**63 for name in ("offset", "size"))


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
