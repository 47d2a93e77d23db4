"""Scenarios: one LLM call a dialogue turns topic, slot and requirements into a plan in one or two sentences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pipeline.contracts.chat import ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest
from pipeline.values.records import PlannedDialogue
from pipeline.work import tables
from pipeline.work.answers import check_overlap, compact_json, parse_object, plain_text, string_schema
from pipeline.work.asking import InvalidAnswer, Spend
from pipeline.work.context import Answering, Writing, draw_model, new_request, retried, spend_columns, writer_inputs
from pipeline.work.orders import Order, Recipe, base_row, fill_rows
from pipeline.work.wording import key_shown, name_kinds

STAGE = "scenarios"
TEMPLATES = ("scenario.system", "scenario.user", "retry.user")
NUM_SHOWN = {"turns": 2, "whole": 5}
"""Demonstrations shown; the published recipe shows five, small models have less room."""

MAX_CHARACTERS = 420
MIN_WORDS = 10


def order_scenarios(
    planned: Sequence[PlannedDialogue], manifest: Manifest, book: PromptBook
) -> list[Order[PlannedDialogue]]:
    """State what each scenario is made from."""
    shared = writer_inputs(manifest, book, *TEMPLATES)
    orders = []
    for row in planned:
        inputs = {
            **shared(row.id),
            "topic": content_key(row.topic.text, _scope(row, book)),
            "slot": content_key(row.slot.gives, row.slot.answers, row.slot.num_rounds),
            "demonstrations": key_shown(book, _example_ids(row, manifest)),
            "requirements": content_key([book.requirements[name].text for name in row.requirements]),
        }
        orders.append(Order(row.id, inputs, row))
    return orders


def build_request(row: PlannedDialogue, manifest: Manifest, book: PromptBook) -> ChatRequest:
    """Build the first attempt. What is common to all records comes first, so that prefixes can be cached."""
    messages = [Message(role="system", content=book.text("scenario.system"))]
    for name in _example_ids(row, manifest):
        messages += _show(book, name)
    question = book.text(
        "scenario.user",
        topic=row.topic.text,
        scope=_scope(row, book),
        gives=name_kinds(row.slot.gives),
        answers=name_kinds(row.slot.answers),
        requirements=[book.requirements[name].text for name in row.requirements],
    )
    messages.append(Message(role="user", content=question))
    answering = Answering(string_schema("scenario", MAX_CHARACTERS), "scenario", max_tokens=300)
    return new_request(manifest, row.id, "scenario", messages, answering)


async def write_scenarios(orders: Sequence[Order[PlannedDialogue]], store: ShardStore, writing: Writing) -> Receipt:
    """Bring a shard's scenarios up to date."""
    asker = writing.asker(store, STAGE)

    async def make(order: Order[PlannedDialogue]) -> Row:
        manifest, book = writing.manifest, writing.book
        request = retried(build_request(order.payload, manifest, book), manifest, order.retry)
        examples = [book.demonstrations[name].scenario for name in _example_ids(order.payload, manifest)]

        def parse(text: str) -> str:
            answer = parse_object(text)
            if set(answer) != {"scenario"}:
                raise InvalidAnswer("the object must have exactly the field scenario")
            scenario = plain_text("scenario", answer["scenario"], MAX_CHARACTERS, MIN_WORDS)
            check_overlap("scenario", scenario, examples)
            return scenario

        row, spend = base_row(order), Spend()
        retry = None if manifest.writer.effective_style == "turns" else lambda p: book.text("retry.user", problem=p)
        try:
            row["scenario"] = await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend, retry)
        except ChatFailure as exc:
            row.update(status="failed", code=exc.code, message=str(exc), scenario=None)
        writing.watch.note("record", stage=STAGE, record=order.record_id, status=row["status"], code=row["code"])
        return {**row, **spend_columns(draw_model(manifest, order.record_id), spend)}

    return await fill_rows(store, orders, Recipe(STAGE, tables.SCENARIOS, make, writing.gate, asker.sum_up))


@lru_cache(1024)
def _show(book: PromptBook, name: str) -> tuple[Message, Message]:
    """A demonstration's scenario as an exchange; every dialogue is shown some out of the same hundred."""
    example = book.demonstrations[name]
    question = book.text(
        "scenario.user",
        topic=example.topic,
        scope="",
        gives=name_kinds(example.gives),
        answers=name_kinds(example.answers),
        requirements=[],
    )
    answer = compact_json({"scenario": example.scenario.strip()})
    return Message(role="user", content=question), Message(role="assistant", content=answer)


def _example_ids(row: PlannedDialogue, manifest: Manifest) -> tuple[str, ...]:
    return row.demonstrations[: NUM_SHOWN[manifest.writer.effective_style]]


def _scope(row: PlannedDialogue, book: PromptBook) -> str:
    meta = book.meta_topics.get(row.topic.meta_topic)
    return meta.scope if meta else ""
