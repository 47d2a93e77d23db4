"""The audits of a run that ask an LLM. They work in the driver's own process, since waiting for answers takes no core.

All of them pay from one purse: what ``--budget`` leaves of what earlier audits of the corpus have spent on calls.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.adapters.llm import ChatSetting, open_chat
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.published import PublishedShard
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import AskingPlugin
from pipeline.contracts.watch import Drained
from pipeline.execution.budget import BudgetReached, count_spent_on
from pipeline.execution.prices import find_missing_key, find_prices
from pipeline.execution.shard_work import LazyChat
from pipeline.values.errors import EndpointError, ManifestError
from pipeline.values.units import USD
from pipeline.values.writer import Writer
from pipeline.work.auditing import AuditJob, find_stale
from pipeline.work.inquiring import Asking, inquire_shard
from pipeline.work.media_calls import calls_journal
from pipeline.work.purse import Purse

if TYPE_CHECKING:
    from pipeline.execution.audits import ChosenAudit

SHARDS_AT_ONCE = 2
"""The next shard's first calls go out while the last ones of the one before come back."""

FOR_BATCHES = "batches"


@dataclass(frozen=True)
class Inquiry:
    """One asking audit, as the stage takes it, and by which models it asks."""

    job: AuditJob
    writer: Writer


@dataclass
class Outcome:
    """What one audit's calls of this run came to; what journals answered is not among it.

    Attributes:
        failures: Records that could not be judged, by code.
    """

    num_answers: int = 0
    usd: USD = 0.0
    failures: Counter[str] = field(default_factory=Counter)


@dataclass
class _Bell:
    """A watch that counts, and lets no call begin once the audit is to end.

    Attributes:
        outcome: Of the audit that is under way.
    """

    outcome: Outcome = field(default_factory=Outcome)
    num_readings: int = 0
    is_draining: bool = False

    def note(self, event: str, **facts: Any) -> None:
        """Count."""
        if event == "answer":
            self.outcome.num_answers += 1
            self.outcome.usd += facts["usd"]
        elif event == "audited":
            self.num_readings += facts["count"]
            if facts["code"]:
                self.outcome.failures[facts["code"]] += 1

    def check(self) -> None:
        """Raise Drained once nothing further may begin."""
        if self.is_draining:
            raise Drained("the audit is ending")


def check_inquiries(chosen: Sequence[ChosenAudit], budget: USD | None) -> None:
    """Refuse what no call could pass, and a budget that cannot be kept, before anything is done.

    Raises:
        ManifestError: names the audit and the option.
    """
    for one in chosen:
        if not isinstance(one.plugin, AskingPlugin):
            continue
        writer = one.plugin.writer(one.options)
        if problem := find_missing_key(writer):
            raise ManifestError(_name_options(problem, one.plugin.name))
        unpriced = [entry.model for entry in writer.blend if entry.model not in find_prices(writer)]
        if budget is not None and unpriced:
            raise ManifestError(
                f"audit {one.plugin.name}: nobody stated what {', '.join(unpriced)} costs, so no budget can be kept: "
                f'give US dollars per million tokens, --option \'{one.plugin.name}.price={{"input": 1, "output": 2}}\''
            )


@dataclass
class Inquiries:
    """All asking audits of one run.

    Attributes:
        store: Returns the folder of a shard's readings.
        budget: US dollars that all audits of the corpus may spend on calls together; None for no bound.
        outcomes: By audit.
    """

    inquiries: Sequence[Inquiry]
    shards: Sequence[PublishedShard]
    store: Callable[[int | None], ShardFolder]
    budget: USD | None = None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _bell: _Bell = field(default_factory=_Bell)
    _purse: Purse = field(default_factory=lambda: Purse(is_final=True))

    async def execute(self, sample: frozenset[str] | None, on_progress: Callable[[int, int], None]) -> None:
        """Take what readings are missing or stale.

        Raises:
            BudgetReached: no further call fits into the budget; what was answered is kept.
            Drained: the audit was asked to end early; the same holds.
            EndpointError: no call can succeed.
        """
        if not self.inquiries:
            return
        total = sum(self._count_stale(one, shard, sample) for one in self.inquiries for shard in self.shards)
        before = sum(self.count_paid(one.job.name) for one in self.inquiries)
        if self.budget is not None:
            self._purse.allow(self.budget - before)
        watching = asyncio.create_task(self._tell(total, on_progress))
        try:
            for one in self.inquiries:
                await self._inquire(one, sample)
        except Drained as exc:
            if not self._purse.is_spent:
                raise
            spent = before + self._purse.report().spent
            raise BudgetReached(
                f"the budget of {self.budget:.4f} USD is reached: {spent:.4f} USD are spent; {exc}"
            ) from None
        finally:
            watching.cancel()
        on_progress(total, total)

    def drain(self) -> None:
        """Let no further call begin."""
        self._bell.is_draining = True
        self._purse.close()

    def count_paid(self, name: str) -> USD:
        """Return what an audit's calls have cost over all runs, lost ones included."""
        stores = [self.store(shard.number) for shard in self.shards]
        return sum(count_spent_on(store, name, calls_journal(name)) for store in stores)

    async def _inquire(self, one: Inquiry, sample: frozenset[str] | None) -> None:
        writer, name = one.writer, one.job.name
        models = ModelCache()
        setting = ChatSetting(models, models.root / "endpoints", 1, self.store(None).journal(FOR_BATCHES), self._bell)
        chat = LazyChat(writer, lambda: open_chat(writer, setting))
        gate = asyncio.Semaphore(writer.records_in_flight)
        asking = Asking(chat, find_prices(writer), self._bell, gate, self._purse, writer.max_tries)
        self._bell.outcome = self.outcomes[name] = Outcome()
        window = asyncio.Semaphore(SHARDS_AT_ONCE)

        async def inquire(shard: PublishedShard) -> None:
            async with window:
                await inquire_shard(one.job, shard, self.store(shard.number), asking, sample)

        try:
            # All of them, also where one fails: what is in flight comes to its end.
            ends = await asyncio.gather(*map(inquire, self.shards), return_exceptions=True)
        finally:
            await chat.close()
        errors = [end for end in ends if end is not None]
        if errors:
            error = next((error for error in errors if not isinstance(error, Drained)), errors[0])
            raise EndpointError(_name_options(str(error), name)) if isinstance(error, EndpointError) else error

    def _count_stale(self, one: Inquiry, shard: PublishedShard, sample: frozenset[str] | None) -> int:
        return len(find_stale(one.job, shard, self.store(shard.number), sample))

    async def _tell(self, total: int, on_progress: Callable[[int, int], None]) -> None:
        while True:
            on_progress(self._bell.num_readings, total)
            await asyncio.sleep(0.5)


def _name_options(text: str, audit: str) -> str:
    """Name in an error what the user wrote: options of an audit, and not keys of a manifest."""
    return text.replace("writer.", f"--option {audit}.")
