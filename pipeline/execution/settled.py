"""What was found to be up to date, so that a run with nothing to do need not work it out again for every record.

What a stage is asked for follows from few things: a shard's rows of the plan, the stage file before it, the prompts,
the writer or the renderer, repairs, retries, and this program. ``work/settled.json`` holds a hash over all of them by
shard and stage, taken when nothing was left to do. While they are the same, nothing is to do now. It is a cache:
without it, or with another program, everything is compared record by record once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

import pipeline
from pipeline.adapters.files import read_json, sha256_file, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.retry_book import RetryBook
from pipeline.contracts.storage import Receipt
from pipeline.execution.ledger import describe_prompts
from pipeline.execution.project import Project
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key, encode_json, sha256_hex
from pipeline.values.records import Modality, PlannedDialogue, Record, Slot
from pipeline.work import dialogues, scenarios, taking
from pipeline.work.twins import Twin

FILE = "settled.json"
_UPSTREAM = {dialogues.STAGE: scenarios.STAGE, **{str(modality): dialogues.STAGE for modality in Modality}}

Shards = Mapping[int, Sequence[PlannedDialogue]]


class _Found(Record):
    """The file.

    Attributes:
        plan: Over the plan's file and all that its rows are drawn from.
        stages: By shard and stage, as ``00003/speech``.
        screen: Over all that decides which dialogues are twins.
        twins: What was decided.
    """

    plan: str = ""
    stages: Mapping[str, str] = Field(default_factory=dict)
    screen: str = ""
    twins: Mapping[str, Twin] = Field(default_factory=dict)


class Settled:
    """Reads and writes what is settled.

    Args:
        look: Work that only looks.
        lock: Of the run that writes; None for one that only reads.
    """

    def __init__(self, look: ShardWork, lock: CorpusLock | None = None) -> None:
        self._look = look
        self._lock = lock
        self._path = look.folder.work / FILE
        self._keys = _Keys(look.project)
        self._repairs = RepairBook(look.folder.work)
        self._retries = RetryBook(look.folder.work)
        self._found = self._kept = _read(self._path)
        self._stages = dict(self._found.stages)
        self._receipts: dict[tuple[int, str], Receipt | None] = {}

    def is_plan_current(self) -> bool:
        """Whether the plan on disk was drawn, as it is, from today's mix and prompts."""
        return bool(self._found.plan) and self._found.plan == self._plan_key()

    def mark_plan(self) -> None:
        """Take down that the plan on disk is current."""
        self._found = self._found.model_copy(update={"plan": self._plan_key()})

    def is_settled(self, shard: int, stage: str, planned: Sequence[PlannedDialogue]) -> bool:
        """Whether a stage has nothing to do for the planned dialogues of a shard. False where that is not known."""
        known = self._stages.get(_place(shard, stage))
        return known is not None and known == self._stage_key(shard, stage, planned)

    def mark(self, shard: int, stage: str, planned: Sequence[PlannedDialogue]) -> None:
        """Take down that a stage has nothing left to do, now that it is committed."""
        key = self._stage_key(shard, stage, planned)
        if key is not None:
            self._stages[_place(shard, stage)] = key

    def recall_twins(self, shards: Shards) -> Mapping[str, Twin] | None:
        """Return what was decided about twins; None where something that decides it has changed."""
        return self._found.twins if self._found.screen == self._screen_key(shards) else None

    def mark_twins(self, shards: Shards, twins: Mapping[str, Twin]) -> None:
        """Take down what was decided about twins, now that all shards are rendered."""
        self._found = self._found.model_copy(
            update={"screen": self._screen_key(shards), "twins": dict(sorted(twins.items()))}
        )

    def save(self) -> None:
        """Write the file if it says anything new. Where that fails, the next run works it out again."""
        found = self._found.model_copy(update={"stages": dict(sorted(self._stages.items()))})
        if found != self._kept:
            check = self._lock.check if self._lock else (lambda: None)
            with suppress(CorpusError):
                write_json(self._path, found.model_dump(mode="json"), check)
                self._kept = found

    def _plan_key(self) -> str:
        plan = self._look.folder.work / "plan.parquet"
        return content_key(self._keys.drawing, sha256_file(plan)) if plan.is_file() else ""

    def _stage_key(self, shard: int, stage: str, planned: Sequence[PlannedDialogue]) -> str | None:
        receipt = self._receipt(shard, stage)
        if receipt is None:
            return None
        before = self._sha256(shard, _UPSTREAM[stage]) if stage in _UPSTREAM else ""
        if stage in (scenarios.STAGE, dialogues.STAGE):
            takes = self._look.project.manifest.texts is not None
            taken = self._look.folder.texts().receipt(taking.STAGE) if takes else None
            texts = taken.sha256 if taken else ""
            again = dict(self._retries.read(shard).get(stage, {}))
            rows = self._keys.rows(shard, planned)
            return content_key(self._keys.writing, rows, [before, texts], _state(receipt), again)
        repairs = self._repairs.read(shard)
        repaired = [[name, repairs[name].model_dump(mode="json")] for name in sorted(repairs)]
        rendering = self._keys.rendering(Modality(stage))
        return content_key(rendering, _ids(planned), before, _state(receipt), repaired)

    def _screen_key(self, shards: Shards) -> str:
        stages = (dialogues.STAGE, *self._look.project.manifest.media)
        return content_key(
            program_key(),
            self._look.project.manifest.screen.min_similarity,
            [[n, _ids(rows), *(self._sha256(n, stage) for stage in stages)] for n, rows in shards.items()],
        )

    def _sha256(self, shard: int, stage: str) -> str:
        receipt = self._receipt(shard, stage)
        return receipt.sha256 if receipt else ""

    def _receipt(self, shard: int, stage: str) -> Receipt | None:
        """Return a stage's receipt, for who only looks the one that was there at first; a run commits meanwhile."""
        if self._lock is not None:
            return self._look.folder.shard(shard).receipt(stage)
        if (shard, stage) not in self._receipts:
            self._receipts[shard, stage] = self._look.folder.shard(shard).receipt(stage)
        return self._receipts[shard, stage]


class _Keys:
    """Hashes over what all shards share."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._rendering: dict[Modality, str] = {}
        self._rows: tuple[int, Sequence[PlannedDialogue], str] | None = None
        self._slots: dict[int, tuple[Slot, str]] = {}

    @cached_property
    def writing(self) -> str:
        """Hash over how scenarios and dialogues are written."""
        writer, texts = self._project.manifest.writer, self._project.manifest.texts
        return content_key(
            self._common,
            [[entry.weight, writer.fingerprint(entry.model)] for entry in writer.blend],
            texts.model_dump(mode="json") if texts else None,
        )

    @cached_property
    def drawing(self) -> str:
        """Hash over what slots, demonstrations and requirements are drawn from."""
        manifest = self._project.manifest
        mix = [cell.model_dump(mode="json") for cell in manifest.mix]
        return content_key(self._common, manifest.writer.effective_style, mix)

    @cached_property
    def _common(self) -> list[Any]:
        manifest = self._project.manifest
        return [program_key(), manifest.seed, manifest.language, describe_prompts(self._project)]

    def rendering(self, modality: Modality) -> str:
        """Hash over how a modality is rendered."""
        if modality not in self._rendering:
            project, section = self._project, self._project.manifest.render.section(modality)
            casting = project.casting if modality is Modality.SPEECH else None
            voices = (
                [voice.model_dump(mode="json") for voice in (casting.assistant, *casting.pool.values())]
                if casting
                else []
            )
            self._rendering[modality] = content_key(
                program_key(),
                [project.manifest.seed, project.renderer_key(modality), project.edit_key(modality), voices],
                section.model_dump(mode="json", exclude={"actors", "num_gpus", "batch"}) if section else None,
            )
        return self._rendering[modality]

    def rows(self, shard: int, planned: Sequence[PlannedDialogue]) -> str:
        """Hash over plan rows. The last one is kept, since the stages of a shard ask for it one after the other."""
        if self._rows is None or self._rows[0] != shard or self._rows[1] is not planned:
            self._rows = (shard, planned, sha256_hex(encode_json([self._say(row) for row in planned])))
        return self._rows[2]

    def _say(self, row: PlannedDialogue) -> list[Any]:
        """All of a row that its text is made from. Rows share slots, and one is hashed once."""
        slot, key = self._slots.get(id(row.slot), (None, ""))
        if slot is None:
            slot, key = self._slots[id(row.slot)] = row.slot, sha256_hex(row.slot.model_dump_json())
        topic = row.topic
        names = [row.demonstrations, row.requirements, row.features]
        return [row.id, topic.text, topic.meta_topic, row.shard, key, names]


@cache
def program_key() -> str:
    """Hash over this program's own source: another version may ask for other things."""
    root = Path(pipeline.__file__).parent
    return content_key([sha256_hex(path.read_bytes()) for path in sorted(root.rglob("*.py"))])


def _read(path: Path) -> _Found:
    try:
        return _Found.model_validate(read_json(path) or {})
    except (CorpusError, ValidationError):
        return _Found()  # a cache: it is worked out anew


def _place(shard: int, stage: str) -> str:
    return f"{shard:05d}/{stage}"


def _ids(planned: Sequence[PlannedDialogue]) -> str:
    return sha256_hex(",".join([row.id for row in planned]))


def _state(receipt: Receipt) -> list[str]:
    return [receipt.sha256, receipt.order_key]
