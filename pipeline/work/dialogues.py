"""Dialogues: a scenario becomes turns that keep to their slot, in one structured answer or in one answer a turn.

Which of the two is a property of the model (``Writer.style``). Turn by turn, the messages of a call extend those of
the call before, so that an engine that keeps its cache reads only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.contracts.chat import ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import content_key, normalise_text
from pipeline.values.languages import ENGLISH
from pipeline.values.manifest import Manifest
from pipeline.values.records import Demonstration, PlannedDialogue, Turn, TurnLayout
from pipeline.work import editing, tables
from pipeline.work.answers import (
    compact_json,
    dialogue_schema,
    field_names,
    parse_object,
    parse_turn,
    telling_names,
    telling_schema,
    texts_of,
    turn_name,
)
from pipeline.work.asking import Asker, InvalidAnswer, Spend
from pipeline.work.context import Answering, Writing, draw_model, new_request, retried, spend_columns, writer_inputs
from pipeline.work.editing import (
    Choice,
    add_choices,
    check_some_edit,
    check_turn,
    find_choices,
    has_edit,
    list_fields,
    plan_edit,
    say_choices,
    say_edit,
    take_choices,
    with_sources,
)
from pipeline.work.orders import Order, Recipe, base_row, fill_rows
from pipeline.work.twins import sketch_texts
from pipeline.work.wording import (
    LANGUAGE_TEMPLATES,
    key_shown,
    layout_of,
    say_language,
    say_rules,
    say_what_happens,
    shown,
)

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
    style = manifest.writer.effective_style
    in_language = () if manifest.language == ENGLISH else LANGUAGE_TEMPLATES
    shared = writer_inputs(manifest, book, *TEMPLATES[style], *in_language, language=manifest.language)
    orders = []
    for scenario in scenarios:
        inputs = {
            **shared(scenario.planned.id),
            "scenario": content_key(scenario.planned.topic.text, scenario.text),
            "slot": content_key(scenario.planned.slot.model_dump(mode="json", exclude={"cell"})),
            "demonstrations": key_shown(book, *_shown_to(scenario, manifest)),
        }
        if has_edit(scenario.planned):
            inputs["edits"] = content_key(book.key(editing.TEMPLATES[style]), plan_edit(scenario.planned, book))
        orders.append(Order(scenario.planned.id, inputs, scenario))
    return orders


async def write_dialogues(orders: Sequence[Order[Scenario]], store: ShardStore, writing: Writing) -> Receipt:
    """Bring a shard's dialogues up to date."""
    asker = writing.asker(store, STAGE)
    write = {"turns": _write_by_turns, "whole": _write_whole}[writing.manifest.writer.effective_style]

    async def make(order: Order[Scenario]) -> Row:
        row, spend = base_row(order), Spend()
        try:
            turns = await write(order, asker, writing, spend)
        except ChatFailure as exc:
            row.update(status="failed", code=exc.code, message=str(exc), turns=None, text_key=None, sketch=None)
        else:
            row |= written_columns(turns)
        writing.watch.note("record", stage=STAGE, record=order.record_id, status=row["status"], code=row["code"])
        return {**row, **spend_columns(draw_model(writing.manifest, order.record_id), spend)}

    return await fill_rows(store, orders, Recipe(STAGE, tables.DIALOGUES, make, writing.gate, asker.sum_up))


def written_columns(turns: Sequence[Turn]) -> Row:
    """Return the columns of a dialogue that is there: its turns, and what tells others that say the same."""
    texts = texts_of(turns)
    return {
        "turns": [turn.model_dump(mode="json") for turn in turns],
        "text_key": content_key([normalise_text(text) for text in texts]),
        "sketch": sketch_texts(texts),
    }


async def _write_by_turns(order: Order[Scenario], asker: Asker, writing: Writing, spend: Spend) -> list[Turn]:
    manifest, book, scenario = writing.manifest, writing.book, order.payload
    messages = opening(scenario, manifest, book)
    layouts = scenario.planned.slot.turns
    known = [text for example in _examples(scenario, manifest, book) for text in texts_of(example.turns)]
    edit = plan_edit(scenario.planned, book)
    turns: list[Turn] = []
    for index, layout in enumerate(layouts):
        names = telling_names(layout, manifest.language, manifest.language)
        question = order_turn(book, index, layouts, names) + say_edit(book, index, layouts, edit)
        question += say_language(book, manifest.language, manifest.language)
        lead = f"{book.text('turn.scenario', num_turns=len(layouts), scenario=scenario.text)}\n" if index == 0 else ""
        messages.append(Message(role="user", content=lead + question))
        answering = Answering(telling_schema(layout, manifest.language), "turn", max_tokens=260)
        request = new_request(manifest, scenario.planned.id, f"turn-{index + 1:02d}", messages, answering)
        request = retried(request, manifest, order.retry)
        sources = {edit.part: edit.source} if edit and edit.turn == index else {}
        parse = _turn_parser(layout, sources, tuple(turns), known, manifest.language)
        turn = await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend)
        turns.append(turn)
        messages.append(Message(role="assistant", content=turn_json(turn, names)))
    return turns


async def _write_whole(order: Order[Scenario], asker: Asker, writing: Writing, spend: Spend) -> list[Turn]:
    manifest, book, scenario = writing.manifest, writing.book, order.payload
    slot = scenario.planned.slot
    names = [turn_name(index, layout) for index, layout in enumerate(slot.turns)]
    choices = _choices(scenario.planned)

    def parse(text: str) -> list[Turn]:
        answer = parse_object(text)
        if set(answer) != set(names):
            raise InvalidAnswer(f"the object must have exactly the turns {', '.join(names)}")
        turns: list[Turn] = []
        for index, (name, layout) in enumerate(zip(names, slot.turns, strict=True)):
            value, sources = take_choices(answer[name], index, choices)
            turn = with_sources(parse_turn(value, layout, slack=2, language=manifest.language), sources)
            check_turn(turn, turns)
            turns.append(turn)
        check_some_edit(turns, choices)
        return turns

    request = retried(build_whole(scenario, manifest, book), manifest, order.retry)

    def word_problem(problem: str) -> str:
        return book.text("retry.user", problem=problem)

    return await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend, word_problem)


def build_whole(scenario: Scenario, manifest: Manifest, book: PromptBook) -> ChatRequest:
    """Build the one request of a dialogue that is written whole."""
    messages = [Message(role="system", content=say_rules(book, "dialogue.system", manifest.language))]
    ids, has_sources = _shown_to(scenario, manifest)
    for name in ids:
        messages += _show_whole(book, name, has_sources, manifest.language)
    written_in = say_language(book, manifest.language, manifest.language)
    slot, choices = scenario.planned.slot, _choices(scenario.planned)
    question = _question(book, scenario.planned.topic.text, scenario.text, slot.turns, choices) + written_in
    messages.append(Message(role="user", content=question))
    schema = add_choices(dialogue_schema(slot, manifest.language), slot.turns, choices)
    answering = Answering(schema, "dialogue", max_tokens=200 + 180 * len(slot.turns))
    return new_request(manifest, scenario.planned.id, "dialogue", messages, answering)


@lru_cache(1024)
def _show_whole(book: PromptBook, name: str, has_sources: bool, language: str) -> tuple[Message, Message]:
    """A whole demonstration as an exchange; every dialogue is shown some out of the same hundred."""
    (example,) = shown(book, [name], has_sources)
    layouts = layout_of(example)
    is_edited = any(part.edits for turn in example.turns for part in turn.parts)
    choices = find_choices(layouts) if is_edited else []
    question = _question(book, example.topic, example.scenario, layouts, choices)
    answer = compact_json(
        {
            turn_name(index, layout): say_choices(example.turns, index, _fields(turn, field_names(layout)), choices)
            for index, (turn, layout) in enumerate(zip(example.turns, layouts, strict=True))
        }
    )
    content = question + say_language(book, language, ENGLISH)
    return Message(role="user", content=content), Message(role="assistant", content=answer)


def opening(scenario: Scenario, manifest: Manifest, book: PromptBook) -> list[Message]:
    """The messages that all of a dialogue's turns share: the rules, and whole demonstrations as earlier exchanges."""
    messages = [Message(role="system", content=say_rules(book, "turn.system", manifest.language))]
    shown_in = say_language(book, manifest.language, ENGLISH)
    for example in _examples(scenario, manifest, book):
        layouts = layout_of(example)
        lead = book.text("turn.scenario", num_turns=len(layouts), scenario=example.scenario.strip())
        for index, (turn, layout) in enumerate(zip(example.turns, layouts, strict=True)):
            names = telling_names(layout, manifest.language, ENGLISH)
            question = order_turn(book, index, layouts, names) + shown_in
            messages += [
                Message(role="user", content=question if index else f"{lead}\n{question}"),
                Message(role="assistant", content=turn_json(turn, names)),
            ]
    return messages


def order_turn(book: PromptBook, index: int, layouts: Sequence[TurnLayout], names: Sequence[str]) -> str:
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
        fields=names,
    )


def turn_json(turn: Turn, names: Sequence[str]) -> str:
    """A turn in the form in which a model answers it, under the names of its fields."""
    return compact_json(_fields(turn, names))


def _fields(turn: Turn, names: Sequence[str]) -> dict[str, str]:
    return {name: part.text for name, part in zip(names, turn.parts, strict=True)}


def _question(
    book: PromptBook, topic: str, scenario: str, layouts: Sequence[TurnLayout], choices: Sequence[Choice]
) -> str:
    plan = [
        {"role": layout.role, "does": say_what_happens(layout), "fields": list_fields(index, layout, choices)}
        for index, layout in enumerate(layouts)
    ]
    question = book.text("dialogue.user", topic=topic, scenario=scenario.strip(), plan=plan)
    return f"{question}\n{book.text(editing.TEMPLATES['whole'])}" if choices else question


def _turn_parser(
    layout: TurnLayout, sources: Mapping[int, str], earlier: Sequence[Turn], known: Sequence[str], language: str
) -> Callable[[str], Turn]:
    bare = dict(zip(telling_names(layout, language, language), field_names(layout), strict=True))

    def parse(text: str) -> Turn:
        value = {bare.get(name, name): words for name, words in parse_object(text).items()}
        turn = with_sources(parse_turn(value, layout, language=language), sources)
        check_turn(turn, earlier, known)
        return turn

    return parse


def _choices(planned: PlannedDialogue) -> list[Choice]:
    return find_choices(planned.slot.turns) if has_edit(planned) else []


def _examples(scenario: Scenario, manifest: Manifest, book: PromptBook) -> list[Demonstration]:
    return shown(book, *_shown_to(scenario, manifest))


def _shown_to(scenario: Scenario, manifest: Manifest) -> tuple[tuple[str, ...], bool]:
    """Ids of the demonstrations, and whether they say which picture starts from which."""
    style, planned = manifest.writer.effective_style, scenario.planned
    return planned.demonstrations[: NUM_SHOWN[style]], style == "whole" and has_edit(planned)
