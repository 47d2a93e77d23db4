"""What a run would do and what it would cost, without doing any of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.contracts.chat import ChatRequest, Usage
from pipeline.contracts.remote import RemotePlugin
from pipeline.contracts.render import Brief
from pipeline.execution.driver import Silence
from pipeline.execution.project import Project
from pipeline.execution.screen_forecast import forecast_screen
from pipeline.execution.screening import Screening
from pipeline.execution.settled import Settled
from pipeline.execution.shard_work import ShardWork
from pipeline.execution.text_sources import look_at_texts
from pipeline.values.ids import topic_id
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, PlannedDialogue, Topic
from pipeline.values.units import USD, Seconds
from pipeline.work import dialogues, scenarios, topics
from pipeline.work.answers import MAX_CHARACTERS
from pipeline.work.asking import FREE, cost
from pipeline.work.dialogues import Scenario, build_whole, opening
from pipeline.work.orders import Inventory, Order, take_inventory
from pipeline.work.planning import count_parts, count_wanted, extend_plan, keep_blank_topics, select_active
from pipeline.work.rewriting import build_request
from pipeline.work.taking import Counts, plan_texts
from pipeline.work.topics import collect_topics

CHARACTERS_PER_TOKEN = 4.0
"""Rule of thumb for English prose; the forecast of a prompt is the length of the real prompt over this."""

TOKENS_PER_FIELD = 32
"""Measured over the answers of the embedded model: 21 to 35 tokens a field, keys and quotes included."""

SCENARIO_TOKENS = 65
TOPIC_TOKENS = 12
SAMPLE = 24
"""Prompts that are really built for a forecast; the others are taken to be as long on average."""

PLANNED_SAMPLE = 256
"""Dialogues that are really planned for the forecast of a corpus that does not exist yet. Their counts of turns and
media have a standard error of 1 to 2 %."""

STAND_IN = "Somebody wants something and shows what it is about, and the assistant makes what was asked for. " * 3
MAX_FORECAST_TOPICS = 2_000_000


@dataclass
class StageForecast:
    """One stage: what is there, and what making the rest takes.

    Attributes:
        gpu_seconds: Render seconds times the GPUs that a worker holds meanwhile.
        calls: Of the LLM.
        media_calls: Of a renderer that calls an endpoint.
        is_priced: False where nobody stated what its calls cost.
    """

    inventory: Inventory
    calls: int = 0
    media_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: USD = 0.0
    render_seconds: Seconds = 0.0
    gpu_seconds: Seconds = 0.0
    is_priced: bool = True


@dataclass
class Forecast:
    """All stages in their order.

    Attributes:
        num_topics: Topics that are there or will be.
        num_planned: Dialogues in the plan that count today.
        num_new: Those of them that the plan does not have yet.
        screen: By audit that the screen's limits take: records measured, and still to be.
        texts: By source of taken dialogues, what becomes of its rows.
        are_topics_there: False where the topics are still to be written, so that everything after is estimated.
    """

    num_topics: int
    num_planned: int
    num_new: int
    are_topics_there: bool
    stages: dict[str, StageForecast] = field(default_factory=dict)
    screen: dict[str, Inventory] = field(default_factory=dict)
    texts: Counts = field(default_factory=dict)

    def count_calls(self, until: str | None = None) -> int:
        """Return the LLM calls of all stages, or of those up to one."""
        names = list(self.stages)
        last = names.index(until) + 1 if until in names else len(names)
        return sum(self.stages[name].calls for name in names[:last])


def forecast(project: Project, limit: int | None = None) -> Forecast:
    """Compare manifest and corpus, row by row where there are rows, and price the rest."""
    manifest, folder = project.manifest, CorpusFolder(project.corpus)
    look = ShardWork(project, None, Silence())
    if manifest.texts is not None:
        return _forecast_texts(project, look, folder, limit)
    orders, store = look.topic_orders(), folder.topics()
    inventory = take_inventory(orders, store, topics.STAGE)
    written, generated = look.read_topics()
    are_there = not (inventory.stale or inventory.missing)
    found = collect_topics(written, generated if are_there else (), look.read_topic_screen().held_back)
    former = folder.read_plan()
    found = keep_blank_topics(found, former)
    num_to_come = _count_topics_to_come(project, inventory)
    num_topics = len(found) + num_to_come
    # A big corpus that does not exist yet is forecast from a sample of its plan.
    sample = _sample_topics(manifest) if not former else num_topics
    sampled = (found + _stand_ins(min(num_to_come, sample)))[:sample]
    settled = Settled(look)
    plan = extend_plan(former, sampled, manifest, project.book, is_current=settled.is_plan_current())
    active = select_active(plan, sampled, manifest, read_takedowns(folder.root))[:limit]
    wanted = min(count_wanted(manifest, num_topics), limit or math.inf)
    scale = wanted / len(active) if active and not former else 1.0
    known = {row.id for row in former}
    result = Forecast(
        num_topics=num_topics,
        num_planned=round(len(active) * scale),
        num_new=round(sum(row.id not in known for row in active) * scale),
        are_topics_there=are_there,
    )
    result.stages[topics.STAGE] = _forecast_topics(project, look, inventory)
    stand = _Stand(project, look, folder, settled)
    _forecast_text(result, stand, active, scale)
    _forecast_media(result, stand, active, scale)
    return result


def _forecast_texts(project: Project, look: ShardWork, folder: CorpusFolder, limit: int | None) -> Forecast:
    """Judge all rows, or read what a run made of them, and plan what is taken."""
    taken, is_committed = look_at_texts(project, folder)
    look.taken = taken
    former = folder.read_plan()
    plan, taken_down = plan_texts(former, taken, project.manifest), read_takedowns(folder.root)
    active = select_active(plan, taken.topics, project.manifest, taken_down)[:limit]
    known = {row.id for row in former}
    num_new = sum(row.id not in known for row in active)
    result = Forecast(len(taken.texts), len(active), num_new, are_topics_there=True, texts=taken.counts)
    # What is settled was settled with the texts that are committed.
    stand = _Stand(project, look, folder, Settled(look) if is_committed else None)
    _forecast_text(result, stand, active, 1.0)
    _forecast_media(result, stand, active, 1.0)
    return result


def _sample_topics(manifest: Manifest) -> int:
    return max(PLANNED_SAMPLE // manifest.size.dialogues_per_topic, 1)


def _count_topics_to_come(project: Project, inventory: Inventory) -> int:
    generate = project.manifest.topics.generate
    if generate is None or not (inventory.stale or inventory.missing):
        return 0
    rows = inventory.current + inventory.stale + inventory.missing
    return min(rows * generate.per_meta_topic, MAX_FORECAST_TOPICS)


def _stand_ins(count: int) -> list[Topic]:
    """Topics in place of those that nobody has written yet."""
    texts = (f"a topic that is still to be written {number}" for number in range(count))
    return [Topic(id=topic_id(text), text=text, meta_topic="") for text in texts]


def _forecast_topics(project: Project, look: ShardWork, inventory: Inventory) -> StageForecast:
    result = StageForecast(inventory)
    generate = project.manifest.topics.generate
    to_do = inventory.stale + inventory.missing
    if generate is None or not to_do:
        return result
    rounds = math.ceil(generate.per_meta_topic / generate.per_call)
    meta = look.topic_orders()[0].payload.meta_topic
    have = ["a topic of about six words"] * (generate.per_meta_topic // 2)
    request = topics.build_request(meta, have, generate.per_call, project.manifest, project.book)
    _add_calls(result, project, to_do * rounds, _tokens(request), TOPIC_TOKENS * generate.per_call)
    return result


@dataclass(frozen=True)
class _Stand:
    """A corpus as it stands, and who looks at it; ``settled`` is None where everything is compared by record."""

    project: Project
    look: ShardWork
    folder: CorpusFolder
    settled: Settled | None

    def count(
        self, shard: int, stage: str, planned: Sequence[PlannedDialogue], orders: Callable[[], Sequence[Order[Any]]]
    ) -> Inventory:
        """Count what is there of a stage and what is not; by record only where that is not known."""
        store = self.folder.shard(shard)
        receipt = store.receipt(stage)
        if receipt is not None and self.settled is not None and self.settled.is_settled(shard, stage, planned):
            return Inventory(current=receipt.num_ok + receipt.num_failed)
        return take_inventory(orders(), store, stage)


def _forecast_text(result: Forecast, stand: _Stand, active: Sequence[PlannedDialogue], scale: float) -> None:
    project, look = stand.project, stand.look
    have = {scenarios.STAGE: Inventory(), dialogues.STAGE: Inventory()}
    for shard, planned in _shards(active).items():
        store = stand.folder.shard(shard)
        have[scenarios.STAGE].add(stand.count(shard, scenarios.STAGE, planned, partial(look.scenario_orders, planned)))
        found = stand.count(shard, dialogues.STAGE, planned, partial(look.dialogue_orders, store, planned))
        receipt = store.receipt(scenarios.STAGE)
        # A dialogue whose scenario is still to be written has no order yet, and will be missing.
        lost = receipt.num_failed if receipt else 0
        found.missing += max(0, len(planned) - lost - found.current - found.stale - found.missing)
        have[dialogues.STAGE].add(found)
    if project.manifest.texts is not None:
        result.stages |= {stage: StageForecast(found) for stage, found in have.items()}
        if project.manifest.texts.rewrite:
            _forecast_rewrites(result.stages[dialogues.STAGE], project, look, active)
        return
    sample = active[:SAMPLE]
    prompts = [_tokens(scenarios.build_request(row, project.manifest, project.book)) for row in sample]
    stage = result.stages[scenarios.STAGE] = StageForecast(_scaled(have[scenarios.STAGE], scale))
    to_do = stage.inventory.stale + stage.inventory.missing
    _add_calls(stage, project, to_do, _mean(prompts), SCENARIO_TOKENS)
    stage = result.stages[dialogues.STAGE] = StageForecast(_scaled(have[dialogues.STAGE], scale))
    to_do = stage.inventory.stale + stage.inventory.missing
    shapes = [_dialogue_calls(row, project) for row in sample]
    calls = _mean([shape[0] for shape in shapes])
    if calls:
        prompt = _mean([shape[1] for shape in shapes]) / calls
        answer = _mean([shape[2] for shape in shapes]) / calls
        _add_calls(stage, project, round(to_do * calls), prompt, answer)


def _forecast_rewrites(
    stage: StageForecast, project: Project, look: ShardWork, active: Sequence[PlannedDialogue]
) -> None:
    """Price one call a dialogue, in which it goes in and comes out about as long."""
    rules = _mean(
        [
            _tokens(build_request(row, [""] * len(row.slot.turns), project.manifest, project.book))
            for row in active[:SAMPLE]
        ]
    )
    length = _mean([look.taken.texts[row.topic.id].num_characters for row in active]) / CHARACTERS_PER_TOKEN
    _add_calls(stage, project, stage.inventory.stale + stage.inventory.missing, rules + length, length)


def _dialogue_calls(row: PlannedDialogue, project: Project) -> tuple[int, float, float]:
    """Calls, prompt tokens and answer tokens of one dialogue."""
    scenario = Scenario(row, STAND_IN)
    num_fields = sum(len(turn.kinds) for turn in row.slot.turns)
    if project.manifest.writer.effective_style == "whole":
        request = build_whole(scenario, project.manifest, project.book)
        return 1, _tokens(request), num_fields * TOKENS_PER_FIELD
    start = sum(len(message.content) for message in opening(scenario, project.manifest, project.book))
    count = len(row.slot.turns)
    # Each turn sees the opening and half of what comes to be said.
    seen = count * (start / CHARACTERS_PER_TOKEN + 40) + count * num_fields * TOKENS_PER_FIELD / 2
    return count, seen, num_fields * TOKENS_PER_FIELD


def _forecast_media(result: Forecast, stand: _Stand, active: Sequence[PlannedDialogue], scale: float) -> None:
    project, look = stand.project, stand.look
    shards = _shards(active)
    screening = Screening(look, shards)
    twins = stand.settled.recall_twins(shards) if stand.settled is not None else None
    if twins is not None:
        screening.recall(twins)
    else:
        for shard in shards:
            screening.take(shard)
        screening.look_at_renders()
    shards = {shard: screening.select(shard) for shard in shards}
    kinds = count_parts([row for planned in shards.values() for row in planned])
    if project.manifest.screen.limits:
        _forecast_screen(result, project, shards, scale)
    for modality in project.manifest.media:
        have = Inventory()
        for shard, planned in shards.items():
            store = stand.folder.shard(shard)
            orders = partial(look.render_orders, store, modality, planned)
            have.add(stand.count(shard, modality, planned, orders))
        have.missing += max(0, kinds[modality] - have.current - have.stale - have.missing)
        stage = result.stages[modality] = StageForecast(_scaled(have, scale))
        plugin, options = project.plugin(modality), project.options(modality)
        brief = _typical(modality, project.manifest)
        to_do = stage.inventory.stale + stage.inventory.missing
        stage.render_seconds = to_do * plugin.estimate(options, brief)
        if isinstance(plugin, RemotePlugin):
            stage.media_calls, stage.usd = to_do, to_do * plugin.expect_cost(options, brief)
            stage.is_priced = plugin.price(options) is not None
        choice = project.manifest.render.section(modality)
        stage.gpu_seconds = stage.render_seconds * (choice.num_gpus if choice else 0.0)


def _forecast_screen(
    result: Forecast, project: Project, shards: Mapping[int, Sequence[PlannedDialogue]], scale: float
) -> None:
    result.screen = {name: _scaled(found, scale) for name, found in forecast_screen(project, shards).items()}


def _typical(modality: Modality, manifest: Manifest) -> Brief:
    text = "x" * (MAX_CHARACTERS[modality] * 3 // 5)
    image, music = manifest.render.image, manifest.render.music
    return Brief(
        id="typical",
        modality=modality,
        text=text,
        seed=0,
        width=image.width if image else None,
        height=image.height if image else None,
        duration=sum(music.seconds) / 2 if music else None,
    )


def _add_calls(stage: StageForecast, project: Project, calls: int, prompt: float, answer: float) -> None:
    usage = Usage(prompt_tokens=round(prompt * calls), completion_tokens=round(answer * calls))
    stage.calls += calls
    stage.is_priced = not project.unpriced
    stage.prompt_tokens += usage.prompt_tokens
    stage.completion_tokens += usage.completion_tokens
    blend = project.manifest.writer.blend
    share = 1.0 / sum(entry.weight for entry in blend)
    stage.usd += sum(entry.weight * share * cost(usage, project.prices.get(entry.model, FREE)) for entry in blend)


def _tokens(request: ChatRequest) -> float:
    return sum(len(message.content) for message in request.messages) / CHARACTERS_PER_TOKEN


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _scaled(inventory: Inventory, scale: float) -> Inventory:
    if scale == 1.0:
        return inventory
    return Inventory(round(inventory.current * scale), round(inventory.missing * scale), round(inventory.stale * scale))


def _shards(active: Sequence[PlannedDialogue]) -> dict[int, list[PlannedDialogue]]:
    shards: dict[int, list[PlannedDialogue]] = {}
    for row in active:
        shards.setdefault(row.shard, []).append(row)
    return shards
