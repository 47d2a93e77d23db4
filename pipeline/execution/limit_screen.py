"""The screen's limits at work: which audits they take, what is still to be measured, and who falls short."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import DECODERS, PublishedCorpus, read_facts
from pipeline.adapters.readings import FOLDER, CorpusReadings, TakenAudit, write_index
from pipeline.contracts.audit import SUBJECTS, AskingPlugin, AuditPlugin, as_readings
from pipeline.contracts.watch import Watch
from pipeline.execution.audits import AuditSetting, AuditWork, ChosenAudit, choose_audits, known_audits
from pipeline.execution.project import Project
from pipeline.values.errors import CorpusError, ManifestError, StageDamaged
from pipeline.values.records import PlannedDialogue
from pipeline.values.rejections import Rejection
from pipeline.values.screen import Screen
from pipeline.values.words import suggest
from pipeline.work.auditing import audit_shard, find_stale, index_records
from pipeline.work.limits import Limit, Shortfall, Taken, find_shortfalls, reject_short
from pipeline.work.rendered import RenderedShard
from pipeline.work.shard_rows import ShardRows

Options = Mapping[str, Mapping[str, Any]]
Shards = Mapping[int, Sequence[PlannedDialogue]]


@dataclass(frozen=True)
class LimitedAudit:
    """An audit that some limits ask for; a limit's measure has the manifest's limit as its own."""

    chosen: ChosenAudit
    limits: tuple[Limit, ...]

    @property
    def models(self) -> Sequence[str]:
        """Names in the model lock that it needs."""
        return self.chosen.plugin.models(self.chosen.options)


def find_limit_problems(limits: Mapping[str, float], options: Options) -> Iterator[str]:
    """Yield a line, beginning with its key, for each limit and each audit's options that cannot be."""
    known = known_audits()
    for name in options:
        if name not in known:
            yield f"screen.audits.{name}: no audit of that name is installed; {suggest(name, known)}"
    owners = {}
    for name, plugin in known.items():
        if isinstance(plugin, AskingPlugin) and name not in options:
            continue  # which measures it takes is up to its options
        try:
            (chosen,) = _choose(name, options) if plugin.missing() is None else [None]
        except ManifestError as exc:
            yield f"screen.audits.{name}: {exc}"
            continue
        measures = plugin.measures(plugin.options()) if chosen is None else chosen.measures
        owners.update({measure.name: plugin for measure in measures})
    for measure in limits:
        owner = owners.get(measure)
        if owner is None:
            yield f"screen.limits.{measure}: no audit takes such a measure; {suggest(measure, owners)}"
        elif problem := owner.missing():
            yield f"screen.limits.{measure}: the audit {owner.name} cannot run here: {problem}"
        elif isinstance(owner, AskingPlugin):
            yield (
                f"screen.limits.{measure}: {owner.name} asks an LLM, and a run takes no such audit; leave the limit "
                "out, and look at it with `anyinstruct audit`"
            )
        elif owner.compares:
            yield (
                f"screen.limits.{measure}: {owner.name} compares the records of a whole corpus with each other, so "
                "none of them can be rejected by it alone; leave the limit out, and look at it with `anyinstruct audit`"
            )


def choose_for_limits(screen: Screen, limits: Mapping[str, float] | None = None) -> list[LimitedAudit]:
    """Return the audits that take the measures of some limits, the manifest's where no others are given.

    Raises:
        ManifestError: a limit or an option cannot be; a line each.
    """
    wanted = screen.limits if limits is None else limits
    if problems := list(find_limit_problems(wanted, screen.audits)):
        raise ManifestError("\n".join(problems))
    found = []
    for name, plugin in known_audits().items():
        if plugin.missing() is not None or isinstance(plugin, AskingPlugin):
            continue
        (chosen,) = _choose(name, screen.audits)
        bounds = [
            Limit(measure.model_copy(update={"limit": wanted[measure.name]}), plugin.about, name)
            for measure in chosen.measures
            if measure.name in wanted
        ]
        if bounds:
            found.append(LimitedAudit(chosen, tuple(bounds)))
    return found


class LimitScreen:
    """The limits over what was rendered. Workers build one to measure with it, the driver one to look with.

    Args:
        epoch: Of the lock on the corpus's readings; None for one that only looks.
        limits: In place of the manifest's.
    """

    def __init__(
        self, project: Project, epoch: int | None, watch: Watch, limits: Mapping[str, float] | None = None
    ) -> None:
        self._project = project
        self._watch = watch
        self._wanted = project.manifest.screen.limits if limits is None else limits
        self._audits = choose_for_limits(project.manifest.screen, self._wanted)
        names = tuple(audit.chosen.plugin.name for audit in self._audits)
        setting = AuditSetting(project.corpus, names, project.manifest.screen.audits, self._wanted)
        self._work = AuditWork(setting, epoch, watch)
        self.folder: Path = project.corpus / FOLDER

    @cached_property
    def limits(self) -> list[Limit]:
        """All limits in the manifest's order."""
        found = {limit.measure.name: limit for audit in self._audits for limit in audit.limits}
        return [found[name] for name in self._wanted]

    @property
    def plugins(self) -> list[AuditPlugin]:
        """The audits that the limits take."""
        return [audit.chosen.plugin for audit in self._audits]

    @property
    def worded(self) -> frozenset[str]:
        """The measures that rest on the words of a dialogue alone, which no other render can mend."""
        return frozenset(
            limit.measure.name
            for audit in self._audits
            for limit in audit.limits
            if limit.about == "dialogue" and not audit.chosen.options.reads_assets
        )

    def count_records(self, shard: int, planned: Sequence[PlannedDialogue]) -> dict[str, int]:
        """Count the records of a shard's dialogues that were made as a whole, by what they are."""
        source = self._source(shard, planned)
        return {about: len(source.index(about)) for about in SUBJECTS}

    def keep_whole(self, shard: int, planned: Sequence[PlannedDialogue]) -> list[PlannedDialogue]:
        """Return those dialogues of a shard that were made as a whole."""
        whole = {name for name, _, _ in self._source(shard, planned).index("dialogue")}
        return [row for row in planned if row.id in whole]

    def count_due(self, shard: int, planned: Sequence[PlannedDialogue]) -> int:
        """Count the readings that a shard's dialogues still need."""
        return sum(self.count_due_by_audit(shard, planned).values())

    def count_due_by_audit(self, shard: int, planned: Sequence[PlannedDialogue]) -> dict[str, int]:
        """Count them by audit."""
        source, store = self._source(shard, planned), self._work.store(shard)
        return {job.name: len(find_stale(job, source, store, None)) for job in self._work.jobs()}

    def measure(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        """Take the readings that are missing or stale.

        Raises:
            Drained: the run is ending; what was measured is journalled.
        """
        audit_shard(self._work.jobs(), self._source(shard, planned), self._work.store(shard), self._watch, None)

    def find(self, shard: int, planned: Sequence[PlannedDialogue]) -> list[Shortfall]:
        """Return the records of a shard's dialogues that fall short.

        Raises:
            StageDamaged: some are not measured, or their readings cannot be read.
        """
        source = self._source(shard, planned)
        taken = {audit.chosen.plugin.name: self._read(audit.chosen, shard, source) for audit in self._audits}
        return list(find_shortfalls(self.limits, taken))

    async def find_due(self, shards: Shards) -> dict[int, int]:
        """Count the readings that each shard still needs; shards that need none are left out.

        A large corpus takes a while, and the run goes on telling of itself meanwhile.
        """
        due: dict[int, int] = {}
        for shard, planned in shards.items():
            if count := self.count_due(shard, planned):
                due[shard] = count
            await asyncio.sleep(0)
        return due

    async def reject(self, shards: Shards) -> dict[str, Rejection]:
        """Return the dialogues that are rejected for a limit."""
        rejections: dict[str, Rejection] = {}
        for shard, planned in shards.items():
            rejections |= reject_short(self.find(shard, planned))
            await asyncio.sleep(0)
        return rejections

    @property
    def is_stated(self) -> bool:
        """Whether the index of readings says of these audits what it would say after :meth:`write_index`."""
        known = {audit.name: audit for audit in CorpusReadings(self._project.corpus).audits}
        return all(known.get(audit.name) == audit for audit in self._as_taken())

    def write_index(self, lock: CorpusLock) -> None:
        """State what was taken, with the manifest's limits, where every reader of the readings finds it."""
        write_index(self._project.corpus, self._as_taken(), lock)

    def _as_taken(self) -> list[TakenAudit]:
        return [audit.chosen.as_taken(self._project.manifest.screen.limits, None) for audit in self._audits]

    def _source(self, shard: int, planned: Sequence[PlannedDialogue]) -> RenderedShard:
        store = CorpusFolder(self._project.corpus).shard(shard)
        return RenderedShard(ShardRows.read(planned, self._project.manifest, store), DECODERS, read_facts)

    def _read(self, chosen: ChosenAudit, shard: int, source: RenderedShard) -> list[Taken]:
        name = chosen.plugin.name
        index = index_records(chosen.plugin.about, source, None, chosen.options.reads_assets)
        wanted = {record: content for record, _, content in index}
        found = []
        for row in self._work.store(shard).rows(name):
            inputs = json.loads(row["inputs"])
            if inputs == {"content": wanted.get(row["record_id"]), "audit": chosen.fingerprint}:
                problem = row["message"] if row["status"] == "failed" else ""
                found.append(Taken(row["record_id"], row["dialogue_id"], as_readings(row), problem))
        if len(found) < len(wanted):
            # Whatever is not read would pass unseen.
            raise StageDamaged(
                f"readings of {name} in shard {shard}: {len(found)} of {len(wanted)} can be read; run again to measure "
                "the others"
            )
        return found


def adopt_screen(setting: AuditSetting) -> AuditSetting:
    """Return a setting with what the screen of the corpus's manifest says of audits, as far as the setting is silent.

    So an audit after a run finds what the run has measured, and judges it by the same limits.

    Raises:
        CorpusError: there is no corpus, or the manifest in its ledger has a screen that cannot be.
    """
    ledger = PublishedCorpus(setting.root).ledger
    try:
        screen = Screen.model_validate((ledger.manifest if ledger else {}).get("screen", {}))
    except ValidationError as exc:
        # A ledger's manifest is an open mapping: another version of this program, or a stranger, has written it.
        first = exc.errors(include_url=False)[0]
        where = ".".join(["manifest.screen", *map(str, first["loc"])])
        why = f"{where}: {first['msg'].removeprefix('Value error, ')}"
        raise CorpusError(f"{setting.root / 'ledger.json'}: {why}; use the program that wrote it") from exc
    known = known_audits()
    options = {name: found for name, found in screen.audits.items() if name in known}
    return replace(setting, options={**options, **setting.options}, limits={**screen.limits, **setting.limits})


def _choose(name: str, options: Options) -> list[ChosenAudit]:
    return choose_audits([name], {name: options[name]} if name in options else {})
