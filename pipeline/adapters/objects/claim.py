"""Who works on a corpus in a bucket: one object, replaced only by whoever knows its last version.

No clock is compared: a holder renews its claim every few seconds, and who finds a claim watches whether it is renewed
for as long as a holder can be cut off. One that was not is taken over, and its holder, should it come back, finds every
pointer it would replace, and the claim, of a version that it does not know.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field, ValidationError

from pipeline.adapters.objects.bucket import Bucket
from pipeline.adapters.objects.copy import CLAIM
from pipeline.values.errors import CorpusError, StaleWriter
from pipeline.values.records import Record
from pipeline.values.units import Seconds

BEAT: Seconds = 15.0
LEASE: Seconds = 90.0
"""Six times a beat; as long as a request is repeated before it counts as failed."""


class ClaimText(Record):
    """What the object says.

    Attributes:
        owner: Of the working copy, a random word that no other copy has.
        epoch: The run's; no other run's journal carries it.
        beat: Goes up whenever the claim is renewed.
    """

    owner: str = Field(max_length=64)
    host: str = Field(max_length=255)
    pid: int
    epoch: int = Field(ge=0)
    beat: int
    is_held: bool

    def __str__(self) -> str:
        host = "".join(c if c.isprintable() else "?" for c in self.host)
        return f"process {self.pid} on {host}"


@dataclass
class Claim:
    """A claim of this process.

    Attributes:
        owner: Of the working copy; its user holds a lock on it, so that a claim of this owner is of a dead process.
        sleep: Waits some seconds.
        say: Tells a person why nothing happens.
    """

    bucket: Bucket
    owner: str
    sleep: Callable[[Seconds], None] = time.sleep
    say: Callable[[str], None] = lambda text: None
    lease: Seconds = LEASE
    _text: ClaimText | None = None
    _e_tag: str | None = None

    @property
    def epoch(self) -> int:
        """The run's; 0 before it has claimed anything."""
        return self._text.epoch if self._text else 0

    def look(self) -> ClaimText | None:
        """Return the claim of whoever holds the corpus; None where nobody does."""
        found = self._read()
        return found[0] if found and found[0].is_held else None

    def take(self, epoch: int) -> int:
        """Claim the corpus.

        Args:
            epoch: The last one that the bucket or the working copy knows.

        Returns:
            The epoch that is now this run's.

        Raises:
            CorpusError: another process works on it.
        """
        found = self._read()
        if found and found[0].is_held and found[0].owner != self.owner:
            found = self._outwait(found)
        self._e_tag = found[1] if found else None
        epoch = max(epoch, found[0].epoch if found else 0) + 1
        text = ClaimText(
            owner=self.owner, host=socket.gethostname(), pid=os.getpid(), epoch=epoch, beat=0, is_held=True
        )
        try:
            self._put(text)
        except StaleWriter as exc:
            raise CorpusError(f"{self.bucket.address}: another run has claimed this corpus this moment") from exc
        return epoch

    def renew(self, epoch: int = 0) -> None:
        """Say that this process lives.

        Args:
            epoch: The last one that it has used, where that is a later one.

        Raises:
            StaleWriter: another one has taken over.
        """
        self._update(epoch, is_held=True)

    def release(self, epoch: int = 0) -> None:
        """Give the corpus free."""
        self._update(epoch, is_held=False)
        self._text = None

    def _update(self, epoch: int, *, is_held: bool) -> None:
        if self._text is not None:
            changes = {"beat": self._text.beat + 1, "epoch": max(epoch, self._text.epoch), "is_held": is_held}
            self._put(self._text.model_copy(update=changes))

    def _outwait(self, found: tuple[ClaimText, str]) -> tuple[ClaimText, str] | None:
        """Watch a claim for as long as a living holder may leave it as it is."""
        self.say(f"{found[0]} has claimed {self.bucket.address}; looking for {self.lease:.0f} s whether it still lives")
        waited = 0.0
        while waited < self.lease:
            self.sleep(self.lease / 10)
            waited += self.lease / 10
            now = self._read()
            if now is None or not now[0].is_held:
                return now
            if now[1] != found[1]:
                raise CorpusError(f"{self.bucket.address}: another run is working on this corpus ({now[0]})")
        return found

    def _read(self) -> tuple[ClaimText, str] | None:
        found = self.bucket.read(CLAIM)
        if found is None:
            return None
        try:
            return ClaimText.model_validate_json(found[0]), found[1]
        except ValidationError as exc:
            raise CorpusError(
                f"{self.bucket.address}/{CLAIM}: is no claim; where no run works on the corpus, remove it and run again"
            ) from exc

    def _put(self, text: ClaimText) -> None:
        self._e_tag = self.bucket.replace(CLAIM, text.model_dump_json().encode(), self._e_tag).e_tag
        self._text = text
