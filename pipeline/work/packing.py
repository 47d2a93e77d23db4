"""Screen and pack: from a shard's stage files to the tables that are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.contracts.audit import AssetFacts, content_of
from pipeline.contracts.ledger import FileEntry, Publisher, ShardEntry, ShardLedger
from pipeline.contracts.scores import SCORES, ShardScores
from pipeline.contracts.storage import Receipt, Row, Rows, ShardStore
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest
from pipeline.values.records import PlannedDialogue
from pipeline.values.rejections import Rejection, Rejections
from pipeline.values.repairs import Repair
from pipeline.work import describing, tables
from pipeline.work.auditing import index_records
from pipeline.work.rendered import RenderedShard
from pipeline.work.repairing import publish_history
from pipeline.work.shard_rows import Loss, ShardRows
from pipeline.work.twins import Twin

PACK_VERSION = 6
PLAIN_PACK_VERSION = 5
"""Of shards none of whose descriptions was written anew: since 6, dialogues say what that cost, and these are alike."""
SCREEN = "screen"

_COUNTED = ("id", "dialogue_id", "part_id", "sha256", "voice", "edited_from")


@dataclass(frozen=True)
class Screened:
    """What was found out about a shard's dialogues after they were rendered.

    Attributes:
        repairs: By part, of the assets that were repaired. They change only with what is rendered, so that the key of
            what is packed needs nothing of them.
    """

    rejections: Rejections = field(default_factory=dict)
    scores: ShardScores = field(default_factory=ShardScores)
    repairs: Mapping[str, Repair] = field(default_factory=dict)


def pack_key(
    planned: Sequence[PlannedDialogue], receipts: Mapping[str, Receipt], rejections: Rejections, scores_key: str
) -> str:
    """Hash over all that a shard is packed from."""
    ids = [row.id for row in planned]
    return content_key(
        PACK_VERSION if describing.STAGE in receipts else PLAIN_PACK_VERSION,
        tables.SCHEMA_VERSION,
        ids,
        [[row.slot.cell, *row.features] for row in planned],
        {stage: receipt.sha256 for stage, receipt in receipts.items()},
        {name: rejections[name].model_dump() for name in ids if name in rejections},
        scores_key,
    )


def pack_shard(
    shard: int,
    planned: Sequence[PlannedDialogue],
    manifest: Manifest,
    store: ShardStore,
    publisher: Publisher,
    screened: Screened,
) -> ShardEntry:
    """Publish a shard's tables and its ledger. Every planned dialogue ends kept, rejected or failed.

    Raises:
        StageDamaged: a stage never committed, or its file is gone or damaged.
    """
    rows = ShardRows.read(planned, manifest, store)
    losses = rows.find_losses(screened.rejections)
    kept = [row for row in planned if row.id not in losses]
    counts = _Counts(screened, _hash_with_assets(rows) if screened.scores.by_record else {})
    contents: dict[str, Rows] = {
        "dialogues": counts.take_dialogues(rows.publish_dialogue(row, has_media=True) for row in kept)
    }
    kept_ids = {row.id for row in kept}
    for modality in manifest.media:
        table = tables.TABLE_OF[modality]
        contents[table] = counts.take_assets(rows.publish_assets(modality, kept_ids), tables.PUBLISHED[table])
    # What is rejected names no assets: none are published for it, and some were rendered only by chance.
    contents["rejected"] = [
        {**_judge(losses[row.id]), **rows.publish_dialogue(row, has_media=False), SCORES: []}
        for row in planned
        if row.id in losses and losses[row.id].table == "rejected"
    ]
    contents["failed"] = [
        rows.publish_failure(row, losses[row.id])
        for row in planned
        if row.id in losses and losses[row.id].table == "failed"
    ]
    files = [_write(publisher, name, shard, some, screened) for name, some in contents.items()]
    ledger = ShardLedger(
        shard=shard,
        order_key=pack_key(planned, rows.receipts, screened.rejections, screened.scores.key),
        scores_key=screened.scores.key,
        measures=screened.scores.measures,
        files=tuple(entry for entry in files if entry is not None),
        cells=Counter(row.slot.cell for row in kept),
        features=Counter(f"{row.slot.cell}/{feature}" for row in kept for feature in row.features),
        edits=+counts.edits,
        repairs=counts.repairs,
        voices=counts.voices,
        stages={stage: receipt.facts for stage, receipt in rows.receipts.items()},
        **_count_losses(planned, losses),
    )
    return publisher.write_shard_ledger(ledger)


def _hash_with_assets(rows: ShardRows) -> dict[str, str]:
    """Return by dialogue the content that audits go by which look at its assets, too."""
    source = RenderedShard(rows, {}, AssetFacts)
    return {name: content for name, _, content in index_records("dialogue", source, None, reads_assets=True)}


def _count_losses(planned: Sequence[PlannedDialogue], losses: Mapping[str, Loss]) -> dict[str, Mapping[str, int]]:
    tally = Counter(loss.table for loss in losses.values())
    measures = (loss.rejection.measure for loss in losses.values() if loss.rejection is not None)
    return {
        "counts": {
            "planned": len(planned),
            "kept": len(planned) - len(losses),
            "rejected": tally["rejected"],
            "failed": tally["failed"],
        },
        "reasons": Counter(f"{loss.stage}/{loss.code}" for loss in losses.values()),
        "shortfalls": Counter(measure for measure in measures if measure is not None),
    }


class _Counts:
    """Adds scores and repairs to rows as they go by, and counts what the shard's ledger states of them."""

    def __init__(self, screened: Screened, with_assets: Mapping[str, str]) -> None:
        self._scores = screened.scores
        self._repairs = screened.repairs
        self._with_assets = with_assets
        self._num_repaired = 0
        self._mended: set[str] = set()
        self.voices: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()

    def take_dialogues(self, rows: Iterable[Row]) -> list[Row]:
        """All at once: assets move edits from one count to the other, and may be written before dialogues are."""
        taken = []
        for row in rows:
            self.edits["from_words"] += sum(bool(part["edits"]) for turn in row["turns"] for part in turn["parts"])
            is_scored = row["id"] in self._scores.by_record
            contents = (content_of(row), self._with_assets.get(row["id"], "")) if is_scored else ()
            taken.append({**row, SCORES: self._scores.of(row["id"], *contents)})
        return taken

    def take_assets(self, groups: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
        """Some at a time, for they hold media."""
        for group in groups:
            rows = group.select([name for name in _COUNTED if name in schema.names]).to_pylist()
            for row in rows:
                if row.get("voice"):
                    self.voices[row["voice"]] += 1
                if row.get("edited_from"):
                    self.edits.update(from_picture=1, from_words=-1)
            repairs = pa.array([self._take_repair(row) for row in rows], schema.field(tables.REPAIRS).type)
            scores = pa.array([self._scores.of(row["id"], row["sha256"]) for row in rows], schema.field(SCORES).type)
            yield group.append_column(tables.REPAIRS, repairs).append_column(SCORES, scores).select(schema.names)

    def _take_repair(self, asset: Row) -> list[Row]:
        repair = self._repairs.get(asset["part_id"])
        history = [] if repair is None else publish_history(repair)
        if history:
            self._num_repaired += 1
            self._mended.add(asset["dialogue_id"])
        return history

    @property
    def repairs(self) -> dict[str, int]:
        """Assets that took more than one attempt, and dialogues that have such; none is stated where there are none."""
        return {"assets": self._num_repaired, "dialogues": len(self._mended)} if self._num_repaired else {}


def _write(publisher: Publisher, name: str, shard: int, rows: Rows, screened: Screened) -> FileEntry | None:
    schema = tables.PUBLISHED[name]
    if SCORES in schema.names:
        schema = schema.with_metadata({**schema.metadata, tables.AUDITS: screened.scores.stated})
    return publisher.write_table(name, shard, schema, rows)


def _judge(loss: Loss) -> Row:
    found = loss.rejection
    row = {"stage": loss.stage, "code": loss.code, "message": loss.message}
    return row if found is None else row | {"like": found.like, "score": found.score, "measure": found.measure}


def reject_twins(twins: Mapping[str, Twin]) -> dict[str, Rejection]:
    """Return why twins are rejected."""
    return {name: _reject(name, twin) for name, twin in twins.items()}


def _reject(name: str, twin: Twin) -> Rejection:
    how = "word for word" if twin.is_exact else f"in nearly the same words (similarity {twin.similarity:.2f})"
    message = f"says {how} what {twin.of} says"
    return Rejection(
        dialogue_id=name, stage=SCREEN, code=twin.code, message=message, like=twin.of, score=twin.similarity
    )


def read_rejections(rejected: Iterable[Row]) -> dict[str, Rejection]:
    """Return by id what rows of the published table say."""
    names = [name for name in Rejection.model_fields if name != "dialogue_id"]
    return {row["id"]: Rejection(dialogue_id=row["id"], **{name: row[name] for name in names}) for row in rejected}
