"""Dialogues that are taken and not written: every row of instruction data is judged once, and kept or rejected.

A text's id is the hash of its words, so that what is added in front of it or behind it moves nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.contracts.watch import Watch
from pipeline.values.ids import content_key, dialogue_id, normalise_text, sha256_hex
from pipeline.values.manifest import Manifest
from pipeline.values.mix import Cell
from pipeline.values.records import Modality, Part, PlannedDialogue, Role, Slot, Topic, Turn, TurnLayout
from pipeline.values.spoken import spoken_form
from pipeline.values.texts import MENDED, NotTaken, RawText, Rule, Texts
from pipeline.work import dialogues, scenarios, tables
from pipeline.work.asking import Spend
from pipeline.work.context import spend_columns
from pipeline.work.orders import Order, Recipe, base_row, fill_rows
from pipeline.work.planning import count_wanted
from pipeline.work.text_rules import Fitness, judge
from pipeline.work.text_shapes import read_shape

STAGE = "texts"

VERSION = 1
"""Of rules and shapes; to be raised with whatever changes which rows are taken, so that they are judged anew."""

MAX_TITLE = 80
"""Characters of a dialogue's first words that stand as its topic."""

COUNTS = "counts"
"""Among the facts of the stage's receipt."""

ROWS, KEPT, REJECTED, SYSTEM_DROPPED = "rows", "kept", "rejected", "system_dropped"

Counts = Mapping[str, Mapping[str, int]]
"""By source: ``rows`` = ``kept`` + all ``rejected/<rule>``; and of the kept ones, how many came in a ``shape/<name>``,
and of how many a system message was left out."""

_ROLES: tuple[Role, Role] = ("user", "assistant")


@dataclass(frozen=True)
class Text:
    """A dialogue that was taken, as far as the plan is concerned.

    Attributes:
        topic: The text's id, its first words, and its source in place of a meta-topic.
        place: Its line or number in the source.
        sha256: Of its words, spelling and all.
        num_characters: Of all its turns.
    """

    topic: Topic
    num_turns: int
    place: int
    sha256: str
    num_characters: int


@dataclass
class TakenTexts:
    """All that were taken, in their order, with what became of all rows."""

    texts: dict[str, Text] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def topics(self) -> list[Topic]:
        """One a text."""
        return [text.topic for text in self.texts.values()]

    def add(self, row: Row) -> None:
        """Take up a judged row."""
        counts = self.counts.setdefault(row["source"], Counter())
        counts[ROWS] += 1
        if row["rule"] is not None:
            counts[f"{REJECTED}/{row['rule']}"] += 1
            return
        counts[KEPT] += 1
        counts[f"shape/{row['shape']}"] += 1
        counts[SYSTEM_DROPPED] += row["has_system"]
        topic = Topic(id=row["record_id"], text=row["title"], meta_topic=row["source"])
        size = sum(map(len, row["lines"]))
        self.texts[topic.id] = Text(topic, len(row["lines"]), row["place"], row["text_sha256"], size)


def add_up(counts: Counts) -> Counter[str]:
    """Sum over all sources."""
    total: Counter[str] = Counter()
    for of_source in counts.values():
        total.update(of_source)
    return total


def count_rejected(of_source: Mapping[str, int]) -> int:
    """Return how many rows of a source were rejected, by whatever rule."""
    return sum(sum_rejected({"": of_source}).values())


def sum_rejected(counts: Counts) -> dict[str, int]:
    """Return how many rows each rule has rejected, over all sources, the most frequent first."""
    start = f"{REJECTED}/"
    found = {name.removeprefix(start): n for name, n in add_up(counts).items() if name.startswith(start)}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def fitness_of(manifest: Manifest, texts: Texts, *, is_final: bool = False) -> Fitness:
    """Return what a manifest asks of a dialogue: as it is taken, or as it is spoken after all."""
    ignored = MENDED if texts.rewrite and not is_final else frozenset[Rule]()
    return Fitness(texts.rules, manifest.mix[0].rounds, manifest.language, ignored)


def take_rows(sources: Iterable[tuple[str, Iterable[RawText]]], fitness: Fitness) -> Iterator[Row]:
    """Judge all rows of all sources, in order; yield one row of :data:`tables.TEXTS` for each of them."""
    seen: dict[str, tuple[str, int]] = {}
    for source, rows in sources:
        for raw in rows:
            row: Row = {name: None for name in tables.TEXTS.names}
            row |= {"source": source, "place": raw.place, "has_system": False}
            try:
                row |= _take(raw, fitness)
                where = seen.setdefault(row["record_id"], (source, raw.place))
                if where != (source, raw.place):
                    raise NotTaken(Rule.DUPLICATE, f"says what {where[0]}:{where[1]} says")
            except NotTaken as exc:
                row |= {"rule": str(exc.rule), "message": str(exc)}
                row |= dict.fromkeys(("record_id", "title", "lines", "text_sha256"))
            yield row


def _take(raw: RawText, fitness: Fitness) -> Row:
    if raw.problem is not None:
        raise raw.problem
    shaped = read_shape(raw.value)
    turns = judge(shaped, fitness)
    return {
        "record_id": content_key("text", [normalise_text(words) for words in turns]),
        "shape": shaped.shape,
        "has_system": shaped.has_system,
        "title": _title(turns[0]),
        "lines": list(turns),
        "text_sha256": sha256_hex("\n".join(turns)),
    }


def blank_text(row: Row) -> Row:
    """Return the row of a text whose dialogue was taken down: that it was taken, and no word of it."""
    return row if row["lines"] is None else {**row, "title": "", "lines": [], "text_sha256": ""}


def _title(words: str) -> str:
    """Return the first words, as far as a title goes."""
    if len(words) <= MAX_TITLE:
        return words
    cut = words[: MAX_TITLE - 1]
    return (cut.rpartition(" ")[0] or cut).rstrip(",;: ") + "…"


def plan_texts(
    existing: Sequence[PlannedDialogue], taken: TakenTexts, manifest: Manifest, extra: int = 0
) -> list[PlannedDialogue]:
    """Return the plan with texts appended that are not in it: as many as the size asks for, and ``extra`` of them."""
    cell = manifest.mix[0]
    rows = [replace(row, slot=_slot(cell, len(row.slot.turns))) for row in existing]
    known = {row.topic.id for row in rows}
    wanted = count_wanted(manifest, len(taken.texts))
    room = max(0, wanted - sum(name in taken.texts for name in known))
    fresh = [text for name, text in taken.texts.items() if name not in known][: room + extra]
    first_shard = max((row.shard for row in rows), default=-1) + 1
    for index, text in enumerate(fresh):
        rows.append(
            PlannedDialogue(
                id=dialogue_id(text.topic.id, 0),
                topic=text.topic,
                ordinal=0,
                shard=first_shard + index // manifest.size.dialogues_per_shard,
                unit=0.0,  # one cell is the whole mix
                needed_at=None if index < room else wanted,
                slot=_slot(cell, text.num_turns),
            )
        )
    return rows


def _slot(cell: Cell, num_turns: int) -> Slot:
    kinds = (cell.gives, cell.answers)
    turns = tuple(TurnLayout(role=_ROLES[i % 2], kinds=kinds[i % 2]) for i in range(num_turns))
    return Slot(cell=cell.name, gives=cell.gives, answers=cell.answers, turns=turns)


def order_sources(planned: Sequence[PlannedDialogue], taken: TakenTexts) -> list[Order[PlannedDialogue]]:
    """State where each dialogue was found; stands in the place of its scenario."""
    return [
        Order(row.id, {"source": content_key(_say_where(taken.texts[row.topic.id]))}, row)
        for row in planned
        if row.topic.id in taken.texts
    ]


def order_texts(
    planned: Sequence[PlannedDialogue], taken: TakenTexts, manifest: Manifest
) -> list[Order[PlannedDialogue]]:
    """State which words each dialogue is made from, and how they are said."""
    return [
        Order(
            row.id,
            {
                "text": taken.texts[row.topic.id].sha256,
                "slot": content_key([turn.kinds for turn in row.slot.turns], manifest.language),
            },
            row,
        )
        for row in planned
        if row.topic.id in taken.texts
    ]


async def fill_sources(
    orders: Sequence[Order[PlannedDialogue]], store: ShardStore, taken: TakenTexts, watch: Watch
) -> Receipt:
    """Bring a shard's statements of where its dialogues were found up to date."""

    def make(order: Order[PlannedDialogue]) -> Row:
        return {"scenario": _say_where(taken.texts[order.payload.topic.id])}

    return await fill_rows(store, orders, _recipe(scenarios.STAGE, tables.SCENARIOS, make, watch))


async def fill_texts(
    orders: Sequence[Order[PlannedDialogue]],
    store: ShardStore,
    turns_of: Mapping[str, Sequence[str]],
    manifest: Manifest,
    watch: Watch,
) -> Receipt:
    """Bring a shard's dialogues up to date.

    Args:
        turns_of: Words by the text's id.
    """

    def make(order: Order[PlannedDialogue]) -> Row:
        row = order.payload
        return dialogues.written_columns(speak(row.slot, turns_of[row.topic.id], manifest.language))

    return await fill_rows(store, orders, _recipe(dialogues.STAGE, tables.DIALOGUES, make, watch))


def _recipe(
    stage: str, schema: object, make: Callable[[Order[PlannedDialogue]], Row], watch: Watch
) -> Recipe[PlannedDialogue]:
    async def make_row(order: Order[PlannedDialogue]) -> Row:
        row = {**base_row(order), **make(order), **spend_columns("", Spend())}
        watch.note("record", stage=stage, status="ok", code=None)
        return row

    return Recipe(stage, schema, make_row, asyncio.Semaphore(), lambda rows: {})


def speak(slot: Slot, words: Sequence[str], language: str) -> list[Turn]:
    """Return the turns of a dialogue by its words; what is spoken has its spoken form beside it."""
    return [_turn(layout, said, language) for layout, said in zip(slot.turns, words, strict=True)]


def _turn(layout: TurnLayout, words: str, language: str) -> Turn:
    kind = layout.kinds[0]
    spoken = spoken_form(words, language) if kind is Modality.SPEECH else None
    return Turn(role=layout.role, parts=(Part(kind=kind, text=words, spoken=spoken),))


def _say_where(text: Text) -> str:
    return f"{text.topic.meta_topic}:{text.place}"
