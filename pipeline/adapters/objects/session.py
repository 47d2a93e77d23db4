"""A command's hold on a corpus in a bucket: a folder at hand that commands read and write like any corpus.

The folder is a working copy. It outlives the command, so that a killed run goes on from its journals; what is put up
from it lets another machine go on from the bucket alone, and repeats at most what was not up yet.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import read_epoch
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.objects.address import ObjectAddress
from pipeline.adapters.objects.bucket import ENDPOINT_VARIABLES, Bucket
from pipeline.adapters.objects.choosing import Choice, only_published, only_words
from pipeline.adapters.objects.claim import BEAT, Claim
from pipeline.adapters.objects.copy import WorkingCopy
from pipeline.values.errors import CorpusError, StaleWriter
from pipeline.values.ids import content_key
from pipeline.values.units import Seconds

COPIES_VARIABLE = "ANYINSTRUCT_COPIES"

PUT_EVERY: Seconds = 60.0
"""How much work, at most about, another machine repeats after this one is lost."""


@dataclass
class Session:
    """Brings a corpus to hand; one command at a time writes to it.

    Attributes:
        home: Folder of the working copy and of what is known of it.
        say: Tells a person what happens.
    """

    address: ObjectAddress
    home: Path
    say: Callable[[str], None]
    beat: Seconds = BEAT
    put_every: Seconds = PUT_EVERY
    _lost: StaleWriter | None = field(default=None)

    def __post_init__(self) -> None:
        self.root = self.home / self.address.name
        self.bucket = Bucket(self.address)

    @contextmanager
    def reading(self, wanted: Choice, *, may_be_new: bool = False) -> Iterator[Path]:
        """Yield the corpus folder with the files that are wanted.

        Args:
            may_be_new: Whether it is in order that the bucket holds nothing of it yet.

        Raises:
            CorpusError: there is no such corpus, or the store failed.
        """
        try:
            with self._alone():
                self._fetch_to_read(wanted, may_be_new)
        except _Busy as exc:
            self.say(f"note: {exc}; this is its working copy, which is ahead of the bucket")
        yield self.root

    @contextmanager
    def writing(self, *, may_be_new: bool = False) -> Iterator[Path]:
        """Yield the whole corpus folder, and put up what is done in it: every minute, and at the end.

        Raises:
            CorpusError: another run works on it, there is no such corpus, or the store failed.
        """
        with self._alone():
            copy = self._copy()
            with self._claiming() as claim:
                if not copy.fetch() and not may_be_new:
                    raise CorpusError(f"{self.address}: is no corpus: there is nothing under this address")
                self._raise_epochs(claim.epoch - 1)
                claim.renew(self._last_epoch() + 1)
                with (
                    self._every(self.beat, claim.renew),
                    self._finishing(copy),
                    self._every(self.put_every, copy.put),
                ):
                    yield self.root

    @contextmanager
    def _claiming(self) -> Iterator[Claim]:
        claim = Claim(self.bucket, self._owner(), say=self.say)
        claim.take(self._last_epoch())
        try:
            yield claim
        finally:
            if self._lost is None:
                with suppress(CorpusError):  # one that stays is found to be dead by whoever comes next
                    claim.release(self._last_epoch())

    def _fetch_to_read(self, wanted: Choice, may_be_new: bool) -> None:
        copy = self._copy()
        if not copy.fetch(wanted) and not may_be_new:
            raise CorpusError(f"{self.address}: is no corpus: there is nothing under this address")
        if wanted in (only_published, only_words) and not (self.root / "ledger.json").exists():
            copy.fetch()  # what is not published yet lies in the stage files
        if (holder := Claim(self.bucket, self._owner()).look()) is not None and holder.owner != self._owner():
            self.say(f"note: {holder} has claimed this corpus; what it has not put up yet is not shown")
        if waiting := copy.count_waiting():
            self.say(f"note: {waiting:,} files of {self.root} are not in the bucket yet; the next run puts them up")

    @contextmanager
    def _finishing(self, copy: WorkingCopy) -> Iterator[None]:
        """Put up the rest, also where the command fails; its own error is then the one that is raised."""
        try:
            yield
        except BaseException:
            try:
                self._finish(copy)
            except CorpusError as exc:
                self.say(str(exc))
            raise
        self._finish(copy)

    def _finish(self, copy: WorkingCopy) -> None:
        try:
            if self._lost is not None:
                raise self._lost
            copy.put()
            copy.remove_vanished()
        except CorpusError as exc:
            raise type(exc)(f"{exc}. What is not in the bucket is in {self.root}: run again to put it up") from exc
        up = copy.put_up
        self.say(f"{self.address}: {up.num_files:,} objects put up ({up.num_bytes / 1e6:,.1f} MB); copy: {self.root}")

    @contextmanager
    def _every(self, seconds: Seconds, do: Callable[[], None]) -> Iterator[None]:
        """Do something again and again in a thread. Where the corpus was taken over, nothing further is committed."""
        stopped = threading.Event()

        def work() -> None:
            while not stopped.wait(seconds):
                try:
                    do()
                except StaleWriter as exc:
                    # Workers compare their epoch before each commit; the later run's is not theirs.
                    self._raise_epochs(self._last_epoch() + 1)
                    self._lost = exc
                    return
                except CorpusError:
                    continue  # a store that is away for a while; the end of the command tells if it stays away

        thread = threading.Thread(target=work, name="objects", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes of this machine off the working copy."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise CorpusError(
                f"{self.home}: cannot be written: {exc.strerror}; set ${COPIES_VARIABLE} to a folder that can"
            ) from exc
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise _Busy(f"another command on this machine is working on {self.address}") from exc
            yield
        finally:
            os.close(handle)

    def _copy(self) -> WorkingCopy:
        return WorkingCopy(self.bucket, self.root, self.home / "state.json")

    def _owner(self) -> str:
        """Return the copy's own word: the same after a kill, and in no other copy."""
        path = self.home / "owner.json"
        found = read_json(path)
        if not isinstance(found, str):
            found = secrets.token_hex(16)
            write_json(path, found)
        return found

    def _epoch_folders(self) -> list[Path]:
        """The work folder, and whatever else has epochs of its own, such as readings."""
        found = [*self.root.glob("*/epoch.json"), *self.root.glob("work/*/epoch.json")]
        return [self.root / "work", *(path.parent for path in found)]

    def _last_epoch(self) -> int:
        return max(read_epoch(folder) for folder in self._epoch_folders())

    def _raise_epochs(self, epoch: int) -> None:
        """Let no run here take an epoch that a run elsewhere may have: journals are told apart by them."""
        for folder in self._epoch_folders():
            if read_epoch(folder) < epoch:
                write_json(folder / "epoch.json", {"epoch": epoch})


class _Busy(CorpusError):
    """Another command of this machine uses the working copy."""


def open_session(address: ObjectAddress, say: Callable[[str], None]) -> Session:
    """Return a session with its home below ``ANYINSTRUCT_COPIES``, by default in the cache."""
    parent = os.environ.get(COPIES_VARIABLE)
    folder = Path(parent).absolute() if parent else ModelCache().root / "copies"
    # The same address at another endpoint is another corpus.
    endpoint = next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), "")
    return Session(address, folder / content_key(str(address), endpoint), say)
