"""An LLM's scores of dialogues, 1 to 5, over rubrics in prompt files.

Run only where it is asked for, since it may cost money: ``anyinstruct audit CORPUS --only judge --option
judge.model=…``. It is told text, transcripts and descriptions, and is shown pictures where ``see_pictures`` says so;
it never hears a sound. Importing this package imports no client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.adapters.audits.judge.rubrics import MEAN, RubricBook, measure_of
from pipeline.adapters.model_lock import load_lock
from pipeline.contracts.audit import AuditOptions, Inquirer, Measure, Subject
from pipeline.contracts.render import Licence, ModelFiles
from pipeline.values.units import Pixels
from pipeline.values.writer import Writer

RubricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

TERMS: Licence = "terms of service"
"""Of what an endpoint answers."""


class JudgeOptions(AuditOptions, Writer):
    """Which model judges, by what, and how it is reached; see ``Writer`` for the keys that a manifest's writer has too.

    Attributes:
        models: In place of ``model``, several of one endpoint: each judges every dialogue, and the scores are averaged
            by weight.
        rubrics: Names of files in the prompts folder's ``judge``.
        prompts: A prompts folder of one's own; None takes the shipped one.
        see_pictures: Send a dialogue's pictures as small JPEGs, to an endpoint whose model sees.
        picture_pixels: The longer side of those.
    """

    engine: Literal["embedded", "openai"] = "openai"
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tries: int = Field(3, ge=1, le=20)
    style: None = None
    mode: Literal["calls"] = "calls"
    rubrics: tuple[RubricName, ...] = Field(("coherence", "instruction", "medium", "synergy"), min_length=1)
    prompts: str | None = None
    see_pictures: bool = False
    picture_pixels: Pixels = Field(512, ge=64, le=2048)

    @field_validator("rubrics")
    @classmethod
    def _are_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names) or MEAN in names:
            raise ValueError(f"a rubric stands twice, or is called {MEAN}, which is the mean of all")
        return names

    @model_validator(mode="after")
    def _sees_by_an_endpoint(self) -> JudgeOptions:
        if self.see_pictures and self.engine == "embedded":
            raise ValueError("see_pictures: the embedded models see nothing; state an endpoint's model")
        return self

    @property
    def book(self) -> RubricBook:
        """The prompts."""
        return RubricBook(Path(self.prompts) if self.prompts else None)


class JudgePlugin:
    """Asks for all rubrics in one call a dialogue and model, each score after its reason.

    A remote model's answer cannot be had again to the bit; what was answered is journalled and kept.
    """

    name = "judge"
    version = "1"
    about: Subject = "dialogue"
    is_default = False
    compares = False
    options = JudgeOptions

    def measures(self, options: JudgeOptions) -> Sequence[Measure]:
        """One a rubric, and their mean.

        Raises:
            ManifestError: a rubric's file is missing or wrong.
        """
        return [*map(measure_of, options.book.rubrics(options.rubrics)), measure_of(None)]

    def models(self, options: JudgeOptions) -> Sequence[str]:
        """That of the lock which the embedded engine runs."""
        return [entry.model for entry in options.blend] if options.engine == "embedded" else []

    def licences(self, options: JudgeOptions) -> Mapping[str, Licence]:
        """The lock's of an embedded model, the provider's terms of any other."""
        lock = load_lock() if options.engine == "embedded" else None
        return {entry.model: lock.models[entry.model].licence if lock else TERMS for entry in options.blend}

    def missing(self) -> str | None:
        """Return None: the core's own dependencies suffice."""
        return None

    def writer(self, options: JudgeOptions) -> Writer:
        """The options themselves."""
        return options

    def identity(self, options: JudgeOptions) -> Mapping[str, Any]:
        """Models with weights and sampling, templates, rubrics, and the size of pictures."""
        return {
            "judges": [[options.fingerprint(entry.model), entry.weight] for entry in options.blend],
            "prompts": options.book.key(options.rubrics),
            "pictures": options.picture_pixels if options.see_pictures else None,
        }

    def load(self, options: JudgeOptions, models: ModelFiles) -> Inquirer:
        """Read the prompts."""
        from pipeline.adapters.audits.judge.judging import Judge

        return Judge(options)


PLUGIN = JudgePlugin()
