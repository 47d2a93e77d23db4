"""The corpus manifest: what a person writes under ``manifests/``, as closed models.

A key here either changes what the corpus says (it enters a stage's fingerprint) or how fast it is made (it does
not). The second kind stands in :class:`Endpoint` limits and in :class:`Execution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.values.addresses import check_address, check_variable
from pipeline.values.languages import ENGLISH, LANGUAGES
from pipeline.values.paths import FilePath
from pipeline.values.records import Modality
from pipeline.values.section import Section
from pipeline.values.texts import Texts
from pipeline.values.tokenizing import Tokenize
from pipeline.values.units import USD, Pixels, Seconds
from pipeline.values.voice_sets import parse_voice_set
from pipeline.values.workers import ONE, Workers

IDENTIFIER = "1 to 64 lower-case letters, digits, dots, hyphens and underscores, the first a letter or digit"
"""What the pattern of an identifier says, for people."""

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description=IDENTIFIER)]


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


Range = tuple[int, int]


def _is_empty(value: Mapping[str, Any]) -> bool:
    return not value


def _is_absent(value: object) -> bool:
    return value is None


class Cell(Section):
    """One entry of the mix: a set of modalities in, a set out, and the shape of the dialogue.

    Attributes:
        weight: Share of the corpus, relative to the other cells.
        rounds: Fewest and most user turns.
        images, music: Fewest and most pieces that a role with that modality contributes to the dialogue.
        features: By name, which share of the cell's dialogues has a requirement of that feature; a dialogue is asked
            for one of them at most. The rest has none of these; features that are not named come by chance. With
            ``edit`` among them, dialogues say which picture is a changed version of which.
    """

    name: Identifier
    weight: float = Field(1.0, gt=0)
    gives: tuple[Modality, ...] = Field(min_length=1)
    answers: tuple[Modality, ...] = Field(min_length=1)
    rounds: Range = (1, 3)
    images: Range = (1, 1)
    music: Range = (1, 1)
    # Left out where unstated, so that a cell without it is written as it was before there was such a key.
    features: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={}, exclude_if=_is_empty)

    @model_validator(mode="after")
    def _is_possible(self) -> Cell:
        for key, lowest, highest in (("rounds", 1, 8), ("images", 1, 8), ("music", 1, 4)):
            low, high = getattr(self, key)
            if not lowest <= low <= high <= highest:
                raise ValueError(f"{key} [{low}, {high}]: must rise and lie within {lowest} to {highest}")
        for key in ("gives", "answers"):
            kinds = getattr(self, key)
            if len(set(kinds)) != len(kinds):
                raise ValueError(f"{key} names a modality twice")
            if {Modality.TEXT, Modality.SPEECH} <= set(kinds) and self.rounds[0] < 2:
                raise ValueError(f"{key} mixes text and speech, which needs two turns: rounds must start at 2 or more")
        # Shares such as 0.7, 0.2 and 0.1 add up to a little more than 1.
        if (total := sum(self.features.values())) > 1 + 1e-9:
            raise ValueError(f"features add up to {total:g}, and a dialogue is asked for one of them: at most 1")
        return self


class Price(Section):
    """US dollars per million tokens."""

    input: USD = Field(ge=0)
    cached_input: USD | None = Field(None, ge=0)
    output: USD = Field(ge=0)

    def times(self, share: float) -> Price:
        """Return a share of this price."""
        cached = None if self.cached_input is None else self.cached_input * share
        return Price(input=self.input * share, cached_input=cached, output=self.output * share)


class WeightedModel(Section):
    """One of several models that share the writing; its price goes before the writer's and the shipped list's."""

    model: str = Field(min_length=1)
    weight: float = Field(1.0, gt=0)
    price: Price | None = None


class Writer(Section):
    """The LLM that writes topics, scenarios and dialogues.

    Attributes:
        engine: ``embedded`` runs a locked model in this process; ``openai`` calls an endpoint of that protocol;
            ``none`` writes nothing, which is what a corpus of taken texts has.
        model: The model's name at the endpoint, or in the model lock.
        models: In its place, several of one endpoint with weights; which of them writes a record follows from its id.
        style: ``whole`` asks for a dialogue in one structured answer, ``turns`` for one constrained answer a turn,
            which is what small models manage. Follows from the engine unless stated.
        max_tries: Answers asked for before a record fails.
        structured: How the endpoint is told the schema of an answer; ``auto`` finds out by one small call.
        requests_per_minute, tokens_per_minute: Caps for each model, over all processes of a run.
        base_url, api_key_env, structured, in_flight, timeout_seconds, threads and the caps: how the model is reached
            and how hard it is driven. They change no output and are no part of the fingerprint.
        mode: ``batch`` hands requests in as files and waits hours for answers at half the price (the Batch API of the
            OpenAI protocol); a run that is stopped meanwhile goes on waiting when it is run again.
        batch_poll_seconds: Time between two looks at batches.
        price: Overrides the shipped price list; a call in a batch costs half of it.
    """

    engine: Literal["embedded", "openai", "none"]
    model: str | None = Field(None, min_length=1)
    models: tuple[WeightedModel, ...] = ()
    style: Literal["whole", "turns"] | None = None
    temperature: float = Field(0.8, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    repeat_penalty: float = Field(1.0, ge=1, le=2)
    max_tries: int = Field(4, ge=1, le=20)
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    structured: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    in_flight: int | None = Field(None, ge=1, le=4096)
    timeout_seconds: Seconds = Field(120, gt=0)
    threads: int | None = Field(None, ge=1)
    mode: Literal["calls", "batch"] = "calls"
    batch_poll_seconds: Seconds = Field(60, gt=0)
    price: Price | None = None

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        return address if address is None else check_address(address)

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        return check_variable(name)

    @model_validator(mode="after")
    def _names_its_models(self) -> Writer:
        if self.engine == "none":
            if self.model or self.models:
                raise ValueError("engine none writes nothing; state no model")
            return self
        if (self.model is None) == (not self.models):
            raise ValueError("state either model, or models with weights")
        if self.models and self.engine == "embedded":
            raise ValueError("models: the embedded engine holds one model; state model")
        if self.mode == "batch" and self.engine == "embedded":
            raise ValueError("mode: only an endpoint takes batches; state engine: openai, or mode: calls")
        names = [entry.model for entry in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"models names {max(names, key=names.count)!r} twice")
        return self

    @property
    def blend(self) -> tuple[WeightedModel, ...]:
        """All models that write, with their weights."""
        if self.engine == "none":
            return ()
        return self.models or (WeightedModel(model=self.model or "", price=self.price),)

    @property
    def effective_style(self) -> Literal["whole", "turns"]:
        """The style stated, or the one that suits the engine."""
        return self.style or ("turns" if self.engine == "embedded" else "whole")

    @property
    def records_in_flight(self) -> int:
        """Records that are written at the same time; each has one call in flight.

        For an endpoint that is a bound and not a target: the pace finds out what it bears.
        """
        if self.in_flight is not None:
            return self.in_flight
        return 4 if self.engine == "embedded" else 256 if self.mode == "calls" else 4096

    def fingerprint(self, model: str) -> dict[str, Any]:
        """What changes the words of a record: the model that writes it and how it samples, not how it is reached."""
        return {
            "engine": self.engine,
            "model": model,
            "style": self.effective_style,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "repeat_penalty": self.repeat_penalty,
            "max_tries": self.max_tries,
        }


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


NEAR_DUPLICATES = 0.6
"""Finds the light rewordings of ``bench/data/dialogue_pairs.yaml``, the held-out ones too, and nothing else there: the
estimate's standard deviation is 0.04, and pairs that shall stay have 0.32 at most."""


class Screen(Section):
    """What becomes of dialogues that were written. Changes no word and no media, only which of them are published.

    Attributes:
        near_duplicates: Share of common shingles (``pipeline/work/twins.py``) from which on two dialogues say the same,
            so that one of them is rejected, before it is rendered where that can be known; ``off`` leaves it at
            dialogues whose words are all equal. Below 0.6 pairs begin to be missed.
        limits: By measure of an audit, the worst value that is published; which direction is bad is the measure's own.
            Each audit that takes such a measure is taken of whatever was rendered, before anything is packed.
        audits: Options of those audits, by name.
    """

    near_duplicates: float | Literal["off"] = NEAR_DUPLICATES
    # Left out where unstated, so that a manifest without them is written as it was before there were such keys.
    limits: Mapping[str, float] = Field(default={}, exclude_if=_is_empty)
    audits: Mapping[str, Mapping[str, Any]] = Field(default={}, exclude_if=_is_empty)

    @field_validator("near_duplicates", mode="before")
    @classmethod
    def _is_a_share_or_off(cls, value: Any) -> Any:
        if value is False:
            return "off"  # what YAML makes of an unquoted off
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value != "off" and not (is_number and 0.5 <= value <= 1):
            raise ValueError(f"must be 0.5 to 1, or off (is {value!r:.40})")
        return value

    @property
    def min_similarity(self) -> float | None:
        """The share as a number; None where only equal words count."""
        return None if self.near_duplicates == "off" else self.near_duplicates


class RepairPlan(Section):
    """How ``anyinstruct repair`` mends assets that fall short of the screen's limits. Concerns no other command.

    Attributes:
        attempts: Renders of an asset beside its first one, each with another seed; as many of a rewritten description.
        rewrite: After those, have the writer's LLM write the description of a picture or a piece of music anew.
    """

    attempts: int = Field(2, ge=1, le=100)
    rewrite: bool = True


def _is_plain(plan: RepairPlan) -> bool:
    return plan == RepairPlan()


def _is_zero(seconds: Seconds) -> bool:
    return seconds == 0


class Execution(Section):
    """How the work is spread. Changes no output.

    Attributes:
        address: Ray address of a cluster; None starts Ray on this machine.
        node_wait_seconds: How long a run waits for nodes of a cluster that has no room yet for the fewest workers.
        composers: Processes that hold LLM calls in flight; ``{min: 1, max: 8}`` has as many as find work.
        shards_in_flight: Shards between their first call and their last render.
        auditors: Processes that measure what the screen has limits for.
        auditor_gpus: GPUs that each of them holds.
    """

    address: str | None = None
    # Left out where unstated, so that a manifest without it is written as it was before there was such a key.
    node_wait_seconds: Seconds = Field(0, ge=0, exclude_if=_is_zero)
    composers: Workers = ONE
    shards_in_flight: int = Field(4, ge=1, le=4096)
    auditors: int = Field(1, ge=1, le=1024)
    auditor_gpus: float = Field(0, ge=0)


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
