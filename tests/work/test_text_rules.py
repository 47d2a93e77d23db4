"""Shapes of instruction data, and the rules by which dialogues are fit to be spoken."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.values.texts import RULES, NotTaken, Rule, TextRules
from pipeline.work.text_rules import Fitness, judge
from pipeline.work.text_shapes import read_shape
from tests.support.instruction_data import BROKEN_ANSWERS, SHAPES, messages, sharegpt, talk

ENGLISH = Fitness(TextRules(), (1, 3), "en")
ASKED = "How do I keep bread fresh for a week?"
TOLD = "Wrap it in a cloth and keep it away from the sun, in a box that lets some air through."


def rule_of(value: Any, fitness: Fitness = ENGLISH) -> Rule | None:
    try:
        judge(read_shape(value), fitness)
    except NotTaken as exc:
        assert str(exc)
        return exc.rule
    return None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_all_shapes_come_to_the_same_turns(shape: Any, rounds: int) -> None:
    turns = talk(7, rounds)
    assert judge(read_shape(shape(turns)), ENGLISH) == tuple(words for _, words in turns)


def test_shapes_are_told_row_by_row() -> None:
    assert [read_shape(shape(talk(1))).shape for shape in SHAPES] == ["alpaca", "sharegpt", "messages"]
    mixed = {"instruction": None, "messages": messages(talk(1))["messages"], "conversations": None}
    assert read_shape(mixed).shape == "messages"
    wide = [{"from": None, "value": None, "role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]
    assert read_shape({"messages": wide}).turns == (("user", ASKED), ("assistant", TOLD))


def test_input_and_parts_of_text_are_words() -> None:
    row = {"instruction": "Say it kindly.", "input": "You are late.", "output": TOLD}
    assert read_shape(row).turns[0] == ("user", "Say it kindly.\nYou are late.")
    parts = [{"type": "text", "text": ASKED}, {"type": "text", "text": "It is rye."}]
    assert read_shape(messages([("user", ASKED)]) | {"messages": [{"role": "user", "content": parts}]}).turns == (
        ("user", f"{ASKED}\nIt is rye."),
    )


def test_system_messages_are_dropped_or_rejected() -> None:
    row = messages([("system", "Be kind."), *talk(1)])
    assert rule_of(row) is None
    assert read_shape(row).has_system
    assert read_shape({"system": "Be kind.", "instruction": ASKED, "output": TOLD}).has_system
    assert rule_of(row, Fitness(TextRules(system="reject"), (1, 3), "en")) is Rule.SYSTEM


@pytest.mark.parametrize("rule", list(BROKEN_ANSWERS))
def test_answers_break_their_rule_and_no_earlier_one(rule: Rule) -> None:
    assert rule_of(sharegpt([("user", ASKED), ("assistant", BROKEN_ANSWERS[rule].format(7))])) is rule


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ([1], Rule.UNKNOWN_SHAPE),
        ({}, Rule.UNKNOWN_SHAPE),
        ({"instruction": 3, "output": "x"}, Rule.UNKNOWN_SHAPE),
        ({"messages": ["a"]}, Rule.UNKNOWN_SHAPE),
        ({"messages": [{"role": "narrator", "content": "a"}]}, Rule.UNKNOWN_SHAPE),
        ({"messages": [{"content": "a"}]}, Rule.UNKNOWN_SHAPE),
        ({"instruction": ASKED, "output": TOLD, "history": [["a"]]}, Rule.UNKNOWN_SHAPE),
        ({"messages": []}, Rule.ROLES),
        ({"instruction": ASKED, "output": None}, Rule.EMPTY),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, Rule.NOT_WORDS),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]}, Rule.NOT_WORDS),
        ({"messages": [{"role": "user", "content": "a"}] * 65}, Rule.ROUNDS),
        (messages([("user", ASKED), ("user", ASKED)]), Rule.ROLES),
        (messages([("user", "Hello"), ("assistant", "Write to ann.smith@example.org about it.")]), Rule.LINK),
        (messages([("user", "Hello"), ("assistant", "The area is \\frac{a}{b} of it.")]), Rule.FORMULA),
        (messages([("user", "Hello"), ("assistant", "(laughs heartily for a while)")]), Rule.UNSPEAKABLE),
        (messages([("user", "Hello"), ("assistant", "```\nprint\n```")]), Rule.CODE),
        (messages([("user", "Wie geht es dir heute nach der langen Reise?"), ("assistant", TOLD)]), Rule.LANGUAGE),
    ],
)
def test_other_rows_break_their_rule(value: Any, rule: Rule) -> None:
    assert rule_of(value) is rule


@pytest.mark.parametrize(
    "told",
    [
        "It opens at 7:30 and closes at 10:45, from Monday to Friday.",
        "That would be about $20 (or 18 euros), give or take 5 %.",
        "Well - I'd say it's fine... isn't it? \"Yes\", said Dr. Smith; 'no' said the rest.",
        "In 1969, Apollo 11 landed; Armstrong stepped out first.",
    ],
)
def test_plain_prose_is_fit(told: str) -> None:
    assert rule_of(sharegpt([("user", ASKED), ("assistant", told)])) is None


def test_words_are_bounded_by_the_manifest() -> None:
    row = messages([("user", "Hello there"), ("assistant", "Good morning to you")])
    assert rule_of(row, Fitness(TextRules(words=(2, 4)), (1, 1), "en")) is None
    assert rule_of(row, Fitness(TextRules(words=(3, 9)), (1, 1), "en")) is Rule.TOO_SHORT
    assert rule_of(row, Fitness(TextRules(words=(1, 3)), (1, 1), "en")) is Rule.TOO_LONG


def test_language_is_the_corpus_s() -> None:
    row = messages(
        [("user", "パンを一週間保つにはどうすればいいですか。"), ("assistant", "布に包んで置いてください。")]
    )
    assert rule_of(row) is Rule.LANGUAGE
    assert rule_of(row, Fitness(TextRules(), (1, 3), "ja")) is None


def test_every_rule_says_why() -> None:
    assert set(RULES) == set(Rule)
