"""Answers of any shape: read, or refused in words that the model can act on, and never anything else."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.adapters.audits.judge.judging import parse_verdicts
from pipeline.values.records import Modality, TurnLayout
from pipeline.work.answers import field_names, parse_object, parse_turn, plain_text
from pipeline.work.asking import InvalidAnswer
from pipeline.work.topics import parse_topics

LAYOUT = TurnLayout(role="assistant", kinds=(Modality.TEXT, Modality.SPEECH, Modality.IMAGE, Modality.MUSIC))

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "80")),
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
)

WORDS = st.sampled_from(
    ["Here is a quiet tune for you.", "a small red kite over wide yellow dunes", "{{ 7 * 7 }}", "<script>x</script>",
     "\x1b[2J gone", "\u202eevil words here", "\ud800 half a pair", "a\0b c d e", "../../etc/passwd", "x" * 100_000, "",
     "1" * 500, "[bold]loud[/bold] words", "$1,000,000,000,000,000 and 10^400 %", "a " * 5000]
)  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@fuzzed
@given(st.text(max_size=80) | ANY_JSON.map(json.dumps))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example('{"a": ' + "9" * 5000 + "}")
@example('{"a": NaN, "b": Infinity}')
def test_any_text_is_an_object_or_an_invalid_answer(text: str) -> None:
    try:
        assert isinstance(parse_object(text), dict)
    except InvalidAnswer as exc:
        assert len(str(exc)) < 500


@fuzzed
@given(st.fixed_dictionaries({name: ANY_JSON for name in field_names(LAYOUT)}) | ANY_JSON)
def test_any_value_is_a_turn_or_an_invalid_answer(value: Any) -> None:
    try:
        turn = parse_turn(value, LAYOUT)
    except InvalidAnswer as exc:
        assert len(str(exc)) < 1000
    else:
        for part in turn.parts:
            assert all(c.isprintable() for c in part.text)
            assert len(part.text) < 1000
            part.model_dump_json().encode()


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\x1b[31m", "\x07", "\ud800", "\x9b2J", "<b>", "{{ x }}", "{%"])
def test_no_field_holds_what_changes_how_others_are_shown_or_read(sign: str) -> None:
    with pytest.raises(InvalidAnswer, match="markup"):
        plain_text("text", f"Here is a quiet tune {sign} for you.", 300, 2)


@fuzzed
@given((ANY_JSON | st.lists(WORDS)).map(lambda value: json.dumps({"topics": value})))
def test_any_answer_is_topics_or_an_invalid_answer(text: str) -> None:
    try:
        topics = parse_topics(text, 3, set())
    except InvalidAnswer:
        return
    assert all(topic.isprintable() and len(topic) <= 200 for topic in topics)


@fuzzed
@given(
    ANY_JSON.map(json.dumps)
    | st.dictionaries(
        st.sampled_from(["a", "b"]), st.fixed_dictionaries({"reason": WORDS, "score": ANY_JSON}), max_size=2
    ).map(json.dumps)
)
@example("[" * 100_000)
@example('{"a": {"reason": "x", "score": ' + "9" * 5000 + "}}")
def test_any_answer_of_a_judge_is_verdicts_or_an_error_that_says_what_to_mend(text: str) -> None:
    try:
        found = parse_verdicts(text, ["a"])
    except ValueError as exc:
        assert 0 < len(str(exc)) < 500
    else:
        assert 1 <= found["a"].score <= 5
