"""What an answer must look like, rule by rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.values.records import Modality, Part, Slot, Turn, TurnLayout
from pipeline.work.answers import (
    MAX_CHARACTERS,
    MAX_OVERLAP,
    NEAR_LIMIT,
    check_new,
    check_overlap,
    dialogue_schema,
    field_names,
    four_grams,
    parse_object,
    parse_turn,
    plain_text,
    string_schema,
    texts_of,
    turn_name,
    turn_schema,
    whole_sentences,
)
from pipeline.work.asking import InvalidAnswer

TEXT, SPEECH, IMAGE, MUSIC = Modality.TEXT, Modality.SPEECH, Modality.IMAGE, Modality.MUSIC


def user(*kinds: Modality) -> TurnLayout:
    return TurnLayout(role="user", kinds=kinds)


def test_fields_are_named_after_modalities_and_numbered_from_the_second() -> None:
    assert field_names(user(TEXT, IMAGE)) == ["text", "image"]
    assert field_names(user(SPEECH, IMAGE, MUSIC, IMAGE, IMAGE)) == ["speech", "image", "music", "image_2", "image_3"]


def test_the_schema_of_a_turn_names_every_field_and_its_length() -> None:
    assert turn_schema(user(TEXT, IMAGE, IMAGE)) == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": MAX_CHARACTERS[TEXT]},
            "image": {"type": "string", "maxLength": MAX_CHARACTERS[IMAGE]},
            "image_2": {"type": "string", "maxLength": MAX_CHARACTERS[IMAGE]},
        },
        "required": ["text", "image", "image_2"],
        "additionalProperties": False,
    }
    assert turn_schema(user(TEXT), slack=2)["properties"]["text"]["maxLength"] == 2 * MAX_CHARACTERS[TEXT]


def test_the_schema_of_a_dialogue_has_one_property_a_turn() -> None:
    layouts = (user(TEXT), TurnLayout(role="assistant", kinds=(IMAGE,)))
    schema = dialogue_schema(Slot(cell="c", gives=(TEXT,), answers=(IMAGE,), turns=layouts))
    assert schema["required"] == list(schema["properties"]) == ["turn_1_user", "turn_2_assistant"]
    assert schema["properties"]["turn_2_assistant"] == turn_schema(layouts[1], slack=2)
    assert schema["additionalProperties"] is False
    assert turn_name(1, layouts[1]) == "turn_2_assistant"


def test_the_schema_of_one_string() -> None:
    assert string_schema("scenario", 9)["properties"] == {"scenario": {"type": "string", "maxLength": 9}}


def test_an_object_is_read() -> None:
    assert parse_object(' {"a": 1} ') == {"a": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON"),
        ('{"a": 1', "it is not JSON"),
        ("```json\n{}\n```", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("1" * 5000, "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        ("null", "it is not a JSON object"),
        ('"text"', "it is not a JSON object"),
    ],
)
def test_what_is_no_object_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidAnswer, match=problem):
        parse_object(text)


def test_a_turn_that_keeps_to_its_layout() -> None:
    layout = user(SPEECH, IMAGE)
    value = {"image": "an old wooden kite\n on a beach", "speech": "Look, I saw 3 kites!"}
    assert parse_turn(value, layout) == Turn(
        role="user",
        parts=(
            Part(kind=SPEECH, text="Look, I saw 3 kites!", spoken="Look, I saw three kites!"),
            Part(kind=IMAGE, text="an old wooden kite on a beach"),
        ),
    )


@pytest.mark.parametrize(
    "value", [{}, {"text": "two words"}, {"text": "two words", "image": "x", "extra": "y"}, ["text"], "text", None, 7]
)
def test_a_turn_has_exactly_its_fields(value: Any) -> None:
    with pytest.raises(InvalidAnswer, match="the user's turn must have exactly the fields text, image"):
        parse_turn(value, user(TEXT, IMAGE))


def test_two_fields_of_a_turn_must_differ() -> None:
    value = {"image": "an old wooden kite on grass", "image_2": "An old wooden KITE on grass"}
    with pytest.raises(InvalidAnswer, match="two fields of one turn say the same"):
        parse_turn(value, user(IMAGE, IMAGE))


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (TEXT, 7, "the field text is not a string"),
        (TEXT, None, "the field text is not a string"),
        (TEXT, ["two words"], "the field text is not a string"),
        (TEXT, "", "the field text has fewer than 2 words"),
        (TEXT, "Hello", "the field text has fewer than 2 words"),
        (SPEECH, "Hello", "the field speech has fewer than 2 words"),
        (IMAGE, "a kite on grass", "the field image has fewer than 5 words"),
        (MUSIC, "slow sad piano", "the field music has fewer than 4 words"),
        (SPEECH, "… !?", "the field speech holds nothing that can be spoken"),
        (TEXT, "word " * 32 + "x", "has 161 characters, at most 160 are allowed"),
        (IMAGE, "word " * 36 + "x", "has 181 characters, at most 180 are allowed"),
        (TEXT, "word " * 32, "the field text was cut off at 160 characters"),
        (SPEECH, "Hm! " + "word " * 31, "the field speech was cut off at 160 characters"),
        (TEXT, "Hello! How may I help you?", "the user speaks as the assistant would: 'How may I help'"),
        (TEXT, "a **bold** word", "the field text holds markup: '*'"),
        (TEXT, "see <b>this</b> one", "the field text holds markup: '<'"),
        (TEXT, "a [link](there) here", "holds markup: '['"),
        (TEXT, "{{ 7 * 7 }} is it", "holds markup: '{'"),
        (TEXT, "look at https://example.org now", "holds markup: 'https:'"),
        (TEXT, "look at www.example.org now", "holds markup: 'www.'"),
        (TEXT, "so `code` it is", "holds markup: '`'"),
        (TEXT, "red \x1b[31malert", r"holds markup: '\x1b'"),
        (TEXT, "one \x00 two", r"holds markup: '\x00'"),
        (TEXT, "one \x9b two", r"holds markup: '\x9b'"),
        (TEXT, "half a \ud83d pair", r"holds markup: '\ud83d'"),
        (TEXT, "Watch this video now", "holds a banned subject: 'video'"),
        (TEXT, "As an AI I cannot", "holds a banned subject: 'As an AI'"),
        (TEXT, "Draw two charts please", "holds a banned subject: 'charts'"),
        (TEXT, "User: hello there", "holds a label before the words: 'User:'"),
        (SPEECH, "assistant : hello there", "holds a label before the words: 'assistant :'"),
    ],
)
def test_each_rule_names_field_and_value(kind: Modality, text: Any, problem: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        parse_turn({str(kind): text}, user(kind))
    assert problem in str(caught.value)
    str(caught.value).encode()  # what is wrong is told to the model and journalled, so it must be text


@pytest.mark.parametrize(
    "text",
    [
        "Two words",
        "Café, naïve — 10°C & 50%!",
        "She said: look at the kite.",
        "A charter boat, a videographer",
        "The user asked for it",
        "Grüße 😀 こんにちは",
        "word " * 31 + "end.",
    ],
)
def test_ordinary_words_are_let_through(text: str) -> None:
    assert plain_text("text", text, 160, 2) == text


def test_white_space_is_folded_before_it_is_counted() -> None:
    assert plain_text("text", "  two\n\twords\u2028here ", 16, 2) == "two words here"


def test_a_sentence_that_the_limit_cut_is_dropped() -> None:
    assert whole_sentences("text", "Two words. Then a cut sente", 27, 2) == "Two words."
    assert whole_sentences("text", 'She said: "Two words!" Then a cut', 33, 2) == 'She said: "Two words!"'
    assert whole_sentences("text", "Two words. Then a whole one.", 28, 2) == "Two words. Then a whole one."
    far = 27 + NEAR_LIMIT + 1
    assert whole_sentences("text", "Two words. Then no end mark", far, 2) == "Two words. Then no end mark"
    for text in ("not one end mark in here", "One. then it goes on and"):
        with pytest.raises(InvalidAnswer, match=f"cut off at {len(text)} characters"):
            whole_sentences("text", text, len(text), 2)


def test_the_assistant_may_offer_help() -> None:
    layout = TurnLayout(role="assistant", kinds=(TEXT,))
    assert parse_turn({"text": "Of course. How may I help you?"}, layout).parts[0].text


def test_a_dialogue_written_whole_may_say_twice_as_much() -> None:
    text = "word " * 50 + "end."
    assert parse_turn({"text": text}, user(TEXT), slack=2).parts[0].text == text
    with pytest.raises(InvalidAnswer, match="at most 320"):
        parse_turn({"text": "word " * 65}, user(TEXT), slack=2)


def test_four_grams_ignore_case_and_punctuation() -> None:
    assert four_grams("The kite, the KITE flies!") == [("the", "kite", "the", "kite"), ("kite", "the", "kite", "flies")]
    assert four_grams("only three words") == []


def test_what_repeats_earlier_words_is_refused() -> None:
    earlier = ["the red kite flies over the beach"]
    with pytest.raises(InvalidAnswer, match=r"the field text repeats earlier words \(100% of its 4-grams\)"):
        check_overlap("text", "The red kite flies.", earlier)
    # One of five 4-grams is a fifth, one of four a quarter.
    assert MAX_OVERLAP == 0.25
    check_overlap("text", "the red kite flies away and so on", earlier)
    with pytest.raises(InvalidAnswer, match="25%"):
        check_overlap("text", "the red kite flies away and so", earlier)


def test_short_texts_and_no_earlier_ones_never_repeat() -> None:
    check_overlap("text", "red kite flies", ["red kite flies"])
    check_overlap("text", "the red kite flies", [])


def test_every_part_of_a_turn_is_held_against_what_was_said() -> None:
    turn = parse_turn({"text": "Something quite new here", "image": "an old wooden kite on grass"}, user(TEXT, IMAGE))
    check_new(turn, ["nothing of the kind was ever said"])
    with pytest.raises(InvalidAnswer, match="the field image repeats"):
        check_new(turn, iter(["a picture of an old wooden kite"]))
    assert texts_of([turn, turn]) == ["Something quite new here", "an old wooden kite on grass"] * 2


def test_demonstrations_meet_the_rules_that_answers_must_meet() -> None:
    """What is shown as an example must not be refused when a model does alike."""
    from pipeline.work.wording import layout_of
    from tests.support.stages import read_book

    for one in read_book().demonstrations.values():
        for turn, layout in zip(one.turns, layout_of(one), strict=True):
            value = {name: part.text for name, part in zip(field_names(layout), turn.parts, strict=True)}
            made = parse_turn(json.loads(json.dumps(value)), layout, slack=2)
            assert [part.text for part in made.parts] == [part.text for part in turn.parts], one.id
