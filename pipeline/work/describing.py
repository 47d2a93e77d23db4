"""Descriptions written anew: where no seed has mended a picture or a piece of music, the LLM hears what was wrong.

The dialogue's other words stay. Its part takes over the description that its medium was made from once it is
published, so that words and medium agree; what the part said before stays in the stage file of the dialogues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contracts.chat import ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, TurnLayout
from pipeline.values.repairs import Rewrite
from pipeline.work import tables
from pipeline.work.answers import compact_json, parse_object, parse_turn, turn_schema
from pipeline.work.asking import InvalidAnswer, Spend
from pipeline.work.briefs import PlacedBrief
from pipeline.work.context import Answering, Writing, draw_model, new_request, spend_columns, writer_inputs
from pipeline.work.orders import Order, Recipe, base_row, fill_rows
from pipeline.work.shingles import jaccard, shingles
from pipeline.work.twins import SHINGLE

STAGE = "descriptions"
TEMPLATES = ("describe.system", "describe.user", "retry.user")
DESCRIBED = (Modality.IMAGE, Modality.MUSIC)
"""Media that have a description; what speech says is the dialogue itself."""

MAX_ALIKE = 0.8
"""Similarity to the former description, from shingles. Small models change an article (0.97) or drop a comma (1.0); the
same things with a light added have 0.7, another view of the same scene has 0.2."""

SLACK = {"turns": 1, "whole": 2}
"""Of the description's length, as where dialogues are written in that style."""


@dataclass(frozen=True)
class Description:
    """A description to write anew.

    Attributes:
        placed: The part's first brief, with the description that did not do.
        turns: The dialogue's, as its stage has them.
    """

    placed: PlacedBrief
    turns: Sequence[Row]
    rewrite: Rewrite


def order_descriptions(wanted: Sequence[Description], manifest: Manifest, book: PromptBook) -> list[Order[Description]]:
    """State what each description is made from; one that is there already keeps what it was made from then."""
    shared = writer_inputs(manifest, book, *TEMPLATES)
    return [
        Order(
            one.placed.brief.id,
            one.rewrite.inputs
            or {
                **shared(one.placed.dialogue_id),
                "dialogue": content_key(one.placed.turn, one.placed.part, one.turns),
                "misses": content_key([miss.model_dump(mode="json") for miss in one.rewrite.misses]),
            },
            one,
        )
        for one in wanted
    ]


def build_request(wanted: Description, manifest: Manifest, book: PromptBook) -> ChatRequest:
    """Build the first attempt."""
    placed = wanted.placed
    question = book.text(
        "describe.user",
        kind=str(placed.brief.modality),
        dialogue=compact_json({"turns": [_say_turn(wanted, index) for index in range(len(wanted.turns))]}),
        turn=placed.turn + 1,
        description=placed.text,
        misses=[miss.model_dump(mode="json") for miss in wanted.rewrite.misses],
    )
    messages = [
        Message(role="system", content=book.text("describe.system")),
        Message(role="user", content=question),
    ]
    schema = turn_schema(_layout(placed), SLACK[manifest.writer.effective_style])
    purpose = f"describe-{placed.turn:02d}-{placed.part:02d}"
    return new_request(manifest, placed.dialogue_id, purpose, messages, Answering(schema, "description", 160))


async def write_descriptions(orders: Sequence[Order[Description]], store: ShardStore, writing: Writing) -> Receipt:
    """Bring a shard's descriptions up to date."""
    asker, manifest = writing.asker(store, STAGE), writing.manifest
    style = manifest.writer.effective_style
    retry = None if style == "turns" else lambda problem: writing.book.text("retry.user", problem=problem)

    async def make(order: Order[Description]) -> Row:
        placed = order.payload.placed

        def parse(text: str) -> str:
            described = parse_turn(parse_object(text), _layout(placed), SLACK[style]).parts[0].text
            alike = jaccard(shingles(described, SHINGLE), shingles(placed.text, SHINGLE))
            if alike > MAX_ALIKE:
                raise InvalidAnswer(f"the description is nearly the one that did not do (similarity {alike:.2f})")
            return described

        row, spend = base_row(order), Spend()
        request = build_request(order.payload, manifest, writing.book)
        try:
            row["text"] = await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend, retry)
        except ChatFailure as exc:
            row.update(status="failed", code=exc.code, message=str(exc), text=None)
        writing.watch.note("record", stage=STAGE, record=order.record_id, status=row["status"], code=row["code"])
        return {**row, **spend_columns(draw_model(manifest, placed.dialogue_id), spend)}

    return await fill_rows(store, orders, Recipe(STAGE, tables.DESCRIPTIONS, make, writing.gate, asker.sum_up))


def _layout(placed: PlacedBrief) -> TurnLayout:
    return TurnLayout(role=placed.role, kinds=(placed.brief.modality,))


def _say_turn(wanted: Description, index: int) -> Row:
    """Return a turn as the prompt shows it: without the description, since small models answer a mark in its place."""
    here = (wanted.placed.turn, wanted.placed.part)
    parts = [
        {part["kind"]: part["text"]}
        for place, part in enumerate(wanted.turns[index]["parts"])
        if (index, place) != here
    ]
    return {"role": wanted.turns[index]["role"], "parts": parts}
