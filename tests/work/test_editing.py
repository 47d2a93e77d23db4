"""Pictures that change earlier ones, as models are asked for them and as their answers are taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.store import ShardFolder
from pipeline.contracts.chat import ChatRequest
from pipeline.contracts.storage import Row
from pipeline.values.manifest import Manifest
from pipeline.values.pictures import is_earlier_picture, name_picture, name_pictures, read_place, write_place
from pipeline.values.records import PlannedDialogue, Slot, TurnLayout
from pipeline.work.context import Writing
from pipeline.work.dialogues import Scenario, build_whole, order_dialogues, write_dialogues
from pipeline.work.editing import find_choices, list_fields
from pipeline.work.features import EDIT
from tests.support.stages import Notes, ScriptedChat, manifest, read_book, topics

BOOK = read_book()
WORDS = ["quiet", "wooden", "harbour", "boats", "lie", "under", "soft", "morning", "light", "gulls"]
TEXTS = (
    "Please draw me that.",
    "Here you are, friend.",
    "Now let it be night.",
    "The moon is out now.",
    "Could rain fall there?",
    "It pours from dark clouds.",
)


def layouts(*kinds: str) -> tuple[TurnLayout, ...]:
    roles = ("user", "assistant")
    return tuple(TurnLayout.model_validate({"role": roles[i % 2], "kinds": k.split()}) for i, k in enumerate(kinds))


TWICE = layouts("text", "text image", "text", "text image")
THRICE = layouts("text", "text image", "text", "text image", "text", "text image")
OWN = layouts("text image image", "text image")


def planned(turns: tuple[TurnLayout, ...], requirement: str = "make-it-night", **changes: Any) -> PlannedDialogue:
    slot = Slot.model_validate({"cell": "c", "gives": ["text"], "answers": ["text", "image"], "turns": turns})
    shown = ("moon-garden-earthrise", "mothers-bowl-in-five", "oily-hands-ferry-log")
    values = {"id": "0123456789abcdef", "topic": topics("boats")[0], "ordinal": 0, "shard": 0, "unit": 0.5}
    about = {"slot": slot, "demonstrations": shown, "requirements": (requirement,), "features": (EDIT,)}
    return PlannedDialogue(**{**values, **about, **changes})


def describe(*kept: int) -> str:
    """A description of ten words; those at some places are other ones."""
    return " ".join(f"other{place}" if place in kept else WORDS[place] for place in range(10))


PICTURES = [describe(), describe(3), describe(0, 1, 2, 4, 5, 6, 7, 8, 9)]


def answer(turns: tuple[TurnLayout, ...], edits: Mapping[str, Any], pictures: list[str] | None = None) -> str:
    """A whole dialogue; every picture has its own words, every choice says what stands in ``edits``."""
    said, images = {}, iter(pictures or PICTURES)
    choices = find_choices(turns)
    for index, layout in enumerate(turns):
        name = f"turn_{index + 1}_{layout.role}"
        fields = list_fields(index, layout, choices)
        said[name] = {
            field: edits.get(f"{index + 1}.{field}", "none")
            if field.endswith("_edits")
            else next(images)
            if field.startswith("image")
            else TEXTS[index]
            for field in fields
        }
    return json.dumps(said)


def write(row: PlannedDialogue, chat: ScriptedChat, folder: Path, **changes: Any) -> Row:
    made: Manifest = manifest(**changes)
    writing = Writing(made, BOOK, {}, chat, Notes(), asyncio.Semaphore(1))
    store = ShardFolder(folder)
    orders = order_dialogues([Scenario(row, "Someone wants a picture, then wants it at night.")], made, BOOK)
    asyncio.run(write_dialogues(orders, store, writing))
    return next(iter(store.rows("dialogues")))


def edits_of(row: Row) -> dict[str, str]:
    return {
        write_place(index, place): part["edits"]
        for index, turn in enumerate(row["turns"])
        for place, part in enumerate(turn["parts"])
        if part["edits"]
    }


# Names and places


def test_pictures_are_named_by_turn_and_by_number_where_there_are_several() -> None:
    kinds = [["text", "image", "image"], ["image"], ["music"], ["text", "image"]]
    named = {"picture 1 of turn 1": "0.1", "picture 2 of turn 1": "0.2", "the picture of turn 2": "1.0"}
    assert name_pictures(kinds, 3) == named
    assert name_pictures(kinds, 0) == {}
    assert name_picture(kinds, "3.1") == "the picture of turn 4"
    assert name_picture(kinds, "0.0") is name_picture(kinds, "9.9") is None
    assert read_place(write_place(12, 3)) == (12, 3)
    assert is_earlier_picture(kinds, 1, "0.2")
    assert not is_earlier_picture(kinds, 1, "1.0")
    assert not is_earlier_picture(kinds, 3, "2.0")


def test_only_pictures_of_the_assistant_after_another_have_a_choice() -> None:
    assert find_choices(layouts("text image", "text", "text image", "text")) == []
    assert find_choices(layouts("text", "image image", "text", "text")) == []
    [only] = find_choices(TWICE)
    assert (only.turn, only.part, only.field, only.names) == (3, 1, "image", ("the picture of turn 2",))
    first, second = find_choices(THRICE)
    assert first.names == ("none", "the picture of turn 2")
    assert second.names == ("none", "the picture of turn 2", "the picture of turn 4")


# Written whole


def test_the_schema_asks_before_a_picture_which_one_it_starts_from() -> None:
    request = build_whole(Scenario(planned(OWN), "x"), manifest(), BOOK)
    schema = request.json_schema
    turn = schema["properties"]["turn_2_assistant"]
    assert list(turn["properties"]) == turn["required"] == ["text", "image_edits", "image"]
    assert turn["properties"]["image_edits"]["enum"] == ["picture 1 of turn 1", "picture 2 of turn 1"]
    assert "image_edits" not in json.dumps(schema["properties"]["turn_1_user"])
    question = request.messages[-1].content
    assert "text, image_edits, image" in question
    assert question.endswith(BOOK.text("dialogue.edits"))


def test_demonstrations_show_the_reference_where_the_dialogue_has_one() -> None:
    messages = build_whole(Scenario(planned(TWICE), "x"), manifest(), BOOK).messages
    moon, bowl, ferry = (json.loads(message.content) for message in messages if message.role == "assistant")
    assert list(moon["turn_4_assistant"]) == ["text", "image_edits", "image"]
    assert moon["turn_4_assistant"]["image_edits"] == "the picture of turn 2"
    assert bowl["turn_2_assistant"]["image_edits"] == "picture 1 of turn 1"
    assert bowl["turn_4_assistant"]["image_edits"] == "the picture of turn 2"
    assert "edits" not in json.dumps(ferry)
    assert messages[0].content == BOOK.text("dialogue.system")


def test_a_dialogue_that_is_asked_for_no_edit_sees_nothing_of_it() -> None:
    row = planned(TWICE, features=())
    request = build_whole(Scenario(row, "x"), manifest(), BOOK)
    assert "_edits" not in request.model_dump_json()
    [plain] = order_dialogues([Scenario(row, "x")], manifest(), BOOK)
    [asked] = order_dialogues([Scenario(planned(TWICE), "x")], manifest(), BOOK)
    assert set(asked.inputs) - set(plain.inputs) == {"edits"}
    changed = {name for name in plain.inputs if plain.inputs[name] != asked.inputs[name]}
    assert changed == {"demonstrations"}


def test_a_whole_dialogue_says_which_picture_changes_which(tmp_path: Path) -> None:
    chat = ScriptedChat([answer(TWICE, {"4.image_edits": "the picture of turn 2"})])
    row = write(planned(TWICE), chat, tmp_path)
    assert (row["status"], edits_of(row)) == ("ok", {"3.1": "1.1"})
    assert row["turns"][3]["parts"][1]["text"] == PICTURES[1]


def test_a_chain_of_changes_may_keep_its_words_and_a_new_picture_may_not(tmp_path: Path) -> None:
    pictures = [describe(), describe(3), describe(3, 7)]
    chain = {"4.image_edits": "the picture of turn 2", "6.image_edits": "the picture of turn 4"}
    row = write(planned(THRICE), ScriptedChat([answer(THRICE, chain, pictures)]), tmp_path / "chain")
    assert edits_of(row) == {"3.1": "1.1", "5.1": "3.1"}
    chat = ScriptedChat(lambda request: answer(THRICE, {**chain, "6.image_edits": "none"}, pictures))
    row = write(planned(THRICE), chat, tmp_path / "new", writer={"engine": "openai", "model": "m", "max_tries": 1})
    assert row["code"] == "invalid_answer"
    assert "the field image repeats earlier words" in row["message"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("none", "the field image_edits of turn 4 must be one of: the picture of turn 2"),
        ("the picture of turn 4", "must be one of"),
        ("the picture of turn 9", "must be one of"),
        ("../../etc/passwd", "must be one of"),
        (7, "must be one of"),
        (["the picture of turn 2"], "must be one of"),
        (None, "must be one of"),
    ],
)
def test_a_wrong_reference_is_asked_again_with_what_is_allowed(tmp_path: Path, said: Any, words: str) -> None:
    good = answer(TWICE, {"4.image_edits": "the picture of turn 2"})
    chat = ScriptedChat([answer(TWICE, {"4.image_edits": said}), good])
    row = write(planned(TWICE), chat, tmp_path)
    assert edits_of(row) == {"3.1": "1.1"}
    assert row["invalid_answers"] == 1
    assert words in chat.requests[1].messages[-1].content


def test_some_picture_must_change_another_and_not_say_the_same(tmp_path: Path) -> None:
    one = answer(THRICE, {"4.image_edits": "the picture of turn 2"}, [describe(), describe(3), PICTURES[2]])
    same = answer(THRICE, {"4.image_edits": "the picture of turn 2"}, [describe(), describe(), PICTURES[2]])
    other = "a green parrot sleeps on top of seven painted drums outside"
    none = answer(THRICE, {}, [describe(), other, PICTURES[2]])
    chat = ScriptedChat([none, same, one])
    row = write(planned(THRICE), chat, tmp_path)
    assert edits_of(row) == {"3.1": "1.1"}
    problems = [request.messages[-1].content for request in chat.requests[1:]]
    assert "no picture changes an earlier one; one of these must name it: image_edits of turn 4" in problems[0]
    assert "describes the picture that it changes, unchanged" in problems[1]


def test_a_missing_or_foreign_choice_is_refused(tmp_path: Path) -> None:
    left_out = json.loads(answer(TWICE, {}))
    del left_out["turn_4_assistant"]["image_edits"]
    foreign = json.loads(answer(TWICE, {"4.image_edits": "the picture of turn 2"}))
    foreign["turn_2_assistant"]["image_edits"] = "the picture of turn 2"
    good = answer(TWICE, {"4.image_edits": "the picture of turn 2"})
    chat = ScriptedChat([json.dumps(left_out), json.dumps(foreign), good])
    assert edits_of(write(planned(TWICE), chat, tmp_path)) == {"3.1": "1.1"}
    assert "must have exactly the fields text, image" in chat.requests[2].messages[-1].content


# Written turn by turn


def by_turns(request: ChatRequest) -> str:
    number = int(request.purpose.removeprefix("turn-"))
    said = {"text": TEXTS[number - 1]}
    if "image" in request.json_schema["properties"]:
        said["image"] = PICTURES[number // 2 - 1]
    return json.dumps(said)


def test_turn_by_turn_the_plan_decides_and_the_model_is_told(tmp_path: Path) -> None:
    chat = ScriptedChat(by_turns)
    row = write(planned(TWICE), chat, tmp_path, writer={"engine": "openai", "model": "m", "style": "turns"})
    assert (row["status"], edits_of(row)) == ("ok", {"3.1": "1.1"})
    orders = [request.messages[-1].content for request in chat.requests]
    assert "edits" not in chat.requests[3].model_dump_json()
    assert orders[2].endswith("The user wants the picture of turn 2 again with one thing changed, and says which.")
    assert "The image is the picture of turn 2 with that one thing changed" in orders[3]
    assert not any("one thing changed" in order for order in orders[:2])


def test_turn_by_turn_without_the_feature_nothing_is_said(tmp_path: Path) -> None:
    writer = {"engine": "openai", "model": "m", "style": "turns", "max_tries": 1}
    chat = ScriptedChat(by_turns)
    row = write(planned(TWICE, features=()), chat, tmp_path, writer=writer)
    assert row["code"] == "invalid_answer"  # its second picture repeats the first
    assert not any("one thing changed" in request.messages[-1].content for request in chat.requests)


def test_the_plan_of_turns_depends_on_the_requirement() -> None:
    made = manifest(writer={"engine": "openai", "model": "m", "style": "turns"})
    both = layouts("text image", "text image", "text", "text image")
    keys = [
        order_dialogues([Scenario(planned(both, name), "x")], made, BOOK)[0].inputs["edits"]
        for name in ("make-it-night", "change-the-users-picture")
    ]
    assert keys[0] != keys[1]
