"""`import`: a data set of another layout, row by row, into a corpus of ours. No row is lost without being told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.adapters.files import read_json, sha256_file
from pipeline.adapters.foreign.chat_lines import ChatLinesReader
from pipeline.adapters.foreign.folder import SourceFolder
from pipeline.adapters.foreign.parquet_rows import ParquetReader
from pipeline.adapters.foreign.published_parts import PublishedReader
from pipeline.adapters.foreign.webdataset import WebDatasetReader
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.measuring import measure_medium
from pipeline.adapters.table_file import read_table
from pipeline.contracts.foreign import ForeignUnit, RawDialogue, Shape, SourceReader, Unreadable
from pipeline.contracts.ledger import Ledger, ShardLedger
from pipeline.execution.gathered_ledger import Stated, publish_gathered
from pipeline.execution.gathering import Gathering, ShardDraft, check_free, entries_of
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.ids import canonical_json, sha256_hex
from pipeline.values.words import suggest
from pipeline.work.adopting import adopt_dialogue, adopt_id, describe_lost
from pipeline.work.foreign_messages import shape_messages
from pipeline.work.foreign_published import shape_published
from pipeline.work.foreign_rows import shape_hf, shape_parts, shape_webdataset
from pipeline.work.published_shapes import Reason

EXPORT_INDEX = "export.json"
"""Beside what `export` wrote: its format, its options, the corpus's name and licences."""

DIALOGUES_A_SHARD = 256
"""Between the smallest and the largest that a manifest may ask for; a shard is what an interruption costs."""


@dataclass(frozen=True)
class Layout:
    """How a layout is read.

    Attributes:
        open: Returns its reader for a folder, given what the folder's export index says.
        shape: Makes a dialogue of what it reads, given the same.
    """

    open: Callable[[SourceFolder, Mapping[str, Any]], SourceReader]
    shape: Callable[[Mapping[str, Any]], Shape]


LAYOUTS: Mapping[str, Layout] = {
    "hf": Layout(lambda source, index: ParquetReader(source, ("id", "turns")), lambda index: shape_hf),
    "parquet": Layout(
        lambda source, index: ParquetReader(source, ("dialogue_id", "turn", "part", "role", "kind"), "dialogue_id"),
        lambda index: shape_parts,
    ),
    "anyinstruct": Layout(lambda source, index: PublishedReader(source), lambda index: shape_published),
    "webdataset": Layout(lambda source, index: WebDatasetReader(source), lambda index: shape_webdataset),
    "messages": Layout(lambda source, index: ChatLinesReader(source), shape_messages),
}
"""By the name of the export that writes it."""


@dataclass(frozen=True)
class ImportSetting:
    """What is imported.

    Attributes:
        kind: Of :data:`LAYOUTS`; None for what the folder's export index says.
        language: Of dialogues that state none.
    """

    source: Path
    out: Path
    kind: str | None = None
    language: str | None = None


def read_index(source: Path) -> Mapping[str, Any]:
    """Return what `export` wrote beside its files; nothing where it did not write them.

    Raises:
        CorpusError: it is there and cannot be understood.
    """
    index = read_json(source / EXPORT_INDEX) if source.is_dir() else None
    return index if isinstance(index, dict) else {}


@dataclass(frozen=True)
class Source:
    """A folder, the reader of its layout, and what its export index says."""

    folder: SourceFolder
    kind: str
    index: Mapping[str, Any]
    reader: SourceReader


def open_source(setting: ImportSetting) -> Source:
    """Find out in which layout a folder is.

    Raises:
        ManifestError: it is no folder, no such layout is known, or the folder holds nothing of it.
        CorpusError: its export index cannot be understood.
    """
    folder, index = SourceFolder(setting.source), read_index(setting.source)
    kind = str(setting.kind or index.get("format"))
    if kind not in LAYOUTS:
        raise ManifestError(f"{setting.source}: no layout {kind!r:.40} can be imported; {suggest(kind, LAYOUTS)}")
    source = Source(folder, kind, index, LAYOUTS[kind].open(folder, index))
    source.reader.units()
    return source


class ImportRun:
    """One import.

    Args:
        on_shard: Told of dialogues kept and left out, after each shard.

    Raises:
        ManifestError: the folder holds nothing of the layout.
    """

    def __init__(
        self,
        setting: ImportSetting,
        source: Source,
        lock: CorpusLock,
        on_shard: Callable[[int, int], None] = lambda kept, lost: None,
    ) -> None:
        self._setting = setting
        self._index = source.index
        self._kind = source.kind
        self._folder = source.folder
        self._reader = source.reader
        self._shape = LAYOUTS[source.kind].shape(source.index)
        self._units = source.reader.units()
        self._gathering = Gathering(setting.out, lock, "import", self._describe_source())
        self._on_shard = on_shard
        self._seen: set[str] = set()
        self._hashes: dict[str, str] = {}

    def execute(self) -> Ledger:
        """Write what is missing, and publish.

        Raises:
            ManifestError: a file of the source is damaged.
            CorpusError: the folder holds something else, or cannot be written.
        """
        receipts = self._gathering.begin()
        for entry in entries_of(receipts):
            ledger = self._gathering.folder.read_shard_ledger(entry)
            self._seen |= self._read_ids(ledger)
            self._on_shard(ledger.counts["kept"], ledger.counts["failed"])
        for receipt in receipts:
            self._hashes |= receipt["hashes"]
        first, skip = 0, 0
        if receipts:
            last = receipts[-1]
            first, skip = (last["unit"] + 1, 0) if last["is_last"] else (last["unit"], last["end"])
        number = len(receipts)
        for index in range(first, len(self._units)):
            number = self._import_unit(index, number, skip if index == first else 0)
        entries = entries_of(self._gathering.begin())
        ledgers = [self._gathering.folder.read_shard_ledger(entry) for entry in entries]
        return publish_gathered(self._gathering.folder, entries, self._state(ledgers))

    def _import_unit(self, index: int, number: int, skip: int) -> int:
        """Write a unit's shards; return the number of the next one."""
        unit = self._units[index]
        rows, end = self._reader.read(unit), skip
        for _ in islice(rows, skip):
            pass
        self._hashes |= {self._folder.name(path): sha256_file(path) for path in unit.files}
        following = next(rows, None)
        while True:
            draft, start = self._gathering.open(number), end
            while following is not None and end - start < DIALOGUES_A_SHARD:
                end += 1
                self._take(draft, unit, end, following)
                following = next(rows, None)
            self._commit(number, draft, index, end, following is None)
            number += 1
            if following is None:
                return number

    def _take(self, draft: ShardDraft, unit: ForeignUnit, number: int, raw: RawDialogue | Unreadable) -> None:
        place = f"{unit.name} row {number}"
        try:
            if isinstance(raw, Unreadable):
                raise raw
            place = raw.place
            found = self._shape(raw)
            name = adopt_id(found.id)
            if name in self._seen:
                raise Unreadable(Reason.ID_TWICE, f"the id {found.id!r:.60} stands twice")
            adopted = adopt_dialogue(found, measure_medium, self._setting.language)
        except Unreadable as exc:
            draft.add("failed", describe_lost(place, (unit.name, number), exc))
            return
        self._seen.add(name)
        draft.add("dialogues", adopted.dialogue)
        for table, row in adopted.assets:
            draft.add(table, row)

    def _commit(self, number: int, draft: ShardDraft, index: int, end: int, is_last: bool) -> None:
        unit = self._units[index]
        hashes = {name: self._hashes[name] for name in map(self._folder.name, unit.files)}
        origin = {"layout": self._kind, "file": unit.name, "sha256": next(iter(hashes.values())), "rows_up_to": end}
        if draft.tally.drafts:
            origin["drafts"] = draft.tally.drafts
        facts = {"unit": index, "end": end, "is_last": is_last, "hashes": hashes}
        self._gathering.commit(number, draft, {"origin": origin}, facts)
        self._on_shard(draft.tally.rows["dialogues"], draft.tally.rows["failed"])

    def _read_ids(self, ledger: ShardLedger) -> set[str]:
        files = [self._gathering.folder.inside(file.path) for file in ledger.files if file.table == "dialogues"]
        return {name for path in files for name in read_table(path, ["id"]).column(0).to_pylist()}

    def _describe_source(self) -> dict[str, Any]:
        """Return what tells this source from another, and from itself once it has changed."""
        return {"layout": self._kind, "language": self._setting.language, "files": dict(self._list_files())}

    def _list_files(self) -> Iterator[tuple[str, list[int]]]:
        for path in dict.fromkeys(path for unit in self._units for path in unit.files):
            stat = path.stat()
            yield self._folder.name(path), [stat.st_size, stat.st_mtime_ns]

    def _state(self, ledgers: list[ShardLedger]) -> Stated:
        name = self._setting.source.resolve().name
        licences = self._index.get("licences")
        origin = {
            "imported": self._index["corpus"] if isinstance(self._index.get("corpus"), str) else name,
            "folder": name,
            "layout": self._kind,
            "num_files": len(self._hashes),
            # Over names and hashes of all files, so that anybody who has them can say whether it is they.
            "sha256": sha256_hex(canonical_json(self._hashes)),
            "licences": licences if isinstance(licences, dict) else {},
        }
        drafts = sorted({one for ledger in ledgers for one in ledger.origin.get("drafts", ())})
        tables: Counter[str] = Counter()
        for ledger in ledgers:
            tables.update({file.table: file.num_rows for file in ledger.files})
        made = (("image", "images"), ("music", "music"), ("speech", "speech"))
        media = {
            kind: {"renderer": "imported", "version": self._kind, "is_draft": bool(drafts), "made": tables[table]}
            for kind, table in made
            if tables[table]
        }
        return Stated(
            name=self._setting.out.resolve().name,
            description=f"Imported from {name}, a data set in the layout {self._kind}.",
            origins=(origin,),
            renderers=media,
        )


def check_out(setting: ImportSetting) -> None:
    """Refuse a folder that an import cannot stand in.

    Raises:
        CorpusError: it is in the source or around it, or holds something that is no such import.
    """
    source, out = setting.source.resolve(), setting.out.resolve()
    if out == source or source in out.parents or out in source.parents:
        raise CorpusError(f"{setting.out}: a corpus stands outside of what it is imported from; name another folder")
    check_free(setting.out, "import")
