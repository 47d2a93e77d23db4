"""The corpus manifest: what a person writes under ``manifests/``, as closed models.

A key here either changes what the corpus says (it enters a stage's fingerprint) or how fast it is made (it does
not). The second kind stands in :class:`Execution`, and in :class:`Writer` where it says how the model is reached. Each
larger section has a module of its own.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.values.identifiers import Identifier
from pipeline.values.languages import ENGLISH, LANGUAGES
from pipeline.values.mix import Cell
from pipeline.values.paths import FilePath
from pipeline.values.records import Modality
from pipeline.values.render_sections import Rendering
from pipeline.values.screen import RepairPlan, Screen
from pipeline.values.section import Section
from pipeline.values.spreading import Execution
from pipeline.values.texts import Texts
from pipeline.values.tokenizing import Tokenize
from pipeline.values.units import USD
from pipeline.values.writer import Writer


class GeneratedTopics(Section):
    """Topics that the LLM writes, so many for each meta-topic, in rounds that are each told what they have."""

    meta_topics: tuple[str, ...] | Literal["all"] = "all"
    per_meta_topic: int = Field(200, ge=1, le=10_000)
    per_call: int = Field(50, ge=1, le=200)


class Topics(Section):
    """Where topics come from; sources add up, a topic named twice is one topic."""

    list: tuple[str, ...] = ()
    files: tuple[FilePath, ...] = ()
    generate: GeneratedTopics | None = None

    @property
    def has_source(self) -> bool:
        """Whether anything names topics; a corpus of taken texts has none."""
        return bool(self.list or self.files or self.generate)


class Size(Section):
    """How many dialogues, and how many of them make a shard."""

    dialogues_per_topic: int = Field(1, ge=1, le=10_000)
    max_dialogues: int | None = Field(None, ge=1)
    dialogues_per_shard: int = Field(256, ge=1, le=1024)
    replace_losses: bool = True
    """Plan more dialogues where rejections and failures left the corpus short, up to a quarter more."""


def _is_absent(value: object) -> bool:
    return value is None


def _is_plain(plan: RepairPlan) -> bool:
    return plan == RepairPlan()


class Manifest(Section):
    """A corpus, as asked for."""

    schema_version: Literal[1]
    name: Identifier
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    language: str = ENGLISH
    """Of what is typed and spoken; topics, scenarios and what renderers of images and music read stay English."""
    intended_use: Literal["research", "commercial"] = "research"
    topics: Topics = Topics()
    # Left out where unstated, so that a manifest without it is written as it was before there was such a key.
    texts: Texts | None = Field(None, exclude_if=_is_absent)
    """Dialogues that are taken from instruction data in place of being written about topics."""
    prompts: FilePath | None = None
    """Folder of templates, demonstrations and meta-topics; None takes the shipped one."""
    size: Size = Size()
    mix: tuple[Cell, ...] = Field(min_length=1)
    writer: Writer = Writer(engine="none")
    render: Rendering = Rendering()
    screen: Screen = Screen()
    # Left out where unstated, so that a manifest without it is written as it was before there was such a key.
    repair: RepairPlan = Field(default=RepairPlan(), exclude_if=_is_plain)
    # The same holds for this one.
    tokenize: Tokenize | None = Field(None, exclude_if=_is_absent)
    """Codes of the media, beside the corpus."""
    budget: USD | None = Field(None, ge=0)
    """Most that all runs of the corpus together may spend on calls, of the LLM and for media; changes no output."""
    execution: Execution = Execution()

    @field_validator("language")
    @classmethod
    def _is_known(cls, tag: str) -> str:
        if tag not in LANGUAGES:
            raise ValueError(f"{tag!r} is no language known here; known are {', '.join(LANGUAGES)}")
        return tag

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        names = [cell.name for cell in self.mix]
        if len(set(names)) != len(names):
            raise ValueError(f"mix: cell {max(names, key=names.count)!r} stands twice")
        self._check_origin()
        if self.writer.mode == "batch" and self.execution.composers.max > 1:
            raise ValueError("execution.composers: waiting for batches takes one process; state 1")
        for modality in self.media:
            if self.render.section(modality) is None:
                raise ValueError(f"render.{modality.value} is missing, and a cell of the mix uses {modality.value}")
        return self

    def _check_origin(self) -> None:
        """Refuse a corpus whose dialogues come from nowhere, or from two places at once."""
        if self.texts is None:
            if not self.topics.has_source:
                raise ValueError("topics: name at least one source of topics: list, files or generate; or state texts")
            if self.writer.engine == "none":
                raise ValueError(
                    "writer: is missing; only dialogues that are taken from texts need nobody to write them"
                )
            return
        if self.topics.has_source:
            raise ValueError("texts: dialogues are either taken or written; leave out topics, or texts")
        if self.texts.rewrite == (self.writer.engine == "none"):
            raise ValueError("texts.rewrite: true asks for a writer, and nothing else of a corpus of texts does")
        if self.size.dialogues_per_topic != 1:
            raise ValueError("size.dialogues_per_topic: a text that is taken is one dialogue; leave it out")
        words = ((Modality.TEXT,), (Modality.SPEECH,))
        cell = self.mix[0]
        if len(self.mix) > 1 or cell.gives not in words or cell.answers not in words or cell.features:
            raise ValueError(
                "mix: texts have words alone: state one cell whose gives and answers are [text] or [speech] each, "
                "without features"
            )

    @property
    def media(self) -> tuple[Modality, ...]:
        """Media modalities that some cell uses, in the order of the tables."""
        used = {kind for cell in self.mix for kind in (*cell.gives, *cell.answers)}
        return tuple(m for m in (Modality.IMAGE, Modality.MUSIC, Modality.SPEECH) if m in used)
