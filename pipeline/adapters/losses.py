"""What a corpus lost and why: its published failures and rejections, or what its stages say where none are yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.reading import count_rows, read_groups, rows_where
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.storage import Receipt, Row
from pipeline.values.errors import CorpusError
from pipeline.values.records import MEDIA

NUM_EXAMPLES = 3
MAX_MESSAGE = 500
"""Characters of a message that are kept; a model may have written it."""

STAGES = ("scenarios", "dialogues", *map(str, MEDIA))
_STAGE_COLUMNS = ("record_id", "code", "message")
_TABLE_COLUMNS = ("id", "stage", "code", "message")


@dataclass(frozen=True)
class Example:
    """One lost record."""

    id: str
    message: str


@dataclass
class LossGroup:
    """Records that were lost in one stage for one reason.

    Attributes:
        count: Dialogues where they are published, rows of the stage otherwise.
        examples: The first of them.
    """

    state: Literal["failed", "rejected"]
    stage: str
    code: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def matches(self, reason: str) -> bool:
        """Tell whether a person who names a stage, a code, or both as ``stage/code`` means these."""
        return reason in (self.stage, self.code, f"{self.stage}/{self.code}")


@dataclass(frozen=True)
class Losses:
    """All of a corpus's losses.

    Attributes:
        is_published: Whether they are those of the ledger.
        groups: Failed ones first, the largest first.
    """

    is_published: bool
    groups: Sequence[LossGroup]

    def count(self, state: str) -> int:
        """Return how many records ended so."""
        return sum(group.count for group in self.groups if group.state == state)


def read_losses(root: Path) -> Losses:
    """Read what was lost; a run may be working on the corpus meanwhile.

    Topics that could not be generated are no dialogues, and are told from their stage in any case.

    Raises:
        CorpusError: it is no corpus, or a file is damaged.
    """
    folder = CorpusFolder(root)
    ledger = folder.read_ledger()
    if ledger is None and not folder.work.is_dir():
        raise CorpusError(f"{root}: is no corpus: neither ledger.json nor work/ is there")
    groups: dict[tuple[str, str, str], LossGroup] = {}
    for row in (*_topics(folder), *(_published(folder, ledger) if ledger else _staged(folder))):
        key = (row["state"], row["stage"], row["code"])
        group = groups.setdefault(key, LossGroup(*key))
        group.count += 1
        if len(group.examples) < NUM_EXAMPLES:
            group.examples.append(Example(row["id"], str(row["message"] or "")[:MAX_MESSAGE]))
    ordered = sorted(groups.values(), key=lambda group: (group.state, -group.count, group.stage, group.code))
    return Losses(ledger is not None, ordered)


def _topics(folder: CorpusFolder) -> Iterator[Row]:
    return _failed_rows(folder.topics().folder, "topics")


def _staged(folder: CorpusFolder) -> Iterator[Row]:
    for shard in folder.shard_indices():
        for stage in STAGES:
            yield from _failed_rows(folder.shard(shard).folder, stage)


def _failed_rows(folder: Path, stage: str) -> Iterator[Row]:
    """Yield what failed in a stage. Nothing is set aside here, whatever its state: that is a run's business."""
    try:
        receipt = Receipt.model_validate_json((folder / f"{stage}.json").read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValidationError) as exc:
        raise CorpusError(f"{folder / stage}.json: no receipt of a stage; run `anyinstruct verify`") from exc
    path = folder / Path(receipt.file).name
    if not receipt.num_failed or not path.exists():
        return
    for row in rows_where(path, "status", {"failed"}, _STAGE_COLUMNS):
        yield {"state": "failed", "stage": stage, "id": row["record_id"], **row}


def _published(folder: CorpusFolder, ledger: Ledger) -> Iterator[Row]:
    for entry in ledger.shards:
        for file in folder.read_shard_ledger(entry).files:
            if file.table in ("failed", "rejected"):
                path = folder.inside(file.path)
                for row in read_groups(path, _TABLE_COLUMNS, count_rows(path)):
                    yield {"state": file.table, **row}
