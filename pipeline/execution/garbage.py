"""`gc`: what no ledger needs, found so that nothing is lost that a run would have to pay for or render again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import PARTIAL, STAGING, read_json, sha256_file
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.scores import CorpusScores
from pipeline.adapters.store import DAMAGED, ShardFolder
from pipeline.contracts.ledger import Ledger, ShardLedger
from pipeline.contracts.storage import Receipt, Row
from pipeline.execution.audit_garbage import KnownRecords, ReadingsGarbage
from pipeline.execution.beside import TokenFiles
from pipeline.execution.packed import find_packed, published_rows
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key, part_id, sha256_hex
from pipeline.values.records import MEDIA, PlannedDialogue
from pipeline.values.rejections import Rejections
from pipeline.values.units import Bytes
from pipeline.work import describing, dialogues, scenarios, tables
from pipeline.work.media_calls import calls_journal
from pipeline.work.packing import pack_key

SCHEMAS = {
    scenarios.STAGE: tables.SCENARIOS,
    dialogues.STAGE: tables.DIALOGUES,
    describing.STAGE: tables.DESCRIPTIONS,
    **{str(modality): tables.RENDERS for modality in MEDIA},
}

ROWS = "rows of dialogues taken out or written anew"
READINGS = "readings of what is gone, or by audits of older versions"

Parts = Mapping[str, frozenset[tuple[str, str]]]
"""Media parts of each dialogue: pairs of part id and kind."""


@dataclass(frozen=True)
class Garbage:
    """A file that nobody needs, or rows of one that it can do without.

    Attributes:
        num_bytes: What removing it frees; for rows, in proportion to the file.
        num_rows: 0 where the whole file goes.
    """

    kind: str
    path: Path
    num_bytes: Bytes
    num_rows: int = 0


@dataclass(frozen=True)
class PackedShard:
    """A shard whose stage files are, byte for byte, those that its published tables were packed from."""

    ledger: ShardLedger
    store: ShardFolder
    planned: Sequence[PlannedDialogue]
    receipts: Mapping[str, Receipt]
    parts: Parts
    rejections: Rejections


class Collector:
    """Finds garbage in a corpus and removes it; the caller holds the locks on the corpus and on its readings."""

    def __init__(self, folder: CorpusFolder, readings_lock: CorpusLock | None = None) -> None:
        self._folder = folder
        self._readings_lock = readings_lock

    def find_files(self) -> list[Garbage]:
        """Find files that nobody needs.

        Raises:
            CorpusError: a ledger is damaged, so that nobody can tell what it names.
        """
        found = {item.path: item for item in self.find_leftovers()}
        for store in self._stores():
            lost = self._find_lost(store)
            for modality in MEDIA:
                spent = () if lost is None else _spent_journals(store, str(modality), lost)
                _add(found, "render journals whose media are in a stage file", spent)
        for packed in self._packed_shards() if self._has_readings else ():
            journals = self._readings(packed).find_journals()
            _add(found, "journals of audits whose readings are in a stage file", journals)
        if (ledger := self._folder.read_ledger()) is not None:
            shards = {entry.shard for entry in ledger.shards}
            unneeded = TokenFiles(self._folder).find_unneeded(shards)
            _add(found, "codes of media that are gone or were encoded anew", unneeded)
        return sorted(found.values(), key=lambda item: (item.kind, item.path))

    def find_leftovers(self) -> list[Garbage]:
        """Find those of them that can be told by their names and by what receipts and ledgers name.

        Raises:
            CorpusError: a ledger is damaged.
        """
        root, ledger = self._folder.root, self._folder.read_ledger()
        found: dict[Path, Garbage] = {}
        _add(found, "leftovers of runs that were killed", sorted(root.rglob(f"*{PARTIAL}")))
        _add(found, "leftovers of runs that were killed", sorted(root.glob(f"work/*/{STAGING}*/**/*")))
        _add(found, "damaged files set aside", sorted(root.rglob(f"*{DAMAGED}")))
        for store in self._stores():
            _add(found, "replaced stage files", _unnamed_stage_files(store))
        if ledger is not None:
            _add(found, "published files that no ledger names", self._folder.find_unreferenced(ledger))
        return list(found.values())

    def _find_lost(self, store: ShardFolder) -> frozenset[str] | None:
        """Return the keys of renders that a shard's repairs have set aside.

        None where a repair was stopped in the middle: any attempt may yet turn out best, and lies in a journal alone.
        """
        if not store.folder.name.isdecimal():
            return frozenset()
        repairs = RepairBook(self._folder.work).read(int(store.folder.name)).values()
        if not all(repair.is_done for repair in repairs):
            return None
        return frozenset(one.input_key for repair in repairs for one in repair.lost)

    def find_rows(self) -> list[Garbage]:
        """Find rows that no published dialogue rests on."""
        return [
            item
            for packed in self._packed_shards()
            for item in (*_count_rows(packed).values(), *self._count_readings(packed))
        ]

    def remove_rows(self) -> list[Garbage]:
        """Write those stage files anew without such rows, and have the ledgers say so: a run finds nothing to do."""
        ledger = self._folder.read_ledger()
        if ledger is None:
            return []
        card = self._card(ledger)
        entries = {entry.shard: entry for entry in ledger.shards}
        removed: list[Garbage] = []
        for packed in self._packed_shards():
            found, readings = _count_rows(packed), self._count_readings(packed)
            if not found and not readings:
                continue
            made = {stage: _rewrite(packed, stage) for stage in found}
            for stage, item in found.items():
                removed.append(replace(item, num_bytes=packed.receipts[stage].num_bytes - made[stage].num_bytes))
            removed += readings
            scores_key = self._remove_readings(packed) if readings else packed.ledger.scores_key
            key = pack_key(packed.planned, {**packed.receipts, **made}, packed.rejections, scores_key)
            restated = packed.ledger.model_copy(update={"order_key": key, "scores_key": scores_key})
            entries[restated.shard] = self._folder.write_shard_ledger(restated)
        if removed:
            shards = tuple(entries[entry.shard] for entry in ledger.shards)
            self._folder.publish(ledger.model_copy(update={"shards": shards}), card)
        return removed

    def _stores(self) -> Iterator[ShardFolder]:
        yield self._folder.topics()
        yield self._folder.texts()
        for index in self._folder.shard_indices():
            yield self._folder.shard(index)

    def _packed_shards(self) -> Iterator[PackedShard]:
        """Yield shards in which it is certain what is needed.

        Whatever a run has committed and not yet published has no published row, and must not be taken for garbage. So
        a shard counts only where its order key, computed anew from plan and stage files, is the one that it was
        packed by.
        """
        ledger = self._folder.read_ledger()
        if ledger is None:
            return
        plan = self._folder.read_plan()
        for entry in ledger.shards:
            made, store = self._folder.read_shard_ledger(entry), self._folder.shard(entry.shard)
            found = find_packed(self._folder, made, plan)
            if found is not None and all(_is_whole(store, receipt) for receipt in found.receipts.values()):
                yield PackedShard(made, store, found.planned, found.receipts, _read_parts(store), found.rejections)

    @property
    def _has_readings(self) -> bool:
        return (self._folder.root / FOLDER).is_dir()

    def _readings(self, packed: PackedShard) -> ReadingsGarbage:
        def ids(*tables: str) -> frozenset[str]:
            return frozenset(
                row["id"] for t in tables for row in published_rows(self._folder, packed.ledger, t, ["id"])
            )

        kept = ids("dialogues")
        records = KnownRecords(kept | ids(*tables.TABLE_OF.values()), kept, ids("rejected", "failed"))
        return ReadingsGarbage(self._folder.root, packed.ledger.shard, records, self._readings_lock)

    def _count_readings(self, packed: PackedShard) -> list[Garbage]:
        found = self._readings(packed).count_rows() if self._has_readings else ()
        return [Garbage(READINGS, path, num_bytes, num_rows) for path, num_rows, num_bytes in found]

    def _remove_readings(self, packed: PackedShard) -> str:
        """Remove what nobody needs; return the new key of the scores where the tables have those of today."""
        ledger = self._folder.read_ledger()
        limits = (ledger.manifest if ledger else {}).get("screen", {}).get("limits", {})
        shard = packed.ledger.shard
        is_current = CorpusScores(self._folder.root, limits).key(shard) == packed.ledger.scores_key
        self._readings(packed).remove_rows()
        return CorpusScores(self._folder.root, limits).key(shard) if is_current else packed.ledger.scores_key

    def _card(self, ledger: Ledger) -> str:
        path = self._folder.root / "README.md"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if sha256_hex(text) != ledger.card_sha256:
            raise CorpusError(f"{path}: is not the card that ledger.json names; run the manifest again, then gc")
        return text


def _add(found: dict[Path, Garbage], kind: str, paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_file() and not path.is_symlink():
            found.setdefault(path, Garbage(kind, path, path.stat().st_size))


def remove_files(garbage: Sequence[Garbage]) -> None:
    """Remove files; those that others have removed meanwhile are no trouble."""
    for item in garbage:
        try:
            item.path.unlink(missing_ok=True)
        except OSError as exc:
            raise CorpusError(f"{item.path}: cannot be removed: {exc.strerror}; mend the folder's permissions") from exc


def _unnamed_stage_files(store: ShardFolder) -> list[Path]:
    named = set()
    for path in store.folder.glob("*.json"):
        try:
            named.add(Receipt.model_validate(read_json(path)).file)
        except (CorpusError, ValidationError):
            return []  # a damaged receipt may have named any of them
    return sorted(path for path in store.folder.glob("*.parquet") if path.name not in named)


def _spent_journals(store: ShardFolder, stage: str, lost: frozenset[str]) -> list[Path]:
    """A render stage's journal files, where its stage file holds all that they hold and dialogues still ask for.

    The media of a run that was interrupted are in the journal alone. So the newest render of every part that some
    dialogue has must be the one in the stage file; otherwise the whole journal stays. What a repair has set aside for
    another attempt does not count: it was measured, and fell short.
    """
    segments = [*store.folder.glob(f"{stage}-e*.jsonl"), *store.folder.glob(f"{stage}-e*.blob")]
    # Of calls that were paid for, the bytes alone: what was spent stands in the lines for good.
    paid = list(store.folder.glob(f"{calls_journal(stage)}-e*.blob"))
    found = segments if segments and _is_committed(store, stage, stage, lost) else []
    is_spent = bool(paid) and _is_committed(store, stage, calls_journal(stage), lost)
    return sorted([*found, *(paid if is_spent else [])])


def _is_committed(store: ShardFolder, stage: str, journal: str, lost: frozenset[str]) -> bool:
    """Tell whether all that a journal has of current parts is in the stage file."""
    receipt, written = store.receipt(stage), store.receipt(dialogues.STAGE)
    if receipt is None or written is None or not _is_whole(store, receipt) or not _is_whole(store, written):
        return False
    rows = store.rows(stage, ["record_id", "inputs"])
    committed = {row["record_id"]: content_key(json.loads(row["inputs"])) for row in rows}
    current = {name for parts in _read_parts(store).values() for name, kind in parts if kind == stage}
    entries = (entry for entry in store.journal(journal).entries() if entry["event"] != "provenance")
    newest = {entry["record"]: entry["input_key"] for entry in entries if entry["input_key"] not in lost}
    return all(name not in current or committed.get(name) == key for name, key in newest.items())


def _is_whole(store: ShardFolder, receipt: Receipt) -> bool:
    try:
        return sha256_file(store.folder / receipt.file) == receipt.sha256
    except OSError:
        return False


def _read_parts(store: ShardFolder) -> Parts:
    found = {}
    for row in store.rows(dialogues.STAGE, ["record_id", "turns"]):
        places = [
            (part_id(row["record_id"], turn_index, index), part["kind"])
            for turn_index, turn in enumerate(row["turns"] or ())
            for index, part in enumerate(turn["parts"])
        ]
        found[row["record_id"]] = frozenset(places)
    return found


def _is_needed(packed: PackedShard, stage: str) -> Callable[[Row], bool]:
    ids = {row.id for row in packed.planned}
    if stage in (scenarios.STAGE, dialogues.STAGE):
        return lambda row: row["record_id"] in ids
    # A part of a dialogue that was written anew may be gone, or be of another kind.
    needed = {pair for name, pairs in packed.parts.items() if name in ids for pair in pairs}
    if stage == describing.STAGE:
        parts = {name for name, _ in needed}
        return lambda row: row["record_id"] in parts
    return lambda row: (row["record_id"], stage) in needed


def _count_rows(packed: PackedShard) -> dict[str, Garbage]:
    """By stage: how many of its rows nobody needs; stages without such rows left out."""
    found = {}
    for stage, receipt in packed.receipts.items():
        needs = _is_needed(packed, stage)
        unneeded = sum(not needs(row) for row in packed.store.rows(stage, ["record_id"]))
        if unneeded:
            share = unneeded / receipt.num_rows
            path = packed.store.folder / receipt.file
            found[stage] = Garbage(ROWS, path, round(receipt.num_bytes * share), unneeded)
    return found


def _rewrite(packed: PackedShard, stage: str) -> Receipt:
    receipt, needs = packed.receipts[stage], _is_needed(packed, stage)
    return packed.store.commit(
        stage,
        SCHEMAS[stage],
        (row for row in packed.store.rows(stage) if needs(row)),
        order_key=receipt.order_key,
        num_ok=receipt.num_ok,
        num_failed=receipt.num_failed,
        facts=receipt.facts,
    )
