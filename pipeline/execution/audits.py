"""Audits over a corpus: which ones, over which records, by how many workers, and what they come to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.published import PublishedCorpus, PublishedShard
from pipeline.adapters.readings import FOLDER, OVER_ALL, TakenAudit, write_index
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import AskingPlugin, AuditOptions, AuditPlugin, Measure, as_readings
from pipeline.contracts.plugins import choose_plugin, find_plugin, known_plugins
from pipeline.contracts.watch import Drained, Watch
from pipeline.execution.driver import Silence
from pipeline.execution.inquiries import Inquiries, Inquiry
from pipeline.values.ids import content_key
from pipeline.values.units import USD
from pipeline.work.audit_sampling import draw_sample
from pipeline.work.audit_summary import Column, Summary
from pipeline.work.auditing import AuditJob, audit_shard, compare_all, find_stale

ENTRY_POINTS = "anyinstruct.audits"


@dataclass(frozen=True)
class AuditSetting:
    """What is to be audited, and by what.

    Attributes:
        root: The corpus.
        names: Audits in the order of their report; none for all default ones.
        options: Options by audit.
        limits: Limits by measure, in place of the audits' own.
        sample: Dialogues to draw; None for all.
        budget: US dollars that all audits of the corpus may spend on calls together; None for no bound.
    """

    root: Path
    names: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    sample: int | None = None
    budget: USD | None = None


@dataclass(frozen=True)
class ChosenAudit:
    """An audit with its checked options."""

    plugin: AuditPlugin
    options: AuditOptions

    @property
    def measures(self) -> Sequence[Measure]:
        """What it takes."""
        return self.plugin.measures(self.options)

    @property
    def fingerprint(self) -> str:
        """Hash over all that its readings depend on, the records apart."""
        plugin = self.plugin
        asked = plugin.identity(self.options) if isinstance(plugin, AskingPlugin) else None
        rests_on = self.options.model_dump(mode="json") if asked is None else asked
        return content_key(plugin.name, plugin.version, rests_on)

    def as_taken(self, limits: Mapping[str, float], usd: USD | None) -> TakenAudit:
        """Return what the corpus's index says of it, with some limits in place of its own, and what it has cost."""
        measures = [m.model_copy(update={"limit": limits.get(m.name, m.limit)}) for m in self.measures]
        return TakenAudit(
            name=self.plugin.name,
            version=self.plugin.version,
            about=self.plugin.about,
            compares=self.plugin.compares,
            fingerprint=self.fingerprint,
            options=self.options.as_published(),
            measures=tuple(measures),
            usd=usd,
        )


def known_audits() -> dict[str, AuditPlugin]:
    """Return all installed audits by name."""
    return known_plugins(ENTRY_POINTS)


def choose_audits(names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[ChosenAudit]:
    """Return the named audits, or all default ones that can run here, with their options checked.

    Raises:
        ManifestError: a name or an option is wrong, or a named audit cannot run here.
    """
    known = known_audits()
    for name in options:
        find_plugin("audit", known, name)
    wanted = names or [name for name, plugin in known.items() if plugin.is_default and plugin.missing() is None]
    return [ChosenAudit(*choose_plugin("audit", known, name, options.get(name, {}))) for name in wanted]


class AuditWork:
    """A worker's part: audits shards one after another, with weights that are loaded once. Knows no Ray."""

    def __init__(self, setting: AuditSetting, epoch: int | None, watch: Watch) -> None:
        self._watch = watch
        self._lock = None if epoch is None else CorpusLock(setting.root / FOLDER, epoch)
        self._chosen = choose_audits(setting.names, setting.options)
        self._root = setting.root
        self._loaded: dict[str, Any] = {}

    @cached_property
    def corpus(self) -> PublishedCorpus:
        """What is published."""
        return PublishedCorpus(self._root)

    def audit(self, number: int, sample: frozenset[str] | None) -> None:
        """Bring one shard up to date."""
        shard = next(shard for shard in self.corpus.shards if shard.number == number)
        audit_shard(self.jobs(), shard, self.store(number), self._watch, sample)

    def compare(self, name: str, sample: frozenset[str] | None) -> None:
        """Compare over all shards what one audit has sketched."""
        job = next(job for job in self.jobs() if job.name == name)
        shards = [(shard, self.store(shard.number)) for shard in self.corpus.shards]
        compare_all(job, shards, self.store(None), sample)

    def stale(self, shard: PublishedShard, sample: frozenset[str] | None) -> int:
        """Count the readings that a shard's audits would take."""
        return sum(len(find_stale(job, shard, self.store(shard.number), sample)) for job in self.jobs())

    def store(self, number: int | None) -> ShardFolder:
        """Return where a shard's readings lie, or for None those over the whole corpus."""
        name = OVER_ALL if number is None else f"{number:05d}"
        return ShardFolder(self._root / FOLDER / name, self._lock)

    def jobs(self) -> list[AuditJob]:
        """Return the audits as the stage takes them; those that ask an LLM are no worker's."""
        return [self._job(c) for c in self._chosen if not isinstance(c.plugin, AskingPlugin)]

    def inquiries(self) -> list[Inquiry]:
        """Return the audits that ask an LLM."""
        return [
            Inquiry(self._job(c), c.plugin.writer(c.options))
            for c in self._chosen
            if isinstance(c.plugin, AskingPlugin)
        ]

    def _job(self, chosen: ChosenAudit) -> AuditJob:
        plugin = chosen.plugin
        return AuditJob(
            plugin.name,
            plugin.about,
            chosen.fingerprint,
            plugin.compares,
            self._loader(chosen),
            chosen.options.reads_assets,
        )

    def _loader(self, chosen: ChosenAudit) -> Callable[[], Any]:
        def load() -> Any:
            name = chosen.plugin.name
            if name not in self._loaded:
                self._loaded[name] = chosen.plugin.load(chosen.options, ModelCache())
            return self._loaded[name]

        return load


class Workers(Protocol):
    """A pool whose workers each hold an :class:`AuditWork`."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """Have whichever worker is free call a method."""
        ...

    async def collect(self) -> list[dict[str, Any]]:
        """Gather what the workers have noted since the last time."""
        ...

    async def drain(self) -> None:
        """Tell all workers to begin nothing further."""
        ...

    async def close(self) -> None:
        """Let them go."""
        ...


class AuditRun:
    """One audit of a corpus, over a pool of workers that is opened only where something is to be done.

    Args:
        open_pool: Starts the workers.
        on_progress: Told how many readings are taken of how many.
    """

    def __init__(
        self,
        setting: AuditSetting,
        lock: CorpusLock,
        open_pool: Callable[[], Workers],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._setting = setting
        self._lock = lock
        self._look = AuditWork(setting, lock.epoch, Silence())
        self._chosen = choose_audits(setting.names, setting.options)
        look = self._look
        self.inquiries = Inquiries(look.inquiries(), look.corpus.shards, look.store, setting.budget)
        self._open_pool = open_pool
        self.on_progress = on_progress
        self._pool: Workers | None = None
        self._is_draining = False

    async def execute(self) -> list[Summary]:
        """Take what readings are missing or stale, and sum all up.

        Raises:
            BudgetReached: no further call fits into the budget; what was measured is kept.
            Drained: it was asked to end early; the same holds.
            EndpointError: no call to an LLM can succeed.
        """
        sample = self._draw()
        due = {shard.number: self._look.stale(shard, sample) for shard in self._look.corpus.shards}
        try:
            for number in [number for number, count in due.items() if not count]:
                # What a kill has left journalled whole and uncommitted; it takes no weights.
                self._look.audit(number, sample)
            if any(due.values()):
                await self._audit({number: count for number, count in due.items() if count}, sample)
            for job in self._look.jobs():
                if job.compares:
                    # In this process: only sketches are read, and the weights were needed for those alone.
                    self._look.compare(job.name, sample)
        finally:
            if self._pool is not None:
                await self._pool.close()
        # Before any call, at which the budget can end: these are whole.
        self._write_index([chosen for chosen in self._chosen if not isinstance(chosen.plugin, AskingPlugin)])
        await self.inquiries.execute(sample, self.on_progress)
        self._write_index(self._chosen)
        return self.sum_up(sample)

    async def drain(self) -> None:
        """End as soon as the batches in hand are measured."""
        self._is_draining = True
        self.inquiries.drain()
        if self._pool is not None:
            await self._pool.drain()

    def sum_up(self, sample: frozenset[str] | None) -> list[Summary]:
        """Sum up what readings there are."""
        corpus = self._look.corpus
        total = sum(len(shard.index("dialogue")) for shard in corpus.shards)
        share = 1.0 if sample is None or not total else len(sample) / total
        return [summary for chosen in self._chosen for summary in self._sum_up(chosen, sample, share)]

    def _sum_up(self, chosen: ChosenAudit, sample: frozenset[str] | None, share: float) -> Iterator[Summary]:
        plugin, limits = chosen.plugin, self._setting.limits
        columns = {m.name: Column(m, plugin.about, plugin.name, limits.get(m.name)) for m in chosen.measures}
        shards = self._look.corpus.shards
        groups: list[tuple[int | None, tuple[PublishedShard, ...]]] = (
            [(None, shards)] if plugin.compares else [(shard.number, (shard,)) for shard in shards]
        )
        for number, some in groups:
            index = [entry for shard in some for entry in shard.index(plugin.about)]
            there = {name for name, dialogue, _ in index if sample is None or dialogue in sample}
            for row in self._look.store(number).rows(plugin.name):
                if row["record_id"] not in there or json.loads(row["inputs"])["audit"] != chosen.fingerprint:
                    continue
                readings = as_readings(row)
                for name, column in columns.items():
                    value = readings[name].value if name in readings else None
                    column.add(row["record_id"], row["dialogue_id"], value)
        for column in columns.values():
            yield column.sum_up(share)

    def _write_index(self, some: Sequence[ChosenAudit]) -> None:
        taken = [chosen.as_taken(self._setting.limits, self._count_paid(chosen)) for chosen in some]
        write_index(self._setting.root, taken, self._lock)

    def _count_paid(self, chosen: ChosenAudit) -> USD | None:
        return self.inquiries.count_paid(chosen.plugin.name) if isinstance(chosen.plugin, AskingPlugin) else None

    def _draw(self) -> frozenset[str] | None:
        if self._setting.sample is None:
            return None
        strata = [
            (row["id"], row.get("cell") or "")
            for shard in self._look.corpus.shards
            for row in shard.rows("dialogue", shard.columns_of("dialogue", "id", "cell"))
        ]
        return draw_sample(strata, self._setting.sample)

    async def _audit(self, due: Mapping[int, int], sample: frozenset[str] | None) -> None:
        if self._is_draining:
            raise Drained("the audit is ending")
        total = sum(due.values())
        self._pool = self._open_pool()
        watching = asyncio.create_task(self._watch_pool(total))
        try:
            await asyncio.gather(*[self._pool.call("audit", number, sample) for number in due])
        finally:
            watching.cancel()
        self.on_progress(total, total)

    async def _watch_pool(self, total: int) -> None:
        done = 0
        while self._pool is not None:
            done += sum(note["count"] for note in await self._pool.collect() if note["event"] == "audited")
            self.on_progress(done, total)
            await asyncio.sleep(0.5)
