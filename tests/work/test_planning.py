"""The plan: append-only, stratified, and never moving a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contracts.prompts import PromptBook
from pipeline.values.ids import dialogue_id
from pipeline.values.manifest import Manifest
from pipeline.values.records import Demonstration, MetaTopic, Modality, PlannedDialogue, Requirement, Topic
from pipeline.work.features import NUM_REQUIREMENTS
from pipeline.work.planning import (
    EXTRA_SHARE,
    MAX_SHORT_ROUNDS,
    NUM_DEMONSTRATIONS,
    count_extra,
    count_parts,
    count_wanted,
    extend_plan,
    keep_blank_topics,
    select_active,
)
from tests.support.stages import manifest, many_topics, read_book, topics

MIX = [
    {"name": "draw", "weight": 3, "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 2]},
    {"name": "talk", "weight": 2, "gives": ["speech"], "answers": ["speech"], "rounds": [1, 3]},
    {"name": "tune", "weight": 1, "gives": ["text", "image"], "answers": ["music"], "rounds": [1, 1]},
]


@dataclass(eq=False)
class Pool:
    """The shipped prompts with another pool of demonstrations and requirements."""

    demonstrations: Mapping[str, Demonstration]
    requirements: Mapping[str, Requirement]
    meta_topics: Mapping[str, MetaTopic]

    def text(self, template: str, **values: Any) -> str:
        return template

    def key(self, *templates: str) -> str:
        return "-".join(templates)


def pool(num_demonstrations: int = 54, num_requirements: int = 60) -> Pool:
    book = read_book()
    return Pool(
        dict(list(book.demonstrations.items())[:num_demonstrations]),
        dict(list(book.requirements.items())[:num_requirements]),
        {},
    )


def sized(**size: Any) -> Manifest:
    return manifest(mix=MIX, size={"dialogues_per_shard": 4, **size})


def plan(
    some: list[Topic], made: Manifest, existing: list[PlannedDialogue] | None = None, book: PromptBook | None = None
) -> list[PlannedDialogue]:
    return extend_plan(existing or [], some, made, book or read_book())


def placed(rows: list[PlannedDialogue]) -> list[tuple[str, int]]:
    return [(row.id, row.shard) for row in rows]


def test_a_plan_has_every_topics_first_dialogue_before_any_second() -> None:
    some = many_topics(5)
    rows = plan(some, sized(dialogues_per_topic=2))
    assert [(row.topic, row.ordinal) for row in rows] == [(t, 0) for t in some] + [(t, 1) for t in some]
    assert [row.id for row in rows] == [dialogue_id(row.topic.id, row.ordinal) for row in rows]
    assert [row.shard for row in rows] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert all(row.needed_at is None for row in rows)


def test_planning_again_changes_nothing() -> None:
    some, made = many_topics(10), sized()
    rows = plan(some, made)
    assert plan(some, made, rows) == rows
    assert plan(some, made) == rows


def test_added_topics_fill_new_shards_and_move_nothing() -> None:
    some, made = many_topics(10), sized()
    rows = plan(some, made)
    longer = plan([*topics("a new one"), *some, *topics("another")], made, rows)
    assert longer[:10] == rows
    assert {row.shard for row in rows} == {0, 1, 2}
    assert [(row.topic.text, row.shard) for row in longer[10:]] == [("a new one", 3), ("another", 3)]


def test_more_dialogues_a_topic_are_appended_and_fewer_only_rest() -> None:
    some = many_topics(6)
    rows = plan(some, sized(dialogues_per_topic=2))
    longer = plan(some, sized(dialogues_per_topic=3), rows)
    assert longer[:12] == rows
    assert [row.ordinal for row in longer[12:]] == [2] * 6
    shorter = sized(dialogues_per_topic=1)
    assert plan(some, shorter, longer) == longer
    assert select_active(longer, some, shorter) == rows[:6]
    assert select_active(longer, some, sized(dialogues_per_topic=3)) == longer


def test_a_limit_is_kept_and_lifted_without_moving_anything() -> None:
    some = many_topics(10)
    rows = plan(some, sized(max_dialogues=4))
    assert [row.topic for row in rows] == some[:4]
    longer = plan(some, sized(max_dialogues=7), rows)
    assert longer[:4] == rows
    assert [row.topic for row in longer] == some[:7]
    assert select_active(longer, some, sized(max_dialogues=4)) == rows
    assert plan(some, sized(max_dialogues=4), longer) == longer


def test_whoever_was_planned_first_is_not_pushed_out_by_a_new_topic() -> None:
    some, made = many_topics(6), sized(max_dialogues=4)
    rows = plan(some, made)
    more = [*topics("right at the front"), *some]
    assert plan(more, made, rows) == rows
    assert select_active(rows, more, made) == rows


def test_removed_topics_rest_and_come_back() -> None:
    some, made = many_topics(6), sized()
    rows = plan(some, made)
    fewer = [*some[:2], *some[3:]]
    assert plan(fewer, made, rows) == rows
    assert select_active(rows, fewer, made) == [row for row in rows if row.topic != some[2]]
    assert select_active(rows, some, made) == rows


def test_a_removed_topic_makes_room_under_a_limit_until_it_comes_back() -> None:
    some, made = many_topics(3), sized(max_dialogues=2)
    rows = plan(some, made)
    longer = plan(some[1:], made, rows)
    assert [row.topic for row in select_active(longer, some[1:], made)] == some[1:]
    assert longer[:2] == rows
    assert select_active(longer, some, made) == rows
    assert plan(some, made, longer) == longer


@pytest.mark.parametrize("count", [6, 12, 30])
def test_even_a_dozen_dialogues_meet_the_mix(count: int) -> None:
    cells = Counter(row.slot.cell for row in plan(many_topics(count), sized()))
    assert cells == {"draw": count // 2, "talk": count // 3, "tune": count // 6}


def test_every_extension_meets_the_mix() -> None:
    rows = plan(many_topics(24), sized(), plan(many_topics(12), sized()))
    assert Counter(row.slot.cell for row in rows[12:]) == {"draw": 6, "talk": 4, "tune": 2}


def test_cells_do_not_follow_the_order_of_topics() -> None:
    rows = plan(many_topics(60), sized())
    firsts = Counter(row.slot.cell for row in rows[:30])
    assert 8 <= firsts["draw"] <= 22
    assert [row.unit for row in rows] != sorted(row.unit for row in rows)


def test_a_small_change_of_the_mix_redraws_those_whose_cell_moved() -> None:
    some, before = many_topics(60), sized()
    rows = plan(some, before)
    after = manifest(mix=[{**MIX[0], "weight": 3.1}, {**MIX[1], "weight": 1.9}, MIX[2]], size=before.size.model_dump())
    redrawn = plan(some, after, rows)
    assert placed(redrawn) == placed(rows)
    assert [row.unit for row in redrawn] == [row.unit for row in rows]
    # Of 60 evenly spread places, one lies between 0.5 and 0.5167.
    moved = [new for old, new in zip(rows, redrawn, strict=True) if new != old]
    assert [row.slot.cell for row in moved] == ["draw"]
    assert plan(some, before, redrawn) == rows


def test_a_renamed_cell_keeps_turns_demonstrations_and_requirements() -> None:
    some = many_topics(12)
    rows = plan(some, sized())
    renamed = plan(some, manifest(mix=[{**cell, "name": f"my-{cell['name']}"} for cell in MIX]), rows)
    for old, new in zip(rows, renamed, strict=True):
        assert new.slot == old.slot.model_copy(update={"cell": f"my-{old.slot.cell}"})
        assert (new.demonstrations, new.requirements) == (old.demonstrations, old.requirements)


def test_demonstrations_stay_when_the_pool_grows() -> None:
    some = many_topics(20)
    rows = plan(some, sized(), book=pool(30, 20))
    assert plan(some, sized(), rows, pool()) == rows
    fresh = plan(some, sized(), book=pool())
    assert fresh != rows  # a new plan would have drawn from the larger pool


def test_a_demonstration_that_left_the_pool_is_replaced_where_it_was_shown() -> None:
    some, whole = many_topics(20), pool()
    rows = plan(some, sized(), book=whole)
    gone = rows[0].demonstrations[0]
    smaller = Pool({name: one for name, one in whole.demonstrations.items() if name != gone}, whole.requirements, {})
    redrawn = plan(some, sized(), rows, smaller)
    for old, new in zip(rows, redrawn, strict=True):
        assert gone not in new.demonstrations
        assert (new == old) == (gone not in old.demonstrations)
    assert 0 < sum(gone in row.demonstrations for row in rows) < 20


def test_demonstrations_suit_the_slot_and_differ_between_dialogues() -> None:
    book = read_book()
    rows = plan(many_topics(60), sized())
    for row in rows:
        assert len(set(row.demonstrations)) == len(row.demonstrations) == NUM_DEMONSTRATIONS
    talk = [row for row in rows if row.slot.cell == "talk"]
    shown = [book.demonstrations[name] for row in talk for name in row.demonstrations]
    others = list(book.demonstrations.values())

    def share(some: list[Demonstration]) -> float:
        return sum("speech" in one.gives and "speech" in one.answers for one in some) / len(some)

    assert share(shown) > 1.5 * share(others) > 0
    assert len({row.demonstrations for row in talk}) > len(talk) / 2


def test_a_small_model_sees_the_same_short_demonstrations_throughout_a_shard() -> None:
    book, writer = read_book(), {"engine": "embedded", "model": "small"}
    made = manifest(mix=MIX, writer=writer, size={"dialogues_per_shard": 4})
    rows = plan(many_topics(40), made)
    drawn = {row.shard: row.demonstrations for row in rows}
    assert all(row.demonstrations == drawn[row.shard] for row in rows)
    assert len(set(drawn.values())) > len(drawn) / 2
    for names in drawn.values():
        assert len(set(names)) == len(names) == NUM_DEMONSTRATIONS
        turns = [turn for name in names for turn in book.demonstrations[name].turns]
        assert max(len(book.demonstrations[name].turns) for name in names) <= 2 * MAX_SHORT_ROUNDS
        shown = {(turn.role, part.kind) for turn in turns for part in turn.parts}
        assert shown == {(role, kind) for role in ("user", "assistant") for kind in Modality}
    smaller = plan(many_topics(8), made, book=pool(40))
    assert plan(many_topics(8), made, smaller) == smaller


def test_requirements_fit_the_slot() -> None:
    book = read_book()
    for row in plan(many_topics(60), sized()):
        assert len(set(row.requirements)) == NUM_REQUIREMENTS
        for name in row.requirements:
            one = book.requirements[name]
            assert set(one.gives) <= set(row.slot.gives)
            assert set(one.answers) <= set(row.slot.answers)
            assert one.min_rounds <= row.slot.num_rounds
            assert one.feature != "compare_images"  # no cell here gives two pictures


def test_two_pictures_to_compare_need_two_pictures() -> None:
    book = read_book()
    only = {name: one for name, one in book.requirements.items() if one.feature == "compare_images"}
    some = many_topics(4)

    def drawn(images: list[int]) -> set[int]:
        cell = {"name": "c", "gives": ["text", "image"], "answers": ["text"], "rounds": [2, 2], "images": images}
        made = manifest(mix=[cell])
        return {len(row.requirements) for row in plan(some, made, book=Pool(book.demonstrations, only, {}))}

    assert drawn([1, 1]) == {0}
    assert drawn([2, 2]) == {NUM_REQUIREMENTS}


@pytest.mark.parametrize(
    ("size", "num_topics", "wanted"),
    [({}, 7, 7), ({"dialogues_per_topic": 3}, 7, 21), ({"max_dialogues": 5}, 7, 5), ({"max_dialogues": 9}, 7, 7)],
)
def test_wanted_dialogues_are_topics_times_ordinals_within_the_limit(
    size: dict[str, int], num_topics: int, wanted: int
) -> None:
    assert count_wanted(sized(**size), num_topics) == wanted


@pytest.mark.parametrize(
    ("kept", "planned", "extra"),
    [
        (100, 100, 0),
        (97, 100, 3),
        (60, 100, 25),  # a quarter more at most
        (90, 120, 5),
        (90, 125, 0),
        (0, 125, 0),
    ],
)
def test_losses_are_replaced_up_to_a_quarter(kept: int, planned: int, extra: int) -> None:
    assert EXTRA_SHARE == 0.25
    assert count_extra(sized(), 100, kept, planned) == extra
    assert count_extra(sized(replace_losses=False), 100, kept, planned) == 0


def test_a_tiny_corpus_may_replace_one_loss_too() -> None:
    assert count_extra(sized(), 2, 1, 2) == 1


def test_top_up_rows_take_the_next_ordinals_and_stay() -> None:
    some, made = many_topics(5), sized()
    rows = plan(some, made)
    topped = extend_plan(rows, some, made, read_book(), extra=2)
    assert topped[:5] == rows
    assert [(row.topic, row.ordinal, row.needed_at) for row in topped[5:]] == [(some[0], 1, 5), (some[1], 1, 5)]
    assert [row.shard for row in topped[5:]] == [2, 2]
    assert select_active(topped, some, made) == topped
    assert plan(some, made, topped) == topped
    further = extend_plan(topped, some, made, read_book(), extra=1)
    assert [(row.topic, row.ordinal) for row in further[7:]] == [(some[2], 1)]


def test_top_up_rows_count_only_while_as_much_is_wanted() -> None:
    some = many_topics(5)
    topped = extend_plan(plan(some, sized()), some, sized(), read_book(), extra=2)
    assert select_active(topped, some, sized(max_dialogues=4)) == topped[:4]
    assert select_active(topped, some[1:], sized()) == topped[1:5]
    # Where the manifest now asks for second dialogues, those that were made as replacements are among them.
    twice = sized(dialogues_per_topic=2)
    longer = plan(some, twice, topped)
    assert longer[:7] == topped
    assert len(select_active(longer, some, twice)) == 10
    assert {(row.topic.id, row.ordinal) for row in longer} == {(t.id, n) for t in some for n in (0, 1)}


EDITS = st.lists(
    st.tuples(
        st.sets(st.integers(0, 7), min_size=1),
        st.integers(1, 3),
        st.none() | st.integers(1, 20),
        st.integers(1, 5),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=15, deadline=None)
@given(EDITS)
def test_no_sequence_of_edits_moves_or_doubles_a_record(
    edits: list[tuple[set[int], int, int | None, int, int]],
) -> None:
    every, book = many_topics(8), pool(6, 6)
    rows: list[PlannedDialogue] = []
    for chosen, per_topic, limit, per_shard, extra in edits:
        made = sized(dialogues_per_topic=per_topic, max_dialogues=limit, dialogues_per_shard=per_shard)
        some = [every[index] for index in sorted(chosen)]
        longer = extend_plan(rows, some, made, book, extra)
        assert longer[: len(rows)] == rows
        rows = longer
        assert len({row.id for row in rows}) == len(rows)
        active = select_active(rows, some, made)
        assert {row.topic for row in active} <= set(some)
        regular = [row for row in active if row.needed_at is None]
        assert len(regular) <= count_wanted(made, len(some))
        assert len(active) >= count_wanted(made, len(some))


def test_a_plan_for_no_topics_is_empty() -> None:
    assert plan([], sized()) == []
    assert extend_plan([], [], sized(), read_book(), extra=3) == []


def test_parts_are_counted_over_slots_that_rows_share_and_over_others() -> None:
    rows = plan(many_topics(30), sized())
    apart = [replace(row, slot=row.slot.model_copy(deep=True)) for row in rows]
    kinds = [kind for row in rows for turn in row.slot.turns for kind in turn.kinds]
    assert count_parts(rows) == count_parts(apart) == Counter(kinds)
    assert count_parts([]) == {}


def test_what_is_taken_down_is_not_active_and_nothing_is_planned_in_its_place() -> None:
    some, made = many_topics(6), sized(max_dialogues=4)
    rows = plan(some, made)
    gone = rows[1]
    blank = [replace(row, topic=row.topic.model_copy(update={"text": ""})) if row == gone else row for row in rows]
    known = keep_blank_topics([topic for topic in some if topic != gone.topic], blank)
    assert {topic.id for topic in known} == {topic.id for topic in some}
    assert plan(known, made, blank) == blank
    assert select_active(blank, known, made, {gone.id}) == [row for row in blank if row.id != gone.id]
    more = plan(known, sized(dialogues_per_topic=2), blank)
    assert [row.topic.text for row in more].count("") == 1, "a topic without words gets no second dialogue"
