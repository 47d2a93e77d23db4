"""Briefs through a remote renderer, many at once; for media that are paid for what ``render_loop`` is for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from pipeline.contracts.remote import RemoteRenderer
from pipeline.contracts.render import Brief, Outcome, Render, RenderFailure
from pipeline.contracts.storage import Journal, Row
from pipeline.contracts.watch import Drained
from pipeline.work.asking import TRY_AGAIN, Spend, read_account, sum_spend
from pipeline.work.media_calls import CallFailed, MediaCaller
from pipeline.work.purse import Purse
from pipeline.work.render_loop import Made, next_attempt

Wait = Callable[[Coroutine[Any, Any, None]], None]


@dataclass(frozen=True)
class Paying:
    """What a process shares among all its paid calls.

    Attributes:
        purse: What it may spend.
        gate: Calls in flight; what is paid for and waits for its decoding counts with them, so memory stays bounded.
        finishers: Threads that decode, gate and encode.
        wait: Runs work on the process's event loop and blocks until it is done; called on another thread.
    """

    purse: Purse
    gate: asyncio.Semaphore
    finishers: Executor
    wait: Wait


@dataclass
class CallLoop:
    """Renders briefs by calls, tries again what fails its gates, and hands outcomes on as they come.

    A refusal is final, and so is whatever the adapter has tried again in vain: another seed would pay for the same
    answer.

    Attributes:
        keys: Input key of each brief's row, by brief id.
        attempts: Calls that may be paid for one brief.
        store: Takes each final outcome, never two at once.
    """

    renderer: RemoteRenderer
    caller: MediaCaller
    paying: Paying
    keys: Mapping[str, str]
    corpus_seed: int
    attempts: int
    store: Callable[[Made], None]

    async def run(self, briefs: Sequence[Brief]) -> None:
        """Render all of them.

        Raises:
            Drained: the run is ending; what was in flight has come back and is journalled.
            EndpointError: no call can succeed.
        """
        outcomes = await asyncio.gather(*map(self._render, briefs), return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            raise next((error for error in errors if not isinstance(error, Drained)), errors[0])

    async def _render(self, brief: Brief) -> None:
        async with self.paying.gate:
            started, spend, model = perf_counter(), Spend(), self.renderer.model
            while True:
                outcome, model, is_final = await self._try(brief, spend, model)
                if is_final or brief.attempt + 1 >= self.attempts:
                    break
                brief = next_attempt(brief, self.corpus_seed)
            spent = {"model": model, **asdict(spend)} if spend.calls else {}
            self.store(Made(brief, outcome, perf_counter() - started, spent))

    async def _try(self, brief: Brief, spend: Spend, model: str) -> tuple[Outcome, str, bool]:
        """Return an attempt's outcome, the model that made it, and whether it is final; adds what it cost."""
        refusal = self.renderer.refuse(brief)
        if refusal is not None:
            return refusal, model, True
        try:
            called = await self.caller.call(brief, self.keys[brief.id])
        except CallFailed as exc:
            spend.add(exc.spend)
            return RenderFailure(code=exc.code, message=str(exc)), model, exc.code not in TRY_AGAIN
        spend.add(called.spend)
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self.paying.finishers, self.renderer.finish, brief, called.data)
        if isinstance(outcome, RenderFailure):
            spend.invalid_answers += 1
            return outcome, called.model, False
        facts = {"model": called.model, "usd": round(spend.usd, 8)}
        return _with_notes(outcome, {**called.notes, **facts}), called.model, True


def _with_notes(render: Render, notes: Mapping[str, Any]) -> Render:
    return render.model_copy(update={"notes": {**render.notes, **notes}})


def sum_up_calls(journal: Journal, rows: Sequence[Row]) -> dict[str, Any]:
    """Facts for a render stage's receipt, as ``Asker.sum_up`` states them; none where nothing was ever paid.

    Args:
        journal: Of the stage's calls.
        rows: Those of the stage that were paid for.
    """
    if not journal.num_bytes():
        return {}
    account = read_account(journal)
    paid = {"usd": round(account.paid, 8), "journal_bytes": journal.num_bytes()}
    return {"spend": sum_spend(rows), "num_lost_calls": account.num_lost, "paid": paid}
