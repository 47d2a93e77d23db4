"""Calling a remote renderer so that no media are paid for twice and none are lost; ``asking`` does so for words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.contracts.chat import Usage
from pipeline.contracts.remote import MediaAnswer, RemoteRenderer
from pipeline.contracts.render import Brief
from pipeline.contracts.storage import Journal, Row
from pipeline.contracts.watch import Watch
from pipeline.values.errors import ChatFailure, EndpointError, MediaFailure
from pipeline.values.ids import canonical_json, content_key
from pipeline.values.units import USD
from pipeline.work.asking import Spend, read_account
from pipeline.work.purse import Purse

FETCHED = "fetched"
"""Event of bytes that came from an address; journalled beside the answer that named it, under a key of their own."""

_STATED = ("model", "notes", "url", "latency")


def calls_journal(stage: str) -> str:
    """Return the name of the journal that a render stage's calls stand in, beside that of its renders."""
    return f"{stage}-calls"


class Called(NamedTuple):
    """Media as they came, what is known of them, and what they cost."""

    data: bytes
    model: str
    notes: Mapping[str, Any]
    spend: Spend


class CallFailed(Exception):
    """A call came to nothing.

    Attributes:
        spend: What it cost all the same.
    """

    def __init__(self, code: str, message: str, spend: Spend) -> None:
        super().__init__(message)
        self.code = code
        self.spend = spend


@dataclass
class MediaCaller:
    """A remote renderer behind a journal: the intent before the call, the bytes the moment they are there.

    A call whose outcome is journalled is answered from the journal. One whose intent alone is there was in flight when
    the run was killed: it counts as spent and is made again.

    Attributes:
        journal: Of the calls of one stage in one shard.
        purse: What this process may spend.
    """

    renderer: RemoteRenderer
    journal: Journal
    watch: Watch
    purse: Purse
    _outcomes: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._outcomes = read_account(self.journal).outcomes

    async def call(self, brief: Brief, input_key: str) -> Called:
        """Return a brief's media, from the journal or from the endpoint.

        Args:
            input_key: Of the row that the brief is rendered for.

        Raises:
            CallFailed: this call came to nothing; journalled as such.
            EndpointError: no call can succeed.
            Drained: the run is ending and the call was not sent.
        """
        about = _about(brief, input_key)
        outcome = self._outcomes.get(about["key"])
        if outcome is not None and outcome["event"] == "failure":
            raise _failed(outcome)
        if outcome is not None:
            data = self._stored(outcome)
            if data is None and outcome["url"] is not None:
                # Addresses expire; the picture behind one that still holds is paid for.
                with suppress(ChatFailure):
                    data = await self._fetch(about, outcome["url"])
            if data is not None:
                return _called(outcome, data)
        self.watch.check()
        return await self._pay(brief, about)

    def _stored(self, outcome: Row) -> bytes | None:
        for entry in (outcome, self._outcomes.get(_fetched_key(outcome["key"]))):
            if entry is not None and "blob" in entry:
                return self.journal.blob(entry)
        return None

    async def _pay(self, brief: Brief, about: Row) -> Called:
        held = self.renderer.bound(brief)
        await self.purse.hold(held)
        spent = held
        try:
            outcome, data = await self._send(brief, about, held)
            spent = outcome["usd"]
        except EndpointError:
            spent = 0.0
            raise
        finally:
            # A call that was cut off in the middle keeps what was held for it: nobody knows what it cost.
            self.purse.settle(held, spent)
        if outcome["event"] == "failure":
            raise _failed(outcome)
        if data is None:
            try:
                data = await self._fetch(about, outcome["url"])
            except ChatFailure as exc:
                raise CallFailed(exc.code, str(exc), _spend_of(outcome)) from exc
        return _called(outcome, data)

    async def _send(self, brief: Brief, about: Row, held: USD) -> tuple[Row, bytes | None]:
        request = dict(self.renderer.describe(brief))
        self.journal.append(_storable({"event": "intent", **about, "request": request, "held_usd": round(held, 8)}))
        self.watch.note("call", record=brief.id, purpose=str(brief.modality))
        data = None
        try:
            answer = await self.renderer.call(brief)
        except EndpointError as exc:
            # Nothing was answered and nothing spent: the call is made again once the endpoint is mended.
            self.journal.append(_storable({"event": "refused", **about, "code": "endpoint", "message": str(exc)}))
            self.watch.note("unsent", record=brief.id, purpose=str(brief.modality))
            raise
        except ChatFailure as exc:
            usd = exc.usd if isinstance(exc, MediaFailure) else 0.0
            failed = {"code": exc.code, "message": str(exc), "model": self.renderer.model, "usd": usd}
            outcome: Row = {"event": "failure", **about, **failed, "usage": _dump(Usage())}
        else:
            data = answer.data
            outcome = {"event": "answer", **about, **_state(answer)}
        self.watch.note("answer", usd=outcome["usd"], tokens=outcome["usage"]["completion_tokens"])
        outcome = _storable(outcome)
        # The bytes go first and through to the system, so a kill from here on loses nothing that was paid for.
        self.journal.append(outcome, data)
        return outcome, data

    async def _fetch(self, about: Row, url: str) -> bytes:
        data = await self.renderer.fetch(url)
        self.journal.append({"event": FETCHED, **about, "key": _fetched_key(about["key"]), "usd": 0.0}, data)
        return data


def _fetched_key(key: str) -> str:
    return f"{key}/{FETCHED}"


def _about(brief: Brief, input_key: str) -> Row:
    """What every entry of a call states; equal keys stand for one call."""
    key = content_key("media", brief.id, brief.attempt, input_key)
    purpose = str(brief.modality)
    return {"key": key, "record": brief.id, "input_key": input_key, "purpose": purpose, "attempt": brief.attempt}


def _state(answer: MediaAnswer) -> Row:
    stated = {name: getattr(answer, name) for name in _STATED}
    return {**stated, "notes": dict(answer.notes), "usage": _dump(answer.usage), "usd": answer.usd}


def _dump(usage: Usage) -> Row:
    return usage.model_dump(mode="json")


def _storable(entry: Row) -> Row:
    """Half a surrogate pair is no text that could be stored, and endpoints do send it, at any depth."""
    stored: Row = json.loads(canonical_json(entry).encode("utf-8", "replace"))
    return stored


def _spend_of(outcome: Row) -> Spend:
    usage = outcome["usage"]
    return Spend(1, usage["prompt_tokens"], usage["cached_tokens"], usage["completion_tokens"], outcome["usd"])


def _called(outcome: Row, data: bytes) -> Called:
    return Called(data, outcome["model"], outcome["notes"], _spend_of(outcome))


def _failed(outcome: Row) -> CallFailed:
    return CallFailed(outcome["code"], outcome["message"], _spend_of(outcome))
