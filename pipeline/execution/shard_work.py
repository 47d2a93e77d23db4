"""What is done to one shard, stage by stage, with real adapters. Runs in workers; knows no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import ceil

from pydantic import ValidationError

from pipeline.adapters.collecting import spare_collector
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.llm import ChatSetting, open_chat
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.retry_book import RetryBook
from pipeline.adapters.scores import CorpusScores
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.chat import ChatAnswer, ChatModel, ChatRequest
from pipeline.contracts.ledger import ShardEntry
from pipeline.contracts.remote import CallSetting, RemotePlugin, RemoteRenderer
from pipeline.contracts.render import Renderer
from pipeline.contracts.storage import Receipt, Row
from pipeline.contracts.watch import Watch
from pipeline.execution.project import Project
from pipeline.execution.remote_work import RemoteWork
from pipeline.execution.text_sources import read_taken, read_turns
from pipeline.values.records import Modality, PlannedDialogue, Topic
from pipeline.values.rejections import Rejections
from pipeline.values.repairs import Repair
from pipeline.values.writer import Writer
from pipeline.work import dialogues, scenarios, topics
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import PlacedBrief, order_renders
from pipeline.work.call_loop import Paying
from pipeline.work.context import Writing
from pipeline.work.describing import DESCRIBED, Description, order_descriptions, write_descriptions
from pipeline.work.dialogues import Scenario, order_dialogues, write_dialogues
from pipeline.work.orders import Order, take_retries
from pipeline.work.packing import Screened, pack_shard
from pipeline.work.purse import Purse
from pipeline.work.rendering import RenderJob, render_assets
from pipeline.work.repairing import take_repairs
from pipeline.work.rewriting import order_rewrites, rewrite_texts
from pipeline.work.scenarios import order_scenarios, write_scenarios
from pipeline.work.taking import TakenTexts, fill_sources, fill_texts, order_sources, order_texts
from pipeline.work.topic_screening import TopicScreen
from pipeline.work.topics import order_topics, write_topics


class LazyChat:
    """Opens the endpoint or loads the engine at the first call, so that work without calls never pays for it."""

    def __init__(self, writer: Writer, open_it: Callable[[], ChatModel]) -> None:
        self.outlives_run = writer.mode == "batch"
        self._open = open_it
        self._chat: ChatModel | None = None

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request; see ``ChatModel``."""
        if self._chat is None:
            self._chat = self._open()
            spare_collector()
        return await self._chat.complete(request)

    async def close(self) -> None:
        """Close what was opened."""
        if self._chat is not None:
            await self._chat.close()


class ShardWork:
    """A project's stages, bound to the corpus and to one run's epoch."""

    def __init__(self, project: Project, epoch: int | None, watch: Watch, purse: Purse | None = None) -> None:
        self.project = project
        self.watch = watch
        lock = None if epoch is None else CorpusLock(project.corpus / "work", epoch)
        self.folder = CorpusFolder(project.corpus, lock)
        self.purse = purse or Purse()
        self._repairs = RepairBook(self.folder.work)
        self._retries = RetryBook(self.folder.work)
        self._models = ModelCache()
        self.remote = RemoteWork(self.purse)
        self._renderers: dict[Modality, Renderer] = {}
        self._sizes: dict[Modality, BatchSize] = {}

    @cached_property
    def writing(self) -> Writing:
        """What the writing stages share; one endpoint and one gate for all shards of this process."""
        project, manifest = self.project, self.project.manifest
        composers = manifest.execution.composers.max
        memory = self._models.root / "endpoints"
        setting = ChatSetting(self._models, memory, composers, self.folder.batches(), self.watch)
        chat = LazyChat(manifest.writer, lambda: open_chat(manifest.writer, setting))
        gate = asyncio.Semaphore(ceil(manifest.writer.records_in_flight / composers))
        return Writing(project.manifest, project.book, project.prices, chat, self.watch, gate, self.purse)

    async def write_topics(self) -> Receipt:
        """Write the topics that the manifest has generated."""
        orders = order_topics(self.project.manifest, self.project.book)
        return await write_topics(orders, self.folder.topics(), self.writing)

    @cached_property
    def taken(self) -> TakenTexts:
        """The texts that were taken, as they were committed when they were first asked for."""
        return read_taken(self.folder)

    async def compose(self, shard: int, planned: Sequence[PlannedDialogue], until: str | None) -> None:
        """Write a shard's scenarios and dialogues, or take them."""
        store = self.folder.shard(shard)
        if self.project.manifest.texts is not None:
            await fill_sources(self.scenario_orders(planned), store, self.taken, self.watch)
            if until != scenarios.STAGE:
                turns = read_turns(self.folder, [row.topic.id for row in planned])
                orders = self._order_texts(planned)
                if self.project.manifest.texts.rewrite:
                    await rewrite_texts(orders, store, turns, self.writing)
                else:
                    await fill_texts(orders, store, turns, self.project.manifest, self.watch)
            return
        await write_scenarios(self.scenario_orders(planned), store, self.writing)
        if until != scenarios.STAGE:
            await write_dialogues(self.writing_orders(store, planned), store, self.writing)

    async def describe(self, shard: int, planned: Sequence[PlannedDialogue]) -> None:
        """Write anew the descriptions of a shard that repairs want so."""
        await write_descriptions(self.description_orders(shard, planned), self.folder.shard(shard), self.writing)

    def render(self, shard: int, modality: Modality, planned: Sequence[PlannedDialogue]) -> Receipt:
        """Render a shard's assets of one modality."""
        store = self.folder.shard(shard)
        choice = self.project.manifest.render.section(modality)
        plugin = self.project.plugin(modality)
        if choice is None:
            raise ValueError(f"no section for {modality}")
        job = RenderJob(
            modality=modality,
            corpus_seed=self.project.manifest.seed,
            choice=choice,
            version=plugin.version,
            is_draft=plugin.is_draft,
            size=self._sizes.setdefault(modality, BatchSize(choice.batch)),
            load=lambda: self._load(modality),
            watch=self.watch,
            paying=self._paying(modality),
            tried=frozenset(one.input_key for repair in self._repairs.read(shard).values() for one in repair.tries),
        )
        return render_assets(self.render_orders(store, modality, planned), store, job)

    def pack(self, shard: int, planned: Sequence[PlannedDialogue], rejections: Rejections) -> ShardEntry:
        """Publish a shard."""
        manifest = self.project.manifest
        scores = CorpusScores(self.folder.root, manifest.screen.limits).read(shard, {row.id for row in planned})
        repairs = {repair.part_id: repair for repair in self.current_repairs(shard, planned).values()}
        screened = Screened(rejections, scores, repairs)
        return pack_shard(shard, planned, manifest, self.folder.shard(shard), self.folder, screened)

    def read_topics(self) -> tuple[list[Topic], list[Topic]]:
        """Return the topics that people wrote and those that were generated for today's manifest, as they stand."""
        ordered = {order.record_id for order in self.topic_orders()}
        rows = [row for row in self.folder.topics().rows(topics.STAGE) if row["record_id"] in ordered]
        return self.project.written_topics(), topics.generated_topics(rows)

    def read_topic_screen(self) -> TopicScreen:
        """Return what was decided about generated topics."""
        found = self.folder.read_topic_screen()
        try:
            return TopicScreen.model_validate(found or {})
        except ValidationError:
            return TopicScreen()

    def topic_orders(self) -> list[Order[topics.Quota]]:
        """What the topics stage is asked for."""
        return order_topics(self.project.manifest, self.project.book)

    def scenario_orders(self, planned: Sequence[PlannedDialogue]) -> list[Order[PlannedDialogue]]:
        """What the scenarios stage is asked for: with texts, the places that they were found in."""
        if self.project.manifest.texts is not None:
            return order_sources(planned, self.taken)
        orders = order_scenarios(planned, self.project.manifest, self.project.book)
        return take_retries(orders, self._read_retries(scenarios.STAGE, planned))

    def dialogue_orders(
        self, store: ShardFolder, planned: Sequence[PlannedDialogue]
    ) -> Sequence[Order[Scenario] | Order[PlannedDialogue]]:
        """What the dialogues stage is asked for."""
        if self.project.manifest.texts is not None:
            return self._order_texts(planned)
        return self.writing_orders(store, planned)

    def _order_texts(self, planned: Sequence[PlannedDialogue]) -> list[Order[PlannedDialogue]]:
        """Order every planned dialogue whose text is still among those that are taken."""
        manifest = self.project.manifest
        if manifest.texts is not None and manifest.texts.rewrite:
            orders = order_rewrites(planned, self.taken, manifest, self.project.book)
            return take_retries(orders, self._read_retries(dialogues.STAGE, planned))
        return order_texts(planned, self.taken, manifest)

    def writing_orders(self, store: ShardFolder, planned: Sequence[PlannedDialogue]) -> list[Order[Scenario]]:
        """Order every planned dialogue whose scenario is there."""
        rows = store.rows(scenarios.STAGE, ["record_id", "status", "scenario"])
        written = {row["record_id"]: row["scenario"] for row in rows if row["status"] == "ok"}
        ready = [Scenario(row, written[row.id]) for row in planned if row.id in written]
        orders = order_dialogues(ready, self.project.manifest, self.project.book)
        return take_retries(orders, self._read_retries(dialogues.STAGE, planned))

    def _read_retries(self, stage: str, planned: Sequence[PlannedDialogue]) -> Mapping[str, int]:
        """Return how often records of a stage were taken again; the planned dialogues are those of one shard."""
        return self._retries.read(planned[0].shard).get(stage, {}) if planned else {}

    def render_orders(
        self, store: ShardFolder, modality: Modality, planned: Sequence[PlannedDialogue]
    ) -> list[Order[PlacedBrief]]:
        """What the render stage is asked for: every part of the modality in dialogues that are there."""
        return list(self.find_orders(store, modality, planned).values())

    def find_orders(
        self, store: ShardFolder, modality: Modality, planned: Sequence[PlannedDialogue]
    ) -> dict[str, Order[PlacedBrief]]:
        """Return the render stage's orders by the input key of their first attempts, which repairs go by."""
        orders = self._first_orders(modality, self._dialogue_rows(store, planned))
        repairs = self._repairs.read(int(store.folder.name))
        return take_repairs(orders, repairs, self.project.manifest.seed, self.project.edit_key(modality))

    def current_repairs(self, shard: int, planned: Sequence[PlannedDialogue]) -> dict[str, Repair]:
        """Return the repairs of a shard that today's dialogues, words and renderers still ask for, by their keys."""
        repairs, store = self._repairs.read(shard), self.folder.shard(shard)
        if not repairs:
            return {}
        keys = [key for modality in self.project.manifest.media for key in self.find_orders(store, modality, planned)]
        return {key: repairs[key] for key in keys if key in repairs}

    def description_orders(self, shard: int, planned: Sequence[PlannedDialogue]) -> list[Order[Description]]:
        """Return what the stage of descriptions is asked for: every one that a repair wants, or wanted, written anew.

        Those that are there already stay as they are, whatever the prompt has become since.
        """
        repairs, store = self._repairs.read(shard), self.folder.shard(shard)
        if all(repair.rewrite is None for repair in repairs.values()):
            return []
        written = self._dialogue_rows(store, planned)
        turns = {row["record_id"]: row["turns"] for row in written}
        wanted = []
        for modality in (modality for modality in self.project.manifest.media if modality in DESCRIBED):
            first = {order.record_id: order.payload for order in self._first_orders(modality, written)}
            for key, order in self.find_orders(store, modality, planned).items():
                rewrite = repairs[key].rewrite if key in repairs else None
                if rewrite is not None:
                    placed = first[order.record_id]
                    wanted.append(Description(placed, turns[placed.dialogue_id], rewrite))
        return order_descriptions(wanted, self.project.manifest, self.project.book)

    def _first_orders(self, modality: Modality, rows: Sequence[Row]) -> list[Order[PlacedBrief]]:
        """Return the render stage's orders before any repair."""
        key, casting = self.project.renderer_key(modality), self.project.casting
        return order_renders(modality, rows, self.project.manifest, key, casting, self.project.edit_key(modality))

    def _dialogue_rows(self, store: ShardFolder, planned: Sequence[PlannedDialogue]) -> list[Row]:
        """Return the dialogues that are there."""
        wanted = {row.id for row in planned}
        return [
            row
            for row in store.rows(dialogues.STAGE, ["record_id", "status", "turns"])
            if row["record_id"] in wanted and row["status"] == "ok"
        ]

    async def close(self) -> None:
        """Close the endpoints that were opened."""
        if "writing" in self.__dict__:
            await self.writing.chat.close()
        self.remote.close()

    def _paying(self, modality: Modality) -> Paying | None:
        """What calls of a remote renderer are paid from; None for a renderer of this machine."""
        plugin, choice = self.project.plugin(modality), self.project.manifest.render.section(modality)
        if choice is None or not isinstance(plugin, RemotePlugin):
            return None
        in_flight = plugin.in_flight(self.project.options(modality))
        return self.remote.paying(modality, ceil(in_flight / choice.actors.max))

    def _open_remote(self, plugin: RemotePlugin, modality: Modality) -> RemoteRenderer:
        choice = self.project.manifest.render.section(modality)
        setting = CallSetting(self._models.root / "endpoints", choice.actors.max if choice else 1)
        return plugin.open(self.project.options(modality), setting)

    def _load(self, modality: Modality) -> Renderer:
        remote = self.project.plugin(modality)
        if isinstance(remote, RemotePlugin):
            return self.remote.renderer(modality, lambda: self._open_remote(remote, modality))
        if modality not in self._renderers:
            plugin = self.project.plugin(modality)
            self._renderers[modality] = plugin.load(self.project.options(modality), self._models)
        return self._renderers[modality]
