"""Asking an LLM so that nothing is paid for twice and nothing is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipeline.contracts.chat import ChatAnswer, ChatModel, ChatRequest, Message, Usage
from pipeline.contracts.storage import Journal, Row
from pipeline.contracts.watch import Watch
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.ids import canonical_json
from pipeline.values.manifest import Price

T = TypeVar("T")

TRY_AGAIN = frozenset({"cut_off"})
"""Failures that another seed may mend; the adapter has retried what another moment may mend."""


class InvalidAnswer(Exception):
    """An answer that does not fit what was asked; the text tells the model what to mend."""


@dataclass
class Spend:
    """What a record or a stage has cost."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    invalid_answers: int = 0

    def add(self, other: Spend) -> None:
        """Sum up."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def cost(usage: Usage, price: Price) -> float:
    """US dollars of one call; cached tokens at their own price where there is one."""
    cached_price = price.input if price.cached_input is None else price.cached_input
    fresh = usage.prompt_tokens - usage.cached_tokens
    return (fresh * price.input + usage.cached_tokens * cached_price + usage.completion_tokens * price.output) / 1e6


@dataclass
class Asker:
    """A chat model behind a journal: the intent before the call, the outcome the moment it is there.

    A request whose outcome is journalled is answered from the journal; one whose intent alone is journalled was in
    flight when the run was killed, counts as a lost call, and is asked again.
    """

    chat: ChatModel
    journal: Journal
    watch: Watch
    price: Price
    _outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    num_lost: int = 0

    def __post_init__(self) -> None:
        sent: Counter[str] = Counter()
        came: Counter[str] = Counter()
        for entry in self.journal.entries():
            if entry["event"] == "intent":
                sent[entry["key"]] += 1
            else:
                came[entry["key"]] += 1
                if entry["event"] != "refused":
                    self._outcomes[entry["key"]] = entry
        # By count and not by key: a call that was lost stays lost when the same question is answered later.
        self.num_lost = (sent - came).total()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Answer from the journal or the model.

        Raises:
            ChatFailure: this call came to nothing; journalled as such.
            EndpointError: no call can succeed.
            Drained: the run is ending and the call was not sent.
        """
        key = request.key()
        if key in self._outcomes:
            return _replay(self._outcomes[key])
        self.watch.check()
        about = {"key": key, "record": request.record_id, "purpose": request.purpose, "attempt": request.attempt}
        sent = request.model_dump(mode="json", include={"model", "messages", "temperature", "top_p", "seed"})
        self.journal.append({"event": "intent", **about, "request": sent})
        self.watch.note("call", record=request.record_id, purpose=request.purpose)
        outcome: dict[str, Any]
        try:
            answer = await self.chat.complete(request)
        except EndpointError as exc:
            # Nothing was answered and nothing spent: the question is asked again once the endpoint is mended.
            self.journal.append({"event": "refused", **about, "code": "endpoint", "message": str(exc)})
            raise
        except ChatFailure as exc:
            outcome = {"event": "failure", **about, "code": exc.code, "message": str(exc)}
            self.watch.note("answer", usd=0.0, tokens=0)
        else:
            outcome = {"event": "answer", **about, **answer.model_dump(mode="json")}
            self.watch.note("answer", usd=cost(answer.usage, self.price), tokens=answer.usage.completion_tokens)
        # Half a surrogate pair is no text that could be stored, and endpoints do send it.
        outcome = json.loads(canonical_json(outcome).encode("utf-8", "replace"))
        self.journal.append(outcome)
        self._outcomes[key] = outcome
        return _replay(outcome)

    def sum_up(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Facts for a stage's receipt: spend by model, failures by code, calls lost to kills."""
        codes = Counter(row["code"] for row in rows if row["code"])
        return {"spend": _sum_spend(rows), "failures": dict(codes), "num_lost_calls": self.num_lost}

    async def ask_until_valid(
        self,
        request: ChatRequest,
        parse: Callable[[str], T],
        max_tries: int,
        spend: Spend,
        retry_text: Callable[[str], str] | None = None,
    ) -> T:
        """Ask until ``parse`` accepts the answer, each time with the next seed.

        Args:
            request: The first attempt.
            parse: Turns the raw answer into a value or raises InvalidAnswer.
            max_tries: Answers asked for at most.
            spend: Is added to with every answer, valid or not.
            retry_text: Words the problem for the model, which then sees its answer and the problem; None asks afresh,
                since small models repeat the mistake that they are shown.

        Raises:
            ChatFailure: the call failed, or no answer was valid (``invalid_answer``).
        """
        problem, messages = "", request.messages
        for attempt in range(max_tries):
            this = request.model_copy(update={"attempt": attempt, "seed": request.seed + attempt, "messages": messages})
            try:
                answer = await self.ask(this)
            except ChatFailure as exc:
                spend.calls += 1
                if exc.code not in TRY_AGAIN:
                    raise
                problem = str(exc)
                continue
            spend.add(_spend_of(answer, self.price))
            try:
                return parse(answer.text)
            except InvalidAnswer as exc:
                problem = str(exc)
                spend.invalid_answers += 1
            if retry_text is not None:
                shown = Message(role="assistant", content=answer.text)
                asked = Message(role="user", content=retry_text(problem))
                messages = (*request.messages, shown, asked)
        raise ChatFailure("invalid_answer", f"no valid answer in {max_tries} tries; the last: {problem}")


def _sum_spend(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    total: dict[str, dict[str, float]] = {}
    for row in rows:
        columns = total.setdefault(row["model"], {})
        for name in Spend.__dataclass_fields__:
            columns[name] = columns.get(name, 0) + row[name]
    return total


def _spend_of(answer: ChatAnswer, price: Price) -> Spend:
    usage = answer.usage
    return Spend(1, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, cost(usage, price))


def _replay(outcome: dict[str, Any]) -> ChatAnswer:
    if outcome["event"] == "failure":
        raise ChatFailure(outcome["code"], outcome["message"])
    return ChatAnswer(**{name: outcome[name] for name in ChatAnswer.model_fields})
