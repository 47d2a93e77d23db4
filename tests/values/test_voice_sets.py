"""Entries that name voices, and what stands behind them."""

from __future__ import annotations

import pytest

from pipeline.contracts.render import Voice
from pipeline.values.voice_sets import VoiceSet, base_language, parse_voice_set, speaks


def voice(**changes: object) -> Voice:
    values = {
        "name": "nova",
        "renderer": "kokoro",
        "speaker": "nova",
        "languages": ("en-US", "fr-FR"),
        "gender": "female",
        "licence": "CC0-1.0",
        **changes,
    }
    return Voice.model_validate(values)


@pytest.mark.parametrize("name", ["nova", "af_heart", "vctk_p225", "a.b-c"])
def test_a_name_is_no_set(name: str) -> None:
    assert parse_voice_set(name) is None


@pytest.mark.parametrize(
    ("text", "count", "conditions"),
    [
        ("language:en", None, (("language", "en"),)),
        ("language:en+gender:female", None, (("language", "en"), ("gender", "female"))),
        ("39 of language:en", 39, (("language", "en"),)),
        (" 2 of renderer:kokoro + licence:CC0-1.0 ", 2, (("renderer", "kokoro"), ("licence", "CC0-1.0"))),
        ("age:23", None, (("age", "23"),)),
    ],
)
def test_a_set_is_read(text: str, count: int | None, conditions: tuple[tuple[str, str], ...]) -> None:
    assert parse_voice_set(text) == VoiceSet(count=count, conditions=conditions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lang:en", "'lang:en' is no set of voices; write e.g. language:en"),
        ("language:", "'language:' is no set"),
        ("language:en+", "'' is no set"),
        ("language:en+female", "'female' is no set"),
        ("39 of nova", "'nova' is no set"),
        ("0 of language:en", "draws no voice"),
        ("-1 of language:en", "is no set"),
        ("gender:robot", "gender is female or male"),
        ("language:english", "'english' is no language tag"),
        ("language:en_US", "'en_US' is no language tag"),
        ("two words", "is no set"),
        ("", "is no set"),
    ],
)
def test_what_is_neither_is_refused_with_an_example(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_voice_set(text)


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("language:en", True),
        ("language:EN-us", True),
        ("language:en-GB", False),
        ("language:e", False),
        ("gender:female", True),
        ("gender:male", False),
        ("renderer:piper", False),
        ("licence:cc0-1.0", True),
        ("age:23", False),
        ("language:fr+gender:female+renderer:kokoro", True),
        ("language:fr+gender:male", False),
    ],
)
def test_a_voice_meets_all_conditions_or_is_not_held(text: str, is_met: bool) -> None:
    wanted = parse_voice_set(text) if text != "language:e" else VoiceSet(conditions=(("language", "e"),))
    assert wanted is not None
    assert wanted.holds(voice()) is is_met


def test_an_unknown_gender_meets_no_gender() -> None:
    wanted = [parse_voice_set(f"gender:{gender}") for gender in ("female", "male")]
    assert [one is not None and one.holds(voice(gender=None)) for one in wanted] == [False, False]


def test_a_narrower_language_is_not_met_by_a_wider_one() -> None:
    assert speaks(["en-US"], "en")
    assert not speaks(["en"], "en-US")
    assert base_language("pt-BR") == "pt"
