"""Growing a set of topics: rounds over all meta-topics, each told what it has, until all are full or exhausted.

A round asks every open meta-topic once, side by side, and then takes the answers in the order of the meta-topics. So
what is kept depends on no latency, and whoever is killed goes on from the topics on the shelf: the same topics make
the same requests, and those that were answered before are answered from the journal.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pipeline.contracts.storage import Journal, Row
from pipeline.contracts.watch import Drained
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import topic_id
from pipeline.values.records import MetaTopic, Topic
from pipeline.work.asking import Asker, Spend
from pipeline.work.context import Writing
from pipeline.work.topic_variety import Kind, Sieve
from pipeline.work.topics import Round, ask_round

MIN_ASKED = 10
"""Fewest topics that a round asks for where its size allows: of three that are asked for, chance alone may take all."""


@dataclass(frozen=True)
class Goal:
    """How far to go.

    Attributes:
        per_meta: Topics that each meta-topic is to have, those there before included.
        per_call: Most that one round asks for.
        min_new_share: A meta-topic is exhausted once less than this share of a round's topics is new.
    """

    per_meta: int = 200
    per_call: int = 50
    min_new_share: float = 0.25


class State(StrEnum):
    """Where a meta-topic stands."""

    OPEN = "open"
    FULL = "full"
    EXHAUSTED = "exhausted"
    FAILED = "failed"


@dataclass
class Progress:
    """One meta-topic.

    Attributes:
        have: Topics on the shelf, those written by people included.
        added: Written and kept since the start of this expansion.
        alike: Written and left out, by what they were like.
        message: Why it failed, or how the last round came out.
    """

    meta_topic: MetaTopic
    have: int = 0
    added: int = 0
    rounds: int = 0
    alike: Counter[Kind] = field(default_factory=Counter)
    state: State = State.OPEN
    message: str = ""


class Shelf(Protocol):
    """Where topics lie between rounds. People may change it meanwhile: it is read anew before each."""

    def read(self) -> Sequence[Topic]:
        """Return all topics, those of a meta-topic in the order in which they were added."""
        ...

    def add(self, topics: Sequence[Topic]) -> None:
        """Keep topics for good."""
        ...


class FreshTries:
    """A journal in which a call that failed in an earlier run counts as refused, so that going on asks again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def entries(self, event: str | None = None) -> Iterator[Row]:
        """Yield the entries of the journal, failures as refusals."""
        for entry in self._journal.entries():
            told = {**entry, "event": "refused"} if entry["event"] == "failure" else entry
            if event in (None, told["event"]):
                yield told

    def blob(self, entry: Row) -> bytes | None:
        """See ``Journal``."""
        return self._journal.blob(entry)

    def append(self, entry: Row, blob: bytes | None = None) -> Row:
        """See ``Journal``."""
        return self._journal.append(entry, blob)

    def num_bytes(self) -> int:
        """See ``Journal``."""
        return self._journal.num_bytes()


@dataclass
class Expansion:
    """An expansion under way.

    Attributes:
        meta_topics: In the order in which their answers are taken.
        asker: Over a journal that outlives this process.
        tell: Called after each round.
    """

    meta_topics: Sequence[MetaTopic]
    goal: Goal
    shelf: Shelf
    sieve: Sieve
    asker: Asker
    writing: Writing
    tell: Callable[[Expansion], None] = lambda expansion: None
    spend: Spend = field(default_factory=Spend)
    rows: dict[str, Progress] = field(default_factory=dict)

    async def run(self) -> None:
        """Go on until nothing is open.

        Raises:
            Drained: no further call may begin; what was answered is on the shelf.
            EndpointError: no call can succeed; the same holds.
        """
        self.rows = {meta.id: Progress(meta) for meta in self.meta_topics}
        while True:
            groups = self._look()
            open_rows = [row for row in self.rows.values() if row.state is State.OPEN]
            if not open_rows:
                return
            asked = [self._ask(row.meta_topic, groups.get(row.meta_topic.id, ())) for row in open_rows]
            # All of them, also where one fails: what was paid for is kept.
            answers = await asyncio.gather(*asked, return_exceptions=True)
            fresh = [t for row, answer in zip(open_rows, answers, strict=True) for t in self._take(row, answer)]
            self.shelf.add(fresh)
            self._look()
            self.tell(self)
            ends = [answer for answer in answers if isinstance(answer, BaseException)]
            for end in sorted(ends, key=lambda end: isinstance(end, Drained)):
                if not isinstance(end, ChatFailure):
                    raise end

    def _look(self) -> Mapping[str, Sequence[str]]:
        """Read the shelf: what people put there is known from now on, and what is full is full."""
        topics = self.shelf.read()
        self.sieve.admit(topics)
        groups: dict[str, list[str]] = defaultdict(list)
        for topic in topics:
            groups[topic.meta_topic].append(topic.text)
        for name, row in self.rows.items():
            row.have = len(groups[name])
            if row.have >= self.goal.per_meta and row.state is State.OPEN:
                row.state = State.FULL
        return groups

    async def _ask(self, meta: MetaTopic, have: Sequence[str]) -> list[str]:
        count = min(self.goal.per_call, max(self.goal.per_meta - len(have), MIN_ASKED))
        async with self.writing.gate:
            # What repeats is no invalid answer here: it is counted, and decides when a meta-topic is exhausted.
            return await ask_round(Round(meta, tuple(have), count), set(), self.asker, self.writing, self.spend)

    def _take(self, row: Progress, answer: list[str] | BaseException) -> list[Topic]:
        """Keep what is new of an answer, up to what is wanted."""
        if isinstance(answer, ChatFailure):
            row.state, row.message = State.FAILED, f"{answer.code}: {answer}"
        if isinstance(answer, BaseException):
            return []
        row.rounds += 1
        new: list[Topic] = []
        seen = 0
        for text in answer:
            if row.have + len(new) >= self.goal.per_meta:
                break
            seen += 1
            topic = Topic(id=topic_id(text), text=text, meta_topic=row.meta_topic.id)
            (hit,) = self.sieve.sift([topic])
            if hit is None:
                new.append(topic)
            else:
                row.alike[hit.kind] += 1
        row.added += len(new)
        row.message = f"{len(new)} of {seen} new in round {row.rounds}"
        # A meta-topic that this very round fills is full, however many it took.
        if len(new) < self.goal.min_new_share * seen and row.have + len(new) < self.goal.per_meta:
            row.state = State.EXHAUSTED
        return new


def count_calls(goal: Goal, lacking: Sequence[int]) -> int:
    """Return the fewest calls that fill meta-topics which lack so many topics each; every topic left out adds to it."""
    return sum(-(-count // goal.per_call) for count in lacking)
