"""The published tables of a corpus, shard by shard: ours by its ledger, a stranger's by its folders.

A stranger's corpus has Parquet files in ``dialogues/`` and, as far as it has such media, in ``images/``, ``music/`` and
``speech/``; the n-th file of each folder makes the n-th shard. Of the columns these are needed: ``id`` and ``turns``
of dialogues, ``id``, ``dialogue_id`` and ``image`` or ``audio`` of assets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.adapters.columns import check_kinds
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.probes import PROBES
from pipeline.contracts.audit import CONTENT, SUBJECTS, AssetFacts, AuditItem, ShardAssets, Subject, content_of
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.scores import SCORES
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex

TABLE_OF: Mapping[Subject, str] = {"dialogue": "dialogues", "image": "images", "music": "music", "speech": "speech"}
MEDIUM_OF: Mapping[Subject, str] = {"image": "image", "music": "audio", "speech": "audio"}
DECODERS: Mapping[Subject, Callable[[bytes], Any]] = {
    "image": decode_picture,
    "music": decode_sound,
    "speech": decode_sound,
}

ROWS_AT_A_TIME = 16
"""Rows with media bytes read at once."""

SMALL_ROWS_AT_A_TIME = 1024
"""Rows without them."""

_NEEDED: Mapping[Subject, tuple[str, ...]] = {
    "dialogue": ("id", "turns"),
    "image": ("id", "dialogue_id", "image"),
    "music": ("id", "dialogue_id", "audio"),
    "speech": ("id", "dialogue_id", "audio"),
}


@dataclass(frozen=True)
class PublishedShard:
    """The files of one shard by subject. A subject without records has none. Implements ``AuditSource``."""

    number: int
    files: Mapping[Subject, Path]
    _indices: dict[Subject, Sequence[tuple[str, str, str]]] = field(default_factory=dict, compare=False, repr=False)

    def index(self, subject: Subject) -> Sequence[tuple[str, str, str]]:
        """Return id, dialogue id and content hash of every record. Media are read only where no row states a hash."""
        if subject not in self._indices:
            self._indices[subject] = list(self._read_index(subject))
        return self._indices[subject]

    def items(self, subject: Subject, wanted: set[str]) -> Iterator[AuditItem]:
        """Yield the wanted records with their media, a few rows at a time."""
        # One look-up a call, and not one a shard: the rows of assets are let go with the dialogues.
        look_up = cache(partial(self.read_assets, wanted if subject == "dialogue" else None))
        for row in self.rows(subject, wanted=wanted):
            row.pop(SCORES, None)  # what was read before must not bear on what is read now
            if subject == "dialogue":
                yield AuditItem(row["id"], row["id"], row, look_up=look_up)
                continue
            data = (row.pop(MEDIUM_OF[subject]) or {}).get("bytes") or b""
            yield AuditItem(row["id"], row["dialogue_id"], row, data, DECODERS[subject])

    def read_assets(self, dialogues: set[str] | None = None) -> ShardAssets:
        """Return the assets that belong to some dialogues or are named by them; by default all.

        Each is decoded once, one after another; what stays in memory is their rows.
        """
        if dialogues is None:
            return ShardAssets(read_facts(subject, row) for subject in MEDIUM_OF for row in self.rows(subject))
        named = {name for row in self.rows("dialogue", ["id", "turns"], dialogues) for name in _assets_named(row)}
        return ShardAssets(
            read_facts(subject, row)
            for subject in MEDIUM_OF
            for row in self.rows(subject, wanted=self._assets_of(subject, dialogues, named))
        )

    def _assets_of(self, subject: Subject, dialogues: set[str], named: set[str]) -> set[str]:
        table = self.table(subject, ["id", "dialogue_id"])
        owned = () if table is None else zip(table["id"].to_pylist(), table["dialogue_id"].to_pylist(), strict=True)
        return {name for name, dialogue in owned if name is not None and (dialogue in dialogues or name in named)}

    def rows(
        self, subject: Subject, columns: Sequence[str] | None = None, wanted: set[str] | None = None
    ) -> Iterator[Row]:
        """Yield rows in order, a few at a time; row groups without a wanted one are not read beyond their ids.

        Raises:
            CorpusError: the file is missing, damaged or lacks a column that is needed.
        """
        path = self.files.get(subject)
        if path is None:
            return
        values = None if wanted is None else pa.array(sorted(wanted), pa.string())
        has_media = columns is None or not {"image", "audio"}.isdisjoint(columns)
        at_a_time = ROWS_AT_A_TIME if has_media else SMALL_ROWS_AT_A_TIME
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                _check_columns(path, file.schema_arrow, columns or _NEEDED[subject])
                groups = list(range(file.num_row_groups)) if values is None else _groups_with(file, values)
                for some_groups in [[group] for group in groups] if has_media else [groups]:
                    for batch in file.iter_batches(at_a_time, row_groups=some_groups, columns=columns):
                        some = batch if values is None else batch.filter(pc.is_in(batch.column("id"), values))
                        yield from some.to_pylist()
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc

    def ids(self, subject: Subject) -> set[str]:
        """Return the ids of all records, reading nothing else."""
        table = self.table(subject, ["id"])
        return set() if table is None else set(table["id"].to_pylist())

    def table(self, subject: Subject, columns: Sequence[str]) -> pa.Table | None:
        """Return a few columns of all rows at once, for whoever needs no media; None where there is no such row.

        Columns that the file lacks are left out; the record's own id it must have.

        Raises:
            CorpusError: the file is missing or damaged, or has no ids.
        """
        path = self.files.get(subject)
        if path is None:
            return None
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                _check_columns(path, file.schema_arrow, ("id",))
                return file.read([name for name in columns if name in file.schema_arrow.names], use_threads=False)
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc

    def columns_of(self, subject: Subject, *names: str) -> list[str]:
        """Return those of some columns that the subject's table has."""
        path = self.files.get(subject)
        there = [] if path is None else _column_names(path)
        return [name for name in names if name in there]

    def _read_index(self, subject: Subject) -> Iterator[tuple[str, str, str]]:
        path = self.files.get(subject)
        if path is None:
            return
        names = _column_names(path)
        if subject == "dialogue":
            for row in self.rows(subject, self.columns_of(subject, *CONTENT)):
                yield row["id"], row["id"], content_of(row)
        elif "sha256" in names:
            for row in self.rows(subject, ["id", "dialogue_id", "sha256"]):
                yield row["id"], row["dialogue_id"], row["sha256"]
        else:
            for row in self.rows(subject, list(_NEEDED[subject])):
                yield row["id"], row["dialogue_id"], sha256_hex((row[MEDIUM_OF[subject]] or {}).get("bytes") or b"")


class PublishedCorpus:
    """A finished corpus.

    Raises:
        CorpusError: the folder holds none, or its ledger names a file that is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = CorpusFolder(root)
        self.ledger: Ledger | None = self.folder.read_ledger()
        if self.ledger is None and not list((root / "dialogues").glob("*.parquet")):
            raise CorpusError(
                f"{root}: holds no finished corpus (neither ledger.json nor Parquet files in dialogues/ are there); "
                "check the path, or run its manifest to the end"
            )

    @cached_property
    def shards(self) -> tuple[PublishedShard, ...]:
        """All shards in order."""
        return tuple(self._by_ledger(self.ledger) if self.ledger is not None else self._by_folders())

    def _by_ledger(self, ledger: Ledger) -> Iterator[PublishedShard]:
        subjects = {table: subject for subject, table in TABLE_OF.items()}
        for entry in ledger.shards:
            files = self.folder.read_shard_ledger(entry).files
            paths = {subjects[f.table]: self.folder.inside(f.path) for f in files if f.table in subjects}
            yield PublishedShard(entry.shard, paths)

    def _by_folders(self) -> Iterator[PublishedShard]:
        found = {subject: sorted((self.root / table).glob("*.parquet")) for subject, table in TABLE_OF.items()}
        for number in range(max(map(len, found.values()))):
            yield PublishedShard(number, {s: found[s][number] for s in SUBJECTS if number < len(found[s])})


def read_facts(subject: Subject, row: Row) -> AssetFacts:
    """Decode an asset once, and return what is known of it; takes its bytes out of the row."""
    row.pop(SCORES, None)
    data = (row.pop(MEDIUM_OF[subject]) or {}).get("bytes") or b""
    try:
        PROBES[TABLE_OF[subject]](data)
    except ValueError as exc:
        return AssetFacts(subject, row, str(exc))
    return AssetFacts(subject, row)


def _assets_named(dialogue: Row) -> Iterator[str]:
    """Yield the ids of assets that a dialogue's parts name."""
    for turn in dialogue["turns"] or ():
        for part in turn.get("parts") or ():
            if part.get("asset") is not None:
                yield part["asset"]


def _groups_with(file: pq.ParquetFile, values: pa.Array) -> list[int]:
    """Return the row groups that hold a wanted id. All ids are read at once: one read a group takes far longer."""
    is_wanted = pc.is_in(file.read(columns=["id"]).column(0), values)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = accumulate(sizes, initial=0)
    return [
        group
        for group, (start, size) in enumerate(zip(starts, sizes, strict=False))
        if pc.any(is_wanted.slice(start, size)).as_py()
    ]


def _column_names(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as exc:
        raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc


def _check_columns(path: Path, schema: pa.Schema, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in schema.names]
    if missing:
        raise CorpusError(f"{path}: has no column {', '.join(missing)}; a corpus's table needs it")
    check_kinds(path, schema)
