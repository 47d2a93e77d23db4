"""What remote media cost, and what that makes a call at the worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field, model_validator

from pipeline.values.section import Section
from pipeline.values.units import USD, Seconds
from pipeline.values.writer import Price

BYTES_PER_TOKEN = 2.0
"""Fewest UTF-8 bytes that a token of a prompt has on average, for prose of any language: English has about 4, Chinese
and Japanese about 3. A bound for holding money, not a forecast."""

TOKENS_A_PICTURE = 3_000
"""Most tokens that a picture of a prompt is taken for. OpenAI bills one of low detail at 85 to 2,833 by model; models
that count patches of 28 pixels take 324 for 512 by 512, and 1,369 for 1,024 by 1,024."""

TOKENS_A_SOURCE = 10_000
"""Most tokens that a picture which is to be changed is taken for. The GPT image models bill one of 1,024 by 1,024 at a
few hundred, and at high fidelity some 6,000 more."""

SOURCE_TIMES = 2.0
"""What a token of such a picture costs at most, in tokens of text: 1.25 to 2 times as much with the models listed."""

MORE_TOKENS = 64
"""What an endpoint may put around a text that it was given."""

Pictures = Mapping[str, Mapping[str, USD]]
"""Dollars by quality and by size, e.g. ``{low: {1024x1024: 0.011}}``."""


@dataclass(frozen=True)
class PictureTokens:
    """What an endpoint counted of one call.

    Attributes:
        prompt: All that was sent.
        source: Of these, those of the picture that was sent.
        made: Of the picture that came back.
    """

    prompt: int = 0
    source: int = 0
    made: int = 0


class ImagePrice(Section):
    """US dollars for pictures of one model.

    Attributes:
        picture: One picture, whatever its size and quality.
        pictures: In its place, by quality and size as the endpoint names them. A call whose quality or size is not
            among them is taken for the dearest that it may be; one of more pixels than any, for as much more.
        tokens: By the million, where the endpoint reports them; they go before the price of a picture.
        source_tokens: By the million, those of a picture that is sent to be changed; left out, :data:`SOURCE_TIMES`
            the price of the text's.
    """

    picture: USD | None = Field(None, ge=0)
    pictures: Pictures = Field(default={})
    tokens: Price | None = None
    source_tokens: USD | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _has_a_picture(self) -> ImagePrice:
        sizes = [usd for by_size in self.pictures.values() for usd in by_size.values()]
        if (self.picture is None) == (not sizes) or min(sizes, default=0.0) < 0:
            raise ValueError("state either picture, or pictures by quality and size; none of them is below 0")
        return self

    def of_picture(self, quality: str | None, size: str) -> USD:
        """Return what one picture costs; the most that it may, where quality or size are the endpoint's to choose."""
        if self.picture is not None:
            return self.picture
        known = self.pictures.get(quality or "")
        return max(_at_size(by_size, size) for by_size in ([known] if known else self.pictures.values()) if by_size)

    def cost(self, quality: str | None, size: str, counted: PictureTokens) -> USD:
        """Return what a picture has cost: by its tokens where both the price and the endpoint state them."""
        if self.tokens is None or not counted.made:
            return self.of_picture(quality, size)
        words = (counted.prompt - counted.source) * self.tokens.input
        return (words + counted.source * self._of_source(self.tokens) + counted.made * self.tokens.output) / 1e6

    def bound(self, text: str, quality: str | None, size: str, *, has_source: bool = False) -> USD:
        """Return the most that a call can cost."""
        picture = self.of_picture(quality, size)
        if self.tokens is None:
            return picture
        sent = TOKENS_A_SOURCE * self._of_source(self.tokens) if has_source else 0.0
        return picture + (_prompt_tokens(text) * self.tokens.input + sent) / 1e6

    def _of_source(self, tokens: Price) -> USD:
        return tokens.input * SOURCE_TIMES if self.source_tokens is None else self.source_tokens


class SpeechPrice(Section):
    """US dollars for speech of one model; what is stated adds up.

    Attributes:
        million_characters: Of the text.
        million_tokens: Of the text and the instructions, as far as can be told from their length.
        minute: Of sound.
    """

    million_characters: USD = Field(0.0, ge=0)
    million_tokens: USD = Field(0.0, ge=0)
    minute: USD = Field(0.0, ge=0)

    def cost(self, text: str, instructions: str, seconds: Seconds) -> USD:
        """Return what a clip costs; its tokens are bounded, not counted, since no endpoint states them."""
        tokens = _prompt_tokens(text + instructions)
        words = (len(text) * self.million_characters + tokens * self.million_tokens) / 1e6
        return words + seconds / 60 * self.minute


def _at_size(by_size: Mapping[str, USD], size: str) -> USD:
    if size in by_size:
        return by_size[size]
    largest = max(by_size, key=lambda known: by_size[known])
    return by_size[largest] * max(1.0, _count_pixels(size) / max(_count_pixels(largest), 1))


def _count_pixels(size: str) -> int:
    """Read ``1024x1024``; 0 for a size that is a word, such as ``auto``."""
    width, _, height = size.partition("x")
    return int(width) * int(height) if width.isdecimal() and height.isdecimal() else 0


def _prompt_tokens(text: str) -> float:
    return len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN + MORE_TOKENS
