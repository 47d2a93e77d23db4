"""Where a dialogue came from: its calls and renders, read out of the journals of its shard."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.contracts.storage import Journal, Row
from pipeline.values.ids import topic_id


@dataclass
class Call:
    """One request to an LLM and what came of it.

    Attributes:
        request: Model, messages, temperature, top_p and seed, as journalled before the call was sent.
        num_sent: How often it was sent; a second time after a kill that lost the first answer.
        outcome: The journalled answer or failure; None where neither came.
    """

    key: str
    purpose: str
    attempt: int
    request: Row
    num_sent: int = 0
    outcome: Row | None = None

    @property
    def is_answered(self) -> bool:
        """True where an answer came, valid or not."""
        return self.outcome is not None and self.outcome["event"] == "answer"


def read_calls(journal: Journal, record: str) -> list[Call]:
    """Return all calls that a journal knows of a record, in the order of their sending.

    Those of earlier prompts, models or slots are among them: a journal forgets nothing.
    """
    calls: dict[str, Call] = {}
    for entry in journal.entries():
        if entry.get("record") != record or "key" not in entry:
            continue
        key = str(entry["key"])
        call = calls.setdefault(key, Call(key, str(entry["purpose"]), int(entry["attempt"]), {}))
        if entry["event"] == "intent":
            call.request = dict(entry.get("request", {}))  # none where a takedown has blanked it
            call.num_sent += 1
        else:
            call.outcome = entry
    return list(calls.values())


def find_topic_call(journal: Journal, meta_topic: str, topic: str) -> Call | None:
    """Return the call whose answer lists a topic first, or None: people write topics, too.

    Args:
        journal: That of the topics stage.
        meta_topic: Id of the meta-topic that the topic is said to come from.
        topic: Id of the topic.
    """
    for call in read_calls(journal, meta_topic):
        if call.is_answered and call.outcome is not None and topic in _topic_ids(str(call.outcome["text"])):
            return call
    return None


def read_renders(journal: Journal, parts: Collection[str]) -> dict[str, list[Row]]:
    """Return the entries of a render journal for some parts, by part id, oldest first."""
    found: dict[str, list[Row]] = {}
    for entry in journal.entries():
        if entry.get("record") in parts:
            found.setdefault(entry["record"], []).append(entry)
    return found


def _topic_ids(answer: str) -> set[str]:
    try:
        listed = json.loads(answer)["topics"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return set()
    texts = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    return {topic_id(" ".join(text.split()).rstrip(".")) for text in texts}
