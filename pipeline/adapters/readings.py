"""The readings that lie beside a corpus's tables: which audits were taken, under which limits, and what they say.

``audits/index.json`` states each audit as it was last taken, so that whoever reads the rows needs neither its package
nor its options. The rows lie in ``audits/<shard>/``, those that compare records over all shards in ``audits/corpus/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import PublishedCorpus, PublishedShard
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import Measure, Reading, Subject, as_readings
from pipeline.values.errors import CorpusError
from pipeline.values.records import Record

FOLDER = "audits"
INDEX = "index.json"
OVER_ALL = "corpus"
"""Folder of the audits that compare records over all shards."""


class TakenAudit(Record):
    """An audit as it was last taken of a corpus.

    Attributes:
        compares: True where its readings lie in one folder for the whole corpus.
        measures: All that it takes, each with the limit that held, a manifest's or a command's where one was given.
    """

    name: str
    version: str
    about: Subject
    compares: bool
    fingerprint: str
    options: Mapping[str, Any] = {}
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class RecordReadings:
    """One record's row in one audit.

    Attributes:
        problem: Why it could not be measured; empty where it was.
    """

    record_id: str
    dialogue_id: str
    readings: Mapping[str, Reading]
    problem: str = ""


@dataclass(frozen=True)
class Finding:
    """A record that falls short of a limit, or whose media cannot be decoded (``measure`` is None then)."""

    record_id: str
    dialogue_id: str
    about: Subject
    audit: str
    measure: Measure | None
    value: float | None
    detail: str


_INDEX = TypeAdapter(list[TakenAudit])


class CorpusReadings:
    """Reads what audits have left beside a corpus. A corpus that was never audited has no audits, which is no error.

    Raises:
        CorpusError: the index is damaged.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    @cached_property
    def audits(self) -> tuple[TakenAudit, ...]:
        """All audits that were taken, by name."""
        path = self._folder / INDEX
        try:
            return tuple(_INDEX.validate_python(read_json(path) or []))
        except ValidationError as exc:
            raise CorpusError(f"{path}: is damaged ({exc}); run `anyinstruct audit` on the corpus again") from exc

    @cached_property
    def _shards(self) -> Mapping[int, PublishedShard]:
        return {shard.number: shard for shard in PublishedCorpus(self._folder.parent).shards}

    def rows(self, audit: TakenAudit) -> Iterator[RecordReadings]:
        """Yield one audit's rows over all shards, leaving out those of an earlier version or other options.

        Readings of what is not published, such as a dialogue that fell short of a limit, stay and are left out, too.
        """
        for folder in self._folders(audit):
            published = self._published(audit.about, None if audit.compares else int(folder.name))
            for row in ShardFolder(folder).rows(audit.name):
                if row["record_id"] in published and json.loads(row["inputs"])["audit"] == audit.fingerprint:
                    problem = row["message"] if row["status"] == "failed" else ""
                    yield RecordReadings(row["record_id"], row["dialogue_id"], as_readings(row), problem)

    def findings(self) -> Iterator[Finding]:
        """Yield whatever falls short of its limit, audit by audit."""
        for audit in self.audits:
            for row in self.rows(audit):
                yield from _find(audit, row)

    def _published(self, about: Subject, number: int | None) -> set[str]:
        shards = self._shards.values() if number is None else [self._shards[number]] if number in self._shards else []
        return {name for shard in shards for name in shard.ids(about)}

    def _folders(self, audit: TakenAudit) -> list[Path]:
        if audit.compares:
            return [self._folder / OVER_ALL]
        return sorted(path for path in self._folder.iterdir() if path.is_dir() and path.name != OVER_ALL)


def write_index(root: Path, taken: Sequence[TakenAudit], lock: CorpusLock | None) -> None:
    """Put audits into the index in place of what it said of them before."""
    known = {audit.name: audit for audit in (*CorpusReadings(root).audits, *taken)}
    entries = [known[name].model_dump(mode="json") for name in sorted(known)]
    write_json(root / FOLDER / INDEX, entries, lock.check if lock is not None else lambda: None)


def _find(audit: TakenAudit, row: RecordReadings) -> Iterator[Finding]:
    if row.problem:
        yield Finding(row.record_id, row.dialogue_id, audit.about, audit.name, None, None, row.problem)
    for measure in audit.measures:
        reading = row.readings.get(measure.name)
        if reading is not None and reading.value is not None and not measure.passes(reading.value):
            about, value, detail = audit.about, reading.value, reading.detail
            yield Finding(row.record_id, row.dialogue_id, about, audit.name, measure, value, detail)
