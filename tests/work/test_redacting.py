from __future__ import annotations

import json

from pipeline.work.redacting import TAKEN_DOWN, TopicRedactor, redact_entry
from pipeline.work.topic_screening import HeldBack, TopicScreen

NAME, OTHER = "0123456789abcdef", "fedcba9876543210"


def test_of_calls_what_was_spent_stays_and_of_the_rest_nothing() -> None:
    redact = redact_entry({NAME})
    answer = {
        "event": "answer",
        "key": "k",
        "record": NAME,
        "text": "marker",
        "usd": 0.5,
        "usage": {"prompt_tokens": 3},
    }
    intent = {"event": "intent", "key": "k", "record": f"{NAME}-00-01", "request": {"text": "marker"}, "held_usd": 0.7}
    kept = {"event": "failure", "key": "k", "record": NAME, "usd": 0.5, "usage": {"prompt_tokens": 3}}
    assert redact(answer) == {**kept, "code": TAKEN_DOWN, "message": ""}
    assert redact(intent) == {"event": "intent", "key": "k", "record": f"{NAME}-00-01", "held_usd": 0.7}
    assert redact({"event": "render", "record": f"{NAME}-00-01", "notes": {"text": "marker"}}) is None
    other = {**answer, "record": OTHER}
    assert redact(other) is other
    again = redact(answer)
    assert again is not None
    assert redact(again) is again


def test_a_topic_goes_out_of_answers_and_those_that_contain_it_stay() -> None:
    screen = TopicScreen(
        admitted=("a",),
        held_back={"b": HeldBack(text="red kites!", like="Red Kites", score=0.9)},
    )
    redactor = TopicRedactor({"Red kites"}, screen)
    row = {
        "topics": ["red kites", "Red kites in winter", "red kites!", "bread"],
        "message": "'red kites' stands already",
    }
    assert redactor.redact_row(row) == {"topics": ["Red kites in winter", "bread"], "message": None}
    text = json.dumps({"topics": ["Red kites.", "Red kites in winter"]})
    answer = {"event": "answer", "key": "k", "record": "nature", "text": text, "usd": 1.0}
    redacted = redactor.redact_entry(answer)
    assert redacted is not None
    assert json.loads(redacted["text"]) == {"topics": ["", "Red kites in winter"]}
    assert redactor.redact_entry(redacted) is redacted
    intent = {"event": "intent", "key": "k", "record": "nature", "request": "not red kites", "held_usd": 1.0}
    assert "request" not in (redactor.redact_entry(intent) or {})
    held = redactor.screen.held_back["b"]
    assert (held.text, held.like) == ("", "")
    assert redactor.screen.admitted == ("a",)
