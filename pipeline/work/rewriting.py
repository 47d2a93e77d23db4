"""Taken dialogues in a spoken style: one LLM call rewords all turns of one, and what comes back keeps to every rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.contracts.chat import ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import content_key
from pipeline.values.languages import LANGUAGES
from pipeline.values.manifest import Manifest
from pipeline.values.records import PlannedDialogue
from pipeline.values.texts import NotTaken, TextRules, Texts
from pipeline.work import dialogues, tables
from pipeline.work.answers import parse_object, turn_name
from pipeline.work.asking import InvalidAnswer, Spend
from pipeline.work.context import Answering, Writing, draw_model, new_request, retried, spend_columns, writer_inputs
from pipeline.work.orders import Order, Recipe, base_row, fill_rows
from pipeline.work.taking import TakenTexts, fitness_of, order_texts, speak
from pipeline.work.text_rules import judge
from pipeline.work.text_shapes import MESSAGES, Shaped

TEMPLATES = ("rewrite.system", "rewrite.user", "retry.user")

CHARACTERS_A_WORD = 9
"""What an answer's schema allows for a word, its space included; English prose has 6 on average."""

TOKENS_A_WORD = 2


def order_rewrites(
    planned: Sequence[PlannedDialogue], taken: TakenTexts, manifest: Manifest, book: PromptBook
) -> list[Order[PlannedDialogue]]:
    """State what each dialogue is made from: its text, and who rewords it by which prompt and rules."""
    shared = writer_inputs(manifest, book, *TEMPLATES, language=manifest.language)
    rules = content_key(_rules(manifest).model_dump(mode="json"))
    return [
        Order(order.record_id, {**shared(order.record_id), **order.inputs, "rules": rules}, order.payload)
        for order in order_texts(planned, taken, manifest)
    ]


def build_request(row: PlannedDialogue, words: Sequence[str], manifest: Manifest, book: PromptBook) -> ChatRequest:
    """Build the first attempt; the rules come first, for they are those of all records."""
    low, high = _rules(manifest).words
    language = LANGUAGES[manifest.language].name
    system = book.text("rewrite.system", language=language, fewest=low, most=high)
    turns = [{"name": name, "words": said} for name, said in zip(_names(row), words, strict=True)]
    messages = [
        Message(role="system", content=system),
        Message(role="user", content=book.text("rewrite.user", turns=turns)),
    ]
    answering = Answering(_schema(row, high), "dialogue", max_tokens=200 + TOKENS_A_WORD * high * len(turns))
    return new_request(manifest, row.id, "rewrite", messages, answering)


async def rewrite_texts(
    orders: Sequence[Order[PlannedDialogue]], store: ShardStore, turns_of: Mapping[str, Sequence[str]], writing: Writing
) -> Receipt:
    """Bring a shard's dialogues up to date.

    Args:
        turns_of: Words by the text's id.
    """
    manifest, book = writing.manifest, writing.book
    asker = writing.asker(store, dialogues.STAGE)

    async def make(order: Order[PlannedDialogue]) -> Row:
        planned, (row, spend) = order.payload, (base_row(order), Spend())
        request = build_request(planned, turns_of[planned.topic.id], manifest, book)
        request = retried(request, manifest, order.retry)

        def parse(text: str) -> tuple[str, ...]:
            return _parse(text, planned, manifest)

        def word_problem(problem: str) -> str:
            return book.text("retry.user", problem=problem)

        try:
            words = await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend, word_problem)
        except ChatFailure as exc:
            row |= {"status": "failed", "code": exc.code, "message": str(exc)}
            row |= dict.fromkeys(("turns", "text_key", "sketch"))
        else:
            row |= dialogues.written_columns(speak(planned.slot, words, manifest.language))
        writing.watch.note(
            "record", stage=dialogues.STAGE, record=order.record_id, status=row["status"], code=row["code"]
        )
        return {**row, **spend_columns(draw_model(manifest, order.record_id), spend)}

    recipe = Recipe(dialogues.STAGE, tables.DIALOGUES, make, writing.gate, asker.sum_up)
    return await fill_rows(store, orders, recipe)


def _parse(text: str, row: PlannedDialogue, manifest: Manifest) -> tuple[str, ...]:
    """Read the turns of an answer and hold them against the rules for dialogues that nobody rewords."""
    answer, names = parse_object(text), _names(row)
    if set(answer) != set(names) or not all(isinstance(answer[name], str) for name in names):
        raise InvalidAnswer(f"the object must have exactly the texts {', '.join(names)}")
    said = tuple((layout.role, answer[name]) for layout, name in zip(row.slot.turns, names, strict=True))
    try:
        return judge(Shaped(MESSAGES, said), fitness_of(manifest, _texts(manifest), is_final=True))
    except NotTaken as exc:
        raise InvalidAnswer(f"{exc.rule}: {exc}") from exc


def _names(row: PlannedDialogue) -> list[str]:
    return [turn_name(index, layout) for index, layout in enumerate(row.slot.turns)]


def _schema(row: PlannedDialogue, most_words: int) -> dict[str, Any]:
    names = _names(row)
    return {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": most_words * CHARACTERS_A_WORD} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _rules(manifest: Manifest) -> TextRules:
    return _texts(manifest).rules


def _texts(manifest: Manifest) -> Texts:
    if manifest.texts is None:
        raise ValueError("the manifest names no texts")
    return manifest.texts
