"""What media cost: as stated, and at the worst where something is left to the endpoint."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.adapters.calling.prices import listed_images, listed_speech
from pipeline.values.prices import TOKENS_A_SOURCE, ImagePrice, PictureTokens, SpeechPrice

TABLE = {"low": {"1024x1024": 0.01, "1536x1024": 0.02}, "high": {"1024x1024": 0.1, "1536x1024": 0.2}}
BY_SIZE = ImagePrice.model_validate({"pictures": TABLE})
BY_TOKENS = ImagePrice.model_validate({"pictures": TABLE, "tokens": {"input": 5, "output": 40}})


@pytest.mark.parametrize(
    ("quality", "size", "usd"),
    [
        ("low", "1024x1024", 0.01),
        ("high", "1536x1024", 0.2),
        ("low", "auto", 0.02),
        ("auto", "1024x1024", 0.1),
        (None, "auto", 0.2),
        ("low", "3072x2048", 0.02 * 4),
        ("low", "512x512", 0.02),
    ],
)
def test_a_picture_costs_what_it_may_at_the_worst(quality: str | None, size: str, usd: float) -> None:
    assert BY_SIZE.of_picture(quality, size) == pytest.approx(usd)


def test_tokens_go_before_the_price_of_a_picture_where_the_endpoint_states_them() -> None:
    assert BY_TOKENS.cost("low", "1024x1024", PictureTokens(100, 0, 272)) == pytest.approx((100 * 5 + 272 * 40) / 1e6)
    assert BY_TOKENS.cost("low", "1024x1024", PictureTokens(100)) == 0.01
    assert BY_SIZE.cost("low", "1024x1024", PictureTokens(100, 0, 272)) == 0.01
    assert BY_TOKENS.bound("a fox" * 100, "low", "1024x1024") > 0.01 + 125 * 5 / 1e6


def test_a_picture_that_is_sent_is_counted_at_its_own_price_and_held_for() -> None:
    sent = PictureTokens(prompt=1100, source=1000, made=272)
    stated = BY_TOKENS.model_copy(update={"source_tokens": 8.0})
    assert stated.cost("low", "1024x1024", sent) == pytest.approx((100 * 5 + 1000 * 8 + 272 * 40) / 1e6)
    assert BY_TOKENS.cost("low", "1024x1024", sent) == pytest.approx((100 * 5 + 1000 * 10 + 272 * 40) / 1e6)
    bounds = [stated.bound("a fox", "low", "1024x1024", has_source=has_source) for has_source in (True, False)]
    assert bounds[0] - bounds[1] == pytest.approx(TOKENS_A_SOURCE * 8 / 1e6)


def test_one_price_holds_for_every_picture() -> None:
    assert ImagePrice(picture=0.02).bound("a fox", None, "1x1") == 0.02


@pytest.mark.parametrize("stated", [{}, {"picture": 0.1, "pictures": TABLE}, {"pictures": {"low": {"1x1": -1}}}])
def test_a_price_that_says_nothing_or_twice_is_refused(stated: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="state either picture, or pictures"):
        ImagePrice.model_validate(stated)


def test_what_is_stated_of_speech_adds_up() -> None:
    price = SpeechPrice(million_characters=15, minute=0.6)
    assert price.cost("x" * 1000, "", 30.0) == pytest.approx(0.015 + 0.3)
    tokens = SpeechPrice(million_tokens=1e6)
    assert tokens.cost("ab", "cd", 0.0) == pytest.approx(2 + 64)


def test_the_shipped_prices_are_those_of_their_sources() -> None:
    images, speech = listed_images(), listed_speech()
    assert images["dall-e-3"].of_picture("hd", "1792x1024") == 0.12
    assert speech["tts-1"].cost("x" * 1_000_000, "", 60.0) == 15.0
    for name in ("gpt-image-1", "gpt-image-1.5", "gpt-image-2.5-flare"):
        tokens = images[name].tokens
        assert tokens is not None
        square = 4160 if name.startswith("gpt-image-1") else 1756
        assert images[name].of_picture("high", "1024x1024") == pytest.approx(square * tokens.output / 1e6)
