"""Topics: listed by hand, read from files, or written by the LLM in rounds for each meta-topic."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pipeline.contracts.chat import ChatRequest, Message
from pipeline.contracts.prompts import PromptBook
from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.values.errors import ChatFailure, ManifestError
from pipeline.values.ids import content_key, normalise_text, topic_id
from pipeline.values.manifest import GeneratedTopics, Manifest
from pipeline.values.records import MetaTopic, Topic
from pipeline.values.words import suggest
from pipeline.work import tables
from pipeline.work.answers import parse_object, plain_text
from pipeline.work.asking import Asker, InvalidAnswer, Spend
from pipeline.work.context import Answering, Writing, draw_model, new_request, spend_columns, writer_inputs
from pipeline.work.orders import Order, Recipe, base_row, fill_rows

STAGE = "topics"
TEMPLATES = ("topics.system", "topics.user", "retry.user")
MAX_CHARACTERS = 80
MAX_WORDS = 10


@dataclass(frozen=True)
class Quota:
    """A meta-topic and how many topics it is to have."""

    meta_topic: MetaTopic
    count: int
    per_call: int


def order_topics(manifest: Manifest, book: PromptBook) -> list[Order[Quota]]:
    """One row a meta-topic; its rounds build on each other."""
    generate = manifest.topics.generate
    if generate is None:
        return []
    shared = writer_inputs(manifest, book, *TEMPLATES)
    orders = []
    for meta in chosen_meta_topics(generate, book):
        quota = Quota(meta, generate.per_meta_topic, generate.per_call)
        inputs = {
            **shared(meta.id),
            "meta_topic": content_key(meta.model_dump(mode="json")),
            "count": content_key(quota.count, quota.per_call),
        }
        orders.append(Order(meta.id, inputs, quota))
    return orders


def chosen_meta_topics(generate: GeneratedTopics, book: PromptBook) -> list[MetaTopic]:
    """Return the meta-topics that the manifest names.

    Raises:
        ManifestError: one is not in the prompts folder.
    """
    if generate.meta_topics == "all":
        return list(book.meta_topics.values())
    told = [
        f"topics.generate.meta_topics.{index}: {name!r} does not stand in meta_topics.yaml; "
        f"{suggest(name, book.meta_topics)}"
        for index, name in enumerate(generate.meta_topics)
        if name not in book.meta_topics
    ]
    if told:
        raise ManifestError("\n".join(told))
    return [book.meta_topics[name] for name in generate.meta_topics]


def generated_topics(rows: Iterable[Row]) -> list[Topic]:
    """Return the topics of the stage's rows, in the order of their writing; the same one may stand there twice."""
    return [
        Topic(id=topic_id(text), text=text, meta_topic=row["record_id"]) for row in rows for text in row["topics"] or ()
    ]


def collect_topics(
    written: Iterable[Topic], generated: Iterable[Topic], held_back: Collection[str] = ()
) -> list[Topic]:
    """Put hand-written and generated topics in one list, each normalised text once, hand-written first.

    Args:
        held_back: Ids of generated topics to leave out.
    """
    found: dict[str, Topic] = {}
    for topic in written:
        found.setdefault(topic.id, topic)
    for topic in generated:
        if topic.id not in held_back:
            found.setdefault(topic.id, topic)
    return list(found.values())


async def write_topics(orders: Sequence[Order[Quota]], store: ShardStore, writing: Writing) -> Receipt:
    """Bring the generated topics up to date; meta-topics side by side, the rounds of each one after the other."""
    asker = writing.asker(store, STAGE)

    async def make(order: Order[Quota]) -> Row:
        row, spend = base_row(order), Spend()
        topics: list[str] = []
        try:
            while len(topics) < order.payload.count:
                topics += await _write_round(order.payload, topics, asker, writing, spend)
        except ChatFailure as exc:
            # The rounds that succeeded are good topics; the row fails only where there is none.
            row.update(code=exc.code, message=str(exc), status="ok" if topics else "failed")
        row["topics"] = topics
        writing.watch.note("record", stage=STAGE, record=order.record_id, status=row["status"], code=row["code"])
        return {**row, **spend_columns(draw_model(writing.manifest, order.record_id), spend)}

    return await fill_rows(store, orders, Recipe(STAGE, tables.TOPICS, make, writing.gate, asker.sum_up))


async def _write_round(quota: Quota, have: Sequence[str], asker: Asker, writing: Writing, spend: Spend) -> list[str]:
    count = min(quota.per_call, quota.count - len(have))
    known = {normalise_text(text) for text in have}
    return await ask_round(Round(quota.meta_topic, tuple(have), count), known, asker, writing, spend)


@dataclass(frozen=True)
class Round:
    """One round of a meta-topic: what it has, and how many more are asked for."""

    meta_topic: MetaTopic
    have: tuple[str, ...]
    count: int


async def ask_round(this: Round, known: set[str], asker: Asker, writing: Writing, spend: Spend) -> list[str]:
    """Ask for one round's topics.

    Args:
        this: What is asked for.
        known: Normalised texts that count as repeated, and too many of which make an answer invalid.
        asker: Answers from its journal what was answered before.
        writing: The writer and its prompts.
        spend: Is added to.

    Raises:
        ChatFailure: the call failed, or no answer was valid.
    """
    manifest, book = writing.manifest, writing.book
    request = build_request(this.meta_topic, this.have, this.count, manifest, book)

    def parse(text: str) -> list[str]:
        return parse_topics(text, this.count, known)

    def word_problem(problem: str) -> str:
        return book.text("retry.user", problem=problem)

    retry = None if manifest.writer.effective_style == "turns" else word_problem
    return await asker.ask_until_valid(request, parse, manifest.writer.max_tries, spend, retry)


def build_request(
    meta: MetaTopic, have: Sequence[str], count: int, manifest: Manifest, book: PromptBook
) -> ChatRequest:
    """Build one round's first attempt."""
    purpose = f"topics-{len(have):05d}"
    question = book.text("topics.user", meta_topic=meta, have=list(have), count=count)
    messages = [
        Message(role="system", content=book.text("topics.system")),
        Message(role="user", content=question),
    ]
    schema = {
        "type": "object",
        "properties": {
            "topics": {
                "type": "array",
                "items": {"type": "string", "maxLength": MAX_CHARACTERS},
                "minItems": count,
                "maxItems": count,
            }
        },
        "required": ["topics"],
        "additionalProperties": False,
    }
    return new_request(manifest, meta.id, purpose, messages, Answering(schema, "topics", 100 + 30 * count))


def parse_topics(text: str, count: int, known: set[str]) -> list[str]:
    """Read one round's topics: two to ten words each, none repeated.

    Raises:
        InvalidAnswer: fewer than three quarters of those asked for are of use.
    """
    answer = parse_object(text)
    listed = answer.get("topics")
    if not isinstance(listed, list):
        raise InvalidAnswer("the object must have the field topics, a list of strings")
    topics: dict[str, str] = {}
    problem = ""
    for item in listed[:count]:
        try:
            topic = plain_text("topics", item, MAX_CHARACTERS, 2).strip(" .,;:")
        except InvalidAnswer as exc:
            problem = str(exc)
            continue
        if len(topic.split()) > MAX_WORDS or normalise_text(topic) in known:
            problem = f"{topic!r} is too long or stands already"
            continue
        topics.setdefault(normalise_text(topic), topic)
    if len(topics) < 0.75 * count:
        raise InvalidAnswer(f"only {len(topics)} of {count} topics are new and of two to ten words; {problem}")
    return list(topics.values())
