"""Paid media: journalled before and after, replayed, held within the budget, tried again only where that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.journal import FileJournal
from pipeline.contracts.chat import Usage
from pipeline.contracts.remote import MediaAnswer, RemoteRenderer
from pipeline.contracts.render import Brief, ImageFacts, Outcome, Render, RenderFailure
from pipeline.contracts.watch import Drained
from pipeline.values.errors import ChatFailure, EndpointError, MediaFailure
from pipeline.work.asking import read_account
from pipeline.work.call_loop import CallLoop, Paying, sum_up_calls
from pipeline.work.media_calls import MediaCaller
from pipeline.work.purse import Purse
from pipeline.work.render_loop import Made
from tests.support.media_server import image_brief
from tests.support.stages import Notes

HELD, COST = 0.5, 0.2

Said = bytes | str | Exception
"""Bytes of a picture, an address to fetch one from, or a failure."""


@dataclass
class Studio:
    """Makes what a script says, call after call.

    Attributes:
        gate: Judges bytes; None lets them pass.
        paid: Ids and attempts of the briefs that were called for.
        addresses: What lies behind them.
    """

    script: Callable[[Brief], Said]
    gate: Callable[[bytes], str | None] = lambda data: None
    addresses: dict[str, bytes] = field(default_factory=dict)
    paid: list[tuple[str, int]] = field(default_factory=list)
    model: str = "studio"
    in_flight: int = 0
    most_in_flight: int = 0

    def refuse(self, brief: Brief) -> RenderFailure | None:
        return None if brief.text else RenderFailure(code="bad_brief", message=f"{brief.id}: no text")

    def describe(self, brief: Brief) -> Mapping[str, Any]:
        return {"prompt": brief.text, "seed": brief.seed}

    def bound(self, brief: Brief) -> float:
        return HELD

    async def call(self, brief: Brief) -> MediaAnswer:
        self.paid.append((brief.id, brief.attempt))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.001)
        self.in_flight -= 1
        said = self.script(brief)
        if isinstance(said, Exception):
            raise said
        data, url = (said, None) if isinstance(said, bytes) else (None, said)
        notes = {"revised_prompt": "half a pair: \ud800"}
        return MediaAnswer(data=data, url=url, model="studio-1", notes=notes, usage=USAGE, usd=COST, latency=0.1)

    async def fetch(self, url: str) -> bytes:
        if url not in self.addresses:
            raise ChatFailure("not_fetched", f"{url}: gone")
        return self.addresses[url]

    def finish(self, brief: Brief, data: bytes) -> Outcome:
        code = self.gate(data)
        if code is not None:
            return RenderFailure(code=code, message=f"{brief.id}: {code}")
        return Render(data=b"encoded " + data, extension="png", facts=ImageFacts(width=8, height=8))

    def render(self, briefs: Sequence[Brief]) -> list[Outcome]:
        raise AssertionError("a paid renderer is called, not given batches")

    def provenance(self) -> Mapping[str, str]:
        return {"endpoint": "here"}

    async def close(self) -> None:
        pass


USAGE = Usage(prompt_tokens=10, completion_tokens=100)


def paint(brief: Brief) -> bytes:
    return f"{brief.id} {brief.attempt} {brief.seed}".encode()


@dataclass
class Shop:
    """One process after another on the same journal."""

    folder: Path
    epoch: int = 0
    watch: Notes = field(default_factory=Notes)
    purse: Purse = field(default_factory=Purse)

    def run(self, studio: Studio, *briefs: Brief, attempts: int = 3, in_flight: int = 4) -> dict[str, Made]:
        assert isinstance(studio, RemoteRenderer)
        self.epoch += 1
        made: dict[str, Made] = {}
        caller = MediaCaller(studio, self.journal(), self.watch, self.purse)

        def keep(one: Made) -> None:
            made[one.brief.id] = one

        async def work() -> None:
            with ThreadPoolExecutor(1) as finishers:
                paying = Paying(self.purse, asyncio.Semaphore(in_flight), finishers, asyncio.run)
                keys = {brief.id: f"inputs of {brief.id}" for brief in briefs}
                await CallLoop(studio, caller, paying, keys, 3, attempts, keep).run(briefs)

        asyncio.run(work())
        return made

    def journal(self) -> FileJournal:
        return FileJournal(self.folder, "image-calls", self.epoch)

    def entries(self) -> list[dict[str, Any]]:
        return list(self.journal().entries())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def briefs(count: int) -> list[Brief]:
    return [image_brief(number=number) for number in range(count)]


def test_a_call_is_journalled_before_it_is_sent_and_its_bytes_beside_it(shop: Shop) -> None:
    seen: list[list[str]] = []

    def script(brief: Brief) -> bytes:
        seen.append([entry["event"] for entry in shop.entries()])
        return b"the picture" * 10_000

    made = shop.run(Studio(script), image_brief())["i0"]
    assert seen == [["intent"]]
    intent, answer = shop.entries()
    assert intent["held_usd"] == HELD
    assert intent["request"] == {"prompt": "a red fox", "seed": 11}
    assert (answer["event"], answer["usd"], answer["model"]) == ("answer", COST, "studio-1")
    assert shop.journal().blob(answer) == b"the picture" * 10_000
    assert shop.journal().num_bytes() < 2_000
    assert isinstance(made.outcome, Render)
    assert made.outcome.notes == {"revised_prompt": "half a pair: ?", "model": "studio-1", "usd": COST}
    assert made.spent["usd"] == COST
    assert (made.spent["model"], made.spent["calls"], made.spent["completion_tokens"]) == ("studio-1", 1, 100)
    assert [note["usd"] for note in shop.watch.of("answer")] == [COST]


def test_what_arrived_before_a_kill_is_not_paid_for_again(shop: Shop) -> None:
    first = shop.run(Studio(paint), *briefs(6))
    again = Studio(paint)
    second = shop.run(again, *briefs(6))
    assert again.paid == []
    assert {name: made.outcome for name, made in second.items()} == {name: made.outcome for name, made in first.items()}
    assert read_account(shop.journal()).paid == pytest.approx(6 * COST)


def test_a_call_in_flight_at_a_kill_counts_as_spent_and_is_made_again(shop: Shop) -> None:
    with pytest.raises(KeyboardInterrupt):
        shop.run(Studio(lambda brief: _raise(KeyboardInterrupt())), image_brief())
    account = read_account(shop.journal())
    assert (account.num_lost, account.paid) == (1, HELD)
    studio = Studio(paint)
    shop.run(studio, image_brief())
    assert studio.paid == [("i0", 0)]
    account = read_account(shop.journal())
    assert account.num_lost == 1
    assert account.paid == pytest.approx(HELD + COST)


def _raise(error: BaseException) -> bytes:
    raise error


def test_an_address_is_journalled_as_paid_and_fetched_later_if_need_be(shop: Shop) -> None:
    studio = Studio(lambda brief: "http://here/a")
    failed = shop.run(studio, image_brief())["i0"]
    assert isinstance(failed.outcome, RenderFailure)
    assert failed.outcome.code == "not_fetched"
    assert failed.spent["usd"] == COST
    later = Studio(paint, addresses={"http://here/a": b"the picture"})
    made = shop.run(later, image_brief())["i0"]
    assert later.paid == []
    assert isinstance(made.outcome, Render)
    # And from then on without the address.
    assert isinstance(shop.run(Studio(paint), image_brief())["i0"].outcome, Render)
    assert read_account(shop.journal()).paid == COST


def test_an_address_that_has_expired_is_paid_for_again(shop: Shop) -> None:
    shop.run(Studio(lambda brief: "http://here/a"), image_brief())
    studio = Studio(paint)
    assert isinstance(shop.run(studio, image_brief())["i0"].outcome, Render)
    assert studio.paid == [("i0", 0)]


def test_bytes_that_a_disk_has_lost_are_paid_for_again(shop: Shop) -> None:
    shop.run(Studio(paint), image_brief())
    [blob] = shop.folder.glob("*.blob")
    blob.write_bytes(b"x")
    studio = Studio(paint)
    shop.run(studio, image_brief())
    assert studio.paid == [("i0", 0)]


@pytest.mark.parametrize("code", ["moderation", "bad_request", "server_error", "timeout"])
def test_a_refusal_is_final_and_remembered(shop: Shop, code: str) -> None:
    studio = Studio(lambda brief: ChatFailure(code, "no"))
    made = shop.run(studio, image_brief())["i0"]
    assert studio.paid == [("i0", 0)]
    assert isinstance(made.outcome, RenderFailure)
    assert made.outcome.code == code
    assert made.spent["usd"] == 0.0
    again = Studio(paint)
    assert shop.run(again, image_brief())["i0"].outcome == made.outcome
    assert again.paid == []


def test_a_failure_that_was_paid_for_is_counted(shop: Shop) -> None:
    made = shop.run(Studio(lambda brief: MediaFailure("timeout", "late", 0.4)), image_brief())["i0"]
    assert made.spent["usd"] == 0.4
    assert read_account(shop.journal()).paid == 0.4


def test_what_fails_its_gate_is_called_for_with_the_next_seed(shop: Shop) -> None:
    studio = Studio(paint, gate=lambda data: "blank" if b"i0 2" not in data else None)
    made = shop.run(studio, image_brief(), attempts=3)["i0"]
    assert studio.paid == [("i0", 0), ("i0", 1), ("i0", 2)]
    assert isinstance(made.outcome, Render)
    assert made.brief.attempt == 2
    assert (made.spent["calls"], made.spent["invalid_answers"]) == (3, 2)
    assert made.spent["usd"] == pytest.approx(3 * COST)
    assert len({entry["request"]["seed"] for entry in shop.entries() if entry["event"] == "intent"}) == 3


def test_a_brief_that_cannot_be_is_not_paid_for(shop: Shop) -> None:
    studio = Studio(paint)
    made = shop.run(studio, image_brief(""))["i0"]
    assert isinstance(made.outcome, RenderFailure)
    assert studio.paid == []
    assert made.spent == {}
    assert shop.entries() == []


def test_an_endpoint_that_refuses_for_good_ends_the_stage_and_costs_nothing(shop: Shop) -> None:
    studio = Studio(lambda brief: EndpointError("the key is dead"))
    with pytest.raises(EndpointError, match="the key is dead"):
        shop.run(studio, *briefs(3))
    assert {entry["event"] for entry in shop.entries()} == {"intent", "refused"}
    assert read_account(shop.journal()).paid == 0.0
    assert shop.purse.report().spent == 0.0
    assert shop.purse.report().held == 0.0


def test_no_more_is_in_flight_than_the_gate_lets(shop: Shop) -> None:
    studio = Studio(paint)
    shop.run(studio, *briefs(20), in_flight=3)
    assert studio.most_in_flight == 3


def test_spending_ends_within_the_allowance(shop: Shop) -> None:
    shop.purse = Purse(1.2)
    studio = Studio(paint)

    async def close_when_stuck() -> None:
        while shop.purse.report().wanted is None or shop.purse.report().held:
            await asyncio.sleep(0.001)
        shop.purse.close()

    watching: list[asyncio.Task[None]] = []

    def script(brief: Brief) -> bytes:
        if not watching:
            watching.append(asyncio.get_running_loop().create_task(close_when_stuck()))
        return paint(brief)

    studio.script = script
    with pytest.raises(Drained):
        shop.run(studio, *briefs(10), in_flight=1)
    # Four calls at 0.2 leave 0.4, and no further one can be held at 0.5.
    assert len(studio.paid) == 4
    assert shop.purse.report().spent == pytest.approx(4 * COST)
    shop.purse = Purse(10.0)
    rest = Studio(paint)
    assert len(shop.run(rest, *briefs(10))) == 10
    assert len(rest.paid) == 6


def test_a_run_that_ends_sends_nothing_more(shop: Shop) -> None:
    shop.watch.is_draining = True
    studio = Studio(paint)
    with pytest.raises(Drained):
        shop.run(studio, *briefs(3))
    assert studio.paid == []


def test_the_receipt_states_what_was_paid(shop: Shop) -> None:
    made = shop.run(Studio(paint), *briefs(3))
    facts = sum_up_calls(shop.journal(), [dict(one.spent) for one in made.values()])
    assert facts["paid"] == {"usd": pytest.approx(3 * COST), "journal_bytes": shop.journal().num_bytes()}
    assert facts["num_lost_calls"] == 0
    assert facts["spend"]["studio-1"]["calls"] == 3
    assert sum_up_calls(FileJournal(shop.folder, "music-calls", 1), []) == {}
