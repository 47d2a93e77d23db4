"""Tiny corpora, made by the real stages out of a made-up LLM and the minimal renderers: whole in about a second."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

import pyarrow.parquet as pq

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.prompt_files import PromptFolder
from pipeline.adapters.table_file import write_table
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Usage
from pipeline.contracts.ledger import FileEntry, Ledger, ShardEntry, ShardLedger
from pipeline.contracts.storage import Row
from pipeline.execution.driver import Silence
from pipeline.execution.ledger import build_ledger, write_corpus_card
from pipeline.execution.project import Project
from pipeline.execution.screening import Screening
from pipeline.execution.shard_work import ShardWork
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import sha256_hex
from pipeline.values.manifest import Manifest
from pipeline.values.records import PlannedDialogue
from pipeline.work.context import Writing
from pipeline.work.dialogues import write_dialogues
from pipeline.work.planning import extend_plan, select_active
from pipeline.work.scenarios import write_scenarios
from pipeline.work.tables import PUBLISHED
from tests.support.endpoint import fit

MANIFEST = """
schema_version: 1
name: tiny
description: Made by tests.
seed: 11
topics: {list: [%s]}
size: {dialogues_per_topic: 1, dialogues_per_shard: 4, replace_losses: false}
mix:
  - {name: draw, weight: %d, gives: [text], answers: [text, image], rounds: [1, 1]}
  - {name: sing, gives: [speech], answers: [speech, music], rounds: [2, 2]}
writer: {engine: openai, model: made-up, max_tries: 2, price: {input: 1, output: 2}}
render:
  image: {renderer: minimal-image, width: 64, height: 64}
  music: {renderer: minimal-music, seconds: [0.3, 0.3]}
  speech: {renderer: minimal-speech, voices: {user: ["language:en"], assistant: bell}, voices_file: voices.yaml}
"""
VOICES = """
voices:
  - {name: bell, renderer: minimal-speech, languages: [en-US], gender: female, licence: CC0-1.0}
  - {name: drum, renderer: minimal-speech, languages: [en-GB], gender: male, licence: CC0-1.0}
"""
TOPICS = ("kites", "bread ovens", "tide pools", "night trains", "rope bridges", "honey cakes", "boats", "old maps")


@dataclass
class MadeUpChat:
    """Answers any schema at once; equal requests get equal answers.

    Attributes:
        refused: Dialogue ids about which no dialogue is written.
        twins: Dialogue ids that all get the same words.
    """

    refused: Collection[str] = ()
    twins: Collection[str] = ()
    outlives_run: bool = False
    requests: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.requests.append(request)
        if request.record_id in self.refused and request.purpose == "dialogue":
            raise ChatFailure("refused", "the endpoint does not write about this")
        is_twin = request.record_id in self.twins and request.purpose == "dialogue"
        key = f"twin {request.attempt}" if is_twin else request.key()
        words = json.dumps(fit(dict(request.json_schema), Random(sha256(key.encode()).digest())))
        return ChatAnswer(
            text=words,
            model="made-up-1",
            finish_reason="stop",
            usage=Usage(prompt_tokens=100, completion_tokens=20),
            latency=0.01,
        )

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class TinyCorpus:
    """A published corpus of eight dialogues in two shards: six kept, one rejected as a twin, one failed."""

    project: Project
    chat: MadeUpChat

    @property
    def root(self) -> Path:
        return self.project.corpus

    @property
    def folder(self) -> CorpusFolder:
        return CorpusFolder(self.root)

    @property
    def ledger(self) -> Ledger:
        ledger = self.folder.read_ledger()
        if ledger is None:
            raise LookupError("the corpus was never packed")
        return ledger

    def shard_ledger(self, shard: int = 0) -> ShardLedger:
        return self.folder.read_shard_ledger(self.ledger.shards[shard])

    def table(self, name: str, shard: int = 0) -> Path:
        """Path of a published file."""
        return self.root / next(file.path for file in self.shard_ledger(shard).files if file.table == name)

    def rows(self, name: str, shard: int = 0) -> list[Row]:
        """Rows of a published file."""
        rows: list[Row] = pq.read_table(self.table(name, shard)).to_pylist()
        return rows

    def update(self, topics: Sequence[str] = TOPICS, draw_weight: int = 1) -> None:
        """Make what is missing or stale, as a run does, without Ray."""
        project = open_project(self.project.path.parent, topics, draw_weight)
        asyncio.run(fill(project, lambda plan: self.chat))


def make_corpus(
    parent: Path,
    topics: Sequence[str] = TOPICS,
    open_chat: Callable[[Sequence[PlannedDialogue]], MadeUpChat] | None = None,
) -> TinyCorpus:
    """Make ``parent/tiny`` beside its manifest ``parent/tiny.yaml``."""
    project = open_project(parent, topics)
    return TinyCorpus(project, asyncio.run(fill(project, open_chat or _chat_with_losses)))


def copy_corpus(corpus: TinyCorpus, parent: Path) -> TinyCorpus:
    """Copy a corpus with its manifest; much quicker than making one."""
    shutil.copytree(corpus.root.parent, parent, dirs_exist_ok=True)
    project = open_project(parent, corpus.project.manifest.topics.list)
    return TinyCorpus(project, MadeUpChat(corpus.chat.refused, corpus.chat.twins))


def open_project(parent: Path, topics: Sequence[str], draw_weight: int = 1) -> Project:
    (parent / "tiny.yaml").write_text(MANIFEST % (", ".join(topics), draw_weight), encoding="utf-8")
    (parent / "voices.yaml").write_text(VOICES, encoding="utf-8")
    project = Project(parent / "tiny.yaml", load_yaml(parent / "tiny.yaml", Manifest), parent / "tiny")
    project.check()
    return project


async def fill(project: Project, open_chat: Callable[[Sequence[PlannedDialogue]], MadeUpChat]) -> MadeUpChat:
    """Run all stages of a project, shard after shard, and publish."""
    lock = CorpusLock.acquire(project.corpus / "work")
    work = ShardWork(project, lock.epoch, Silence())
    try:
        plan = extend_plan(work.folder.read_plan(), project.written_topics(), project.manifest, project.book)
        work.folder.write_plan(plan)
        chat = open_chat(plan)
        taken_down = read_takedowns(project.corpus)
        active = select_active(plan, project.written_topics(), project.manifest, taken_down)
        shards = {shard: [row for row in active if row.shard == shard] for shard in sorted({r.shard for r in active})}
        for shard, planned in shards.items():
            await _make_shard(work, shard, planned, chat)
        publish(work, shards)
        return chat
    finally:
        await work.close()
        lock.release()


async def _make_shard(work: ShardWork, shard: int, planned: Sequence[PlannedDialogue], chat: MadeUpChat) -> None:
    project, store = work.project, work.folder.shard(shard)
    book: PromptFolder = project.book
    writing = Writing(project.manifest, book, project.prices, chat, Silence(), asyncio.Semaphore(2))
    await write_scenarios(work.scenario_orders(planned), store, writing)
    await write_dialogues(work.writing_orders(store, planned), store, writing)
    for modality in project.manifest.media:
        work.render(shard, modality, planned)


def publish(work: ShardWork, shards: Mapping[int, Sequence[PlannedDialogue]]) -> None:
    """Screen, pack all shards, and write card and ledger."""
    screening = Screening(work, shards)
    for shard in shards:
        screening.take(shard)
    screening.look_at_renders()
    entries = [work.pack(shard, planned, screening.reject()) for shard, planned in shards.items()]
    ledger = build_ledger(work.project, work.folder, entries, shards)
    card, ledger = write_corpus_card(work.folder, ledger)
    work.folder.publish(ledger, card)


def _chat_with_losses(plan: Sequence[PlannedDialogue]) -> MadeUpChat:
    """Two dialogues of one slot become twins, and another one is refused."""
    slots = [row.slot for row in plan]
    slot = next(slot for slot in slots if slots.count(slot) > 1)
    pair = [row.id for row in plan if row.slot == slot][:2]
    other = next(row.id for row in plan if row.slot != slot)
    return MadeUpChat(refused={other}, twins=set(pair))


def restate_table(
    corpus: TinyCorpus, table: str, shard: int, change: Callable[[list[Row]], list[Row]], without: str = ""
) -> Path:
    """Replace a published table by changed rows, and have both ledgers name it: wrong, and yet with sound hashes.

    Args:
        without: A column that the file is not to have.
    """
    schema = PUBLISHED[table]
    if without:
        schema = schema.remove(schema.get_field_index(without))
    former = corpus.shard_ledger(shard)
    rows = change(corpus.rows(table, shard))
    path, digest, num_rows = write_table(corpus.root / table, f"train-{shard:05d}", schema, rows)
    entry = FileEntry(
        table=table, path=f"{table}/{path.name}", sha256=digest, num_bytes=path.stat().st_size, num_rows=num_rows
    )
    files = tuple(entry if file.table == table else file for file in former.files)
    restate_shard(corpus, shard, files=files)
    return path


def restate_shard(corpus: TinyCorpus, shard: int, **changes: object) -> None:
    """Replace a shard's ledger and have the root ledger name it."""
    ledger = corpus.ledger
    made = corpus.shard_ledger(shard).model_copy(update=changes)
    text = made.model_dump_json(indent=1) + "\n"
    digest = sha256_hex(text)
    name = f"ledgers/shard-{shard:05d}-{digest[:12]}.json"
    (corpus.root / name).write_text(text, encoding="utf-8")
    (corpus.root / ledger.shards[shard].path).unlink(missing_ok=True)
    entry = ShardEntry(shard=shard, path=name, sha256=digest, order_key=made.order_key)
    shards = tuple(entry if old.shard == shard else old for old in ledger.shards)
    restate_root(corpus, shards=shards)


def restate_root(corpus: TinyCorpus, **changes: object) -> None:
    """Replace parts of the root ledger."""
    write_json(corpus.root / "ledger.json", corpus.ledger.model_copy(update=changes).model_dump(mode="json"))


def flip_byte(path: Path, offset: int) -> None:
    """Change one byte of a file, at an offset from its beginning."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(bytes(data))
