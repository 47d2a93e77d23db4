"""Looking into a corpus, published or under way, without changing it and without reading more than is asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.adapters.columns import check_kinds
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import read_json
from pipeline.contracts.ledger import FileEntry, ShardEntry
from pipeline.contracts.storage import Receipt, Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import ID_DIGITS, asset_id
from pipeline.values.records import MEDIA, Modality, Slot

State = Literal["kept", "rejected", "failed", "unpublished"]

TABLES: Mapping[str, State] = {"dialogues": "kept", "rejected": "rejected", "failed": "failed"}
ASSET_TABLES = {Modality.IMAGE: "images", Modality.MUSIC: "music", Modality.SPEECH: "speech"}
MAX_CANDIDATES = 8

_PREFIX = re.compile(rf"[0-9a-f]{{1,{ID_DIGITS}}}")
_PLANNED = ("shard", "slot", "topic", "topic_id", "meta_topic")
_PUBLISHED = ("topic", "topic_id", "meta_topic", "cell")
_LISTED = ["id", "topic", "gives", "answers", "num_rounds", "turns"]


@dataclass(frozen=True)
class Listed:
    """One dialogue in a list.

    Attributes:
        turns: None where they are not written.
        note: Why there are no turns.
    """

    id: str
    topic: str
    gives: tuple[str, ...]
    answers: tuple[str, ...]
    num_rounds: int
    turns: Sequence[Row] | None
    note: str = ""


@dataclass(frozen=True)
class Asset:
    """What a renderer made of one part, or that it failed to.

    Attributes:
        id: Its name; None where nothing was made.
        data: Encoded bytes; None where nothing was made.
        extension: Of the encoding, without a dot.
        facts: All other columns of its row.
    """

    id: str | None
    modality: Modality
    data: bytes | None
    extension: str
    facts: Row


@dataclass(frozen=True)
class FoundDialogue:
    """All that a corpus holds of one dialogue.

    Attributes:
        state: Where it ended; ``unpublished`` where no ledger names it yet.
        row: Its published row, or as much of one as its stages have made.
        plan: Its row of the plan; None where the corpus came without its ``work`` folder.
        assets: By part id.
        stage_rows: Its rows in the stages of words, by stage; without the ``work`` folder none.
    """

    id: str
    shard: int
    state: State
    row: Row
    plan: Row | None
    assets: Mapping[str, Asset]
    stage_rows: Mapping[str, Row] = field(default_factory=dict)


class CorpusReader:
    """Finds dialogues in a corpus folder.

    Raises:
        CorpusError: the folder holds no corpus, or its ledger cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.folder = CorpusFolder(root)
        self.ledger = self.folder.read_ledger()
        self._plan = self.folder.work / "plan.parquet"
        if self.ledger is None and not self._plan.exists():
            raise CorpusError(
                f"{root}: holds no corpus with dialogues yet (neither ledger.json nor work/plan.parquet is there); "
                "check the path, or run its manifest"
            )

    def count(self) -> int:
        """Return the number of dialogues that :meth:`first` would list without a limit."""
        if self.ledger is not None:
            return self.ledger.counts.get("kept", 0)
        receipts = [self._receipt(shard, "scenarios") for shard in self.folder.shard_indices()]
        return sum(receipt.num_ok + receipt.num_failed for receipt in receipts if receipt) or self._num_planned()

    def first(self, limit: int) -> list[Listed]:
        """Return the first dialogues, published ones where a ledger names some."""
        return self._first_published(limit) if self.ledger is not None else self._first_planned(limit)

    def find(self, prefix: str) -> str:
        """Return the id of the one dialogue that begins with a prefix; ids of its parts and assets name it too.

        Raises:
            CorpusError: none does, or several do; the text names some of them.
        """
        asked = prefix.strip().casefold().partition("-")[0]
        if not _PREFIX.fullmatch(asked):
            raise CorpusError(f"{prefix!r}: no dialogue id; that is up to {ID_DIGITS} digits out of 0-9 and a-f")
        found = sorted(set(self._ids(asked)))
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(found[:MAX_CANDIDATES]) + (", …" if len(found) > MAX_CANDIDATES else "")
            raise CorpusError(f"{prefix!r}: {len(found)} dialogues of {self.folder.root} begin so: {some}")
        some = ", ".join(line.id for line in self.first(3))
        raise CorpusError(f"{prefix!r}: no dialogue of {self.folder.root} begins so; there are {some or 'none'}, …")

    def read(self, dialogue: str) -> FoundDialogue:
        """Read one dialogue with its media, by its whole id."""
        plan = next(iter(rows_where(self._plan, "id", {dialogue})), None) if self._plan.exists() else None
        if plan is not None:
            _check_row(self._plan, plan, _PLANNED)
        for entry in self._entries(None if plan is None else plan["shard"]):
            files = self.folder.read_shard_ledger(entry).files
            for file in files:
                rows = self._rows(file, "id", dialogue) if file.table in TABLES else []
                if rows:
                    _check_row(self.folder.inside(file.path), rows[0], _PUBLISHED)
                    return self._published(entry.shard, TABLES[file.table], rows[0], plan, files)
        if plan is None:
            raise CorpusError(f"{dialogue}: neither ledger nor plan of {self.folder.root} names it")
        return self._unpublished(plan)

    def _published(
        self, shard: int, state: State, row: Row, plan: Row | None, files: Sequence[FileEntry]
    ) -> FoundDialogue:
        assets: dict[str, Asset] = {}
        for modality, table in ASSET_TABLES.items():
            for file in files:
                rows = self._rows(file, "dialogue_id", row["id"]) if file.table == table else []
                for asset in rows:
                    _check_row(self.folder.inside(file.path), asset, ("id", "part_id"))
                assets.update({asset["part_id"]: _published_asset(modality, asset) for asset in rows})
        # Media of what was not kept are published nowhere, but the stages may still have them.
        assets = {**self._stage_assets(shard, row["id"]), **assets}
        return FoundDialogue(row["id"], shard, state, row, plan, assets, self._stage_rows(shard, row["id"]))

    def _unpublished(self, plan: Row) -> FoundDialogue:
        dialogue, shard, slot = plan["id"], plan["shard"], _slot(plan)
        stages = self._stage_rows(shard, dialogue)
        row = {
            **{name: plan[name] for name in ("id", "topic", "topic_id", "meta_topic")},
            "cell": slot.cell,
            "gives": list(slot.gives),
            "answers": list(slot.answers),
            "num_rounds": slot.num_rounds,
            "scenario": stages.get("scenarios", {}).get("scenario"),
            "turns": stages.get("dialogues", {}).get("turns"),
        }
        lost = next((stage for stage in stages if stages[stage]["status"] == "failed"), None)
        if lost is not None:
            row |= {"stage": lost, "code": stages[lost]["code"], "message": stages[lost]["message"]}
        return FoundDialogue(dialogue, shard, "unpublished", row, plan, self._stage_assets(shard, dialogue), stages)

    def _stage_rows(self, shard: int, dialogue: str) -> dict[str, Row]:
        paths = {stage: self._stage_file(shard, stage) for stage in ("scenarios", "dialogues")}
        found = {stage: rows_where(path, "record_id", {dialogue}) for stage, path in paths.items() if path}
        return {stage: rows[0] for stage, rows in found.items() if rows}

    def _stage_assets(self, shard: int, dialogue: str) -> dict[str, Asset]:
        assets = {}
        for modality in MEDIA:
            path = self._stage_file(shard, modality)
            for row in rows_where(path, "dialogue_id", {dialogue}) if path else ():
                name = asset_id(row["part_id"], row["attempt"]) if row["status"] == "ok" else None
                data, extension = row.pop("data"), row.pop("extension")
                assets[row["part_id"]] = Asset(name, modality, data, extension or "", row)
        return assets

    def _first_published(self, limit: int) -> list[Listed]:
        listed: list[Listed] = []
        for entry in self._entries(None):
            for file in self.folder.read_shard_ledger(entry).files:
                if file.table == "dialogues" and len(listed) < limit:
                    path = self.folder.inside(file.path)
                    rows = read_groups(path, _LISTED, limit - len(listed))
                    for row in rows:
                        _check_row(path, row, _LISTED)
                    listed += [_listed(row) for row in rows]
            if len(listed) >= limit:
                break
        return listed

    def _first_planned(self, limit: int) -> list[Listed]:
        wanted = read_groups(self._plan, ["id", "topic", "slot", "shard"], self._num_planned())
        for row in wanted[:1]:
            _check_row(self._plan, row, ("id", "topic", "slot", "shard"))
        shards = [shard for shard in self.folder.shard_indices() if self._receipt(shard, "scenarios")]
        listed: list[Listed] = []
        for shard in shards:
            mine = [row for row in wanted if row["shard"] == shard]
            some = self._planned_lines(shard, mine)
            listed += [line for line in some if line.note != "not written"][: limit - len(listed)]
            if len(listed) >= limit:
                break
        return listed or [_planned_line(row, None, None) for row in wanted[:limit]]

    def _planned_lines(self, shard: int, rows: Sequence[Row]) -> list[Listed]:
        ids = {row["id"] for row in rows}
        made: dict[str, dict[str, Row]] = {}
        for stage, words in (("scenarios", "scenario"), ("dialogues", "turns")):
            path = self._stage_file(shard, stage)
            columns = ["record_id", "status", "code", words]
            made[stage] = {row["record_id"]: row for row in rows_where(path, "record_id", ids, columns)} if path else {}
        return [_planned_line(row, made["scenarios"].get(row["id"]), made["dialogues"].get(row["id"])) for row in rows]

    def _ids(self, prefix: str) -> Iterator[str]:
        """Yield the ids that begin with a prefix: those of the plan, else those that are published."""
        found = list(_ids_in(self._plan, prefix)) if self._plan.exists() else []
        if found:
            yield from found
            return
        for entry in self._entries(None):
            for file in self.folder.read_shard_ledger(entry).files:
                if file.table in TABLES:
                    yield from _ids_in(self.folder.inside(file.path), prefix)

    def _entries(self, shard: int | None) -> list[ShardEntry]:
        entries = self.ledger.shards if self.ledger else ()
        return [entry for entry in entries if shard is None or entry.shard == shard]

    def _rows(self, file: FileEntry, column: str, value: str) -> list[Row]:
        return rows_where(self.folder.inside(file.path), column, {value})

    def _num_planned(self) -> int:
        return count_rows(self._plan) if self._plan.exists() else 0

    def _stage_file(self, shard: int, stage: str) -> Path | None:
        receipt = self._receipt(shard, stage)
        path = None if receipt is None else self.folder.shard(shard).folder / Path(receipt.file).name
        return path if path is not None and path.exists() else None

    def _receipt(self, shard: int, stage: str) -> Receipt | None:
        """Read a receipt as it is. ``ShardFolder.receipt`` sets damaged files aside, which is a run's business."""
        path = self.folder.shard(shard).folder / f"{stage}.json"
        data = read_json(path)
        try:
            return None if data is None else Receipt.model_validate(data)
        except ValidationError as exc:
            raise CorpusError(f"{path}: no receipt of a stage; run the manifest again to write it anew") from exc


def rows_where(path: Path, column: str, wanted: Collection[str], columns: Sequence[str] | None = None) -> list[Row]:
    """Return the rows whose column holds one of some values.

    All of that column is read, and the other columns of those row groups alone that hold such a row: at most 100 rows
    of media a hit.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    values = pa.array(list(wanted), pa.string())
    found: list[Row] = []
    with _opened(path) as file:
        # The column at once: a call a row group would be most of the time in a file of many.
        mask = pc.is_in(file.read(columns=[column], use_threads=False).column(0), values)
        start, last = 0, pc.max(pc.indices_nonzero(mask)).as_py()
        for group in range(file.num_row_groups if last is not None else 0):
            if start > last:
                break
            mine = mask.slice(start, file.metadata.row_group(group).num_rows)
            start += len(mine)
            if pc.any(mine).as_py():
                found += file.read_row_group(group, columns=columns).filter(mine).to_pylist()
    return found


def read_groups(path: Path, columns: Sequence[str], limit: int) -> list[Row]:
    """Return the first rows of a file, reading no row group beyond them."""
    rows: list[Row] = []
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            if len(rows) < limit:
                rows += file.read_row_group(group, columns=columns).slice(0, limit - len(rows)).to_pylist()
    return rows


def count_rows(path: Path) -> int:
    """Return the number of rows that a file's footer states."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _ids_in(path: Path, prefix: str) -> Iterator[str]:
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["id"]).column(0)
            yield from ids.filter(pc.starts_with(ids, prefix)).to_pylist()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            check_kinds(path, file.schema_arrow)
            yield file
    # No checksum covers the names of columns: one that is asked for may not be there.
    except (OSError, pa.ArrowException, IndexError, KeyError) as exc:
        raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc


def _check_row(path: Path, row: Row, needed: Sequence[str]) -> None:
    """Refuse a row without columns that a dialogue is told by: no checksum covers their names."""
    missing = [name for name in needed if name not in row]
    if missing:
        raise CorpusError(f"{path}: has no column {', '.join(missing)}; run `anyinstruct verify` on the corpus")


def _published_asset(modality: Modality, row: Row) -> Asset:
    medium = row.pop("image" if modality is Modality.IMAGE else "audio") or {}
    extension = Path(str(medium.get("path") or "")).suffix.removeprefix(".")
    return Asset(str(row.pop("id")), modality, medium.get("bytes"), extension, row)


def _listed(row: Row) -> Listed:
    return Listed(**{**row, "gives": tuple(row["gives"] or ()), "answers": tuple(row["answers"] or ())})


def _slot(plan: Row) -> Slot:
    try:
        return Slot.model_validate_json(plan["slot"] or "")
    except ValidationError as exc:
        raise CorpusError(f"work/plan.parquet: {plan['id']}: its slot is none; run `anyinstruct verify`") from exc


def _planned_line(row: Row, scenario: Row | None, dialogue: Row | None) -> Listed:
    slot = _slot(row)
    last = dialogue or scenario
    if last is None:
        note = "not written"
    elif last["status"] == "failed":
        note = f"failed: {last['code']}"
    else:
        note = "" if dialogue else f"scenario: {scenario['scenario']}" if scenario else ""
    turns = dialogue["turns"] if dialogue else None
    return Listed(row["id"], row["topic"], slot.gives, slot.answers, slot.num_rounds, turns, note)
