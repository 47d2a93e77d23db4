"""Asking an LLM so that nothing is paid for twice and nothing is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from pipeline.contracts.chat import ChatAnswer, ChatModel, ChatRequest, Message, Usage
from pipeline.contracts.storage import Journal, Row
from pipeline.contracts.watch import Watch
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.ids import canonical_json
from pipeline.values.units import USD
from pipeline.values.writer import Price
from pipeline.work.purse import Purse, bound_cost

T = TypeVar("T")

TRY_AGAIN = frozenset({"bad_answer", "cut_off", "empty"})
"""Failures that another seed may mend; the adapter has retried what another moment may mend."""


FREE = Price(input=0, output=0)
"""Of a model whose price nobody stated; such a model's spend is not told, and no budget is taken for it."""


class Asked(NamedTuple):
    """An answer and what it cost at the prices of the day it was paid."""

    answer: ChatAnswer
    usd: USD


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
    flight when the run was killed, counts as a lost call that cost all that was held for it, and is asked again.

    Attributes:
        prices: By model.
        paid: US dollars that this journal's calls have cost, over all runs, lost ones included.
    """

    chat: ChatModel
    journal: Journal
    watch: Watch
    prices: Mapping[str, Price]
    purse: Purse = field(default_factory=Purse)
    paid: USD = 0.0
    num_lost: int = 0
    _outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _under_way: dict[str, list[USD]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        account = read_account(self.journal)
        self._outcomes = account.outcomes
        if self.chat.outlives_run:
            self._under_way = account.lost
        self.paid, self.num_lost = account.paid, account.num_lost

    async def ask(self, request: ChatRequest) -> Asked:
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
        price = self.prices.get(request.model, FREE)
        held = bound_cost(request, price)
        await self.purse.hold(held)
        spent = held
        try:
            outcome = await self._send(request, key, held)
            spent = outcome.get("usd", 0.0)
        except EndpointError:
            spent = 0.0
            raise
        finally:
            # A call that was cut off in the middle keeps what was held for it: nobody knows what it cost.
            self.purse.settle(held, spent)
            self.paid += spent
        self._outcomes[key] = outcome
        return _replay(outcome)

    async def _send(self, request: ChatRequest, key: str, held: USD) -> dict[str, Any]:
        price = self.prices.get(request.model, FREE)
        about = {"key": key, "record": request.record_id, "purpose": request.purpose, "attempt": request.attempt}
        sent = request.model_dump(mode="json", include={"model", "messages", "temperature", "top_p", "seed"})
        if self._under_way.get(key):
            # Sent by a run before this one, and not lost after all: the answer to come is the one that was asked for.
            self.paid -= self._under_way[key].pop()
            self.num_lost -= 1
        else:
            self.journal.append({"event": "intent", **about, "request": sent, "held_usd": round(held, 8)})
        self.watch.note("call", record=request.record_id, purpose=request.purpose)
        outcome: dict[str, Any]
        try:
            answer = await self.chat.complete(request)
        except EndpointError as exc:
            # Nothing was answered and nothing spent: the question is asked again once the endpoint is mended.
            self.journal.append({"event": "refused", **about, "code": "endpoint", "message": str(exc)})
            self.watch.note("unsent", record=request.record_id, purpose=request.purpose)
            raise
        except ChatFailure as exc:
            usage = Usage.model_validate(dict(exc.usage or {}))
            failed = {"code": exc.code, "message": str(exc), "usage": usage.model_dump(mode="json")}
            outcome = {"event": "failure", **about, **failed, "usd": cost(usage, price)}
        else:
            usage = answer.usage
            outcome = {"event": "answer", **about, **answer.model_dump(mode="json"), "usd": cost(usage, price)}
        self.watch.note("answer", usd=outcome["usd"], tokens=usage.completion_tokens)
        outcome = _storable(outcome)
        self.journal.append(outcome)
        return outcome

    def sum_up(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Facts for a stage's receipt: spend by model, failures by code, calls lost to kills, and what all was paid.

        ``paid`` counts also what the rows no longer rest on, and states the journal's size that it was counted at.
        """
        codes = Counter(row["code"] for row in rows if row["code"])
        paid = {"usd": round(self.paid, 8), "journal_bytes": self.journal.num_bytes()}
        return {"spend": sum_spend(rows), "failures": dict(codes), "num_lost_calls": self.num_lost, "paid": paid}

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
                answer, usd = await self.ask(this)
            except ChatFailure as exc:
                usage = Usage.model_validate(dict(exc.usage or {}))
                spend.add(_spend_of(usage, cost(usage, self.prices.get(request.model, FREE))))
                if exc.code not in TRY_AGAIN:
                    raise
                problem = str(exc)
                continue
            spend.add(_spend_of(answer.usage, usd))
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


def sum_spend(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Add up the columns of :class:`Spend` by model."""
    total: dict[str, dict[str, float]] = {}
    for row in rows:
        columns = total.setdefault(row["model"], {})
        for name in Spend.__dataclass_fields__:
            columns[name] = columns.get(name, 0) + row[name]
    return total


def _spend_of(usage: Usage, usd: USD) -> Spend:
    return Spend(1, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usd)


def _storable(outcome: dict[str, Any]) -> dict[str, Any]:
    """Half a surrogate pair is no text that could be stored, and endpoints do send it."""
    try:
        "".join(value for value in outcome.values() if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        clean: dict[str, Any] = json.loads(canonical_json(outcome).encode("utf-8", "replace"))
        return clean
    return outcome


def _replay(outcome: dict[str, Any]) -> Asked:
    if outcome["event"] == "failure":
        raise ChatFailure(outcome["code"], outcome["message"], outcome["usage"])
    return Asked(ChatAnswer(**{name: outcome[name] for name in ChatAnswer.model_fields}), outcome["usd"])


class Account(NamedTuple):
    """What a journal says of its calls.

    Attributes:
        outcomes: By request key, answers and failures; the latest of a key.
        paid: US dollars over all of them, and all that was held for those that were lost.
        lost: By request key, what was held for calls that were in flight when a run was killed.
    """

    outcomes: dict[str, dict[str, Any]]
    paid: USD
    lost: dict[str, list[USD]]

    @property
    def num_lost(self) -> int:
        """Calls that were in flight when a run was killed."""
        return sum(map(len, self.lost.values()))


_UNTOLD: Row = {"usd": 0.0, "usage": {}}
"""What entries of journals lack that were written before there were budgets."""


def read_account(journal: Journal) -> Account:
    """Add up a journal. What calls cost of which it does not say so is not known, and counts as nothing."""
    outcomes: dict[str, dict[str, Any]] = {}
    held: dict[str, list[USD]] = {}
    paid = 0.0
    for entry in journal.entries():
        key = entry["key"]
        if entry["event"] == "intent":
            held.setdefault(key, []).append(entry.get("held_usd", 0.0))
            continue
        # By count and not by key: a call that was lost stays lost when the same question is answered later.
        if held.get(key):
            held[key].pop()
        if entry["event"] != "refused":
            outcomes[key] = _UNTOLD | entry
            paid += outcomes[key]["usd"]
    lost = {key: amounts for key, amounts in held.items() if amounts}
    return Account(outcomes, paid + sum(map(sum, lost.values())), lost)
