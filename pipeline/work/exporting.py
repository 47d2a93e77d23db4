"""Which dialogues an export takes, and which split each of them goes to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from math import isclose

from pydantic import field_validator, model_validator

from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex
from pipeline.values.records import Record

WHOLE = "train"
TOPIC_COLUMNS = ("topic", "meta_topic")
"""What a split can keep together. Any other column would fall back to the dialogue's id, and topics would leak."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_BITS = 52
"""Of the hash that places a topic: as many as a float holds."""


class Splits(Record):
    """Shares of the topics, by name of the split.

    A topic's place in [0, 1) is a hash of its own words, so all its dialogues go to one split, no topic leaks into
    another, and whoever adds topics moves none of those that are there. Names take the interval in the order stated.
    """

    shares: Mapping[str, float] = {WHOLE: 1.0}
    by: str = "topic"

    @field_validator("shares")
    @classmethod
    def _are_names(cls, shares: Mapping[str, float]) -> Mapping[str, float]:
        for name, share in shares.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"split {name!r}: a name is small letters, digits and _, e.g. train or test")
            if not 0 < share <= 1:
                raise ValueError(f"split {name}: {share:g} is no share, between 0 and 1")
        return shares

    @field_validator("by")
    @classmethod
    def _is_topic_column(cls, by: str) -> str:
        if by not in TOPIC_COLUMNS:
            raise ValueError(f"{by!r} is none of {', '.join(TOPIC_COLUMNS)}")
        return by

    @model_validator(mode="after")
    def _add_up(self) -> Splits:
        total = sum(self.shares.values())
        if not isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"the shares add up to {total:g}; they must to 1")
        return self

    def of(self, row: Row) -> str:
        """Return the split of a dialogue. One that states no topic is a topic of its own."""
        words = row.get(self.by) or row["id"]
        place = int(sha256_hex(f"{self.by}:{' '.join(str(words).casefold().split())}".encode())[:13], 16) / 2**_BITS
        end = 0.0
        for name, share in self.shares.items():
            end += share
            if place < end:
                return name
        return name


class Selection(Record):
    """Dialogues that are taken; of several conditions all must hold.

    Attributes:
        cells, meta_topics, languages: Any of these; empty for all.
    """

    cells: tuple[str, ...] = ()
    meta_topics: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def takes(self, row: Row) -> bool:
        """Tell whether a dialogue is wanted by what its own row says."""
        asked = ((self.cells, "cell"), (self.meta_topics, "meta_topic"), (self.languages, "language"))
        return all(not wanted or row.get(name) in wanted for wanted, name in asked)


def check_id(name: str) -> str:
    """Return a dialogue's id where it can stand in a file name.

    Raises:
        CorpusError: it cannot; a corpus of strangers may hold anything.
    """
    if not _ID.fullmatch(name):
        raise CorpusError(f"dialogue {name[:60]!r}: its id cannot stand in a file name (letters, digits, - and _ can)")
    return name


def count_by_split(rows: Collection[Row], splits: Splits) -> dict[str, int]:
    """Count dialogues by split, splits without any included."""
    found = dict.fromkeys(splits.shares, 0)
    for row in rows:
        found[splits.of(row)] += 1
    return found
