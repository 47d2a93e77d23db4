"""Published tables and ledgers without some dialogues: rewritten in place, so that no manifest is needed for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import ROWS_AT_A_TIME
from pipeline.adapters.scores import CorpusScores
from pipeline.contracts.ledger import FileEntry, Ledger, ShardEntry, ShardLedger
from pipeline.contracts.storage import Row
from pipeline.execution.gathered_ledger import Stated, publish_gathered
from pipeline.execution.gathering import find_receipts, key_of_gathered
from pipeline.execution.ledger import describe_renders, sum_counts, sum_spend, write_corpus_card
from pipeline.execution.packed import PackedFrom, find_packed, published_rows
from pipeline.values.errors import CorpusError
from pipeline.values.records import PlannedDialogue
from pipeline.work.packing import pack_key
from pipeline.work.shard_tally import OUTCOMES
from pipeline.work.withdrawing import Withdrawn, dialogue_of, withdraw, withdraw_from_matrix

_SUMMED = ("counts", "reasons", "edits", "repairs", "shortfalls", "voices")


@dataclass(frozen=True)
class Claims:
    """What was true of shards before the first file was changed, and is to be so afterwards.

    Attributes:
        packed: Shards whose tables were packed from their stage files as they were.
        scored: Shards whose tables have the scores of the readings as they were.
    """

    packed: frozenset[int] = frozenset()
    scored: frozenset[int] = frozenset()


class Withdrawal:
    """Takes dialogues out of what is published.

    Args:
        folder: Of the corpus, with the lock.
        lock: The same.
        plan: All rows of the plan; none where nobody planned the corpus.
    """

    def __init__(self, folder: CorpusFolder, lock: CorpusLock, plan: Sequence[PlannedDialogue]) -> None:
        self._folder = folder
        self._lock = lock
        self._plan = plan
        self._by_id = {row.id: row for row in plan}

    def find_claims(self, ledger: Ledger) -> Claims:
        """Say what holds of shards now."""
        scores = self._scores(ledger)
        shards = [self._folder.read_shard_ledger(entry) for entry in ledger.shards]
        return Claims(
            frozenset(made.shard for made in shards if find_packed(self._folder, made, self._plan) is not None),
            frozenset(made.shard for made in shards if scores.key(made.shard) == made.scores_key),
        )

    def publish(self, ledger: Ledger, dialogues: Collection[str], claims: Claims) -> None:
        """Rewrite the tables that hold something of the dialogues, then shard ledgers, card and root ledger.

        Raises:
            CorpusError: a table cannot be read or written.
        """
        entries: list[ShardEntry] = []
        gone: list[Withdrawn] = []
        scores = self._scores(ledger)
        for entry in ledger.shards:
            made = self._folder.read_shard_ledger(entry)
            files, one = self._rewrite_tables(made, dialogues)
            restated = self._restate(made, files, one, claims, scores)
            gone.append(one)
            if restated.counts["planned"]:
                entries.append(entry if restated == made else self._folder.write_shard_ledger(restated))
        if ledger.origins:
            self._publish_gathered(ledger, entries)
        else:
            self._publish_made(ledger, entries, gone)

    def _restate(
        self,
        made: ShardLedger,
        files: tuple[FileEntry, ...],
        gone: Withdrawn,
        claims: Claims,
        scores: CorpusScores,
    ) -> ShardLedger:
        update: dict[str, Any] = {"files": files, **withdraw(made, gone, self._by_id)}
        if made.shard in claims.scored:
            update["scores_key"] = scores.key(made.shard)
        left = made.model_copy(update=update)
        if made.origin:
            return left.model_copy(update={"order_key": key_of_gathered(files, made.origin)})
        if made.shard not in claims.packed:
            return left
        found = PackedFrom.read(self._folder, left, self._plan)
        key = pack_key(found.planned, found.receipts, found.rejections, left.scores_key)
        return left.model_copy(update={"order_key": key})

    def _rewrite_tables(self, made: ShardLedger, dialogues: Collection[str]) -> tuple[tuple[FileEntry, ...], Withdrawn]:
        gone, files = Withdrawn(), []
        for file in made.files:
            column = "id" if file.table in OUTCOMES else "dialogue_id"
            ids = {row[column] for row in published_rows(self._folder, made, file.table, [column])}
            if ids.isdisjoint(dialogues):
                files.append(file)
                continue
            rows = self._rows_left(file, dialogues, gone)
            schema = pq.read_schema(self._folder.inside(file.path))
            written = self._folder.write_table(file.table, made.shard, schema, rows)
            if written is not None:
                files.append(written)
        return tuple(files), gone

    def _rows_left(self, file: FileEntry, dialogues: Collection[str], gone: Withdrawn) -> Iterator[Row]:
        path = self._folder.inside(file.path)
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as table:
                for batch in table.iter_batches(ROWS_AT_A_TIME):
                    for row in batch.to_pylist():
                        if dialogue_of(file.table, row) in dialogues:
                            gone.take(file.table, row)
                        else:
                            yield row
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc

    def _publish_made(self, ledger: Ledger, entries: Sequence[ShardEntry], gone: Sequence[Withdrawn]) -> None:
        ledgers = [self._folder.read_shard_ledger(entry) for entry in entries]
        tables: Counter[str] = Counter()
        for made in ledgers:
            for file in made.files:
                tables[file.table] += file.num_rows
        update: dict[str, Any] = {name: sum_counts(getattr(made, name) for made in ledgers) for name in _SUMMED}
        update |= {"tables": dict(tables), "shards": tuple(entries)}
        update |= withdraw_from_matrix(ledger, gone, self._by_id)
        if len(entries) < len(ledger.shards):
            update |= self._sum_stages(ledger, ledgers)
        if not all(one.is_empty for one in gone):
            used = {topic for made in ledgers for topic in self._topics(made)}
            update["topics"] = {**ledger.topics, "used": len(used)}
        card, left = write_corpus_card(self._folder, ledger.model_copy(update=update))
        if left != ledger:
            self._folder.publish(left, card)

    def _sum_stages(self, ledger: Ledger, ledgers: Sequence[ShardLedger]) -> dict[str, Any]:
        """Return what the root ledger sums over stages, where a shard has no dialogue left."""
        lost = (dict(facts).get("num_lost_calls", 0) for made in ledgers for facts in made.stages.values())
        return {
            "spend": sum_spend(self._folder, ledgers),
            "num_lost_calls": sum(lost),
            "renderers": {
                kind: {**facts, **describe_renders(kind, ledgers)} for kind, facts in ledger.renderers.items()
            },
        }

    def _topics(self, made: ShardLedger) -> set[str]:
        return {
            row["topic_id"] for table in OUTCOMES for row in published_rows(self._folder, made, table, ["topic_id"])
        }

    def _publish_gathered(self, ledger: Ledger, entries: Sequence[ShardEntry]) -> None:
        if tuple(entries) == ledger.shards:
            return
        by_shard = {entry.shard: entry for entry in entries}
        for path in find_receipts(self._folder.root):
            receipt = read_json(path)
            shard = (receipt.get("entry") or {}).get("shard") if isinstance(receipt, dict) else None
            if shard is not None:
                entry = by_shard.get(shard)
                left = {**receipt, "entry": entry.model_dump(mode="json") if entry else None}
                write_json(path, left, self._lock.check)
        names = ("name", "description", "origins", "writer", "renderers", "prompts", "texts", "spend", "audits")
        stated = {name: getattr(ledger, name) for name in (*names, "num_lost_calls")}
        sources: Mapping[str, Any] = ledger.manifest.get("texts") or {}
        publish_gathered(self._folder, entries, Stated(**stated, text_sources=sources))

    def _scores(self, ledger: Ledger) -> CorpusScores:
        return CorpusScores(self._folder.root, (ledger.manifest.get("screen") or {}).get("limits") or {})


def list_published(folder: CorpusFolder, ledger: Ledger) -> tuple[dict[str, int], dict[str, str]]:
    """Return the shard of every published dialogue, kept or not, and of rejected ones whom they are like.

    Raises:
        CorpusError: a table cannot be read.
    """
    shards: dict[str, int] = {}
    likes: dict[str, str] = {}
    for entry in ledger.shards:
        made = folder.read_shard_ledger(entry)
        for table in OUTCOMES:
            columns = ["id", "like"] if table == "rejected" else ["id"]
            for row in published_rows(folder, made, table, columns):
                shards[row["id"]] = made.shard
                if row.get("like"):
                    likes[row["id"]] = row["like"]
    return shards, likes


def count_rows(
    folder: CorpusFolder, ledger: Ledger | None, shards: Collection[int], dialogues: Collection[str]
) -> dict[str, dict[str, int]]:
    """Return how many rows of each table belong to each of some dialogues.

    Args:
        shards: Those that they lie in.

    Raises:
        CorpusError: a table cannot be read.
    """
    found: dict[str, Counter[str]] = {}
    ledgers = (folder.read_shard_ledger(entry) for entry in (ledger.shards if ledger else ()) if entry.shard in shards)
    for made in ledgers:
        for table in {file.table for file in made.files}:
            column = "id" if table in OUTCOMES else "dialogue_id"
            for row in published_rows(folder, made, table, [column]):
                if row[column] in dialogues:
                    found.setdefault(row[column], Counter())[table] += 1
    return {name: dict(counts) for name, counts in found.items()}
