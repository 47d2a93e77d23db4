"""Screen and pack: from a shard's stage files to the tables that are published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.ledger import Publisher, ShardEntry, ShardLedger
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import StageDamaged
from pipeline.values.ids import content_key, part_id
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.work import dialogues, scenarios, tables
from pipeline.work.rendering import asset_name
from pipeline.work.twins import Twin

PACK_VERSION = 3
SCREEN = "screen"
TEXT_STAGES = (scenarios.STAGE, dialogues.STAGE)


@dataclass(frozen=True)
class Loss:
    """Why a dialogue is not kept."""

    table: str
    stage: str
    code: str
    message: str
    like: str | None = None
    score: float | None = None


def pack_key(planned: Sequence[PlannedDialogue], receipts: Mapping[str, Receipt], twins: Mapping[str, Twin]) -> str:
    """Hash over all that a shard is packed from."""
    ids = [row.id for row in planned]
    return content_key(
        PACK_VERSION,
        tables.SCHEMA_VERSION,
        ids,
        [[row.slot.cell, *row.features] for row in planned],
        {stage: receipt.sha256 for stage, receipt in receipts.items()},
        {name: twins[name].model_dump() for name in ids if name in twins},
    )


def pack_shard(
    shard: int,
    planned: Sequence[PlannedDialogue],
    manifest: Manifest,
    store: ShardStore,
    publisher: Publisher,
    twins: Mapping[str, Twin],
) -> ShardEntry:
    """Publish a shard's tables and its ledger. Every planned dialogue ends kept, rejected or failed.

    Raises:
        StageDamaged: a stage never committed, or its file is gone or damaged.
    """
    for stage in (*TEXT_STAGES, *manifest.media):
        _check_committed(store, stage)
    # Stage files of a modality that the mix has since dropped stay where they are, and nothing is packed from them.
    media = manifest.media
    receipts = {s: receipt for s in (*TEXT_STAGES, *media) if (receipt := store.receipt(s)) is not None}
    scenario_rows = {row["record_id"]: row for row in _whole_rows(store, receipts, scenarios.STAGE)}
    dialogue_rows = {row["record_id"]: row for row in _whole_rows(store, receipts, dialogues.STAGE)}
    parts = current_parts(dialogue_rows)
    failed_parts, assets = _read_asset_index(store, receipts, media, parts)
    losses = _find_losses(planned, scenario_rows, dialogue_rows, failed_parts, twins)
    # What is rejected names no assets: none are published for it, and some were rendered only by chance.
    published = {
        row.id: _publish(
            row, scenario_rows[row.id], dialogue_rows[row.id], {} if row.id in losses else assets, manifest
        )
        for row in planned
        if row.id not in losses or losses[row.id].table == "rejected"
    }
    kept = [row for row in planned if row.id not in losses]
    kept_ids = {row.id for row in kept}
    contents: dict[str, Iterable[Row]] = {"dialogues": [published[row.id] for row in kept]}
    voices: Counter[str] = Counter()
    edits = Counter(from_words=sum(len(_find_edits(published[row.id])) for row in kept))
    for modality in media:
        wanted = {part for part, kind in parts.items() if kind == modality}
        contents[tables.TABLE_OF[modality]] = _count_edits(
            _publish_assets(store, modality, kept_ids, wanted, voices), edits
        )
    contents["rejected"] = [
        {**_judge(losses[row.id]), **published[row.id]} for row in planned if _went(losses, row, "rejected")
    ]
    contents["failed"] = [
        _publish_failure(row, losses[row.id], scenario_rows, dialogue_rows)
        for row in planned
        if _went(losses, row, "failed")
    ]
    files = [publisher.write_table(name, shard, tables.PUBLISHED[name], rows) for name, rows in contents.items()]
    tally = Counter(loss.table for loss in losses.values())
    ledger = ShardLedger(
        shard=shard,
        order_key=pack_key(planned, receipts, twins),
        files=tuple(entry for entry in files if entry is not None),
        counts={"planned": len(planned), "kept": len(kept), "rejected": tally["rejected"], "failed": tally["failed"]},
        reasons=Counter(f"{loss.stage}/{loss.code}" for loss in losses.values()),
        cells=Counter(row.slot.cell for row in kept),
        features=Counter(f"{row.slot.cell}/{feature}" for row in kept for feature in row.features),
        edits=+edits,
        voices=voices,
        stages={stage: receipt.facts for stage, receipt in receipts.items()},
    )
    return publisher.write_shard_ledger(ledger)


def _check_committed(store: ShardStore, stage: str) -> None:
    if store.receipt(stage) is None:
        raise StageDamaged(f"stage file {stage}: is not there or was set aside as damaged; run again to make it anew")


def _reason(loss: Loss) -> Row:
    return {"stage": loss.stage, "code": loss.code, "message": loss.message}


def _judge(loss: Loss) -> Row:
    return {**_reason(loss), "like": loss.like, "score": loss.score}


def _went(losses: Mapping[str, Loss], row: PlannedDialogue, table: str) -> bool:
    return row.id in losses and losses[row.id].table == table


def _whole_rows(store: ShardStore, receipts: Mapping[str, Receipt], stage: str) -> list[Row]:
    rows = list(store.rows(stage))
    expected = receipts[stage].num_rows if stage in receipts else 0
    if len(rows) != expected:
        raise StageDamaged(
            f"stage file {stage}: {len(rows)} of {expected} rows can be read; the damaged file was set aside, "
            "run again to make the lost rows from the journal"
        )
    return rows


def current_parts(dialogue_rows: Mapping[str, Row]) -> dict[str, str]:
    """Kind of each part. Stage files also carry renders of parts that a dialogue had before it was written anew."""
    return {
        part_id(name, turn_index, index): part["kind"]
        for name, row in dialogue_rows.items()
        for turn_index, turn in enumerate(row["turns"] or ())
        for index, part in enumerate(turn["parts"])
    }


def _read_asset_index(
    store: ShardStore, receipts: Mapping[str, Receipt], media: Sequence[Modality], parts: Mapping[str, str]
) -> tuple[dict[str, Loss], dict[str, str]]:
    """Return the first failed part of each dialogue, and the asset name of each part that was made."""
    columns = ["record_id", "dialogue_id", "part_id", "attempt", "status", "code", "message"]
    failed: dict[str, Loss] = {}
    assets: dict[str, str] = {}
    for modality in media:
        rows = list(store.rows(modality, columns))
        if len(rows) != receipts[modality].num_rows:
            raise StageDamaged(f"stage file {modality}: rows are missing; run again to mend it")
        for row in rows:
            if parts.get(row["part_id"]) != modality:
                continue
            if row["status"] == "ok":
                assets[row["part_id"]] = asset_name(row)
            else:
                message = f"{row['part_id']}: {row['message']}"
                failed.setdefault(row["dialogue_id"], Loss("failed", str(modality), row["code"], message))
    for name, kind in parts.items():
        if kind in media and name not in assets:
            loss = Loss("failed", kind, "not_made", f"{name}: the stage made no row for it")
            failed.setdefault(name.partition("-")[0], loss)
    return failed, assets


def _find_losses(
    planned: Sequence[PlannedDialogue],
    scenario_rows: Mapping[str, Row],
    dialogue_rows: Mapping[str, Row],
    failed_parts: Mapping[str, Loss],
    twins: Mapping[str, Twin],
) -> dict[str, Loss]:
    """Say what each dialogue is lost for: failed words before likeness, and likeness before failed media.

    Whether the media of a twin were tried depends on when it was found to be one, and must not decide what it ends as.
    """
    losses: dict[str, Loss] = {}
    for row in planned:
        for stage, rows in ((scenarios.STAGE, scenario_rows), (dialogues.STAGE, dialogue_rows)):
            made = rows.get(row.id)
            if made is None:
                losses.setdefault(row.id, Loss("failed", stage, "not_made", "the stage made no row for it"))
            elif made["status"] == "failed":
                losses.setdefault(row.id, Loss("failed", stage, made["code"], made["message"]))
        if row.id in twins:
            losses.setdefault(row.id, _reject(twins[row.id]))
        if row.id in failed_parts:
            losses.setdefault(row.id, failed_parts[row.id])
    return losses


def _reject(twin: Twin) -> Loss:
    how = "word for word" if twin.is_exact else f"in nearly the same words (similarity {twin.similarity:.2f})"
    return Loss("rejected", SCREEN, twin.code, f"says {how} what {twin.of} says", twin.of, twin.similarity)


def read_twins(rejected: Iterable[Row]) -> dict[str, Twin]:
    """Return by id what rows of the published table say about twins."""
    return {
        row["id"]: Twin(of=row["like"], similarity=row["score"], is_exact=row["code"] == "duplicate")
        for row in rejected
        if row["stage"] == SCREEN and row.get("like") is not None
    }


def _publish(
    planned: PlannedDialogue, scenario: Row, dialogue: Row, assets: Mapping[str, str], manifest: Manifest
) -> Row:
    turns: list[dict[str, Any]] = []
    for turn_index, turn in enumerate(dialogue["turns"]):
        parts = [
            {**part, "asset": assets.get(f"{planned.id}-{turn_index:02d}-{index:02d}")}
            for index, part in enumerate(turn["parts"])
        ]
        turns.append({"role": turn["role"], "parts": parts})
    prompts = [_input(scenario, "prompt"), _input(dialogue, "prompt")]
    return {
        "id": planned.id,
        "topic": planned.topic.text,
        "topic_id": planned.topic.id,
        "meta_topic": planned.topic.meta_topic,
        "language": manifest.language,
        "cell": planned.slot.cell,
        "gives": list(planned.slot.gives),
        "answers": list(planned.slot.answers),
        "num_rounds": planned.slot.num_rounds,
        "scenario": scenario["scenario"],
        "turns": turns,
        "provenance": {
            "models": sorted({scenario["model"], dialogue["model"]}),
            "prompts": prompts,
            "demonstrations": list(planned.demonstrations),
            "requirements": list(planned.requirements),
            "seed": manifest.seed,
            "calls": scenario["calls"] + dialogue["calls"],
            "invalid_answers": scenario["invalid_answers"] + dialogue["invalid_answers"],
            "usd": scenario["usd"] + dialogue["usd"],
        },
    }


def _input(row: Row, name: str) -> str:
    return str(json.loads(row["inputs"])[name])


def _publish_assets(
    store: ShardStore, modality: Modality, kept: set[str], wanted: set[str], voices: Counter[str]
) -> Iterator[Row]:
    medium = "image" if modality is Modality.IMAGE else "audio"
    words = "transcript" if modality is Modality.SPEECH else "description"
    names = [field.name for field in tables.PUBLISHED[tables.TABLE_OF[modality]]]
    for row in store.rows(modality):
        if row["dialogue_id"] not in kept or row["part_id"] not in wanted or row["status"] != "ok":
            continue
        if row["voice"]:
            voices[row["voice"]] += 1
        name = asset_name(row)
        extra = {"id": name, medium: {"bytes": row["data"], "path": f"{name}.{row['extension']}"}, words: row["text"]}
        # A stage file that an older version wrote has no columns that came later.
        yield {key: extra[key] if key in extra else row.get(key) for key in names}
    _check_committed(store, modality)  # a file whose damage shows while it is read yields fewer rows


def _find_edits(row: Row) -> list[str]:
    """Places of the pictures that a dialogue's own are changed versions of."""
    return [part["edits"] for turn in row["turns"] for part in turn["parts"] if part.get("edits")]


def _count_edits(rows: Iterable[Row], edits: Counter[str]) -> Iterator[Row]:
    """Pass assets on, and move each that was made out of another from one count to the other."""
    for row in rows:
        if row.get("edited_from"):
            edits.update(from_picture=1, from_words=-1)
        yield row


def _publish_failure(
    planned: PlannedDialogue, loss: Loss, scenario_rows: Mapping[str, Row], dialogue_rows: Mapping[str, Row]
) -> Row:
    spent = [rows[planned.id]["usd"] for rows in (scenario_rows, dialogue_rows) if planned.id in rows]
    return {
        **_reason(loss),
        "id": planned.id,
        "topic": planned.topic.text,
        "topic_id": planned.topic.id,
        "meta_topic": planned.topic.meta_topic,
        "cell": planned.slot.cell,
        "usd": sum(spent),
    }
