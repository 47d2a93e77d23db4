"""The readings that lie beside a corpus's tables: which audits were taken, under which limits, and what they say.

``audits/index.json`` states each audit as it was last taken, so that whoever reads the rows needs neither its package
nor its options. The rows lie in ``audits/<shard>/``, those that compare records over all shards in ``audits/corpus/``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import PublishedCorpus, PublishedShard
from pipeline.adapters.reading import rows_where
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import UNDECODABLE, Measure, Reading, Subject, as_readings
from pipeline.contracts.storage import PlainName, Row
from pipeline.values.errors import CorpusError
from pipeline.values.records import Record
from pipeline.values.units import USD

FOLDER = "audits"
INDEX = "index.json"
_COLUMNS = ("record_id", "dialogue_id", "inputs", "status", "code", "message", "readings")
OVER_ALL = "corpus"
"""Folder of the audits that compare records over all shards."""


class TakenAudit(Record):
    """An audit as it was last taken of a corpus.

    Attributes:
        compares: True where its readings lie in one folder for the whole corpus.
        measures: All that it takes, each with the limit that held, a manifest's or a command's where one was given.
        usd: What its calls have cost over all runs; None for an audit that calls nobody.
    """

    name: PlainName
    version: str
    about: Subject
    compares: bool
    fingerprint: str
    options: Mapping[str, Any] = {}
    measures: tuple[Measure, ...]
    usd: USD | None = None


@dataclass(frozen=True)
class RecordReadings:
    """One record's row in one audit.

    Attributes:
        problem: Why it could not be measured; empty where it was.
        code: Of that problem.
    """

    record_id: str
    dialogue_id: str
    readings: Mapping[str, Reading]
    problem: str = ""
    code: str = ""

    @property
    def is_damaged(self) -> bool:
        """True where its media cannot be decoded, false where only a call about it came to nothing."""
        return self.code == UNDECODABLE


class ReadingColumns:
    """Some records' readings in one audit, measure by measure.

    Attributes:
        record_ids, dialogue_ids: Of the records, in the order of the rows.
        is_damaged: True for a record whose media cannot be decoded.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.record_ids: list[str] = rows["record_id"].to_pylist()
        self.dialogue_ids: list[str] = rows["dialogue_id"].to_pylist()
        codes = rows["code"].cast(pa.string()).fill_null("")
        self.is_damaged: list[bool] = pc.equal(codes, UNDECODABLE).to_pylist()
        lists = rows["readings"].combine_chunks()
        readings = lists.flatten()
        self._rows = pc.list_parent_indices(lists)
        self._measures, self._values = readings.field("measure"), readings.field("value")

    def values(self, measure: str) -> npt.NDArray[np.float64]:
        """Return one measure's values, one a record; not finite where it does not apply or could not be taken."""
        values = np.full(len(self.record_ids), np.nan)
        mask = pc.equal(self._measures, measure)
        found = self._values.filter(mask).cast(pa.float64()).to_numpy(zero_copy_only=False)
        values[self._rows.filter(mask).to_numpy(zero_copy_only=False)] = found
        return values


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

    def rows(self, audit: TakenAudit, dialogues: Collection[str] | None = None) -> Iterator[RecordReadings]:
        """Yield one audit's rows over all shards, leaving out those of an earlier version or other options.

        Readings of what is not published, such as a dialogue that fell short of a limit, stay and are left out, too.

        Args:
            dialogues: Whose records to yield; None for all.
        """
        for folder in self._folders(audit):
            store = ShardFolder(folder)
            published: set[str] | None = None
            for row in store.rows(audit.name) if dialogues is None else _rows_of(store, audit, dialogues):
                # Only now, for most shards have none of a few dialogues.
                published = set(self._published(audit, folder).to_pylist()) if published is None else published
                if row["record_id"] in published and json.loads(row["inputs"])["audit"] == audit.fingerprint:
                    yield _as_record(row)

    def of_dialogue(self, audit: TakenAudit, shard: int, dialogue: str) -> list[RecordReadings]:
        """Return one audit's rows about a dialogue and its assets, reading little besides, however large the corpus."""
        folder = self._folder / (OVER_ALL if audit.compares else f"{shard:05d}")
        rows = _rows_of(ShardFolder(folder), audit, {dialogue})
        return [_as_record(row) for row in rows if json.loads(row["inputs"])["audit"] == audit.fingerprint]

    def columns(self, audit: TakenAudit) -> Iterator[ReadingColumns]:
        """Yield the rows that :meth:`rows` does as columns, a shard at a time: for sums over many."""
        for folder in self._folders(audit):
            rows = ShardFolder(folder).table(audit.name, _COLUMNS)
            if rows is not None:
                # Inputs are an audit's fingerprint and a content's hash: no other text of theirs can hold this.
                key = f'"audit": {json.dumps(audit.fingerprint)}'
                rows = rows.filter(pc.match_substring(rows["inputs"], key))
                is_published = pc.is_in(rows["record_id"], self._published(audit, folder))
                yield ReadingColumns(rows.filter(is_published))

    def findings(self, dialogues: Collection[str] | None = None) -> Iterator[Finding]:
        """Yield whatever falls short of its limit, audit by audit; of some dialogues only where they are named."""
        for audit in self.audits:
            for row in self.rows(audit, dialogues):
                yield from _find(audit, row)

    def _published(self, audit: TakenAudit, folder: Path) -> pa.ChunkedArray:
        """Return the ids of the published records that a folder's readings may be of."""
        some = [shard for number, shard in self._shards.items() if audit.compares or number == int(folder.name)]
        ids = [table["id"] for shard in some if (table := shard.table(audit.about, ["id"])) is not None]
        return pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())

    def _folders(self, audit: TakenAudit) -> list[Path]:
        if audit.compares:
            return [self._folder / OVER_ALL]
        return sorted(path for path in self._folder.glob("[0-9]*") if path.is_dir() and path.name.isdecimal())


def write_index(root: Path, taken: Sequence[TakenAudit], lock: CorpusLock | None) -> None:
    """Put audits into the index in place of what it said of them before."""
    known = {audit.name: audit for audit in (*CorpusReadings(root).audits, *taken)}
    entries = [known[name].model_dump(mode="json") for name in sorted(known)]
    write_json(root / FOLDER / INDEX, entries, lock.check if lock is not None else lambda: None)


def _as_record(row: Row) -> RecordReadings:
    problem = row["message"] if row["status"] == "failed" else ""
    return RecordReadings(row["record_id"], row["dialogue_id"], as_readings(row), problem, row["code"] or "")


def _rows_of(store: ShardFolder, audit: TakenAudit, dialogues: Collection[str]) -> list[Row]:
    receipt = store.receipt(audit.name)
    return [] if receipt is None else rows_where(store.folder / receipt.file, "dialogue_id", dialogues, _COLUMNS)


def _find(audit: TakenAudit, row: RecordReadings) -> Iterator[Finding]:
    if row.is_damaged:
        yield Finding(row.record_id, row.dialogue_id, audit.about, audit.name, None, None, row.problem)
    for measure in audit.measures:
        reading = row.readings.get(measure.name)
        if reading is not None and reading.value is not None and not measure.passes(reading.value):
            about, value, detail = audit.about, reading.value, reading.detail
            yield Finding(row.record_id, row.dialogue_id, about, audit.name, measure, value, detail)
