"""What every writing stage is given, and what all of their requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pipeline.contracts.chat import ChatModel, ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Row, ShardStore
from pipeline.contracts.watch import Watch
from pipeline.values.ids import content_key, derive_seed, derive_unit
from pipeline.values.languages import ENGLISH
from pipeline.values.manifest import Manifest
from pipeline.values.weights import draw_weighted
from pipeline.values.writer import Price
from pipeline.work.asking import Asker, Spend
from pipeline.work.purse import Purse


@dataclass(frozen=True)
class Writing:
    """A manifest with what it takes to write by it.

    Attributes:
        prices: By model.
        gate: Records in flight. It is held by the record and not by the call, so that one dialogue's turns follow each
            other while the engine still has its prefix in the cache, and shards finish one after the other.
        purse: What this process may spend.
    """

    manifest: Manifest
    book: PromptBook
    prices: Mapping[str, Price]
    chat: ChatModel
    watch: Watch
    gate: asyncio.Semaphore
    purse: Purse = field(default_factory=Purse)

    def asker(self, store: ShardStore, stage: str) -> Asker:
        """Return what asks for one stage of one shard."""
        return Asker(self.chat, store.journal(stage), self.watch, self.prices, self.purse)


@dataclass(frozen=True)
class Answering:
    """What is asked for: a JSON text of a schema, up to a length."""

    schema: Mapping[str, object]
    name: str
    max_tokens: int


def draw_model(manifest: Manifest, record: str) -> str:
    """Return the model that writes a record, in all of its stages: by the manifest's weights and the record's id."""
    blend = manifest.writer.blend
    return draw_weighted(blend, derive_unit(manifest.seed, record, "model")).model


def new_request(
    manifest: Manifest, record: str, purpose: str, messages: Sequence[Message], answering: Answering
) -> ChatRequest:
    """Build the first attempt at a call."""
    writer = manifest.writer
    return ChatRequest(
        record_id=record,
        purpose=purpose,
        model=draw_model(manifest, record),
        messages=tuple(messages),
        json_schema=answering.schema,
        schema_name=answering.name,
        temperature=writer.temperature,
        top_p=writer.top_p,
        repeat_penalty=writer.repeat_penalty,
        max_tokens=answering.max_tokens,
        seed=derive_seed(manifest.seed, record, purpose),
    )


def retried(request: ChatRequest, manifest: Manifest, retry: int) -> ChatRequest:
    """Return the first attempt of a record that is taken again: the same words under a seed of its own.

    Args:
        retry: How often it was taken again; 0 changes nothing.
    """
    seed = derive_seed(manifest.seed, request.record_id, request.purpose, retry)
    return request.model_copy(update={"seed": seed})


def writer_inputs(
    manifest: Manifest, book: PromptBook, *templates: str, language: str = ENGLISH
) -> Callable[[str], dict[str, str]]:
    """Return, by record id, the inputs that every writing stage has: the model with its sampling, and the prompt files.

    Args:
        manifest: Names the models.
        book: Holds the templates.
        templates: Those that the stage fills.
        language: That of the stage's words; topics and scenarios are in English whatever the corpus's language.

    Only the model that writes a record is among its inputs, so that changed weights move few records.
    """
    keys = {
        entry.model: content_key(manifest.writer.fingerprint(entry.model), language) for entry in manifest.writer.blend
    }
    shared = {"prompt": book.key(*templates), "seed": content_key(manifest.seed)}
    return lambda record: {"model": keys[draw_model(manifest, record)], **shared}


def spend_columns(model: str, spend: Spend) -> Row:
    """The spend of a row, as columns."""
    return {"model": model, **asdict(spend)}
