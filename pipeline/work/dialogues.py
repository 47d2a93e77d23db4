"""Dialogues: a scenario becomes turns that keep to their slot, in one structured answer or in one answer a turn.

Which of the two is a property of the model (``Writer.style``). Turn by turn, the messages of a call extend those of
the call before, so that an engine that keeps its cache reads only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.contracts.chat import ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import content_key, normalise_text
from pipeline.values.manifest import Manifest
from pipeline.values.records import Demonstration, PlannedDialogue, Turn, TurnLayout
from pipeline.work import tables
from pipeline.work.answers import (
    check_new,
    compact_json,
    dialogue_schema,
    field_names,
    parse_object,
    parse_turn,
    texts_of,
    turn_name,
    turn_schema,
)
from pipeline.work.asking import Asker, InvalidAnswer, Spend
from pipeline.work.context import Answering, Writing, draw_model, new_request, spend_columns, writer_inputs
from pipeline.work.orders import Order, Recipe, base_row, fill_rows
from pipeline.work.wording import layout_of, say_what_happens, shown

STAGE = "dialogues"
TEMPLATES = {
    "turns": ("turn.system", "turn.scenario", "turn.user"),
    "whole": ("dialogue.system", "dialogue.user", "retry.user"),
}
NUM_SHOWN = {"turns": 2, "whole": 3}
"""Demonstrations shown; the published recipe shows three, small models have less room."""


@dataclass(frozen=True)
class Scenario:
    """A dialogue's plan row and the scenario written for it."""

    planned: PlannedDialogue
    text: str


def order_dialogues(scenarios: Sequence[Scenario], manifest: Manifest, book: PromptBook) -> list[Order[Scenario]]:
    """State what each dialogue is made from."""
    shared = writer_inputs(manifest, book, *TEMPLATES[manifest.writer.effective_style])
    orders = []
    for scenario in scenarios:
        examples = [d.model_dump(mode="json") for d in _examples(scenario, manifest, book)]
        inputs = {
            **shared(scenario.planned.id),
            "scenario": content_key(scenario.planned.topic.text, scenario.text),
            "slot": content_key(scenario.planned.slot.model_dump(mode="json", exclude={"cell"})),
            "demonstrations": content_key(examples),
        }
        orders.append(Order(scenario.planned.id, inputs, scenario))
    return orders


async def write_dialogues(orders: Sequence[Order[Scenario]], store: ShardStore, writing: Writing) -> Receipt:
    """Bring a shard's dialogues up to date."""
    asker = writing.asker(store, STAGE)
    write = {"turns": _write_by_turns, "whole": _write_whole}[writing.manifest.writer.effective_style]

    async def make(order: Order[Scenario]) -> Row:
        row, spend = base_row(order), Spend()
        try:
            turns = await write(order.payload, asker, writing, spend)
        except ChatFailure as exc:
            row.update(status="failed", code=exc.code, message=str(exc), turns=None, text_key=None)
        else:
            row["turns"] = [turn.model_dump(mode="json") for turn in turns]
            row["text_key"] = content_key([normalise_text(text) for text in texts_of(turns)])
        writing.watch.note("record", stage=STAGE, status=row["status"], code=row["code"])
        return {**row, **spend_columns(draw_model(writing.manifest, order.record_id), spend)}

    return await fill_rows(store, orders, Recipe(STAGE, tables.DIALOGUES, make, writing.gate, asker.sum_up))


async def _write_by_turns(scenario: Scenario, asker: Asker, writing: Writing, spend: Spend) -> list[Turn]:
    manifest, book = writing.manifest, writing.book
    messages = opening(scenario, manifest, book)
    layouts = scenario.planned.slot.turns
    known = [text for example in _examples(scenario, manifest, book) for text in texts_of(example.turns)]
    turns: list[Turn] = []
    for index, layout in enumerate(layouts):
        order = order_turn(book, index, layouts)
        lead = f"{book.text('turn.scenario', num_turns=len(layouts), scenario=scenario.text)}\n" if index == 0 else ""
        messages.append(Message(role="user", content=lead + order))
        answering = Answering(turn_schema(layout), "turn", max_tokens=260)
        request = new_request(manifest, scenario.planned.id, f"turn-{index + 1:02d}", messages, answering)
        parse = _turn_parser(layout, [*known, *texts_of(turns)])
        turn = await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend)
        turns.append(turn)
        messages.append(Message(role="assistant", content=turn_json(turn, layout)))
    return turns


async def _write_whole(scenario: Scenario, asker: Asker, writing: Writing, spend: Spend) -> list[Turn]:
    manifest, book = writing.manifest, writing.book
    slot = scenario.planned.slot
    names = [turn_name(index, layout) for index, layout in enumerate(slot.turns)]

    def parse(text: str) -> list[Turn]:
        answer = parse_object(text)
        if set(answer) != set(names):
            raise InvalidAnswer(f"the object must have exactly the turns {', '.join(names)}")
        turns: list[Turn] = []
        for name, layout in zip(names, slot.turns, strict=True):
            turn = parse_turn(answer[name], layout, slack=2)
            check_new(turn, texts_of(turns))
            turns.append(turn)
        return turns

    request = build_whole(scenario, manifest, book)

    def word_problem(problem: str) -> str:
        return book.text("retry.user", problem=problem)

    return await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend, word_problem)


def build_whole(scenario: Scenario, manifest: Manifest, book: PromptBook) -> ChatRequest:
    """Build the one request of a dialogue that is written whole."""
    messages = [Message(role="system", content=book.text("dialogue.system"))]
    for example in _examples(scenario, manifest, book):
        layouts = layout_of(example)
        question = _question(book, example.topic, example.scenario, layouts)
        names = [turn_name(index, layout) for index, layout in enumerate(layouts)]
        body = {n: _fields(turn, lay) for n, turn, lay in zip(names, example.turns, layouts, strict=True)}
        answer = compact_json(body)
        messages += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    slot = scenario.planned.slot
    question = _question(book, scenario.planned.topic.text, scenario.text, slot.turns)
    messages.append(Message(role="user", content=question))
    answering = Answering(dialogue_schema(slot), "dialogue", max_tokens=200 + 180 * len(slot.turns))
    return new_request(manifest, scenario.planned.id, "dialogue", messages, answering)


def opening(scenario: Scenario, manifest: Manifest, book: PromptBook) -> list[Message]:
    """The messages that all of a dialogue's turns share: the rules, and whole demonstrations as earlier exchanges."""
    messages = [Message(role="system", content=book.text("turn.system"))]
    for example in _examples(scenario, manifest, book):
        layouts = layout_of(example)
        lead = book.text("turn.scenario", num_turns=len(layouts), scenario=example.scenario.strip())
        for index, (turn, layout) in enumerate(zip(example.turns, layouts, strict=True)):
            question = order_turn(book, index, layouts)
            messages += [
                Message(role="user", content=question if index else f"{lead}\n{question}"),
                Message(role="assistant", content=turn_json(turn, layout)),
            ]
    return messages


def order_turn(book: PromptBook, index: int, layouts: Sequence[TurnLayout]) -> str:
    """Word the order for one turn. A user's turn is told what will answer it, so that it asks for that."""
    layout = layouts[index]
    answer = say_what_happens(layouts[index + 1]) if layout.role == "user" else ""
    return book.text(
        "turn.user",
        number=index + 1,
        num_turns=len(layouts),
        role=layout.role,
        does=say_what_happens(layout),
        answer=answer,
        fields=field_names(layout),
    )


def turn_json(turn: Turn, layout: TurnLayout) -> str:
    """A turn in the form in which a model answers it."""
    return compact_json(_fields(turn, layout))


def _fields(turn: Turn, layout: TurnLayout) -> dict[str, str]:
    return {name: part.text for name, part in zip(field_names(layout), turn.parts, strict=True)}


def _question(book: PromptBook, topic: str, scenario: str, layouts: Sequence[TurnLayout]) -> str:
    plan = [
        {"role": layout.role, "does": say_what_happens(layout), "fields": field_names(layout)} for layout in layouts
    ]
    return book.text("dialogue.user", topic=topic, scenario=scenario.strip(), plan=plan)


def _turn_parser(layout: TurnLayout, earlier: Sequence[str]) -> Callable[[str], Turn]:
    def parse(text: str) -> Turn:
        turn = parse_turn(parse_object(text), layout)
        check_new(turn, earlier)
        return turn

    return parse


def _examples(scenario: Scenario, manifest: Manifest, book: PromptBook) -> list[Demonstration]:
    return shown(book, scenario.planned.demonstrations[: NUM_SHOWN[manifest.writer.effective_style]])
