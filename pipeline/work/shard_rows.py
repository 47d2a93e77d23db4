"""A shard's stage files put together: what each dialogue came to, and its rows as they are published."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.contracts.scores import SCORES
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import StageDamaged
from pipeline.values.ids import part_id
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.values.rejections import Rejection, Rejections
from pipeline.work import describing, dialogues, scenarios, tables
from pipeline.work.rendering import asset_name

TEXT_STAGES = (scenarios.STAGE, dialogues.STAGE)

_NAMING = ["dialogue_id", "part_id", "turn", "part", "attempt", "status", "extension"]
_MEDIUM = ["bytes", "path"]


@dataclass(frozen=True)
class Loss:
    """Why a dialogue is not kept; ``rejection`` is None for one that could not be made."""

    stage: str
    code: str
    message: str
    rejection: Rejection | None = None

    @property
    def table(self) -> str:
        """Where it is published."""
        return "failed" if self.rejection is None else "rejected"


@dataclass(frozen=True)
class ShardRows:
    """What a shard's stages have made of its planned dialogues.

    Attributes:
        receipts: By stage, of those that today's mix uses, and of descriptions where some were written anew.
        scenarios, dialogues: Rows by id of the dialogue.
        described: By id of the dialogue, rows of its descriptions that were written anew.
        parts: Kind of each part by its id.
        assets: Name of the asset of each media part that was made.
        words: By part, the description that a picture or a piece was made from; one that was written anew, maybe.
        failed_parts: The first failed part of each dialogue that has one.
    """

    planned: Sequence[PlannedDialogue]
    manifest: Manifest
    store: ShardStore
    receipts: Mapping[str, Receipt]
    scenarios: Mapping[str, Row]
    dialogues: Mapping[str, Row]
    described: Mapping[str, Sequence[Row]]
    parts: Mapping[str, str]
    assets: Mapping[str, str]
    words: Mapping[str, str]
    failed_parts: Mapping[str, Loss]

    @classmethod
    def read(cls, planned: Sequence[PlannedDialogue], manifest: Manifest, store: ShardStore) -> ShardRows:
        """Read all stage files but the media.

        Raises:
            StageDamaged: a stage never committed, or its file is gone or damaged.
        """
        # Stage files of a modality that the mix has since dropped stay where they are, and nothing comes of them.
        media = manifest.media
        for stage in (*TEXT_STAGES, *media):
            check_committed(store, stage)
        stages = (*TEXT_STAGES, describing.STAGE, *media)
        receipts = {stage: receipt for stage in stages if (receipt := store.receipt(stage)) is not None}
        told = {row["record_id"]: row for row in _whole_rows(store, receipts, scenarios.STAGE)}
        written = {row["record_id"]: row for row in _whole_rows(store, receipts, dialogues.STAGE)}
        described = defaultdict(list)
        for row in _whole_rows(store, receipts, describing.STAGE):
            described[_dialogue_of(row["record_id"])].append(row)
        parts = current_parts(written)
        failed, assets, words = _read_asset_index(store, receipts, media, parts)
        return cls(planned, manifest, store, receipts, told, written, described, parts, assets, words, failed)

    def find_losses(self, rejections: Rejections) -> dict[str, Loss]:
        """Say what each dialogue is lost for: failed words before a rejection, and that before failed media.

        Whether the media of a twin were tried depends on when it was found to be one, and must not decide what it
        ends as.
        """
        losses: dict[str, Loss] = {}
        for row in self.planned:
            for stage, rows in ((scenarios.STAGE, self.scenarios), (dialogues.STAGE, self.dialogues)):
                made = rows.get(row.id)
                if made is None:
                    losses.setdefault(row.id, Loss(stage, "not_made", "the stage made no row for it"))
                elif made["status"] == "failed":
                    losses.setdefault(row.id, Loss(stage, made["code"], made["message"]))
            if row.id in rejections:
                found = rejections[row.id]
                losses.setdefault(row.id, Loss(found.stage, found.code, found.message, found))
            if row.id in self.failed_parts:
                losses.setdefault(row.id, self.failed_parts[row.id])
        return losses

    def publish_dialogue(self, planned: PlannedDialogue, has_media: bool) -> Row:
        """Return a dialogue's published row. Its scores are added later.

        Without media its parts name no assets, and say what the dialogue said before any of it was written anew.
        """
        scenario, dialogue = self.scenarios[planned.id], self.dialogues[planned.id]
        assets = self.assets if has_media else {}
        turns: list[dict[str, Any]] = []
        for turn_index, turn in enumerate(dialogue["turns"]):
            parts = []
            for index, part in enumerate(turn["parts"]):
                name = part_id(planned.id, turn_index, index)
                words = self.words.get(name, part["text"]) if has_media else part["text"]
                # A stage file that an older version wrote has no columns that came later.
                parts.append({"edits": None, **part, "text": words, "asset": assets.get(name)})
            turns.append({"role": turn["role"], "parts": parts})
        # What was taken and not written has neither prompt nor model.
        prompts = [key for row in (scenario, dialogue) if (key := json.loads(row["inputs"]).get("prompt"))]
        return {
            "id": planned.id,
            "topic": planned.topic.text,
            "topic_id": planned.topic.id,
            "meta_topic": planned.topic.meta_topic,
            "language": self.manifest.language,
            "cell": planned.slot.cell,
            "gives": list(planned.slot.gives),
            "answers": list(planned.slot.answers),
            "num_rounds": planned.slot.num_rounds,
            "scenario": scenario["scenario"],
            "turns": turns,
            "provenance": {
                "models": sorted({scenario["model"], dialogue["model"]} - {""}),
                "prompts": prompts,
                "demonstrations": list(planned.demonstrations),
                "requirements": list(planned.requirements),
                "seed": self.manifest.seed,
                **{name: self._sum(planned.id, name) for name in ("calls", "invalid_answers", "usd")},
            },
        }

    def _sum(self, name: str, column: str) -> float:
        """Add up what the LLM was asked for a dialogue: its words, and descriptions of its media written anew."""
        rows = [stage[name] for stage in (self.scenarios, self.dialogues) if name in stage]
        total: float = sum(row[column] for row in (*rows, *self.described.get(name, ())))
        return total

    def publish_assets(self, modality: Modality, kept: Collection[str]) -> Iterator[pa.Table]:
        """Yield the published rows of some dialogues' assets, media and all. Scores and repairs are added later."""
        for group in self.store.row_groups(modality):
            named = group.select(_NAMING).to_pylist()
            wanted = [
                row["dialogue_id"] in kept and self.parts.get(row["part_id"]) == modality and row["status"] == "ok"
                for row in named
            ]
            if any(wanted):
                rows = [row for row, is_wanted in zip(named, wanted, strict=True) if is_wanted]
                yield self._publish_group(modality, rows, group.filter(pa.array(wanted)))
        check_committed(self.store, modality)  # a file whose damage shows while it is read yields fewer rows

    def _publish_group(self, modality: Modality, rows: Sequence[Row], group: pa.Table) -> pa.Table:
        """Return a group in the shape of its published table; media stay in columns, for they are many bytes."""
        names = [asset_name(row) for row in rows]
        paths = pa.array([f"{name}.{row['extension']}" for name, row in zip(names, rows, strict=True)])
        data = group["data"].combine_chunks()
        made = {
            "id": pa.array(names),
            "image" if modality is Modality.IMAGE else "audio": pa.StructArray.from_arrays([data, paths], _MEDIUM),
            "description": group["text"],
        }
        if modality is Modality.SPEECH:
            made["transcript"] = pa.array([self._said(row) for row in rows])
        schema = tables.PUBLISHED[tables.TABLE_OF[modality]]
        fields = [field for field in schema if field.name not in (SCORES, tables.REPAIRS)]
        columns = [
            made[field.name]
            if field.name in made
            else group[field.name]
            if field.name in group.column_names
            # A stage file that an older version wrote has no columns that came later.
            else pa.nulls(len(rows), field.type)
            for field in fields
        ]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def _said(self, row: Row) -> str:
        """Return what a clip's part says today; spelt otherwise and spoken alike, it is not rendered again."""
        text: str = self.dialogues[row["dialogue_id"]]["turns"][row["turn"]]["parts"][row["part"]]["text"]
        return text

    def publish_failure(self, planned: PlannedDialogue, loss: Loss) -> Row:
        """Return the published row of a dialogue that could not be made."""
        return {
            "stage": loss.stage,
            "code": loss.code,
            "message": loss.message,
            "id": planned.id,
            "topic": planned.topic.text,
            "topic_id": planned.topic.id,
            "meta_topic": planned.topic.meta_topic,
            "cell": planned.slot.cell,
            "usd": self._sum(planned.id, "usd"),
        }


def check_committed(store: ShardStore, stage: str) -> None:
    """Raise StageDamaged for a stage that has no file."""
    if store.receipt(stage) is None:
        raise StageDamaged(f"stage file {stage}: is not there or was set aside as damaged; run again to make it anew")


def current_parts(dialogue_rows: Mapping[str, Row]) -> dict[str, str]:
    """Kind of each part. Stage files also carry renders of parts that a dialogue had before it was written anew."""
    return {
        part_id(name, turn_index, index): part["kind"]
        for name, row in dialogue_rows.items()
        for turn_index, turn in enumerate(row["turns"] or ())
        for index, part in enumerate(turn["parts"])
    }


def _dialogue_of(part: str) -> str:
    return part.partition("-")[0]


def _whole_rows(store: ShardStore, receipts: Mapping[str, Receipt], stage: str) -> list[Row]:
    rows = list(store.rows(stage))
    expected = receipts[stage].num_rows if stage in receipts else 0
    if len(rows) != expected:
        raise StageDamaged(
            f"stage file {stage}: {len(rows)} of {expected} rows can be read; the damaged file was set aside, "
            "run again to make the lost rows from the journal"
        )
    return rows


def _read_asset_index(
    store: ShardStore, receipts: Mapping[str, Receipt], media: Sequence[Modality], parts: Mapping[str, str]
) -> tuple[dict[str, Loss], dict[str, str], dict[str, str]]:
    """Return the first failed part of each dialogue; names of the assets that were made, and their descriptions."""
    columns = ["record_id", "dialogue_id", "part_id", "attempt", "status", "code", "message", "text"]
    failed: dict[str, Loss] = {}
    assets: dict[str, str] = {}
    words: dict[str, str] = {}
    for modality in media:
        rows = list(store.rows(modality, columns))
        if len(rows) != receipts[modality].num_rows:
            raise StageDamaged(f"stage file {modality}: rows are missing; run again to mend it")
        for row in rows:
            if parts.get(row["part_id"]) != modality:
                continue
            if row["status"] == "ok":
                assets[row["part_id"]] = asset_name(row)
                if modality is not Modality.SPEECH:
                    words[row["part_id"]] = row["text"]
            else:
                message = f"{row['part_id']}: {row['message']}"
                failed.setdefault(row["dialogue_id"], Loss(str(modality), row["code"], message))
    for name, kind in parts.items():
        if kind in media and name not in assets:
            loss = Loss(kind, "not_made", f"{name}: the stage made no row for it")
            failed.setdefault(_dialogue_of(name), loss)
    return failed, assets, words
