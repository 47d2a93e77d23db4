"""What every writing stage is given."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

from pipeline.contracts.chat import ChatModel
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Row
from pipeline.contracts.watch import Watch
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest, Price
from pipeline.work.asking import Spend


@dataclass(frozen=True)
class Writing:
    """A manifest with what it takes to write by it.

    Attributes:
        gate: Records in flight. It is held by the record and not by the call, so that one dialogue's turns follow each
            other while the engine still has its prefix in the cache, and shards finish one after the other.
    """

    manifest: Manifest
    book: PromptBook
    price: Price
    chat: ChatModel
    watch: Watch
    gate: asyncio.Semaphore


def writer_inputs(manifest: Manifest, book: PromptBook, *templates: str) -> dict[str, str]:
    """Inputs that all rows of a writing stage share: the model with its sampling, and the prompt files."""
    return {
        "model": content_key(manifest.writer.fingerprint(), manifest.language),
        "prompt": book.key(*templates),
        "seed": content_key(manifest.seed),
    }


def spend_columns(model: str, spend: Spend) -> Row:
    """The spend of a row, as columns."""
    return {"model": model, **asdict(spend)}
