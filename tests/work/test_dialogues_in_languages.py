"""What a corpus in another language asks for, and what its keys depend on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.store import ShardFolder
from pipeline.contracts.prompts import PromptBook
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, PlannedDialogue, TurnLayout
from pipeline.work.answers import field_names, telling_names
from pipeline.work.context import Writing
from pipeline.work.dialogues import Scenario, build_whole, opening, order_dialogues, write_dialogues
from pipeline.work.orders import Order
from pipeline.work.planning import extend_plan
from pipeline.work.scenarios import order_scenarios
from pipeline.work.topics import order_topics
from pipeline.work.wording import LANGUAGE_TEMPLATES
from tests.support.stages import Notes, ScriptedChat, manifest, read_book, topics

STYLES = ("turns", "whole")


def small(language: str, style: str = "whole") -> Manifest:
    generated = {"list": ["kites"], "generate": {"meta_topics": ["night-markets"], "per_meta_topic": 2}}
    writer = {"engine": "openai", "model": "made-up", "style": style}
    return manifest(language=language, writer=writer, topics=generated)


def plan(this: Manifest) -> list[PlannedDialogue]:
    return extend_plan([], topics("kites", "drums"), this, read_book())


def inputs(orders: list[Order[Any]]) -> list[tuple[str, dict[str, str]]]:
    return [(order.record_id, dict(order.inputs)) for order in orders]


def scenarios(this: Manifest) -> list[Scenario]:
    return [Scenario(row, "A man on a hill wants a kite.") for row in plan(this)]


@pytest.mark.parametrize("style", STYLES)
def test_only_dialogues_depend_on_the_language(style: str) -> None:
    english, japanese, book = small("en", style), small("ja", style), read_book()
    shared: list[Callable[[Manifest], list[Order[Any]]]] = [
        lambda this: list(order_topics(this, book)),
        lambda this: list(order_scenarios(plan(this), this, book)),
    ]
    for order in shared:
        assert inputs(order(english)) == inputs(order(japanese))
    written = [inputs(list(order_dialogues(scenarios(this), this, book))) for this in (english, japanese, small("zh"))]
    for (name, keys), (other_name, other_keys), _ in zip(*written, strict=True):
        assert name == other_name
        assert {key for key in keys if keys[key] != other_keys[key]} == {"model", "prompt"}


class Watched:
    """The shipped prompts, which note the templates that are filled and hashed."""

    def __init__(self) -> None:
        self.used: list[str] = []
        self._book = read_book()
        self.meta_topics = self._book.meta_topics
        self.demonstrations = self._book.demonstrations
        self.requirements = self._book.requirements

    def text(self, template: str, **values: Any) -> str:
        self.used.append(template)
        return self._book.text(template, **values)

    def key(self, *templates: str) -> str:
        self.used.extend(templates)
        return self._book.key(*templates)


@pytest.mark.parametrize("style", STYLES)
def test_an_english_corpus_uses_no_template_of_languages(style: str) -> None:
    for language, used in (("en", set()), ("zh", set(LANGUAGE_TEMPLATES))):
        this, book = small(language, style), Watched()
        write(this, book)
        assert set(book.used) & set(LANGUAGE_TEMPLATES) == used


def write(this: Manifest, book: PromptBook) -> None:
    order_dialogues(scenarios(this), this, book)
    for scenario in scenarios(this):
        opening(scenario, this, book)
        build_whole(scenario, this, book)


def test_a_dialogue_written_whole_is_asked_for_in_the_language_after_examples_in_english() -> None:
    this = small("ja")
    first, second = (build_whole(scenario, this, read_book()).messages for scenario in scenarios(this))
    assert first[0] == second[0]
    assert "in Japanese" in first[0].content
    assert "Count two characters as a word" in first[0].content
    asked = [message.content for message in first if message.role == "user"]
    assert all(
        text.endswith("Language of text and speech: English. Language of image and music: English.")
        for text in asked[:-1]
    )
    assert asked[-1].endswith("Language of text and speech: Japanese (日本語). Language of image and music: English.")


def test_turns_share_their_opening_up_to_the_scenario() -> None:
    this = small("zh", "turns")
    first, second = (opening(scenario, this, read_book()) for scenario in scenarios(this))
    assert first == second
    assert "in Mandarin Chinese in simplified characters" in first[0].content
    assert first[1].content.endswith("Language of text and speech: English. Language of image and music: English.")


def test_fields_of_turns_tell_their_language_and_are_bare_in_english() -> None:
    layout = TurnLayout(role="user", kinds=(Modality.SPEECH, Modality.IMAGE, Modality.IMAGE))
    assert telling_names(layout, "ja", "ja") == ["speech_in_japanese", "image_in_english", "image_2_in_english"]
    assert telling_names(layout, "ja", "en") == ["speech_in_english", "image_in_english", "image_2_in_english"]
    assert telling_names(layout, "en", "en") == field_names(layout)
    this = small("zh", "turns")
    asked, answered = opening(scenarios(this)[0], this, read_book())[1:3]
    assert "_in_english" in asked.content.partition("Fill: ")[2]
    assert '_in_english":"' in answered.content


def test_answers_under_telling_names_become_plain_turns(tmp_path: Path) -> None:
    texts = [
        '{"text_in_chinese":"请画一只风筝。"}',
        '{"text_in_chinese":"A red kite.","image_in_english":"a red kite above a green hill"}',
        '{"text_in_chinese":"给你一只红色的风筝。","image_in_english":"a red kite above a green hill"}',
    ]
    this, chat, store = small("zh", "turns"), ScriptedChat(texts), ShardFolder(tmp_path)
    writing = Writing(this, read_book(), {}, chat, Notes(), asyncio.Semaphore(1))
    asyncio.run(write_dialogues(order_dialogues(scenarios(this)[:1], this, read_book()), store, writing))
    [row] = store.rows("dialogues")
    assert (row["status"], row["invalid_answers"]) == ("ok", 1)
    assert [[part["kind"] for part in turn["parts"]] for turn in row["turns"]] == [["text"], ["text", "image"]]
    assert row["turns"][1]["parts"][0]["text"] == "给你一只红色的风筝。"
    assert list(chat.requests[0].json_schema["properties"]) == ["text_in_chinese"]
    assert chat.requests[1].messages[-2].content == texts[0]


def test_a_dialogue_that_stays_in_another_language_fails_and_says_so(tmp_path: Path) -> None:
    this, store = small("ja", "turns"), ShardFolder(tmp_path)
    chat = ScriptedChat(lambda request: '{"text_in_japanese":"Please draw a kite for me."}')
    writing = Writing(this, read_book(), {}, chat, Notes(), asyncio.Semaphore(1))
    asyncio.run(write_dialogues(order_dialogues(scenarios(this)[:1], this, read_book()), store, writing))
    [row] = store.rows("dialogues")
    assert (row["status"], row["code"]) == ("failed", "invalid_answer")
    assert "the last: the field text must be written in Japanese" in row["message"]
