"""A run: topics, plan, shards through their stages in a bounded window, screen, pack, ledger."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.adapters.collecting import spare_collector
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.scores import CorpusScores
from pipeline.adapters.verdicts import rejected
from pipeline.contracts.ledger import Ledger, ShardEntry
from pipeline.contracts.watch import Drained
from pipeline.execution.budget import Budget, BudgetReached, count_spent
from pipeline.execution.filling import Filling, Shards, all_of
from pipeline.execution.ledger import build_ledger, write_corpus_card
from pipeline.execution.plan_keeping import PlanKeeper
from pipeline.execution.project import Project
from pipeline.execution.screening import Screening
from pipeline.execution.settled import Settled
from pipeline.execution.shard_work import ShardWork
from pipeline.execution.tally import EventLog, Tally
from pipeline.execution.text_sources import bring_texts
from pipeline.values.errors import AnyInstructError, EndpointError, ManifestError, StageDamaged
from pipeline.values.records import Modality, PlannedDialogue, Topic
from pipeline.values.rejections import Rejection, Rejections, merge_rejections
from pipeline.values.units import USD
from pipeline.work import dialogues, scenarios, taking, topics
from pipeline.work.describing import STAGE as DESCRIPTIONS
from pipeline.work.limits import STAGE as LIMITS
from pipeline.work.orders import order_key
from pipeline.work.packing import pack_key
from pipeline.work.planning import count_extra, count_parts, count_wanted, keep_blank_topics
from pipeline.work.topic_screening import screen_topics
from pipeline.work.topics import collect_topics

if TYPE_CHECKING:
    from pipeline.execution.cluster import Cluster

POLL_SECONDS = 0.5

REVIEW = "review"
"""Stage of what people reject."""

MAX_MENDS = 2
"""Times that a run makes damaged stage files again; damage that comes back is the disk's, or the memory's."""

PACKS_IN_FLIGHT = 64
"""Shards that are handed out to be packed: a shard's rows of the plan are a few hundred kilobytes, and Ray's store,
which holds them meanwhile, is small."""


class Silence:
    """A watch for work that only looks."""

    def note(self, event: str, **facts: object) -> None:
        """Say nothing."""

    def check(self) -> None:
        """Let everything go on."""


@dataclass
class Run:
    """One run of a manifest.

    Attributes:
        budget: US dollars that all runs of the corpus may spend on calls together; None for no bound.
        describes: Whether descriptions that repairs want written anew are written.
        replaces: Whether further dialogues are planned for those that are lost; a repair mends what it can before that.
        on_progress: Called about twice a second with the tally, and at every change of state.
        was_idle: True once the run has ended without a call, a render or a pack.
        num_mended: Times that stage files were found damaged when they were packed, and were made again.
    """

    project: Project
    lock: CorpusLock
    limit: int | None = None
    until: str | None = None
    budget: USD | None = None
    describes: bool = False
    replaces: bool = True
    on_progress: Callable[[Tally], None] = lambda tally: None
    tally: Tally = field(default_factory=Tally)
    was_idle: bool = True
    num_mended: int = 0
    _cluster: Cluster | None = None
    _budget: Budget | None = None
    _is_draining: bool = False

    def __post_init__(self) -> None:
        self.folder = CorpusFolder(self.project.corpus, self.lock)
        self._look = ShardWork(self.project, self.lock.epoch, Silence())
        self._settled = Settled(self._look, self.lock)
        self._plan = PlanKeeper(self.folder, self._look, self._settled, self.limit)
        self._events = EventLog(self.folder.work)
        if self.budget is not None:
            self._budget = Budget(self.budget, count_spent(self.folder))
            self.tally.budget_usd, self.tally.spent_before_usd = self.budget, self._budget.before

    async def execute(self) -> Ledger | None:
        """Do all that is missing or stale.

        Returns:
            The ledger, or None where ``until`` ended the run before anything was packed.

        Raises:
            BudgetReached: no further call fits into the budget; what is done is committed or journalled.
            Drained: the run was asked to end early; the same holds.
        """
        watching = asyncio.create_task(self._watch())
        try:
            ledger = await self._stages()
            self.tally.state = "done"
            return ledger
        except (Drained, asyncio.CancelledError) as exc:
            self.tally.state = "stopped"
            if self._budget is not None and self._budget.is_reached() and isinstance(exc, Drained):
                self.tally.end = self._budget.describe()
                raise BudgetReached(self.tally.end) from None
            raise
        except BaseException as exc:
            self.tally.fail(exc)
            raise
        finally:
            watching.cancel()
            await self._collect()
            self._tell()
            if self._cluster is not None:
                await self._cluster.close()

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """Let the event log say why a run failed before :meth:`execute` was called."""
        try:
            yield
        except AnyInstructError as exc:
            self.tally.fail(exc)
            self._tell()
            raise

    @property
    def is_draining(self) -> bool:
        """Whether it was asked to end early, also where nothing was left to do by then."""
        return self._is_draining

    async def drain(self) -> None:
        """End the run as soon as what is in flight has come back."""
        self._is_draining = True
        self.tally.state = "draining"
        self._tell()
        if self._cluster is not None:
            await self._cluster.drain()

    async def _stages(self) -> Ledger | None:
        self.folder.read_ledger()  # what this program cannot read it cannot publish anew, and must not pay for
        is_taken = self.project.manifest.texts is not None
        all_topics = await (self._bring_texts() if is_taken else self._bring_topics())
        if self.until == "topics":
            return None
        extra = 0
        while True:
            active = self._plan.bring(all_topics, extra)
            spare_collector()  # what is planned stays to the end
            shards = _by_shard(active)
            if self.describes:
                await self._describe(shards)
            ledger = await self._fill_and_publish(shards)
            if ledger is None:
                return None
            # Nothing is made in the place of what was taken down.
            wanted = count_wanted(self.project.manifest, len(all_topics)) - self._plan.num_taken_down
            extra = count_extra(self.project.manifest, wanted, ledger.counts["kept"], len(active))
            if is_taken:
                # There are no more texts than there are.
                extra = min(extra, len(all_topics) - len(active) - self._plan.num_taken_down)
            if not extra or self.limit is not None or not self.replaces:
                return ledger

    async def _fill_and_publish(self, shards: Shards) -> Ledger | None:
        """Bring stage files up to date and publish them; those that turn out damaged are made again meanwhile."""
        while True:
            screening = Screening(self._look, shards)
            await self._fill(shards, screening)
            if self.until is not None:
                return None
            try:
                rejections = await self._screen(shards, screening)
                return await self._publish(shards, rejections)
            except StageDamaged:
                if self.num_mended == MAX_MENDS:
                    raise
                self.num_mended += 1

    async def _bring_topics(self) -> list[Topic]:
        orders, store = self._look.topic_orders(), self.folder.topics()
        # Dialogues about topics that cannot be read would drop out of the corpus.
        receipt = store.receipt(topics.STAGE) if store.is_sound(topics.STAGE) else None
        if orders and (receipt is None or receipt.order_key != order_key(orders)):
            self.tally.expect(topics.STAGE, len(orders), 0)
            await self._at_work().write_topics()
        written, generated = self._look.read_topics()
        former = self._look.read_topic_screen()
        planned = {row.topic.id for row in self._plan.read()}
        screen = screen_topics(former, written, generated, planned)
        if screen != former:
            self.folder.write_topic_screen(screen.model_dump(mode="json"))
        found = collect_topics(written, generated, screen.held_back)
        if not found:
            raise ManifestError(f"{self.project.path}: topics: there is not one topic to write about{self._why()}")
        return keep_blank_topics(found, self._plan.read())

    async def _bring_texts(self) -> list[Topic]:
        """Judge the rows that dialogues are taken from, where they or the rules have changed."""

        def check() -> None:
            if self._is_draining:
                raise Drained("the run is ending")

        # In a thread, so that the run goes on telling of itself.
        if await asyncio.to_thread(bring_texts, self.project, self.folder, check):
            self.was_idle = False
        taken = self._look.taken
        num_rows = sum(counts[taking.ROWS] for counts in taken.counts.values())
        self.tally.expect(taking.STAGE, num_rows, num_rows)
        if not taken.texts:
            reasons = ", ".join(f"{name}: {count:,}" for name, count in taking.sum_rejected(taken.counts).items())
            raise ManifestError(
                f"{self.project.path}: texts: not one of {num_rows:,} rows is fit to be spoken ({reasons or 'no rows'})"
            )
        return taken.topics

    def _why(self) -> str:
        """Say what became of the first topics that were asked for."""
        lost = [row for row in self.folder.topics().rows(topics.STAGE) if row["code"]]
        return f" ({lost[0]['code']}: {lost[0]['message']})" if lost else ""

    async def _fill(self, shards: Shards, screening: Screening) -> None:
        """Bring every shard's stage files up to date, a bounded number of shards at a time."""
        self._expect(shards)
        filling = Filling(self._look, self._settled, self.until, self._at_work, self._render)
        await filling.fill(shards, screening)

    async def _describe(self, shards: Shards) -> None:
        """Have descriptions written anew where repairs want them and they are not there yet."""
        due = {}
        for shard, planned in shards.items():
            orders = self._look.description_orders(shard, planned)
            receipt = self.folder.shard(shard).receipt(DESCRIPTIONS)
            count = sum(not order.payload.rewrite.is_settled for order in orders)
            if count and (receipt is None or receipt.order_key != order_key(orders)):
                due[shard] = count
            await asyncio.sleep(0)
        if due:
            self.tally.expect(DESCRIPTIONS, sum(due.values()), 0)
            await all_of([self._at_work().describe(shard, shards[shard]) for shard in due])

    async def _render(self, shard: int, modality: Modality, planned: Sequence[PlannedDialogue]) -> None:
        """Have assets rendered. Where an endpoint refuses for good, nothing else is begun or paid for, either."""
        try:
            await self._at_work().render(shard, modality, planned)
        except EndpointError:
            if not self._is_draining:
                await self.drain()
            raise

    async def _screen(self, shards: Shards, screening: Screening) -> Rejections:
        """Say which dialogues are not published. Whatever limits ask for is measured first, where it is not known."""
        # A person's word goes first: it says why a dialogue is out whatever becomes of limits and of its likes.
        told = merge_rejections(
            {
                name: Rejection(dialogue_id=name, stage=REVIEW, code=code, message=message)
                for name, (code, message) in rejected(self.folder.root).items()
            },
            screening.reject(),
        )
        if not self.project.manifest.screen.limits:
            return told
        from pipeline.execution.limit_screen import LimitScreen

        whole = {shard: screening.select(shard) for shard in shards}
        look = LimitScreen(self.project, None, Silence())
        due = await look.find_due(whole)
        if due or not look.is_stated:
            self.tally.expect(LIMITS, sum(due.values()), 0)
            lock = CorpusLock.acquire(look.folder)
            try:
                await all_of([self._at_work().measure(shard, whole[shard], lock.epoch) for shard in due])
                look.write_index(lock)
            finally:
                lock.release()
        return merge_rejections(told, await look.reject(whole))

    async def _publish(self, shards: Shards, rejections: Rejections) -> Ledger:
        """Pack the shards that changed, and write card and ledger if anything did."""
        former = self.folder.read_ledger()
        have = {entry.shard: entry for entry in former.shards} if former else {}
        scores = CorpusScores(self.folder.root, self.project.manifest.screen.limits)
        window = asyncio.Semaphore(PACKS_IN_FLIGHT)

        async def pack(shard: int, planned: list[PlannedDialogue]) -> ShardEntry:
            store = self.folder.shard(shard)
            stages = [scenarios.STAGE, dialogues.STAGE, DESCRIPTIONS, *map(str, self.project.manifest.media)]
            receipts = {stage: receipt for stage in stages if (receipt := store.receipt(stage)) is not None}
            entry = have.get(shard)
            key = pack_key(planned, receipts, rejections, scores.key(shard))
            if entry and entry.order_key == key and self.folder.is_published(entry):
                return entry
            mine = {row.id: rejections[row.id] for row in planned if row.id in rejections}
            async with window:
                return await self._at_work().pack(shard, planned, mine)

        entries = await all_of([pack(shard, planned) for shard, planned in shards.items()])
        ledger = build_ledger(self.project, self.folder, entries, shards)
        card, ledger = write_corpus_card(self.folder, ledger)
        if ledger != former or not (self.folder.root / "README.md").exists():
            self.was_idle = False
            self.folder.publish(ledger, card)
        return ledger

    def _at_work(self) -> Cluster:
        """The cluster; started at the first piece of work, so that a finished corpus never waits for Ray."""
        if self._is_draining:
            raise Drained("the run is ending")
        self.was_idle = False
        if self._cluster is None:
            from pipeline.execution.cluster import Cluster

            self._cluster = Cluster(self.project, self.lock.epoch, self._budget is not None)
        return self._cluster

    def _expect(self, shards: Shards) -> None:
        """Count what each stage has to do: a slot fixes a dialogue's media before a word of it is written."""
        every = [row for planned in shards.values() for row in planned]
        parts = count_parts(every)
        totals = {scenarios.STAGE: len(every), dialogues.STAGE: len(every)}
        totals |= {str(m): parts[m] for m in self.project.manifest.media}
        for stage, total in totals.items():
            receipts = [self.folder.shard(shard).receipt(stage) for shard in shards]
            done = sum(receipt.num_ok + receipt.num_failed for receipt in receipts if receipt)
            self.tally.expect(stage, total, min(done, total))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._collect()
            await self._deal()
            self._tell()

    async def _deal(self) -> None:
        """Deal the budget anew, and end the run once nobody's next call fits into it."""
        if self._cluster is None or self._budget is None or self._is_draining:
            return
        self._budget.take(await self._cluster.account(self._budget.deal(self._cluster.num_spenders)))
        if self._budget.is_reached():
            await self.drain()

    async def _collect(self) -> None:
        if self._cluster is not None:
            self.tally.take(await self._cluster.collect())

    def _tell(self) -> None:
        # The tally last: whoever watches reads it off the end.
        self._events.append(*self.tally.take_lost(), self.tally.snapshot())
        self.on_progress(self.tally)


def _by_shard(active: Sequence[PlannedDialogue]) -> Shards:
    shards: Mapping[int, list[PlannedDialogue]] = defaultdict(list)
    for row in active:
        shards[row.shard].append(row)
    return dict(sorted(shards.items()))
