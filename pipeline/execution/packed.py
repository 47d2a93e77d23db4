"""Whether a shard's published tables are packed from its stage files as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.corpus import CorpusFolder
from pipeline.contracts.ledger import ShardLedger
from pipeline.contracts.storage import Receipt, Row
from pipeline.values.errors import CorpusError
from pipeline.values.records import PlannedDialogue
from pipeline.values.rejections import Rejection, Rejections
from pipeline.work.packing import pack_key, read_rejections
from pipeline.work.shard_tally import OUTCOMES

_REJECTED = ["id", *(name for name in Rejection.model_fields if name != "dialogue_id")]


@dataclass(frozen=True)
class PackedFrom:
    """What a shard's tables were packed from."""

    planned: Sequence[PlannedDialogue]
    receipts: Mapping[str, Receipt]
    rejections: Rejections

    @classmethod
    def read(cls, folder: CorpusFolder, ledger: ShardLedger, plan: Sequence[PlannedDialogue]) -> PackedFrom:
        """Read what a shard would be packed from that publishes the same dialogues.

        Raises:
            CorpusError: a published table cannot be read.
        """
        store, ids = folder.shard(ledger.shard), published_ids(folder, ledger)
        planned = [row for row in plan if row.shard == ledger.shard and row.id in ids]
        receipts = {stage: receipt for stage in ledger.stages if (receipt := store.receipt(stage)) is not None}
        return cls(planned, receipts, read_rejections(published_rows(folder, ledger, "rejected", _REJECTED)))


def find_packed(folder: CorpusFolder, ledger: ShardLedger, plan: Sequence[PlannedDialogue]) -> PackedFrom | None:
    """Return what a shard's tables were packed from; None where plan or stage files have changed since.

    Receipts are believed: whether the files are what they say is another question.

    Raises:
        CorpusError: a published table cannot be read.
    """
    found = PackedFrom.read(folder, ledger, plan)
    key = pack_key(found.planned, found.receipts, found.rejections, ledger.scores_key)
    return found if set(found.receipts) == set(ledger.stages) and key == ledger.order_key else None


def published_ids(folder: CorpusFolder, ledger: ShardLedger) -> set[str]:
    """Return the ids of all dialogues of a shard, kept or not."""
    return {row["id"] for table in OUTCOMES for row in published_rows(folder, ledger, table, ["id"])}


def published_rows(folder: CorpusFolder, ledger: ShardLedger, table: str, columns: list[str]) -> Iterator[Row]:
    """Yield some columns of a shard's published table; an older version's may lack some of them.

    Raises:
        CorpusError: it cannot be read.
    """
    for file in ledger.files:
        if file.table != table:
            continue
        path = folder.inside(file.path)
        try:
            with pq.ParquetFile(path) as table_file:
                yield from table_file.read(columns=columns).to_pylist()
        except (OSError, pa.ArrowException) as exc:
            raise CorpusError(
                f"{path}: cannot be read ({exc}); run the manifest again, then give this command again"
            ) from exc
