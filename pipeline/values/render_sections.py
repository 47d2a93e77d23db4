"""Which renderers make the media of a corpus, and what they are asked for: a section a modality."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.values.identifiers import Identifier
from pipeline.values.paths import FilePath
from pipeline.values.records import Modality
from pipeline.values.section import Section
from pipeline.values.units import Pixels, Seconds
from pipeline.values.voice_sets import parse_voice_set
from pipeline.values.workers import ONE, Workers


class RendererChoice(Section):
    """A renderer by name with its own options; those are validated by the renderer's plug-in.

    Attributes:
        attempts: Renders of one brief, each with another seed, before its failure is final.
        batch: Briefs given at once; ``auto`` doubles while that pays. Halved where memory runs out.
        actors: Workers, each with its own weights; ``{min: 1, max: 8}`` has as many as find work.
        num_gpus: GPUs that a worker holds; 0.5 puts two on one.
    """

    renderer: Identifier
    options: dict[str, Any] = Field(default={})
    attempts: int = Field(2, ge=1, le=10)
    batch: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    actors: Workers = ONE
    num_gpus: float = Field(0, ge=0)


class ImageSection(RendererChoice):
    """Pictures."""

    width: Pixels = Field(512, ge=16, le=4096)
    height: Pixels = Field(512, ge=16, le=4096)


class MusicSection(RendererChoice):
    """Music; a duration is drawn from the range for each piece."""

    seconds: tuple[Seconds, Seconds] = (8.0, 12.0)

    @model_validator(mode="after")
    def _rises(self) -> MusicSection:
        low, high = self.seconds
        if not 0.3 <= low <= high <= 300:
            raise ValueError(f"seconds [{low}, {high}]: must rise and lie within 0.3 to 300")
        return self


class VoiceChoice(Section):
    """Voices out of the voices file, by name or as sets such as ``language:en`` or ``39 of language:en``.

    Attributes:
        user: The pool, names and sets added up; a dialogue's user keeps one voice, drawn by its id.
        assistant: The one voice of the assistant, by name.
    """

    user: tuple[str, ...] = Field(min_length=1)
    assistant: str

    @field_validator("user")
    @classmethod
    def _are_names_or_sets(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            parse_voice_set(entry)
        return entries

    @field_validator("assistant")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if parse_voice_set(name) is not None:
            raise ValueError("the assistant is one voice: state its name, not a set")
        return name


class SpeechSection(RendererChoice):
    """Speech; the user's rate is drawn from the range for each dialogue, and so is an emotion where some are stated.

    Attributes:
        emotions: Words for how users speak, for a model that can be told; every other one refuses them.
    """

    voices: VoiceChoice
    voices_file: FilePath | None = None
    rate: tuple[float, float] = (0.9, 1.1)
    emotions: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()

    @model_validator(mode="after")
    def _rises(self) -> SpeechSection:
        low, high = self.rate
        if not 0.5 <= low <= high <= 2:
            raise ValueError(f"rate [{low}, {high}]: must rise and lie within 0.5 to 2")
        return self


class Rendering(Section):
    """One section a modality; a modality that no cell of the mix uses may be left out."""

    image: ImageSection | None = None
    music: MusicSection | None = None
    speech: SpeechSection | None = None

    def section(self, modality: Modality) -> RendererChoice | None:
        """The section of a media modality."""
        choice: RendererChoice | None = getattr(self, modality.value)
        return choice
