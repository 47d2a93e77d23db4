"""A corpus's working copy: fetched before work, put up during and after it, so that no pointer goes before its files.

A store knows no rename and no lock, but one object is replaced at once or not at all. So the order does it: journals
and tables first, then what names them (receipts, shard ledgers), then the card, and the root ledger last. Whatever
moment ends an upload, what the bucket's pointers name is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.files import PARTIAL, STAGING, read_json, write_json
from pipeline.adapters.objects.address import is_plain
from pipeline.adapters.objects.bucket import Bucket, ObjectChanged, Stored, hash_as_tag
from pipeline.adapters.objects.choosing import Choice, everything
from pipeline.adapters.store import DAMAGED
from pipeline.values.errors import CorpusError
from pipeline.values.records import Record
from pipeline.values.units import Bytes

CLAIM = "work/claim.json"
"""Of the bucket alone; see ``claim``."""

THREADS = 8
MAX_ROUNDS = 5
"""Times that a copy is begun anew because a run elsewhere replaced what was being fetched."""

SMALL: Bytes = 2**24
"""Largest file that is hashed to find out whether it is the object of its name."""

T = TypeVar("T")

_EPOCHS, _JOURNALS, _FILES, _POINTERS, _CARD, _LEDGER = range(6)


class Known(Record):
    """A file as it was when it and the object were the same.

    Attributes:
        mtime_ns: Of the file, in nanoseconds since 1970.
    """

    e_tag: str
    size: Bytes
    mtime_ns: int


_STATE = TypeAdapter(dict[str, Known])


@dataclass
class Moved:
    """What went over the network."""

    num_files: int = 0
    num_bytes: Bytes = 0

    def add(self, stored: Stored) -> None:
        """Count one object."""
        self.num_files += 1
        self.num_bytes += stored.size


@dataclass
class WorkingCopy:
    """The files of a corpus beside what is known of their objects. One process at a time uses it; see ``session``.

    Attributes:
        root: The corpus folder.
        state: File that remembers which files are the same as their objects. Without it, files are compared.
    """

    bucket: Bucket
    root: Path
    state: Path
    fetched: Moved = field(default_factory=Moved)
    put_up: Moved = field(default_factory=Moved)
    _known: dict[str, Known] = field(default_factory=dict)
    _there: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            self._known = _STATE.validate_python(read_json(self.state) or {})
        except (CorpusError, ValidationError):
            self._known = {}  # files are compared with their objects instead

    def fetch(self, wanted: Choice = everything) -> bool:
        """Bring the copy into step with the bucket; work of this copy that never went up stays.

        Returns:
            Whether the bucket holds anything of the corpus.

        Raises:
            CorpusError: the store failed, or the bucket was emptied.
        """
        for _ in range(MAX_ROUNDS):
            try:
                return self._fetch_once(wanted)
            except ObjectChanged as exc:
                last = exc
            finally:
                self._save()
        raise last

    def put(self) -> None:
        """Put up what is new; work may go on meanwhile, and what it changes meanwhile goes up the next time.

        Raises:
            StaleWriter: another run has replaced a pointer.
        """
        self._put_pointers(self._find_changed(_EPOCHS))
        # Taken down before the files are: a pointer that is still the same afterwards names files that were there.
        pointers = {rank: self._find_changed(rank) for rank in (_LEDGER, _CARD, _POINTERS)}
        for rank in (_JOURNALS, _FILES):
            self._put_files(list(self._find_changed(rank)))
        for rank in (_POINTERS, _CARD, _LEDGER):
            self._put_pointers(pointers[rank])

    def remove_vanished(self) -> None:
        """Remove the objects of files that were removed here since :meth:`fetch`; only once all pointers are up."""
        gone = [name for name in sorted(self._there) if not self._path(name).exists()]
        gone = [name for name in gone if not self._path(name + DAMAGED).exists()]
        self.bucket.remove(gone)
        for name in gone:
            self._known.pop(name, None)
        self._there.difference_update(gone)
        self._save()

    def count_waiting(self) -> int:
        """Return how many files are not as they are in the bucket, for the copy was worked on and never put up."""
        return len(self._find_changed(*range(_LEDGER + 1)))

    def _fetch_once(self, wanted: Choice) -> bool:
        stored = {name: meta for name, meta in self.bucket.list().items() if _is_carried(name)}
        if not stored and self._known:
            raise CorpusError(
                f"{self.bucket.address}: holds nothing any more, and its working copy {self.root} does; mend the "
                f"address, or remove {self.state} to have the copy put up by the next run"
            )
        for name in [name for name in self._known if name not in stored and wanted(name)]:
            # Gone from the bucket: so it is here, unless it has changed here since.
            if _same(self._known.pop(name), _stat(self._path(name))):
                self._path(name).unlink(missing_ok=True)
        due = sorted((name for name in stored if wanted(name) and self._is_due(name, stored[name])), key=_rank)
        for rank in range(_LEDGER + 1):
            names = [name for name in due if _rank(name) == rank]
            for name, meta in self._at_once(lambda name: self._fetch_one(name, stored[name]), names):
                self.fetched.add(meta)
                self._remember(name, meta, _stat(self._path(name)))
        self._there = {name for name in stored if self._path(name).exists()}
        return bool(stored)

    def _fetch_one(self, name: str, stored: Stored) -> Stored:
        # A journal only grows, so that a later version of it is as good.
        is_growing = name.endswith((".jsonl", ".blob"))
        return self.bucket.fetch(name, self._path(name), None if is_growing else stored.e_tag)

    def _is_due(self, name: str, stored: Stored) -> bool:
        """Whether the object is wanted in place of the file: another one than was known, and not the very same."""
        known, found = self._known.get(name), _stat(self._path(name))
        if found is None:
            # What was set aside as damaged comes back, unless the object is damaged in the same way.
            return known is None or known.e_tag != stored.e_tag or not self._is_object(name + DAMAGED, stored)
        if known is not None and known.e_tag == stored.e_tag:
            return False  # and where the file has changed since, it goes up
        if name.endswith((".jsonl", ".blob")) and found.st_size > stored.size and not _same(known, found):
            # One run alone appends to a journal's segment: this is its end, which never went up. What has not changed
            # here since it was last the same was shortened there: a dialogue was taken down.
            self._known.pop(name, None)
            return False
        if self._is_object(name, stored):
            self._remember(name, stored, found)
            return False
        return True

    def _is_object(self, name: str, stored: Stored) -> bool:
        """Whether a file has the very bytes of an object, as far as its tag tells."""
        found, path = _stat(self._path(name)), self._path(name)
        if found is None or found.st_size != stored.size or stored.size > SMALL:
            return False
        return hash_as_tag(path.read_bytes()) == stored.e_tag

    def _find_changed(self, *ranks: int) -> dict[str, os.stat_result]:
        """Return the files of some ranks that are not the same as their objects."""
        found = {name: _stat(self._path(name)) for name in _walk(self.root) if _rank(name) in ranks}
        return {name: mark for name, mark in found.items() if mark and not _same(self._known.get(name), mark)}

    def _put_files(self, names: Sequence[str]) -> None:
        def put(name: str) -> Stored | None:
            found = _stat(self._path(name))
            if found is None:
                return None  # replaced this moment; what names it now goes up the next time
            try:
                stored = self.bucket.put(name, self._path(name))
            except CorpusError:
                if self._path(name).exists():
                    raise
                return None
            self._remember(name, stored, found)
            return stored

        try:
            for _, stored in self._at_once(put, names):
                if stored is not None:
                    self.put_up.add(stored)
        finally:
            if names:
                self._save()

    def _put_pointers(self, marks: Mapping[str, os.stat_result]) -> None:
        def put(name: str) -> Stored | None:
            known = self._known.get(name)
            try:
                data = self._path(name).read_bytes()
            except FileNotFoundError:
                return None
            found = _stat(self._path(name))
            if found is None or not _same_file(found, marks[name]):
                return None
            stored = self.bucket.replace(name, data, known.e_tag if known else None)
            self._remember(name, stored, found)
            return stored

        try:
            for _, stored in self._at_once(put, list(marks)):
                if stored is not None:
                    self.put_up.add(stored)
        finally:
            if marks:
                self._save()

    def _at_once(self, do: Callable[[str], T], names: Sequence[str]) -> Iterator[tuple[str, T]]:
        """Do something for names, several at a time; the first error ends it once those begun are done."""
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                yield from zip(names, pool.map(do, names), strict=True)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _remember(self, name: str, stored: Stored, found: os.stat_result | None) -> None:
        if found is not None:
            self._known[name] = Known(e_tag=stored.e_tag, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def _save(self) -> None:
        write_json(self.state, {name: known.model_dump() for name, known in sorted(self._known.items())})

    def _path(self, name: str) -> Path:
        return self.root / name


def _rank(name: str) -> int:
    """Return when a file goes up: what is named before what names it."""
    if name == "ledger.json":
        return _LEDGER
    if name == "README.md":
        return _CARD
    if name.endswith("/epoch.json"):
        return _EPOCHS  # before the first segment that carries it
    if name.endswith(".json"):
        return _POINTERS
    # A journal's lines before its bytes, which are then at least as long as the lines say.
    return _JOURNALS if name.endswith(".jsonl") else _FILES


def _is_carried(name: str) -> bool:
    """Tell what belongs to the corpus; names that a bucket tells are taken for no paths but plain ones."""
    if not is_plain(name) or name == CLAIM or name.endswith((PARTIAL, DAMAGED)) or f"/{STAGING}" in name:
        return False
    return name.rpartition("/")[2] != "lock"


def _walk(root: Path) -> Iterator[str]:
    """Yield the carried files of a folder by their names in the bucket."""
    for folder, _, files in os.walk(root):
        inside = Path(folder).relative_to(root).as_posix()
        for file in files:
            name = file if inside == "." else f"{inside}/{file}"
            if _is_carried(name):
                yield name


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _same(known: Known | None, found: os.stat_result | None) -> bool:
    if known is None or found is None:
        return False
    return (known.size, known.mtime_ns) == (found.st_size, found.st_mtime_ns)


def _same_file(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)
