"""Asking an LLM: nothing is paid for twice, nothing is lost, and what was lost is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.journal import FileJournal
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Message, Usage
from pipeline.contracts.storage import Row
from pipeline.contracts.watch import Drained
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.writer import Price
from pipeline.work.asking import Asked, Asker, InvalidAnswer, Spend, cost
from pipeline.work.purse import Purse, bound_cost
from tests.support.stages import USAGE, Notes, ScriptedChat, answer, refusal, request
from tests.support.virtual_time import run_at_once

PRICE = Price(input=2, cached_input=0.5, output=10)
USD = (600 * 2 + 400 * 0.5 + 100 * 10) / 1e6  # of one call by tests.support.stages.USAGE


def asker(folder: Path, chat: ScriptedChat, watch: Notes | None = None, epoch: int = 1) -> Asker:
    return Asker(chat, FileJournal(folder, "scenarios", epoch), watch or Notes(), {"made-up": PRICE})


def say(one: Asker, asked: ChatRequest) -> str:
    return asyncio.run(one.ask(asked)).answer.text


def journalled(folder: Path) -> list[dict[str, Any]]:
    return list(FileJournal(folder, "scenarios", 0).entries())


def parse(text: str) -> int:
    """Accept whole numbers."""
    try:
        return int(text)
    except ValueError as exc:
        raise InvalidAnswer(f"{text!r} is no number") from exc


def until_valid(
    one: Asker, spend: Spend | None = None, max_tries: int = 3, retry_text: Callable[[str], str] | None = None
) -> int:
    return asyncio.run(one.ask_until_valid(request(), parse, max_tries, spend or Spend(), retry_text))


def test_the_intent_is_journalled_before_the_call_and_the_answer_after(tmp_path: Path) -> None:
    def script(asked: object) -> str:
        assert [entry["event"] for entry in journalled(tmp_path)] == ["intent"]
        return "an answer"

    one = asker(tmp_path, ScriptedChat(script))
    asked = asyncio.run(one.ask(request()))
    assert asked == Asked(answer("an answer"), cost(USAGE, PRICE))
    intent, outcome = journalled(tmp_path)
    about = {"key": request().key(), "record": "r", "purpose": "scenario", "attempt": 0}
    assert intent == {
        "event": "intent",
        **about,
        "request": {
            "model": "made-up",
            "messages": [{"role": "user", "content": "Write about r."}],
            "temperature": 0.8,
            "top_p": 0.95,
            "seed": 100,
        },
        "held_usd": pytest.approx(bound_cost(request(), PRICE), abs=1e-8),
    }
    paid = {"usd": pytest.approx(USD)}
    assert outcome == {"event": "answer", **about, **answer("an answer").model_dump(mode="json"), **paid}


def test_a_journalled_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    chat = ScriptedChat(["first", "never said"])
    first = asker(tmp_path, chat)
    assert say(first, request()) == "first"
    assert say(first, request()) == "first"
    later = asker(tmp_path, chat, epoch=2)
    assert asyncio.run(later.ask(request())) == Asked(answer("first"), cost(USAGE, PRICE))
    assert len(chat.requests) == 1
    assert later.num_lost == 0
    assert not (tmp_path / "scenarios-e00002.jsonl").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"record_id": "s"},
        {"purpose": "dialogue"},
        {"attempt": 1},
        {"model": "another"},
        {"messages": (Message(role="user", content="else"),)},
        {"json_schema": {"type": "string"}},
        {"temperature": 0.7},
        {"top_p": 0.9},
        {"repeat_penalty": 1.1},
        {"max_tokens": 9},
        {"seed": 101},
    ],
)
def test_whatever_differs_in_a_request_makes_it_another_one(tmp_path: Path, change: dict[str, Any]) -> None:
    chat = ScriptedChat(["first", "second"])
    one = asker(tmp_path, chat)
    asyncio.run(one.ask(request()))
    assert say(one, request().model_copy(update=change)) == "second"


def test_an_intent_without_outcome_counts_as_a_lost_call_for_good(tmp_path: Path) -> None:
    async def killed() -> None:
        never = asyncio.Event()

        class Silent(ScriptedChat):
            async def complete(self, asked: object) -> ChatAnswer:
                await never.wait()
                raise AssertionError

        asking = asyncio.create_task(asker(tmp_path, Silent([])).ask(request()))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(killed())
    second = asker(tmp_path, ScriptedChat(["at last"]), epoch=2)
    assert second.num_lost == 1
    assert say(second, request()) == "at last"
    # The answer that came does not make the call that was lost unspent.
    third = asker(tmp_path, ScriptedChat([]), epoch=3)
    assert third.num_lost == 1
    assert third.sum_up([])["num_lost_calls"] == 1
    assert say(third, request()) == "at last"


def test_failures_are_journalled_and_replayed(tmp_path: Path) -> None:
    chat = ScriptedChat([refusal("content_filter")])
    for epoch in (1, 2):
        with pytest.raises(ChatFailure, match="the call was content_filter") as caught:
            asyncio.run(asker(tmp_path, chat, epoch=epoch).ask(request()))
        assert caught.value.code == "content_filter"
    assert len(chat.requests) == 1
    assert [entry["event"] for entry in journalled(tmp_path)] == ["intent", "failure"]
    assert journalled(tmp_path)[1]["code"] == "content_filter"


def test_an_endpoint_that_refuses_everything_is_no_outcome_of_a_record(tmp_path: Path) -> None:
    chat = ScriptedChat([EndpointError("the key is wrong"), "now it works"])
    with pytest.raises(EndpointError, match="key is wrong"):
        asyncio.run(asker(tmp_path, chat).ask(request()))
    assert [entry["event"] for entry in journalled(tmp_path)] == ["intent", "refused"]
    again = asker(tmp_path, chat, epoch=2)
    assert again.num_lost == 0
    assert say(again, request()) == "now it works"


def test_a_draining_run_stops_before_the_call_and_still_replays(tmp_path: Path) -> None:
    chat, watch = ScriptedChat(["first"]), Notes()
    one = asker(tmp_path, chat, watch)
    asyncio.run(one.ask(request()))
    watch.is_draining = True
    assert say(one, request()) == "first"
    with pytest.raises(Drained):
        asyncio.run(one.ask(request("other")))
    assert len(chat.requests) == 1
    assert len(journalled(tmp_path)) == 2  # not even an intent


def test_a_call_is_told_before_and_an_answer_with_its_cost(tmp_path: Path) -> None:
    watch = Notes()
    one = asker(tmp_path, ScriptedChat(["first", refusal()]), watch)
    asyncio.run(one.ask(request()))
    with pytest.raises(ChatFailure):
        asyncio.run(one.ask(request("other")))
    asyncio.run(one.ask(request()))
    assert watch.of("call") == [{"record": "r", "purpose": "scenario"}, {"record": "other", "purpose": "scenario"}]
    assert watch.of("answer") == [{"usd": pytest.approx(USD), "tokens": 100}, {"usd": 0.0, "tokens": 0}]


def test_text_that_cannot_be_stored_is_mended_before_anybody_sees_it(tmp_path: Path) -> None:
    """Half a surrogate pair comes out of endpoints that cut an emoji in two."""
    one = asker(tmp_path, ScriptedChat(["a kite \ud83d flies", ChatFailure("refused", "no \udc00 no")]))
    first = asyncio.run(one.ask(request()))
    assert first.answer.text == "a kite ? flies"
    with pytest.raises(ChatFailure, match=r"no \? no"):
        asyncio.run(one.ask(request("other")))
    assert asyncio.run(asker(tmp_path, ScriptedChat([]), epoch=2).ask(request())) == first
    first.answer.text.encode()


def test_a_damaged_line_costs_one_call(tmp_path: Path) -> None:
    one = asker(tmp_path, ScriptedChat(["first", "second"]))
    asyncio.run(one.ask(request()))
    asyncio.run(one.ask(request("other")))
    path = tmp_path / "scenarios-e00001.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    chat = ScriptedChat(["second again"])
    later = asker(tmp_path, chat, epoch=2)
    assert later.num_lost == 1
    assert say(later, request()) == "first"
    assert say(later, request("other")) == "second again"
    assert len(chat.requests) == 1


def test_an_invalid_answer_is_asked_for_again_with_the_next_seed(tmp_path: Path) -> None:
    chat, spend = ScriptedChat(["no", "nor this", "42"]), Spend()
    assert until_valid(asker(tmp_path, chat), spend) == 42
    assert [(asked.attempt, asked.seed) for asked in chat.requests] == [(0, 100), (1, 101), (2, 102)]
    assert {asked.messages for asked in chat.requests} == {request().messages}
    assert spend == Spend(
        calls=3,
        prompt_tokens=3000,
        cached_tokens=1200,
        completion_tokens=300,
        usd=USD + USD + USD,
        invalid_answers=2,
    )


def test_a_larger_model_is_shown_its_mistake(tmp_path: Path) -> None:
    chat = ScriptedChat(["no", "nor this", "42"])
    assert until_valid(asker(tmp_path, chat), retry_text=lambda problem: f"Wrong: {problem}") == 42
    first, second, third = (list(asked.messages) for asked in chat.requests)
    assert first == list(request().messages)
    assert second == [
        *first,
        Message(role="assistant", content="no"),
        Message(role="user", content="Wrong: 'no' is no number"),
    ]
    # Only the last mistake is shown: the prompt does not grow with the tries.
    assert third[1:] == [
        Message(role="assistant", content="nor this"),
        Message(role="user", content="Wrong: 'nor this' is no number"),
    ]


def test_invalid_answers_are_not_paid_for_again(tmp_path: Path) -> None:
    chat = ScriptedChat(["no", "nor this"])
    with pytest.raises(IndexError):  # the script ends: as good as a kill
        until_valid(asker(tmp_path, chat))
    again, spend = ScriptedChat(["42"]), Spend()
    assert until_valid(asker(tmp_path, again, epoch=2), spend) == 42
    assert [asked.attempt for asked in again.requests] == [2]
    assert (spend.calls, spend.invalid_answers) == (3, 2)


def test_a_record_without_a_valid_answer_fails_with_the_last_problem(tmp_path: Path) -> None:
    chat, spend = ScriptedChat(["no", "nor this", "42"]), Spend()
    with pytest.raises(ChatFailure, match=r"no valid answer in 2 tries; the last: 'nor this' is no number") as caught:
        until_valid(asker(tmp_path, chat), spend, max_tries=2)
    assert caught.value.code == "invalid_answer"
    assert (spend.calls, spend.invalid_answers) == (2, 2)


@pytest.mark.parametrize("code", ["cut_off", "empty", "bad_answer"])
def test_an_answer_that_another_seed_may_mend_is_asked_for_again(tmp_path: Path, code: str) -> None:
    chat, spend = ScriptedChat([refusal(code), "42"]), Spend()
    assert until_valid(asker(tmp_path, chat), spend) == 42
    assert [asked.seed for asked in chat.requests] == [100, 101]
    assert (spend.calls, spend.invalid_answers) == (2, 0)


@pytest.mark.parametrize("code", ["refused", "content_filter", "timeout", "bad_request"])
def test_other_failures_end_the_record_at_once(tmp_path: Path, code: str) -> None:
    chat, spend = ScriptedChat([refusal(code), "42"]), Spend()
    with pytest.raises(ChatFailure) as caught:
        until_valid(asker(tmp_path, chat), spend)
    assert caught.value.code == code
    assert (len(chat.requests), spend.calls) == (1, 1)


@pytest.mark.parametrize(
    ("usage", "price", "usd"),
    [
        (Usage(prompt_tokens=10**6), Price(input=2, output=10), 2.0),
        (Usage(completion_tokens=10**6), Price(input=2, output=10), 10.0),
        (Usage(prompt_tokens=10**6, cached_tokens=10**6), Price(input=2, output=10), 2.0),
        (Usage(prompt_tokens=10**6, cached_tokens=10**6), Price(input=2, cached_input=0.5, output=10), 0.5),
        (Usage(prompt_tokens=10**6, cached_tokens=10**6), Price(input=2, cached_input=0, output=10), 0.0),
        (Usage(prompt_tokens=1000, cached_tokens=400, completion_tokens=100), PRICE, USD),
        (Usage(), PRICE, 0.0),
    ],
)
def test_tokens_cost_what_the_price_list_says(usage: Usage, price: Price, usd: float) -> None:
    assert cost(usage, price) == pytest.approx(usd)


def test_a_stage_sums_up_spend_by_model_and_failures_by_code(tmp_path: Path) -> None:
    one = asker(tmp_path, ScriptedChat([]))
    zero = {name: 0 for name in Spend.__dataclass_fields__}
    rows: list[Row] = [
        {**zero, "model": "small", "code": None, "calls": 1, "usd": 0.1},
        {**zero, "model": "small", "code": "refused", "calls": 2, "usd": 0.2},
        {**zero, "model": "large", "code": "refused", "calls": 4, "completion_tokens": 7},
    ]
    summed = one.sum_up(rows)
    assert summed == {
        "spend": {
            "small": {**zero, "calls": 3, "usd": pytest.approx(0.3)},
            "large": {**zero, "calls": 4, "completion_tokens": 7},
        },
        "failures": {"refused": 2},
        "num_lost_calls": 0,
        "paid": {"usd": 0.0, "journal_bytes": 0},
    }
    json.dumps(summed)


def test_what_a_failed_call_used_is_paid_for_and_remembered(tmp_path: Path) -> None:
    cut = ChatFailure("cut_off", "reached max_tokens", USAGE.model_dump())
    chat, spend, watch = ScriptedChat([cut, "42"]), Spend(), Notes()
    one = asker(tmp_path, chat, watch)
    assert until_valid(one, spend) == 42
    assert (spend.calls, spend.completion_tokens) == (2, 200)
    assert spend.usd == pytest.approx(2 * USD)
    assert sum(note["usd"] for note in watch.of("answer")) == pytest.approx(2 * USD)
    replayed = Spend()
    later = asker(tmp_path, ScriptedChat([]), epoch=2)
    assert until_valid(later, replayed) == 42
    assert replayed == spend
    assert later.paid == pytest.approx(2 * USD)


def test_an_account_counts_lost_calls_at_what_was_held_for_them(tmp_path: Path) -> None:
    one = asker(tmp_path, ScriptedChat(["first"]))
    asyncio.run(one.ask(request()))
    journal = FileJournal(tmp_path, "scenarios", 1)
    journal.append({"event": "intent", "key": "lost", "record": "r", "request": {}, "held_usd": 0.25})
    journal.append({"event": "intent", "key": "refused", "record": "r", "request": {}, "held_usd": 0.5})
    journal.append({"event": "refused", "key": "refused", "record": "r"})
    later = asker(tmp_path, ScriptedChat([]), epoch=2)
    assert later.paid == pytest.approx(USD + 0.25)
    assert later.num_lost == 1
    size = (tmp_path / "scenarios-e00001.jsonl").stat().st_size
    assert later.sum_up([])["paid"] == {"usd": pytest.approx(USD + 0.25), "journal_bytes": size}


def test_a_journal_from_before_there_were_budgets_is_read(tmp_path: Path) -> None:
    """It says neither what was held for a call nor what it cost; its answers are not paid for again."""
    one = asker(tmp_path, ScriptedChat(["an answer"]))
    say(one, request())
    old = [{k: v for k, v in entry.items() if k not in ("held_usd", "usd")} for entry in journalled(tmp_path)]
    journal = FileJournal(tmp_path / "old", "scenarios", 1)
    for entry in [*old, {"event": "intent", "key": "lost", "record": "r", "request": {}}]:
        journal.append(entry)
    journal.append({"event": "failure", "key": "failed", "record": "f", "code": "refused", "message": "no"})
    again = asker(tmp_path / "old", ScriptedChat([]), epoch=2)
    assert say(again, request()) == "an answer"
    assert (again.paid, again.num_lost) == (0.0, 1)


def test_a_call_that_an_endpoint_refuses_for_all_is_told_as_not_sent(tmp_path: Path) -> None:
    watch = Notes()
    with pytest.raises(EndpointError):
        say(asker(tmp_path, ScriptedChat([EndpointError("nobody there")]), watch), request())
    assert [event for event, _ in watch.told] == ["call", "unsent"]


def test_a_call_waits_until_the_purse_can_pay_for_the_worst(tmp_path: Path) -> None:
    bound = bound_cost(request(), PRICE)
    purse = Purse(allowance=1.5 * bound)
    gate = asyncio.Event()

    class Slow(ScriptedChat):
        async def complete(self, request: ChatRequest) -> ChatAnswer:
            await gate.wait()
            return await super().complete(request)

    chat = Slow(["first", "second"])
    one = Asker(chat, FileJournal(tmp_path, "scenarios", 1), Notes(), {"made-up": PRICE}, purse)

    async def both() -> None:
        asking = [asyncio.create_task(one.ask(request(name))) for name in ("r", "s")]
        await asyncio.sleep(0.01)
        assert len(journalled(tmp_path)) == 1
        assert purse.report().held == pytest.approx(bound)
        assert purse.report().wanted == pytest.approx(bound)
        gate.set()
        await asyncio.gather(*asking)

    run_at_once(both())
    assert purse.report().spent == pytest.approx(2 * USD)
    assert purse.report().held == 0
    assert len(chat.requests) == 2
