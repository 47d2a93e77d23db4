"""The voices file: who may speak, by which renderer, in which language, under which licence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.render import Voice
from pipeline.values.records import Record

_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|\d{3}))?(?:-[a-z0-9]{5,8})*")


class WrittenVoice(Record):
    """A voice as a person writes it; ``speaker`` may be left out where it equals the name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    renderer: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    speaker: str | None = Field(default=None, min_length=1)
    languages: tuple[str, ...] = Field(min_length=1)
    gender: Literal["female", "male"] | None = None
    licence: str = Field(min_length=1)

    @field_validator("languages")
    @classmethod
    def _are_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [tag for tag in tags if not _TAG.fullmatch(tag)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no BCP 47 tag such as en-US, fr-FR or ja")
        return tags

    def to_voice(self) -> Voice:
        """Return the voice with its speaker filled in."""
        return Voice(
            name=self.name,
            renderer=self.renderer,
            speaker=self.speaker or self.name,
            languages=self.languages,
            gender=self.gender,
            licence=self.licence,
        )


class VoicesFile(Record):
    """The whole file: one list, every name once."""

    voices: tuple[WrittenVoice, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> VoicesFile:
        names = [voice.name for voice in self.voices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"voice {twice[0]!r} stands here {names.count(twice[0])} times; a name stands for one voice"
            )
        return self


def load_voices(path: Path) -> Mapping[str, Voice]:
    """Read a voices file into voices by name, in the order of the file.

    Raises:
        ManifestError: the file cannot be read or is wrong; the text names file, line, key and value.
    """
    return {voice.name: voice.to_voice() for voice in load_yaml(path, VoicesFile).voices}
