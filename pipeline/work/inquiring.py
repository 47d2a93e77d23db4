"""The audits that ask an LLM: a shard's records in, many calls in flight, one row of readings a record out.

Calls stand in a journal of their own, as those of the writing stages do, so that a kill pays for nothing twice. Rows
are kept, journalled and committed as those of every other audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from pipeline.contracts.audit import AuditItem, Inquirer, as_rows
from pipeline.contracts.chat import ChatModel, ChatRequest
from pipeline.contracts.storage import ShardStore
from pipeline.contracts.watch import Drained, Watch
from pipeline.values.errors import ChatFailure
from pipeline.values.writer import Price
from pipeline.work.asking import Asker, InvalidAnswer, Spend
from pipeline.work.auditing import AuditJob, AuditSource, Due, commit, find_due, keep
from pipeline.work.media_calls import calls_journal
from pipeline.work.purse import Purse

T = TypeVar("T")

RECORDS_AT_A_TIME = 16
"""Records read at once, with their pictures where those are shown."""


@dataclass
class Asking:
    """What all inquiries of an audit share.

    Attributes:
        prices: By model.
        gate: Records that are asked about at the same time.
        max_tries: Answers asked for before a record fails.
    """

    chat: ChatModel
    prices: Mapping[str, Price]
    watch: Watch
    gate: asyncio.Semaphore
    purse: Purse
    max_tries: int


async def inquire_shard(
    job: AuditJob, source: AuditSource, store: ShardStore, asking: Asking, sample: frozenset[str] | None
) -> None:
    """Bring an asking audit of a shard up to date; see ``audit_shard``.

    Raises:
        Drained: the run is ending; the journals hold what was answered.
        EndpointError: no call can succeed.
    """
    index = source.index(job.about)
    due = find_due(job, [entry for entry in index if sample is None or entry[1] in sample], store)
    if due is None:
        return
    work = _Shard(
        due,
        source,
        asking,
        Asker(asking.chat, store.journal(calls_journal(job.name)), asking.watch, asking.prices, asking.purse),
    )
    await work.run()
    commit(due, store, work.facts())


@dataclass
class _Shard:
    """One shard's part of an inquiry."""

    due: Due
    source: AuditSource
    asking: Asking
    asker: Asker
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _errors: list[BaseException] = field(default_factory=list)

    async def run(self) -> None:
        """Ask about all that is missing; what is in flight when something fails comes to its end first."""
        if not self.due.missing:
            return
        inquirer: Any = self.due.job.load()
        items = self.source.items(self.due.job.about, self.due.missing)
        try:
            # Files are read on another thread: calls are under way meanwhile.
            while not self._errors and (batch := await asyncio.to_thread(_read_some, items)):
                pictures = await asyncio.to_thread(self._find_pictures, batch) if inquirer.sees_pictures else {}
                for item in batch:
                    await self.asking.gate.acquire()
                    task = asyncio.create_task(self._take(item, pictures, inquirer))
                    self._under_way.add(task)
                    task.add_done_callback(self._end)
        finally:
            await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._errors:
            raise next((error for error in self._errors if not isinstance(error, Drained)), self._errors[0])

    def facts(self) -> dict[str, Any]:
        """What the receipt states of the calls, over all runs."""
        asker = self.asker
        paid = {"usd": round(asker.paid, 8), "journal_bytes": asker.journal.num_bytes()}
        return {"paid": paid, "num_lost_calls": asker.num_lost}

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.asking.gate.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    async def _take(self, item: AuditItem, pictures: Mapping[str, AuditItem], inquirer: Inquirer) -> None:
        self.asking.watch.check()
        code = None

        async def ask(
            request: ChatRequest, parse: Callable[[str], T], retry_text: Callable[[str], str] | None = None
        ) -> T:
            checked = _checked(parse)
            return await self.asker.ask_until_valid(request, checked, self.asking.max_tries, Spend(), retry_text)

        try:
            readings = await inquirer.measure(item, pictures, ask)
        except ChatFailure as exc:
            code = exc.code
            keep(self.due, item.id, {"status": "failed", "code": code, "message": str(exc)})
        else:
            keep(self.due, item.id, {"readings": as_rows(readings)})
        self.asking.watch.note("audited", about=self.due.job.about, count=1, code=code)

    def _find_pictures(self, batch: Sequence[AuditItem]) -> dict[str, AuditItem]:
        parts = [part for item in batch for turn in item.row["turns"] or () for part in turn.get("parts") or ()]
        wanted = {str(part["asset"]) for part in parts if part.get("kind") == "image" and part.get("asset")}
        return {found.id: found for found in self.source.items("image", wanted)} if wanted else {}


def _read_some(items: Iterator[AuditItem]) -> list[AuditItem]:
    return list(islice(items, RECORDS_AT_A_TIME))


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let what an audit says of an answer be heard as the engine hears it."""

    def parse_or_refuse(text: str) -> T:
        try:
            return parse(text)
        except ValueError as exc:
            raise InvalidAnswer(str(exc)) from exc

    return parse_or_refuse
