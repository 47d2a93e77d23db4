"""`merge`: several corpora into one, shard by shard. Media go from file to file a few rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.columns import check_kinds
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import sha256_file
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import ROWS_AT_A_TIME, PublishedCorpus, PublishedShard
from pipeline.adapters.takedown_book import read_takedowns, write_takedowns
from pipeline.contracts.ledger import FileEntry, Ledger, ShardLedger
from pipeline.contracts.scores import SCORES
from pipeline.contracts.storage import Row
from pipeline.execution.gathered_ledger import Stated, publish_gathered
from pipeline.execution.gathering import Gathering, ShardDraft, check_free, entries_of
from pipeline.execution.ledger import sum_counts
from pipeline.values.errors import CorpusError
from pipeline.values.merging import OnConflict
from pipeline.work.auditing import index_records
from pipeline.work.merging import RANKS, MergeIndex, Resolution, merge_facts, rename_row
from pipeline.work.shard_tally import OUTCOMES
from pipeline.work.tables import AUDITS, PUBLISHED, REPAIRS

_MEDIUM = {"images": ("image",), "music": ("audio",), "speech": ("audio",)}
_LISTS = (SCORES, REPAIRS)
"""Columns that an older version may not have written, and that readers go through."""


@dataclass(frozen=True)
class MergeSetting:
    """What is merged, in which order and where to."""

    corpora: tuple[Path, ...]
    out: Path
    on_conflict: OnConflict = OnConflict.ERROR

    def check(self) -> None:
        """Refuse what cannot be merged.

        Raises:
            CorpusError: there are fewer than two corpora, one of them twice or none that is finished, or ``out`` is in
                one of them or holds something else.
        """
        if len(self.corpora) < 2:
            raise CorpusError("merge: name two corpora or more, and then the folder to write to")
        out = self.out.resolve()
        seen: set[Path] = set()
        for corpus in self.corpora:
            place = corpus.resolve()
            if place in seen:
                raise CorpusError(f"{corpus}: is named twice; name each corpus once")
            if out == place or out in place.parents or place in out.parents:
                raise CorpusError(f"{self.out}: a merged corpus stands outside of those that are merged")
            seen.add(place)
            if PublishedCorpus(corpus).ledger is None:
                raise CorpusError(f"{corpus}: has no ledger.json, so nothing says what belongs to it; run or import it")
        check_free(self.out, "merge")


class _Source:
    """One of the corpora, as its root ledger is now."""

    def __init__(self, root: Path, number: int) -> None:
        self.number = number
        self.folder = CorpusFolder(root)
        self.corpus = PublishedCorpus(root)
        ledger = self.corpus.ledger
        if ledger is None:
            raise CorpusError(f"{root}: has no ledger.json")
        self.ledger: Ledger = ledger
        self.sha256 = sha256_file(root / "ledger.json")

    def shards(self) -> Iterator[tuple[ShardLedger, PublishedShard]]:
        """Yield shards with their ledgers, in order."""
        for entry, shard in zip(self.ledger.shards, self.corpus.shards, strict=True):
            yield self.folder.read_shard_ledger(entry), shard

    def rows(self, file: FileEntry, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield the rows of a file, a few at a time.

        Raises:
            CorpusError: it is missing or damaged, or no table of a corpus.
        """
        path = self.folder.inside(file.path)
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as table:
                _check_table(path, file.table, table.schema_arrow)
                for batch in table.iter_batches(ROWS_AT_A_TIME, columns=columns):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc


class MergeRun:
    """One merge.

    Args:
        on_shard: Told how many shards are done of how many.
    """

    def __init__(
        self, setting: MergeSetting, lock: CorpusLock, on_shard: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        self._sources = [_Source(root, number) for number, root in enumerate(setting.corpora)]
        self._setting = setting
        self._lock = lock
        source = {"corpora": [one.sha256 for one in self._sources], "on_conflict": str(setting.on_conflict)}
        self._gathering = Gathering(setting.out, lock, "merge", source)
        self._on_shard = on_shard

    def execute(self) -> tuple[Ledger, Resolution]:
        """Write what is missing, and publish; return the ledger and what became of dialogues that several have.

        Raises:
            CorpusError: two corpora have a dialogue with other content, one is damaged, or ``out`` cannot be written.
        """
        resolution = self._resolve()
        receipts = self._gathering.begin()
        # What one of them has taken down is not to come in from another.
        for source in self._sources:
            if takedowns := read_takedowns(source.folder.root):
                write_takedowns(self._setting.out, takedowns.values(), self._lock)
        total = sum(len(source.ledger.shards) for source in self._sources)
        number = 0
        for source in self._sources:
            for ledger, shard in source.shards():
                if number >= len(receipts):
                    self._copy(number, source, ledger, shard, resolution)
                number += 1
                self._on_shard(number, total)
        entries = entries_of(self._gathering.begin())
        return publish_gathered(self._gathering.folder, entries, self._state(resolution)), resolution

    def _resolve(self) -> Resolution:
        """Find the dialogues that several corpora have; reads hashes of media, and no media."""
        index = MergeIndex([str(root) for root in self._setting.corpora])
        for source in self._sources:
            for ledger, shard in source.shards():
                for name, _, content in index_records("dialogue", shard, None, reads_assets=True):
                    index.add(source.number, "dialogues", name, content)
                for file in ledger.files:
                    if file.table in RANKS[1:]:
                        for row in source.rows(file, ["id"]):
                            index.add(source.number, file.table, row["id"], "0")
        return index.resolve(self._setting.on_conflict)

    def _copy(
        self, number: int, source: _Source, ledger: ShardLedger, shard: PublishedShard, resolution: Resolution
    ) -> None:
        dropped = resolution.dropped.get(source.number, set())
        renamed = resolution.renamed.get(source.number, {})
        draft = self._gathering.open(number, _audit_metadata(shard))
        used: dict[str, str] = {}
        for file in ledger.files:
            for row in source.rows(file):
                name = row["id"] if file.table in OUTCOMES else row["dialogue_id"]
                if name in dropped:
                    continue
                new = renamed.get(name)
                if new is not None:
                    used[new] = name
                self._add(draft, file.table, row if new is None else rename_row(file.table, row, new))
        is_whole = sum(draft.tally.rows.values()) == sum(file.num_rows for file in ledger.files)
        origin = {"corpus": source.ledger.name, "ledger_sha256": source.sha256, "shard": ledger.shard}
        origin |= {"renamed": used} if used else {}
        origin |= {"before": dict(ledger.origin)} if ledger.origin else {}
        stated = {
            "origin": origin,
            "stages": ledger.stages,
            "scores_key": ledger.scores_key,
            "measures": ledger.measures,
            # No row says which features its cell asked for; of a part of the rows nobody can count them.
            "features": ledger.features if is_whole else {},
        }
        self._gathering.commit(number, draft, stated, {})

    def _add(self, draft: ShardDraft, table: str, row: Row) -> None:
        draft.add(table, {k: row.get(k) if k not in _LISTS else row.get(k) or [] for k in PUBLISHED[table].names})

    def _state(self, resolution: Resolution) -> Stated:
        ledgers = [source.ledger for source in self._sources]
        names = [ledger.name for ledger in ledgers]
        kinds = dict.fromkeys(kind for ledger in ledgers for kind in ledger.renderers)
        stages = dict.fromkeys(stage for ledger in ledgers for stage in ledger.spend)
        return Stated(
            name=self._setting.out.resolve().name,
            description=f"Merged from {' and '.join([', '.join(names[:-1]), names[-1]])}.",
            origins=tuple(self._describe(source, resolution) for source in self._sources),
            writer=merge_facts([ledger.writer for ledger in ledgers]),
            renderers={
                kind: merge_facts([one.renderers[kind] for one in ledgers if kind in one.renderers]) for kind in kinds
            },
            prompts=_join_prompts(ledgers),
            texts={
                name: sum_counts(one.texts[name] for one in ledgers if name in one.texts)
                for one in ledgers
                for name in one.texts
            },
            text_sources=_join_text_sources(ledgers),
            spend={stage: _sum_spend([one.spend[stage] for one in ledgers if stage in one.spend]) for stage in stages},
            audits=tuple(
                {(str(a["name"]), str(a["version"])): a for one in reversed(ledgers) for a in one.audits}.values()
            ),
            num_lost_calls=sum(ledger.num_lost_calls for ledger in ledgers),
        )

    def _describe(self, source: _Source, resolution: Resolution) -> dict[str, Any]:
        ledger, counts = source.ledger, resolution.counts.get(source.number, Counter[str]())
        licences = {
            str(name): licence for origin in ledger.origins for name, licence in origin.get("licences", {}).items()
        }
        left_out = counts["same"] + counts["conflicts"]
        return {
            "corpus": ledger.name,
            "sha256": source.sha256,
            "kept": ledger.counts.get("kept", 0) - left_out,
            **{name: counts[name] for name in ("same", "conflicts", "renamed", "lost")},
            "licences": licences,
            "before": list(ledger.origins),
        }


def _check_table(path: Path, table: str, schema: pa.Schema) -> None:
    """Refuse a file without the columns that a merge goes by; what else it lacks stays empty."""
    needed = ("id",) if table in OUTCOMES else ("id", "dialogue_id", "part_id", *_MEDIUM.get(table, ()))
    missing = [name for name in needed if name not in schema.names]
    if table not in PUBLISHED or missing:
        raise CorpusError(f"{path}: is no table {table!r:.40} of a corpus; run `anyinstruct verify` on it")
    check_kinds(path, schema)


def _audit_metadata(shard: PublishedShard) -> dict[bytes, bytes]:
    """Return what the tables of a shard state of the audits whose scores they have."""
    for path in shard.files.values():
        stated = (pq.read_schema(path).metadata or {}).get(AUDITS.encode())
        if stated is not None:
            return {AUDITS.encode(): stated}
    return {}


def _join_prompts(ledgers: Sequence[Ledger]) -> dict[str, str]:
    """Return prompt files with their hashes; one that corpora have in several versions stands once for each."""
    found: dict[str, str] = {}
    for ledger in ledgers:
        for name, key in ledger.prompts.items():
            found[name if found.get(name, key) == key else f"{name} ({ledger.name})"] = key
    return found


def _join_text_sources(ledgers: Sequence[Ledger]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for ledger in ledgers:
        texts = ledger.manifest.get("texts") or {}
        for key in ("files", "hub"):
            for source in texts.get(key) or ():
                if source not in found.setdefault(key, []):
                    found[key].append(source)
    return {key: sources for key, sources in found.items() if sources}


def _sum_spend(some: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Add up calls, tokens and dollars by model."""
    total: dict[str, Counter[str]] = {}
    for models in some:
        for model, columns in models.items():
            sums = total.setdefault(model, Counter())
            for name, value in columns.items():
                sums[name] += value  # type: ignore[assignment]  # dollars are no whole numbers
    return {model: dict(sums) for model, sums in total.items()}
