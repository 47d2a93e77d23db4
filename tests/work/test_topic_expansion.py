from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.adapters.journal import FileJournal
from pipeline.contracts.chat import ChatRequest
from pipeline.contracts.watch import Drained
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.ids import sha256_hex, topic_id
from pipeline.values.records import MetaTopic, Topic
from pipeline.work.asking import Asker
from pipeline.work.context import Writing
from pipeline.work.topic_expansion import Expansion, FreshTries, Goal, State, count_calls
from pipeline.work.topic_variety import Kind, Sieve
from tests.support.meanings import WordMeanings
from tests.support.stages import Notes, ScriptedChat, manifest, read_book

NAMES = ("dogs", "bells")


@dataclass
class ListShelf:
    """A shelf in memory."""

    topics: list[Topic] = field(default_factory=list)

    def read(self) -> Sequence[Topic]:
        return list(self.topics)

    def add(self, topics: Sequence[Topic]) -> None:
        self.topics += topics

    def texts(self, meta: str) -> list[str]:
        return [topic.text for topic in self.topics if topic.meta_topic == meta]


def topic(text: str, meta: str = "dogs") -> Topic:
    return Topic(id=topic_id(text), text=text, meta_topic=meta)


def count_asked(request: ChatRequest) -> int:
    return int(request.json_schema["properties"]["topics"]["minItems"])


def inventive(request: ChatRequest) -> str:
    """Write topics that share nothing with others, by meta-topic and place."""
    have = int(request.purpose.partition("-")[2])
    return said([invent(request.record_id, have + n) for n in range(count_asked(request))])


def invent(meta: str, place: int) -> str:
    digest = sha256_hex(f"{meta} {place}")
    return f"{digest[:8]} {digest[8:16]}"


def said(texts: Sequence[str]) -> str:
    return json.dumps({"topics": list(texts)})


@dataclass
class Bench:
    """Everything that an expansion needs; each ``start`` is a new process over the same journal and shelf."""

    folder: Path
    shelf: ListShelf = field(default_factory=ListShelf)
    starts: int = 0

    def start(
        self,
        script: Callable[[ChatRequest], str | Exception],
        goal: Goal | None = None,
        watch: Notes | None = None,
        names: Sequence[str] = NAMES,
    ) -> tuple[Expansion, ScriptedChat]:
        self.starts += 1
        chat, watch = ScriptedChat(script), watch or Notes()
        writing = Writing(manifest(), read_book(), {}, chat, watch, asyncio.Semaphore(8))
        journal = FreshTries(FileJournal(self.folder, "topics", self.starts))
        expansion = Expansion(
            meta_topics=[MetaTopic(id=n, name=n, area="x", scope="Things.", seeds=()) for n in names],
            goal=goal or Goal(per_meta=30, per_call=12),
            shelf=self.shelf,
            sieve=Sieve(WordMeanings()),
            asker=Asker(chat, journal, watch, {}),
            writing=writing,
        )
        return expansion, chat


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_rounds_fill_every_meta_topic_and_each_is_told_what_is_there(bench: Bench) -> None:
    expansion, chat = bench.start(inventive)
    asyncio.run(expansion.run())
    assert {name: len(bench.shelf.texts(name)) for name in NAMES} == {"dogs": 30, "bells": 30}
    assert {row.state for row in expansion.rows.values()} == {State.FULL}
    asked = [(r.record_id, r.purpose, count_asked(r)) for r in chat.requests]
    # Six are missing in the last round; ten are asked for, and six are taken.
    expected = [("topics-00000", 12), ("topics-00012", 12), ("topics-00024", 10)]
    assert asked == [(name, purpose, count) for purpose, count in expected for name in NAMES]
    told = chat.requests[-1].messages[-1].content
    assert all(text in told for text in bench.shelf.texts("bells")[:24])
    assert bench.shelf.texts("dogs")[0] not in told


def test_duplicates_within_and_across_meta_topics_are_left_out_and_counted(bench: Bench) -> None:
    bench.shelf.topics = [topic("musicians subway", "")]
    answers = {
        "dogs": [
            "old hound beach",
            "Old  HOUND beach",
            "buskers underground",
            "a red kite over the bay",
            "two three",
            "four five",
        ],
        "bells": [
            "old dog shore",
            "a red kite over the bays",
            "bell rope",
            "church at noon",
            "rust green",
            "hand bell choir",
        ],
    }

    def script(request: ChatRequest) -> str:
        return said((answers[request.record_id] * 2)[: count_asked(request)])

    expansion, _ = bench.start(script, Goal(per_meta=20, per_call=6, min_new_share=0.9))
    asyncio.run(expansion.run())
    assert bench.shelf.texts("dogs") == ["old hound beach", "a red kite over the bay", "two three", "four five"]
    assert bench.shelf.texts("bells") == ["bell rope", "church at noon", "rust green", "hand bell choir"]
    # What an answer itself says twice in equal words is left out before anything is counted.
    assert expansion.rows["dogs"].alike == {Kind.MEANING: 1}
    assert expansion.rows["bells"].alike == {Kind.MEANING: 1, Kind.NEAR: 1}


def test_a_meta_topic_that_repeats_itself_is_exhausted_and_says_so(bench: Bench) -> None:
    def script(request: ChatRequest) -> str:
        if request.record_id == "dogs" and request.purpose != "topics-00000":
            old = bench.shelf.texts("dogs")
            return said([*old[:10], "brand new1", "brand2 fresh"][: count_asked(request)])
        return inventive(request)

    expansion, chat = bench.start(script)
    asyncio.run(expansion.run())
    row = expansion.rows["dogs"]
    assert (row.state, row.have, row.rounds) == (State.EXHAUSTED, 14, 2)
    assert row.message == "2 of 12 new in round 2"
    assert expansion.rows["bells"].state is State.FULL
    assert sum(r.record_id == "dogs" for r in chat.requests) == 2


def test_going_on_after_exhaustion_asks_nothing_twice(bench: Bench) -> None:
    asyncio.run(bench.start(lambda request: said(["a b"] * 0 + [f"same{n} word{n}" for n in range(12)]))[0].run())
    before = list(bench.shelf.topics)
    expansion, chat = bench.start(inventive)
    asyncio.run(expansion.run())
    assert chat.requests == []
    assert {row.state for row in expansion.rows.values()} == {State.EXHAUSTED}
    assert bench.shelf.topics == before


class Killed(BaseException):
    """Stands for a process that is gone between two answers."""


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_a_kill_repeats_no_answered_call_and_changes_nothing(bench: Bench, tmp_path: Path, calls: int) -> None:
    whole = Bench(tmp_path / "whole")
    expansion, reference = whole.start(inventive)
    asyncio.run(expansion.run())
    killed = Bench(tmp_path / "killed")
    expansion, chat = killed.start(inventive)

    class Dying(ListShelf):
        """Keeps nothing any more once the process is gone."""

        def add(self, topics: Sequence[Topic]) -> None:
            if len(chat.requests) > calls:
                raise Killed
            super().add(topics)

    def script(request: ChatRequest) -> str:
        if len(chat.requests) > calls:
            raise Killed
        return inventive(request)

    chat.script = script
    expansion.shelf = shelf = Dying()
    with pytest.raises(Killed):
        asyncio.run(expansion.run())
    assert len(shelf.topics) == 12 * (calls - calls % 2)
    killed.shelf = ListShelf(shelf.topics)
    expansion, rest = killed.start(inventive)
    asyncio.run(expansion.run())
    assert killed.shelf.topics == whole.shelf.topics
    # The last one asked was in flight when the process died.
    assert calls + len(rest.requests) == len(reference.requests)


def test_a_failed_call_fails_its_meta_topic_and_is_asked_again_by_the_next_run(bench: Bench) -> None:
    def script(request: ChatRequest) -> str | Exception:
        return ChatFailure("timeout", "no answer in 5 s") if request.record_id == "dogs" else inventive(request)

    expansion, _ = bench.start(script)
    asyncio.run(expansion.run())
    assert expansion.rows["dogs"].state is State.FAILED
    assert expansion.rows["dogs"].message == "timeout: no answer in 5 s"
    assert len(bench.shelf.texts("bells")) == 30
    expansion, chat = bench.start(inventive)
    asyncio.run(expansion.run())
    assert {row.state for row in expansion.rows.values()} == {State.FULL}
    assert {r.record_id for r in chat.requests} == {"dogs"}


@pytest.mark.parametrize("end", [Drained("enough"), EndpointError("no key")])
def test_what_was_answered_is_kept_when_no_further_call_may_begin(bench: Bench, end: Exception) -> None:
    def script(request: ChatRequest) -> str | Exception:
        return end if request.record_id == "bells" else inventive(request)

    expansion, _ = bench.start(script)
    with pytest.raises(type(end)):
        asyncio.run(expansion.run())
    assert len(bench.shelf.texts("dogs")) == 12
    assert expansion.rows["dogs"].have == 12


def test_topics_that_people_add_meanwhile_count_and_are_not_written_again(bench: Bench) -> None:
    def tell(expansion: Expansion) -> None:
        if expansion.rows["dogs"].rounds == 1:
            bench.shelf.topics += [topic(f"mine{n} own{n}") for n in range(17)] + [topic(invent("dogs", 29))]

    expansion, chat = bench.start(inventive, names=["dogs"])
    expansion.tell = tell
    asyncio.run(expansion.run())
    assert len(bench.shelf.texts("dogs")) == 30
    assert len(chat.requests) == 1


def test_a_malformed_answer_is_asked_again(bench: Bench) -> None:
    def script(request: ChatRequest) -> str:
        return "no JSON" if request.attempt == 0 else inventive(request)

    expansion, chat = bench.start(script, Goal(per_meta=12, per_call=12), names=["dogs"])
    asyncio.run(expansion.run())
    assert [r.attempt for r in chat.requests] == [0, 1]
    assert expansion.spend.invalid_answers == 1
    assert expansion.rows["dogs"].state is State.FULL


def test_the_fewest_calls_are_counted() -> None:
    assert count_calls(Goal(per_meta=200, per_call=50), [200, 1, 0, 51]) == 4 + 1 + 0 + 2
