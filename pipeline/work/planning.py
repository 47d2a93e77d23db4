"""The plan: which dialogues there are, where they live, and which slot each has. Append-only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from pipeline.contracts.prompts import PromptBook
from pipeline.values.ids import derive_random, dialogue_id, rank_by_hash, sha256_hex
from pipeline.values.manifest import Manifest
from pipeline.values.mix import Cell
from pipeline.values.records import Demonstration, Modality, PlannedDialogue, Slot, Topic
from pipeline.values.slots import draw_slot
from pipeline.values.weights import draw_placed
from pipeline.work.features import MAX_DRAWS, choose_wish, draw_requirements, features_of, has_room, meets_wish

NUM_DEMONSTRATIONS = 5
MAX_SHORT_ROUNDS = 1
"""Longest demonstration that a small model is shown."""

EXTRA_SHARE = 0.25
"""Most dialogues planned in place of lost ones, as a share of those wanted."""


def count_wanted(manifest: Manifest, num_topics: int) -> int:
    """Return the number of dialogues that the manifest asks for."""
    total = num_topics * manifest.size.dialogues_per_topic
    limit = manifest.size.max_dialogues
    return total if limit is None else min(total, limit)


def count_extra(manifest: Manifest, wanted: int, kept: int, planned: int) -> int:
    """Return how many more to plan where losses left ``kept`` of ``wanted``, within :data:`EXTRA_SHARE`."""
    if not manifest.size.replace_losses:
        return 0
    room = wanted + math.ceil(wanted * EXTRA_SHARE) - planned
    return max(0, min(wanted - kept, room))


def extend_plan(
    existing: Sequence[PlannedDialogue],
    topics: Sequence[Topic],
    manifest: Manifest,
    book: PromptBook,
    extra: int = 0,
    *,
    is_current: bool = False,
) -> list[PlannedDialogue]:
    """Return the plan with whatever the topics and sizes ask for appended, and slots that the mix moved drawn anew.

    Args:
        is_current: The mix, the prompts and the seed are known to be those that all existing rows were drawn from.
    """
    rows = list(existing) if is_current else [_with_current_slot(row, manifest, book) for row in existing]
    wanted = count_wanted(manifest, len(topics))
    known = {row.id for row in rows}
    room = wanted - len(_regular(rows, topics, manifest))
    regular = _ordinals(topics, 0, manifest.size.dialogues_per_topic)
    new: list[tuple[Topic, int, int | None]] = [
        (topic, n, None) for topic, n in islice(_unknown(regular, known), max(0, room))
    ]
    if extra:
        fresh = _unknown(_ordinals(topics, manifest.size.dialogues_per_topic, None), known)
        new += [(topic, n, wanted) for topic, n in islice(fresh, extra)]
    return rows + _place(new, rows, manifest, book)


def keep_blank_topics(topics: Sequence[Topic], plan: Sequence[PlannedDialogue]) -> list[Topic]:
    """Return the topics with those that have lost their words to a takedown, so that nothing is planned in their place.

    All dialogues about such a topic were taken down. It counts as a topic as before; nothing more is planned about it.
    """
    known = {topic.id for topic in topics}
    blank = {row.topic.id: row.topic for row in plan if not row.topic.text and row.topic.id not in known}
    return [*topics, *blank.values()]


def select_active(
    plan: Sequence[PlannedDialogue],
    topics: Sequence[Topic],
    manifest: Manifest,
    taken_down: Collection[str] = frozenset(),
) -> list[PlannedDialogue]:
    """Return the rows that count today: topics taken out and sizes cut leave rows in the plan that do not.

    Args:
        taken_down: Ids of dialogues that are not to be made again.
    """
    wanted = count_wanted(manifest, len(topics))
    regular = {row.id for row in _regular(plan, topics, manifest)[:wanted]}
    current = {topic.id for topic in topics}
    return [
        row
        for row in plan
        if row.id not in taken_down
        and (row.id in regular or (row.needed_at is not None and row.needed_at <= wanted and row.topic.id in current))
    ]


def count_parts(rows: Sequence[PlannedDialogue]) -> Counter[Modality]:
    """Count the parts that slots ask for. Rows share slots, so that few of these have to be looked through."""
    times = Counter(id(row.slot) for row in rows)
    slots = {id(row.slot): row.slot for row in rows}
    total: Counter[Modality] = Counter()
    for key, slot in slots.items():
        for kind, count in Counter(kind for turn in slot.turns for kind in turn.kinds).items():
            total[kind] += times[key] * count
    return total


def _regular(plan: Sequence[PlannedDialogue], topics: Sequence[Topic], manifest: Manifest) -> list[PlannedDialogue]:
    """Planned rows that the manifest's sizes cover today. Those planned first come first, so none is pushed out.

    A row that once replaced a loss is one of them where each topic is now to have as many dialogues.
    """
    current = {topic.id for topic in topics}
    limit = manifest.size.dialogues_per_topic
    return [row for row in plan if row.topic.id in current and row.ordinal < limit]


def _unknown(pairs: Iterable[tuple[Topic, int]], known: set[str]) -> Iterable[tuple[Topic, int]]:
    return ((topic, ordinal) for topic, ordinal in pairs if dialogue_id(topic.id, ordinal) not in known)


def _ordinals(topics: Sequence[Topic], start: int, stop: int | None) -> Iterable[tuple[Topic, int]]:
    """Every topic's first dialogue before any topic's second."""
    ordinal = start
    topics = [topic for topic in topics if topic.text]
    while topics and (stop is None or ordinal < stop):
        yield from ((topic, ordinal) for topic in topics)
        ordinal += 1


def _place(
    new: Sequence[tuple[Topic, int, int | None]],
    rows: Sequence[PlannedDialogue],
    manifest: Manifest,
    book: PromptBook,
) -> list[PlannedDialogue]:
    ids = [dialogue_id(topic.id, ordinal) for topic, ordinal, _ in new]
    # Stratified over this run of the plan: n new dialogues get n evenly spread places, in the order of their hashes.
    # So even twelve dialogues meet the mix, and no place depends on what any dialogue came to say.
    ranks = {name: rank for rank, name in enumerate(sorted(ids, key=sha256_hex))}
    first_shard = max((row.shard for row in rows), default=-1) + 1
    planned = []
    for index, (name, (topic, ordinal, needed_at)) in enumerate(zip(ids, new, strict=True)):
        row = PlannedDialogue(
            id=name,
            topic=topic,
            ordinal=ordinal,
            shard=first_shard + index // manifest.size.dialogues_per_shard,
            unit=(ranks[name] + 0.5) / len(new),
            needed_at=needed_at,
        )
        planned.append(_draw(row, manifest, book))
    return planned


def _draw(row: PlannedDialogue, manifest: Manifest, book: PromptBook) -> PlannedDialogue:
    """Draw a dialogue's slot by its place on the mix, and the examples and requirements that suit it."""
    aim = _aim(row, manifest, book)
    requirements = draw_requirements(book.requirements, aim.slot, row.id, aim.cell, aim.wish)
    asked = [book.requirements[name] for name in requirements]
    return replace(
        row,
        slot=_share(aim.slot),
        demonstrations=_draw_demonstrations(book, aim, row, manifest),
        requirements=requirements,
        features=features_of(asked) if aim.cell.features else (),
    )


@lru_cache(65536)
def _share(slot: Slot) -> Slot:
    """Return one object for equal slots: a mix has hundreds of them, a plan millions."""
    return slot


class _Aim(NamedTuple):
    """What the mix wants of a dialogue today: its cell and slot, and the feature that is asked of it."""

    cell: Cell
    slot: Slot
    wish: str | None


def _aim(row: PlannedDialogue, manifest: Manifest, book: PromptBook) -> _Aim:
    cell, place = draw_placed(manifest.mix, row.unit)

    def lay_out(attempt: int) -> Slot:
        return draw_slot(manifest.mix, row.unit, derive_random(manifest.seed, row.id, "slot", attempt))

    wish, first = choose_wish(cell, place), lay_out(0)
    if wish is None:
        return _Aim(cell, first, None)
    pool = [item for item in book.requirements.values() if item.feature == wish]
    drawn = chain([first], map(lay_out, range(1, MAX_DRAWS)))
    roomy = next((slot for slot in drawn if has_room(wish, slot, pool)), None)
    # Without room for it a dialogue goes without, and the table of features shows it.
    return _Aim(cell, roomy, wish) if roomy else _Aim(cell, first, None)


def _with_current_slot(row: PlannedDialogue, manifest: Manifest, book: PromptBook) -> PlannedDialogue:
    """Keep a row as it was planned, unless the mix moved its slot or feature or an example of its has left the pool."""
    aim = _aim(row, manifest, book)
    is_whole = book.demonstrations.keys() >= set(row.demonstrations) and book.requirements.keys() >= set(
        row.requirements
    )
    if aim.slot != row.slot or not is_whole:
        return _draw(row, manifest, book)
    if not aim.cell.features:
        return _draw(row, manifest, book) if row.features else row
    asked = [book.requirements[name] for name in row.requirements]
    # Whoever has the feature by chance was shown no example of it.
    is_asked = aim.wish is None or row.features[:1] == (aim.wish,)
    if not is_asked or not meets_wish(asked, aim.slot, aim.cell, aim.wish):
        return _draw(row, manifest, book)
    features = features_of(asked)
    return row if features == row.features else replace(row, features=features)


def _draw_demonstrations(book: PromptBook, aim: _Aim, row: PlannedDialogue, manifest: Manifest) -> tuple[str, ...]:
    pool = book.demonstrations
    if manifest.writer.effective_style == "turns":
        return _draw_for_shard(pool, row.shard)
    # From the twelve that are closest to the slot, closest first among those drawn.
    fits = _fits(book, aim.slot.gives, aim.slot.answers, aim.slot.num_rounds)
    by_fit = sorted(rank_by_hash(list(pool), row.id), key=lambda name: -fits[name])
    drawn = rank_by_hash(by_fit[:12], row.id, "draw")[:NUM_DEMONSTRATIONS]
    listed = sorted(drawn, key=by_fit.index)
    # First comes one that shows the feature, since stages show the first few alone.
    leading = [name for name in by_fit if aim.wish in pool[name].features][:1]
    return tuple([*leading, *(name for name in listed if name not in leading)][:NUM_DEMONSTRATIONS])


@lru_cache(4096)
def _shard_ranks(names: tuple[str, ...], shard: int) -> list[str]:
    return rank_by_hash(names, "shard", shard)


def _draw_for_shard(pool: Mapping[str, Demonstration], shard: int) -> tuple[str, ...]:
    """Draw for a whole shard, short ones that together show every modality.

    A small model on a laptop spends most of its time reading prompts. Dialogues of a shard that share their examples
    share that reading; other shards see other examples.
    """
    short = tuple(name for name, item in pool.items() if len(item.turns) <= 2 * MAX_SHORT_ROUNDS)
    left = list(_shard_ranks(short or tuple(pool), shard))
    drawn: list[str] = []
    shown: set[tuple[str, str]] = set()
    while left and len(drawn) < NUM_DEMONSTRATIONS:
        best = max(left, key=lambda name: (len(_shows(pool[name]) - shown), -left.index(name)))
        left.remove(best)
        drawn.append(best)
        shown |= _shows(pool[best])
    return tuple(drawn)


def _shows(demonstration: Demonstration) -> set[tuple[str, str]]:
    return {(turn.role, part.kind) for turn in demonstration.turns for part in turn.parts}


@lru_cache(1024)
def _fits(
    book: PromptBook, gives: tuple[Modality, ...], answers: tuple[Modality, ...], num_rounds: int
) -> dict[str, float]:
    """How close each demonstration is to slots of a kind; a mix has few kinds."""

    def jaccard(a: Sequence[Modality], b: Sequence[Modality]) -> float:
        return len({*a} & {*b}) / len({*a} | {*b})

    def fit(item: Demonstration) -> float:
        rounds = 1 / (1 + abs(len(item.turns) // 2 - num_rounds))
        return jaccard(item.gives, gives) + jaccard(item.answers, answers) + 0.5 * rounds

    return {name: fit(item) for name, item in book.demonstrations.items()}
