"""The manifest's section ``tokenize``: which tokenizer turns which media into the codes that lie beside the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from pipeline.values.section import Section


class Tokenize(Section):
    """A tokenizer by kind of media; media of a kind that is left out get no codes. Changes no word and no media.

    Attributes:
        image, music, speech: ``TOKENIZER:MODEL``, or a mapping of ``tokenizer`` and its options.
        batch: Media encoded at once.
        actors: Workers, each with its own weights.
        num_gpus: GPUs that a worker holds; 0.5 puts two on one.
    """

    image: str | Mapping[str, Any] | None = None
    music: str | Mapping[str, Any] | None = None
    speech: str | Mapping[str, Any] | None = None
    batch: int = Field(16, ge=1, le=256)
    actors: int = Field(1, ge=1, le=1024)
    num_gpus: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _names_a_tokenizer(self) -> Tokenize:
        if not self.choices:
            raise ValueError("names no tokenizer; state one for image, music or speech, or leave the section out")
        return self

    @property
    def choices(self) -> dict[str, str | Mapping[str, Any]]:
        """What is stated, by kind."""
        stated = {"image": self.image, "music": self.music, "speech": self.speech}
        return {kind: choice for kind, choice in stated.items() if choice is not None}
