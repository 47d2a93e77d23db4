"""The Batch API: calls gather, nothing is handed in twice, and what a batch lacks goes into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.adapters.journal import FileJournal
from pipeline.adapters.llm import batch_chat
from pipeline.adapters.llm.batch_chat import BatchChat
from pipeline.contracts.chat import ChatAnswer
from pipeline.contracts.watch import Drained
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.writer import Price, Writer
from pipeline.work.asking import Asker
from tests.support.batch_server import BatchServer, answered, failed, missing, serving_batches
from tests.support.fault_server import make_request
from tests.support.stages import Notes

POLL = 0.02


def open_chat(url: str, folder: Path, epoch: int = 1, watch: Notes | None = None, poll: float = POLL) -> BatchChat:
    writer = Writer(engine="openai", model="m", base_url=url, mode="batch", batch_poll_seconds=poll)
    return BatchChat(writer, FileJournal(folder, "batch", epoch), watch or Notes())


async def ask_all(
    chat: BatchChat, numbers: Sequence[int], models: Sequence[str] = ("m",)
) -> list[ChatAnswer | BaseException]:
    requests = [make_request(record_id=f"r{n}", model=models[n % len(models)]) for n in numbers]
    try:
        return await asyncio.gather(*[chat.complete(one) for one in requests], return_exceptions=True)
    finally:
        await chat.close()


def run(
    server: BatchServer, folder: Path, numbers: Sequence[int] = range(3), models: Sequence[str] = ("m",)
) -> list[ChatAnswer | BaseException]:
    async def go() -> list[ChatAnswer | BaseException]:
        with serving_batches(server) as url:
            return await ask_all(open_chat(url, folder), numbers, models)

    return asyncio.run(go())


def texts(outcomes: Sequence[ChatAnswer | BaseException]) -> list[str]:
    found = []
    for outcome in outcomes:
        assert isinstance(outcome, ChatAnswer), outcome
        found.append(outcome.text)
    return found


def expected(number: int) -> str:
    return f'{{"text": "about {make_request(record_id=f"r{number}", model="m").key()}"}}'


def test_calls_gather_into_one_batch_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    server = BatchServer()
    outcomes = run(server, tmp_path, range(20))
    assert texts(outcomes) == [expected(number) for number in range(20)]
    [batch] = server.batches
    assert len(batch.lines) == 20
    assert batch.lines[0]["url"] == "/v1/chat/completions"
    assert batch.lines[0]["body"]["response_format"]["type"] == "json_schema"
    first = outcomes[0]
    assert isinstance(first, ChatAnswer)
    assert (first.model, first.usage.prompt_tokens) == ("m-2026", 90)


def test_a_batch_holds_one_model(tmp_path: Path) -> None:
    server = BatchServer()
    outcomes = run(server, tmp_path, range(4), models=("m", "n"))
    assert len(texts(outcomes)) == 4
    assert [{line["body"]["model"] for line in batch.lines} for batch in server.batches] == [{"m"}, {"n"}]


def test_a_batch_is_cut_where_a_file_would_be_too_big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_chat, "MAX_REQUESTS", 2)
    server = BatchServer()
    assert len(texts(run(server, tmp_path, range(5)))) == 5
    assert sorted(len(batch.lines) for batch in server.batches) == [1, 2, 2]


@pytest.mark.parametrize("rule", [missing, failed(500), failed(429)])
def test_what_an_expired_batch_lacks_goes_into_the_next(rule: object, tmp_path: Path) -> None:
    def all_but_one(line: dict[str, object]) -> object:
        is_one = line["custom_id"] == make_request(record_id="r1", model="m").key()
        return rule(line) if is_one else answered(line)  # type: ignore[operator]

    server = BatchServer(outcomes=[all_but_one, answered], statuses=["expired", "completed"])  # type: ignore[list-item]
    assert texts(run(server, tmp_path)) == [expected(number) for number in range(3)]
    assert [len(batch.lines) for batch in server.batches] == [3, 1]


def test_a_request_that_no_batch_answers_fails_alone(tmp_path: Path) -> None:
    server = BatchServer(outcomes=[missing])
    [outcome] = run(server, tmp_path, range(1))
    assert isinstance(outcome, ChatFailure)
    assert outcome.code == "expired"
    assert len(server.batches) == batch_chat.MAX_TRIES


def test_a_request_that_is_refused_is_not_asked_again(tmp_path: Path) -> None:
    server = BatchServer(outcomes=[failed(400)])
    [outcome] = run(server, tmp_path, range(1))
    assert isinstance(outcome, ChatFailure)
    assert outcome.code == "bad_request"
    assert len(server.batches) == 1


def test_a_key_that_is_refused_stops_the_run(tmp_path: Path) -> None:
    outcomes = run(BatchServer(outcomes=[failed(401)]), tmp_path)
    assert all(isinstance(outcome, EndpointError) for outcome in outcomes)


def test_a_batch_that_is_refused_as_a_whole_stops_the_run_with_the_reason(tmp_path: Path) -> None:
    server = BatchServer(statuses=["failed"], errors=[{"code": "invalid_model", "message": "m takes no batches"}])
    outcomes = run(server, tmp_path)
    assert all(isinstance(outcome, EndpointError) and "m takes no batches" in str(outcome) for outcome in outcomes)


def test_a_crowded_queue_costs_no_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_chat, "MAX_TRIES", 1)
    crowded = [{"code": "token_limit_exceeded", "message": "too much enqueued"}]
    statuses = ["failed", "failed", "completed"]
    server = BatchServer(statuses=statuses, errors=crowded, outcomes=[missing, missing, answered])
    assert texts(run(server, tmp_path)) == [expected(number) for number in range(3)]
    assert len(server.batches) == 3


def test_a_killed_run_waits_for_the_batch_that_it_handed_in(tmp_path: Path) -> None:
    server = BatchServer(polls_to_end=10**9)

    async def go() -> list[str]:
        with serving_batches(server) as url:
            first = open_chat(url, tmp_path)
            asking = asyncio.create_task(ask_all(first, range(3)))
            while not server.batches:
                await asyncio.sleep(POLL)
            await asyncio.sleep(3 * POLL)
            asking.cancel()  # as a kill: nobody is told
            await asyncio.gather(asking, return_exceptions=True)
            server.polls_to_end = 1
            return texts(await ask_all(open_chat(url, tmp_path, epoch=2), range(3)))

    assert asyncio.run(go()) == [expected(number) for number in range(3)]
    assert len(server.batches) == 1


def test_a_batch_whose_id_was_never_heard_is_found_and_not_handed_in_again(tmp_path: Path) -> None:
    server = BatchServer(hides_reply=True)
    assert texts(run(server, tmp_path)) == [expected(number) for number in range(3)]
    assert len(server.batches) == 1


def test_a_batch_that_was_prepared_and_never_taken_is_handed_in(tmp_path: Path) -> None:
    key = make_request(record_id="r0", model="m").key()
    FileJournal(tmp_path, "batch", 1).append({"event": "preparing", "name": "gone", "keys": [key]})
    server = BatchServer()
    assert texts(run(server, tmp_path, range(1))) == [expected(0)]
    assert len(server.batches) == 1


def test_a_drain_ends_the_waiting_and_leaves_the_batch(tmp_path: Path) -> None:
    server, watch = BatchServer(polls_to_end=10**9), Notes()

    async def go() -> None:
        with serving_batches(server) as url:
            asking = asyncio.create_task(ask_all(open_chat(url, tmp_path, watch=watch), range(3)))
            while not server.batches:
                await asyncio.sleep(POLL)
            watch.is_draining = True
            assert all(isinstance(outcome, Drained) for outcome in await asking)
            watch.is_draining = False
            server.polls_to_end = 1
            assert len(texts(await ask_all(open_chat(url, tmp_path, epoch=2), range(3)))) == 3

    asyncio.run(go())
    assert len(server.batches) == 1


def test_a_call_that_outlived_its_run_is_neither_lost_nor_paid_twice(tmp_path: Path) -> None:
    server, prices = BatchServer(polls_to_end=10**9), {"m": Price(input=2, output=10)}

    async def go() -> None:
        with serving_batches(server) as url:
            watch = Notes()
            leaving = open_chat(url, tmp_path, watch=watch)
            first = Asker(leaving, FileJournal(tmp_path, "s", 1), watch, prices)
            asking = asyncio.create_task(first.ask(make_request(record_id="r0", model="m")))
            while not server.batches:
                await asyncio.sleep(POLL)
            watch.is_draining = True
            with pytest.raises(Drained):
                await asking
            await leaving.close()
            server.polls_to_end = 1
            chat = open_chat(url, tmp_path, epoch=2)
            second = Asker(chat, FileJournal(tmp_path, "s", 2), Notes(), prices)
            assert second.num_lost == 1
            asked = await second.ask(make_request(record_id="r0", model="m"))
            assert second.num_lost == 0
            assert second.paid == pytest.approx(asked.usd)
            await chat.close()
        assert Asker(chat, FileJournal(tmp_path, "s", 3), Notes(), prices).paid == pytest.approx(asked.usd)

    asyncio.run(go())
    assert len(server.batches) == 1
