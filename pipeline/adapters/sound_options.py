"""How a renderer of sound writes its files: what a manifest may choose, for music and speech alike."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.adapters.audio import DEFAULT_QUALITY
from pipeline.contracts.render import RendererOptions


def _is_unstated(value: int | None) -> bool:
    return value is None


# Left out where unstated, so that options without it are keyed as they were before there was such an option.
Quality = Annotated[int | None, Field(ge=1, le=100, exclude_if=_is_unstated)]


def check_quality(extension: str, quality: int | None) -> None:
    """Refuse a quality of what is exact; raises ValueError."""
    if quality is not None and extension not in DEFAULT_QUALITY:
        raise ValueError(f"quality {quality}: {extension} is exact and has none; leave it out, or state mp3 or opus")


class SoundFileOptions(RendererOptions):
    """Base of the options of a renderer of sound.

    Attributes:
        extension: ``flac`` is exact; ``mp3`` and ``opus`` (in an Ogg file) are lossy and much smaller. Opus is made of
            48, 24, 16, 12 or 8 kHz and MP3 of nine rates up to 48 kHz: sound of another rate is resampled to the next
            higher one.
        quality: Of MP3 and Opus, 1 to 100; unstated, 50 and 24. Opus takes 6 + 2.5 x quality kbit/s a channel, MP3 up
            to 160 kbit/s under 32 kHz and 320 kbit/s from there on.
    """

    extension: Literal["flac", "mp3", "opus"] = "flac"
    quality: Quality = None

    @model_validator(mode="after")
    def _quality_is_of_lossy_files(self) -> SoundFileOptions:
        check_quality(self.extension, self.quality)
        return self
