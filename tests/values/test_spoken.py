"""Written text to spoken form: a table of readings, and what must hold for any text."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.values import spoken as steps
from pipeline.values import spoken_numbers
from pipeline.values.spoken import is_speakable, spoken_form
from pipeline.values.spoken_numbers import say_cardinal, say_ordinal, say_year

READINGS = [
    # Plain numbers, ordinals, years.
    ("I have 3 cats.", "I have three cats."),
    ("1,234,567 people", "one million two hundred thirty-four thousand five hundred sixty-seven people"),
    ("pi is 3.14", "pi is three point one four"),
    ("0.5", "zero point five"),
    ("-5 and +5", "minus five and plus five"),
    ("room 007", "room zero zero seven"),
    ("the 21st and the 12th", "the twenty-first and the twelfth"),
    ("1st-class", "first-class"),
    ("In 1999, 2005 and 2024", "In nineteen ninety-nine, two thousand five and twenty twenty-four"),
    ("the 1990s and '80s", "the nineteen nineties and eighties"),
    ("in her 20s", "in her twenties"),
    ("10k fans", "ten thousand fans"),
    ("#1 hit, No. 5", "number one hit, number five"),
    ("v2.0.1", "version two point zero point one"),
    ("12345678901234567890", "one two three four five six seven eight nine zero " * 2),
    ("٣ cats", "three cats"),
    # Dates and times.
    ("Meet at 7:30 pm", "Meet at seven thirty PM"),
    ("at 7 p.m. sharp", "at seven PM sharp"),
    ("It ends at 10 a.m. We leave.", "It ends at ten AM. We leave."),
    ("at 12:00", "at twelve o'clock"),
    ("10:05 AM", "ten oh five AM"),
    ("9am-5pm", "nine AM to five PM"),
    ("10:30-11:15", "ten thirty to eleven fifteen"),
    ("March 5, 2024", "March fifth, twenty twenty-four"),
    ("Jan. 3rd", "January third"),
    ("on the 5th of March", "on the fifth of March"),
    ("2024-03-05", "March fifth, twenty twenty-four"),
    ("3/5/2024", "March fifth, twenty twenty-four"),
    # Money, percents, units, ranges, fractions.
    ("$5.50", "five dollars and fifty cents"),
    ("$1 or $0.99", "one dollar or ninety-nine cents"),
    ("$1.5 million", "one point five million dollars"),
    ("$20-30 or 5€", "twenty to thirty dollars or five euros"),
    ("10% to 12.5%", "ten percent to twelve point five percent"),
    ("20°C or -5 °C", "twenty degrees Celsius or minus five degrees Celsius"),
    ("90km/h", "ninety kilometers per hour"),
    ("1 kg, 60-70 kg", "one kilogram, sixty to seventy kilograms"),
    ("120 BPM", "one hundred twenty beats per minute"),
    ("5 m²", "five square meters"),
    ("5-minute walk", "five minute walk"),
    ("pages 3-5", "pages three to five"),
    ("1/2 cup, 2½ cups, 3/4", "one half cup, two and a half cups, three quarters"),
    ("in 6/8 time, 24/7", "in six eight time, twenty-four seven"),
    ("8/10", "eight out of ten"),
    ("1920x1080", "one thousand nine hundred twenty by one thousand eighty"),
    ("~20 people", "about twenty people"),
    ("555-123-4567", "five five five, one two three, four five six seven"),
    # Abbreviations, symbols, capitals.
    ("Dr. Smith and Mrs. Jones", "Doctor Smith and Missus Jones"),
    ("e.g. apples, i.e. fruit", "for example, apples, that is, fruit"),
    ("cats vs. dogs", "cats versus dogs"),
    ("apples, etc. Then", "apples, et cetera. Then"),
    ("St. John on Main St.", "Saint John on Main Street"),
    ("U.S. policy, a Ph.D.", "US policy, a PhD"),
    ("w/o sugar & w/ milk", "without sugar and with milk"),
    ("AT&T, R&B", "AT and T, R and B"),
    ("he/she and/or they", "he or she and or they"),
    ("C# minor, B♭", "C sharp minor, B flat"),
    ("a song in A minor, a minor problem", "a song in A-minor, a minor problem"),
    ("MP3 in 4K", "MP three in four K"),
    ("COVID-19", "Covid nineteen"),
    ("STOP SHOUTING at the FBI", "Stop shouting at the FBI"),
    # Links, markup, stage directions, emoji, marks.
    ("Visit https://www.example.com/a?x=1.", "Visit example dot com."),
    ("mail jo.smith@example.com now", "mail jo dot smith at example dot com now"),
    ("#SunsetVibes with @jane_doe", "Sunset Vibes with jane doe"),
    ("see [the guide](https://example.com/x)", "see the guide"),
    ("**bold**, *emphasis* and `code`", "bold, emphasis and code"),
    ("# Title\n- one\n- two", "Title. one. two"),
    ("*laughs* That's funny (softly sighs)", "That's funny"),
    ("[music plays] Well then", "Well then"),
    ("Party! 🎉🎉", "Party!"),
    ("Wait... what?! No!!!", "Wait, what? No!"),
    ("Well…", "Well."),
    ("Yes — no -- maybe - ok", "Yes, no, maybe, ok"),
    ("“Quoted” ‘text’ don’t", "Quoted text don't"),
    ("the dogs' bowls, he said 'the cats' twice", "the dogs' bowls, he said the cats twice"),
    ("The dog (a poodle) ran.", "The dog, a poodle, ran."),
    ("two\twords\u00a0here  ", "two words here"),
    ("Hello\nworld", "Hello. world"),
    ("naïve café", "naïve café"),
]


@pytest.mark.parametrize(("written", "spoken"), READINGS)
def test_a_text_is_read_as_a_person_would(written: str, spoken: str) -> None:
    assert spoken_form(written) == spoken.strip()


@pytest.mark.parametrize(("written", "_spoken"), READINGS)
def test_the_spoken_form_of_a_reading_is_itself(written: str, _spoken: str) -> None:
    once = spoken_form(written)
    assert spoken_form(once) == once


@pytest.mark.parametrize("text", ["", "  ", "🎉🎉", "*laughs*", "...", "---", "```x = 1```", "'\"'", "[sighs]"])
def test_nothing_is_left_where_nothing_can_be_said(text: str) -> None:
    assert spoken_form(text) == ""
    assert not is_speakable(spoken_form(text))


@pytest.mark.parametrize("text", ["a", "7", "é!", "你好", "... ok"])
def test_a_letter_or_a_digit_is_speakable(text: str) -> None:
    assert is_speakable(text)


@pytest.mark.parametrize(
    ("written", "language", "spoken"),
    [
        ("*rit* **Bonjour**, 5 amis ! 🎉", "fr-FR", "rit Bonjour, 5 amis!"),
        ("¿Qué tal? *laughs* https://ejemplo.es/x", "es", "¿Qué tal?"),
        ("नमस्ते दुनिया।", "hi", "नमस्ते दुनिया।"),
        ("你好，世界。", "zh-CN", "你好，世界。"),
    ],
)
def test_other_languages_keep_their_words_and_lose_markup(written: str, language: str, spoken: str) -> None:
    assert spoken_form(written, language) == spoken


_MARKS = (
    "Dr.|Mr|$|5|12|1,000|.5|-|--|…|...|*|**|_|(|)|[|]|pm|a.m.|km/h|°C|%|&|#|@|'|\"|\n| |STOP|É|ß|İ|ﬁ|²|½|Ⅳ|é|\u0301"
    "|e.g.|etc.|U.S.|http://a.co|a@b.co|/|:|30|2024|laughs|the|s|st|x|😀|<|>|`|~|+|=|€|'80s|1990s|7:30|6/8|No.|St."
)
_PIECES = st.sampled_from(_MARKS.split("|"))
TEXTS = st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=14).map("".join), st.lists(_PIECES).map(" ".join))


@settings(max_examples=150, deadline=None)
@given(TEXTS)
@example("M*r. X")
@example("1²3")
def test_any_english_text_comes_out_in_the_alphabet_without_digits_and_settled(text: str) -> None:
    spoken = spoken_form(text)
    assert all(sign.isalpha() or sign in "'.,?!;:- " for sign in spoken), spoken
    assert not re.search(r"\d", spoken)
    assert "  " not in spoken
    assert spoken == spoken.strip()
    assert spoken_form(spoken) == spoken


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_any_text_of_another_language_is_settled_after_one_call(text: str) -> None:
    spoken = spoken_form(text, "fr")
    assert spoken_form(spoken, "fr") == spoken


@settings(max_examples=150, deadline=None)
@given(TEXTS)
@example("the flute plays in A minor")
@example("look at WWW.example")
@example("\u0663 cats")
def test_no_step_is_passed_over_that_would_change_a_text(text: str) -> None:
    quick = spoken_form(text)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_SOME_MARKUP", "_SOME_ADDRESS", "_SOME_SIGN_BEFORE", "_SOME_SIGN"):
            patch.setattr(steps, name, re.compile(""))
        patch.setattr(steps, "_PERHAPS_UNSAYABLE", re.compile("(?s:.)"))
        patch.setattr(spoken_numbers, "_DIGIT", re.compile(""))
        assert spoken_form(text) == quick


@given(st.integers(0, 10**15 - 1))
def test_numbers_in_words_are_distinct_from_their_neighbours(number: int) -> None:
    assert say_cardinal(number) != say_cardinal(number + 1)
    assert re.fullmatch(r"[a-z]+(?:[ -][a-z]+)*", say_cardinal(number))
    assert re.search(r"(?:th|st|nd|rd)$", say_ordinal(number)) is not None


@pytest.mark.parametrize(
    ("year", "words"),
    [(1100, "eleven hundred"), (1905, "nineteen oh five"), (2000, "two thousand"), (2010, "twenty ten")],
)
def test_years_are_read_in_pairs(year: int, words: str) -> None:
    assert say_year(year) == words


@pytest.mark.parametrize("text", ["1" * 20_000, "*" * 20_000, "(" * 20_000, "a." * 10_000, "[" * 9_000 + "]" * 9_000])
def test_hostile_texts_take_no_noticeable_time(text: str) -> None:
    # Quadratic patterns would take minutes on these.
    code = f"from pipeline.values.spoken import spoken_form; spoken_form({text!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
