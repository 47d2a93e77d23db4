"""Receipts of an export: by shard, what it was made from and which files it came to."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipeline.adapters.files import read_json
from pipeline.contracts.export import ExportedFile, ExportPart
from pipeline.values.errors import CorpusError
from pipeline.values.records import Record


class ExportReceipt(Record):
    """What one shard of a corpus came to.

    Attributes:
        key: Over all that the files depend on; another key means that they are out of date.
    """

    key: str
    parts: tuple[ExportPart, ...]

    @property
    def files(self) -> tuple[ExportedFile, ...]:
        """All files, over all splits."""
        return tuple(file for part in self.parts for file in part.files)


def receipt_path(state: Path, shard: int) -> Path:
    """Return where a shard's receipt lies, or would."""
    return state / f"{shard:05d}.json"


def receipt_shards(state: Path) -> set[int]:
    """Return the shards that have a receipt."""
    return {int(path.stem) for path in state.glob("[0-9]*.json") if path.stem.isdecimal()}


def read_receipt(state: Path, shard: int) -> ExportReceipt | None:
    """Return a shard's receipt; None where there is none.

    Raises:
        CorpusError: it is damaged.
    """
    path = receipt_path(state, shard)
    data = read_json(path)
    try:
        return None if data is None else ExportReceipt.model_validate(data)
    except ValidationError as exc:
        raise CorpusError(f"{path}: is no receipt of an export ({exc.error_count()} fields are wrong)") from exc
