"""What is left of records of dialogues that are taken down: what was paid and spent, and no word of what they said."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from pipeline.contracts.storage import Row
from pipeline.values.ids import normalise_text
from pipeline.work.topic_screening import HeldBack, TopicScreen

TAKEN_DOWN = "taken_down"
"""Code of calls whose words are gone: whoever asked the same again would be told so, and pay nothing."""

_PAID = ("key", "record", "input_key", "purpose", "attempt", "held_usd", "usd", "usage", "model")


def belongs_to(record: object, dialogues: Collection[str]) -> bool:
    """Tell whether a record is one of the dialogues, or a part or an asset of one; their ids begin with its id."""
    return isinstance(record, str) and record.partition("-")[0] in dialogues


def redact_entry(dialogues: Collection[str]) -> Callable[[Row], Row | None]:
    """Return what becomes of a journal's entries: those of other dialogues stay, of calls what was spent on them."""

    def redact(entry: Row) -> Row | None:
        if not belongs_to(entry.get("record"), dialogues):
            return entry
        # Without a request's key it is a render or a reading, which says nothing of money.
        return redact_call(entry) if "key" in entry else None

    return redact


def redact_call(entry: Row) -> Row:
    """Return an entry of a call without what was asked and answered."""
    if entry.get("code") == TAKEN_DOWN or (entry["event"] == "intent" and "request" not in entry):
        return entry
    left: Row = {"event": entry["event"], **{name: entry[name] for name in _PAID if name in entry}}
    if entry["event"] == "answer":
        left["event"] = "failure"
    if left["event"] in ("failure", "refused"):
        left |= {"code": TAKEN_DOWN, "message": ""}
    return left


class TopicRedactor:
    """Takes topics out of what the stage of topics has written. All dialogues about them are taken down.

    Args:
        texts: The topics.
        screen: What was decided about topics: those that were held back for being like one of them go, too.
    """

    def __init__(self, texts: Collection[str], screen: TopicScreen) -> None:
        gone = {normalise_text(text) for text in texts}
        likes = {normalise_text(one.text) for one in screen.held_back.values() if normalise_text(one.like) in gone}
        self._gone = (gone | likes) - {""}
        self._screen = screen

    @property
    def screen(self) -> TopicScreen:
        """The decisions, with ids and no words of what is gone."""
        held = {key: self._redact_held(one) for key, one in self._screen.held_back.items()}
        return self._screen.model_copy(update={"held_back": held})

    def redact_row(self, row: Row) -> Row:
        """Return a row of the stage file."""
        topics = [text for text in row["topics"] or () if not self._is_gone(text)]
        return {**row, "topics": topics, "message": None if self._mentions(row["message"]) else row["message"]}

    def redact_entry(self, entry: Row) -> Row | None:
        """Return an entry of the journal: answers without the topics, and no question that shows them."""
        if not self._mentions(json.dumps(entry, ensure_ascii=False)):
            return entry
        return self._redact_answer(entry) if entry["event"] == "answer" else redact_call(entry)

    def _redact_answer(self, entry: Row) -> Row:
        try:
            answer: Any = json.loads(entry["text"])
        except (ValueError, RecursionError):
            return redact_call(entry)
        if not isinstance(answer, dict) or not isinstance(answer.get("topics"), list):
            return redact_call(entry)
        # A blank in its place: the others of the answer count as they did.
        topics = ["" if isinstance(item, str) and self._is_gone(item) else item for item in answer["topics"]]
        if topics == answer["topics"]:
            return entry
        return {**entry, "text": json.dumps({"topics": topics}, ensure_ascii=False)}

    def _redact_held(self, one: HeldBack) -> HeldBack:
        blank = {name: "" for name in ("text", "like") if self._is_gone(getattr(one, name))}
        return one.model_copy(update=blank) if blank else one

    def _is_gone(self, text: str) -> bool:
        return normalise_text(text).strip(" .,;:") in self._gone

    def _mentions(self, text: str | None) -> bool:
        if text is None:
            return False
        said = normalise_text(text.replace("\\", ""))  # quotation marks stand escaped in JSON, and twice so in answers
        return any(one.replace("\\", "") in said for one in self._gone)
