from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from bench.writing_measures import (
    NUM_OTHERS,
    Probe,
    compare_descriptions,
    compare_with_others,
    count_busy_seconds,
    distinct,
    draw_others,
    find_near_texts,
    find_near_vectors,
    find_swapped,
    grams,
    list_descriptions,
    name_rule,
    rate_swap_proxy,
    ratio,
    share_of_questions,
    share_with_twin,
    subtract_roles,
    words_of,
    words_said,
)
from pipeline.adapters.embedding import Vectors
from pipeline.adapters.runs import TallyLine
from pipeline.values.records import Modality, Part, Role, Turn, TurnLayout
from pipeline.work.answers import check_overlap, parse_object, parse_turn, plain_text
from pipeline.work.asking import InvalidAnswer


def turn(role: Role, *parts: tuple[str, str]) -> Turn:
    return Turn(role=role, parts=tuple(Part(kind=Modality(kind), text=text) for kind, text in parts))


def probe(dialogue: str = "a", text: str = "a lamp", own: str = "") -> Probe:
    return Probe(f"{dialogue}-00-01", dialogue, "image", "user", text, own)


def lookup(table: Mapping[str, Sequence[float]]) -> Callable[[Sequence[str]], Vectors]:
    return lambda texts: np.array([table[text] for text in texts], dtype=np.float32)


def test_words_fold_case_and_keep_what_an_apostrophe_joins() -> None:
    assert words_of("Don't stop: Anna’s CAT, 84 BPM!") == ["don't", "stop", "anna’s", "cat", "84", "bpm"]


def test_grams_of_a_text_that_is_too_short_are_none() -> None:
    assert grams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert grams(["a"], 2) == []


@pytest.mark.parametrize(
    ("texts", "length", "share"),
    [
        (["a b a b"], 1, 2 / 4),
        (["a b a b"], 2, 2 / 3),  # ab ba ab
        (["a b", "b a"], 2, 1.0),  # no gram runs from one text into the next
        (["A b", "a b."], 2, 1 / 2),
        (["a b c", "b c d", "e"], 1, 5 / 7),
        (["a"], 3, 0.0),
    ],
)
def test_distinct_is_different_grams_over_all(texts: list[str], length: int, share: float) -> None:
    assert distinct(texts, length) == pytest.approx(share)


def test_texts_are_near_from_half_of_their_word_5_grams_on() -> None:
    first = "a b c d e f g h i"
    one_changed = "a b c d e f g h x"  # 4 of 6 grams are common
    two_changed = "a b c d e f g y x"  # 3 of 7 with either
    found = find_near_texts([first, one_changed, two_changed, "h i j k l m"])
    assert found == {(0, 1): pytest.approx(4 / 6)}
    assert find_near_texts([first, two_changed], 0.4) == {(0, 1): pytest.approx(3 / 7)}


def test_short_texts_are_near_where_they_are_the_same() -> None:
    assert find_near_texts(["Red kites", "red kites!", "blue kites"]) == {(0, 1): 1.0}


def test_vectors_are_near_from_a_cosine_on() -> None:
    rows = np.array([[1, 0], [0, 1], [0.95, np.sqrt(1 - 0.95**2)]], dtype=np.float32)
    assert find_near_vectors(rows) == {(0, 2): pytest.approx(0.95)}
    assert find_near_vectors(np.zeros((0, 2), dtype=np.float32)) == {}


def test_both_of_a_pair_have_a_twin() -> None:
    assert share_with_twin({(0, 1): 1.0, (1, 2): 1.0}, 6) == 0.5
    assert share_with_twin({}, 0) == 0.0


def test_others_are_one_turn_of_the_same_role_out_of_each_of_twenty_other_dialogues() -> None:
    names = [f"d{number}" for number in range(30)]
    said: dict[str, dict[str, list[str]]] = {
        name: {"user": [f"{name} one", f"{name} two"], "assistant": [f"{name} answer"]} for name in names
    }
    said["mute"] = {"user": [], "assistant": ["mute answer"]}
    drawn = draw_others(probe("d3"), said)
    owners = [text.split()[0] for text in drawn]
    assert len(set(owners)) == len(drawn) == NUM_OTHERS
    assert "d3" not in owners
    assert all(text.split()[1] in ("one", "two") for text in drawn)
    assert drawn == draw_others(probe("d3"), dict(reversed(said.items())))
    assert drawn != draw_others(probe("d4"), said)


def test_a_description_is_relevant_where_its_own_turn_is_nearest() -> None:
    table = {"lamp": (1.0, 0.0), "of light": (0.8, 0.6), "of bread": (0.6, 0.8), "of rain": (0.0, 1.0)}
    said: dict[str, dict[str, list[str]]] = {
        "a": {"user": ["of light"]},
        "b": {"user": ["of bread"]},
        "c": {"user": ["of rain"]},
    }
    near, far = compare_with_others(
        [probe("a", "lamp", "of light"), probe("b", "lamp", "of bread")], said, lookup(table)
    )
    assert near.own == pytest.approx(0.8)
    assert sorted(near.others) == [pytest.approx(0.0), pytest.approx(0.6)]
    assert near.is_top
    assert far.own == pytest.approx(0.6)
    assert sorted(far.others) == [pytest.approx(0.0), pytest.approx(0.8)]
    assert not far.is_top


def test_a_description_without_others_is_compared_with_nothing() -> None:
    table = {"lamp": (1.0, 0.0), "of light": (0.8, 0.6)}
    assert compare_with_others([probe("a", "lamp", "of light")], {"a": {"user": ["of light"]}}, lookup(table)) == []


def test_words_of_a_turn_leave_descriptions_out() -> None:
    spoken = turn("user", ("text", "Look here."), ("image", "a lamp"), ("speech", "And listen."))
    assert words_said(spoken) == "Look here. And listen."


def test_questions_are_counted_over_the_users_turns_with_words() -> None:
    turns = [
        turn("user", ("text", "Where is it?")),
        turn("assistant", ("text", "Where? Here.")),
        turn("user", ("speech", "Show me.")),
        turn("user", ("image", "a lamp?")),
    ]
    assert share_of_questions(turns) == 0.5
    assert share_of_questions(turns[1:2]) == 0.0


def test_descriptions_are_listed_by_part_with_what_their_turn_says() -> None:
    spoken = turn("user", ("text", "of light"), ("image", "lamp"), ("music", "hum"))
    silent = turn("assistant", ("image", "loaf"))
    other = turn("user", ("speech", "of bread"))
    table = {"lamp": (1.0, 0.0), "hum": (0.0, 1.0), "of light": (0.8, 0.6), "of bread": (0.6, 0.8)}
    found = compare_descriptions({"a": [spoken, silent], "b": [other]}, lookup(table))
    assert [(one.probe.name, one.probe.kind, one.probe.target, one.is_top) for one in found] == [
        ("a-00-01", "image", "user", True),
        ("a-00-02", "music", "user", False),
    ]
    assert [probe.own for probe in list_descriptions({"a": [spoken, silent]})] == ["of light", "of light", ""]


def test_roles_are_subtracted_by_their_mean() -> None:
    table = {"ask": (1.0, 0.0), "ask more": (0.0, 1.0), "give": (0.5, -0.5)}
    turns = [turn("user", ("text", "ask")), turn("assistant", ("text", "give")), turn("user", ("text", "ask more"))]
    found = subtract_roles([*turns, turn("assistant", ("image", "a lamp"))], lookup(table))
    assert found is not None
    np.testing.assert_allclose(found, [0.0, 1.0])
    assert subtract_roles([turns[0], turn("assistant", ("image", "a lamp"))], lookup(table)) is None


def test_roles_are_swapped_where_the_user_is_on_the_assistants_side() -> None:
    known = np.array([[1.0, 0.2], [1.0, -0.2], [-0.1, 0.0]], dtype=np.float32)
    assert find_swapped(np.array([[0.3, 9.0], [-0.3, 9.0]], dtype=np.float32), known) == [False, True]
    # The third lies on the other side of what the first two say; they lie right by each other and it.
    assert rate_swap_proxy(known) == pytest.approx(1 / 3)


def refusal(run: Callable[[], Any]) -> str:
    with pytest.raises(InvalidAnswer) as caught:
        run()
    return name_rule(str(caught.value))


def test_refusals_are_named_by_field_and_rule_alone() -> None:
    layout = TurnLayout(role="user", kinds=(Modality.TEXT,))
    words = "one two three four five six"
    assert refusal(lambda: plain_text("speech", "a *star* shines", 99, 2)) == "the field speech holds markup"
    assert refusal(lambda: plain_text("text", "x " * 90, 160, 2)) == "the field text has too many characters"
    assert refusal(lambda: plain_text("text", "x", 160, 2)) == "the field text has fewer than 2 words"
    assert refusal(lambda: check_overlap("image", words, [words])) == "the field image repeats earlier words"
    assert refusal(lambda: parse_object("{")) == "it is not JSON"
    assert refusal(lambda: parse_turn({"text": "How can I help you?"}, layout)) == (
        "the user speaks as the assistant would"
    )


def tally(t: float, in_flight: int, pid: int = 1) -> TallyLine:
    return TallyLine(t=t, event="tally", pid=pid, state="running", stages={}, calls_in_flight=in_flight)


def test_seconds_count_while_a_call_is_in_flight_and_never_between_runs() -> None:
    lines = [tally(0, 0), tally(10, 2), tally(13, 1), tally(15, 0), tally(40, 3), tally(100, 1, 2), tally(101.5, 0, 2)]
    assert count_busy_seconds(lines) == pytest.approx(3 + 2 + 1.5)
    assert count_busy_seconds([]) == 0.0


def test_share_of_nothing_is_none() -> None:
    assert ratio(0, 0) == 0.0
    assert ratio(1, 4) == 0.25
