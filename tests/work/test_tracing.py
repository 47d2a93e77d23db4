from __future__ import annotations

import json
from pathlib import Path

from pipeline.adapters.journal import FileJournal
from pipeline.contracts.storage import Row
from pipeline.values.ids import topic_id
from pipeline.work.tracing import find_topic_call, read_calls, read_renders


def call(key: str, record: str, purpose: str, attempt: int = 0) -> Row:
    return {
        "event": "intent",
        "key": key,
        "record": record,
        "purpose": purpose,
        "attempt": attempt,
        "request": {"seed": 1},
    }


def answer(key: str, record: str, purpose: str, text: str) -> Row:
    return {"event": "answer", "key": key, "record": record, "purpose": purpose, "attempt": 0, "text": text}


def test_calls_come_in_the_order_of_sending_with_what_came_of_them(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, "dialogues", 1)
    journal.append(call("a", "r", "turn-01"))
    journal.append(call("x", "other", "turn-01"))
    journal.append(call("b", "r", "turn-02"))
    journal.append(answer("b", "r", "turn-02", "two"))
    journal.append({**call("a", "r", "turn-01"), "event": "failure", "code": "timeout", "message": "too slow"})
    later = FileJournal(tmp_path, "dialogues", 2)
    later.append(call("c", "r", "turn-02", 1))
    later.append(call("c", "r", "turn-02", 1))
    calls = read_calls(later, "r")
    assert [(c.key, c.num_sent, c.is_answered) for c in calls] == [("a", 1, False), ("b", 1, True), ("c", 2, False)]
    assert calls[0].outcome is not None
    assert calls[0].outcome["code"] == "timeout"
    assert calls[2].outcome is None
    assert calls[2].request == {"seed": 1}


def test_topic_is_traced_to_the_call_that_listed_it(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, "topics", 1)
    answers = [
        "no JSON",
        '["a list"]',
        json.dumps({"topics": ["Red  kites.", 7]}),
        json.dumps({"topics": ["red kites"]}),
    ]
    for number, text in enumerate(answers):
        journal.append(call(str(number), "beaches", f"topics-{number:05d}"))
        journal.append(answer(str(number), "beaches", f"topics-{number:05d}", text))
    found = find_topic_call(journal, "beaches", topic_id("red kites"))
    assert found is not None
    assert found.key == "2"
    assert find_topic_call(journal, "beaches", topic_id("blue kites")) is None
    assert find_topic_call(journal, "markets", topic_id("red kites")) is None


def test_renders_are_sorted_to_their_parts(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, "image", 1)
    journal.append({"event": "failure", "record": "p-00-00", "attempt": 0, "code": "blank"})
    journal.append({"event": "render", "record": "p-00-00", "attempt": 1}, b"data")
    journal.append({"event": "render", "record": "q-00-00", "attempt": 0}, b"data")
    found = read_renders(journal, {"p-00-00", "p-01-00"})
    assert [entry["attempt"] for entry in found["p-00-00"]] == [0, 1]
    assert found.keys() == {"p-00-00"}
