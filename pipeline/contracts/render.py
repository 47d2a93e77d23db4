"""Renderers: what turns briefs into media, and how one is registered.

A renderer is one module plus one entry point line in the group ``anyinstruct.renderers``:

    [project.entry-points."anyinstruct.renderers"]
    storyboard = "pipeline.adapters.renderers.storyboard:PLUGIN"

The module is imported to validate a manifest, so it must not import torch, an engine or weights at the top: those
belong into :meth:`RendererPlugin.load`, which runs in the worker, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from pipeline.values.records import Modality, Record
from pipeline.values.render_sections import RendererChoice
from pipeline.values.units import Hertz, Pixels, Seconds


def _is_unknown(value: object) -> bool:
    return value is None


class Voice(Record):
    """A voice as the voices file declares it.

    Attributes:
        name: Unique name, e.g. ``af_heart``.
        renderer: The speech renderer that speaks it.
        speaker: What the renderer calls it; defaults to the name.
        languages: BCP 47 tags, e.g. ``en-US``.
        gender: ``female``, ``male`` or None where unknown.
        age: What its makers state, e.g. ``23`` or ``adult``, or None where unknown.
        reference: A recording, or a folder of recordings, whose voice is to be cloned. It is a path of this machine,
            so it stays out of what is written and hashed.
        reference_sha256: Hash over the recordings, which stands for them there.
        licence: SPDX identifier of the voice's weights.
    """

    name: str
    renderer: str
    speaker: str
    languages: tuple[str, ...]
    gender: str | None = None
    # Left out where unknown, so that a voice without them is keyed as it was before there were such fields.
    age: str | None = Field(default=None, exclude_if=_is_unknown)
    reference: Path | None = Field(default=None, exclude=True)
    reference_sha256: str | None = Field(default=None, exclude_if=_is_unknown)
    licence: str


class Source(Record):
    """The picture that another one changes.

    Attributes:
        asset: Its name.
        sha256: Of its bytes.
        text: Its description.
        seed: With which the first picture was made that this one goes back to, by however many changes.
        load: Reads its bytes, encoded as they were rendered. They lie on disk until then, so keep none for longer than
            a batch.
    """

    asset: str
    sha256: str
    text: str
    seed: int
    load: Callable[[], bytes] = Field(exclude=True, repr=False)


class Brief(Record):
    """What a renderer is told to make.

    Attributes:
        id: The part's id; with the attempt it names the asset.
        modality: image, music or speech.
        text: The description (image, music) or the words to speak in their spoken form.
        seed: Derived from corpus seed, part id and attempt; the only randomness a renderer may use.
        width, height: Images only.
        duration: Music only: seconds asked for.
        voice: Speech only.
        rate: Speech only: 1.0 is the voice's own pace, 1.1 ten percent faster.
        emotion: Speech only: words for how it is to be spoken. Given only to a renderer whose plug-in is of the kind
            :class:`SpeaksWithEmotion`.
        source: Images only: the picture to start from, so that only what ``text`` says otherwise is changed; the text
            describes the whole picture all the same. Given only to a renderer whose plug-in is of the kind
            :class:`EditsPictures`.
    """

    id: str
    modality: Modality
    text: str
    seed: int
    attempt: int = 0
    width: Pixels | None = None
    height: Pixels | None = None
    duration: Seconds | None = None
    voice: Voice | None = None
    rate: float = 1.0
    # Left out where unstated, so that a brief without it is keyed as it was before there was such a field.
    emotion: str | None = Field(default=None, exclude_if=_is_unknown)
    source: Source | None = Field(default=None, exclude_if=_is_unknown)


class ImageFacts(Record):
    """What an image row states beside its bytes."""

    width: Pixels
    height: Pixels


class AudioFacts(Record):
    """What a music or speech row states beside its bytes."""

    duration: Seconds
    sample_rate: Hertz
    channels: int
    peak: float = Field(description="largest absolute sample, 1.0 is full scale")
    rms: float = Field(description="root mean square over all samples and channels")


class Render(Record):
    """Media made from a brief: encoded bytes and what is known of them.

    Attributes:
        extension: ``png``, ``webp``, ``flac``, … without a dot.
        notes: Small JSON-able facts worth keeping, e.g. the tempo and key that an arranger chose.
        is_edit: True where it was made out of the brief's source; False where from the brief's words alone.
    """

    data: bytes
    extension: str
    facts: ImageFacts | AudioFacts
    notes: Mapping[str, Any] = {}
    is_edit: bool = False


class RenderFailure(Record):
    """A brief that came to nothing: a stable code (``blank``, ``silent``, ``too_short``, …) and a sentence."""

    code: str
    message: str


Outcome = Render | RenderFailure

Finish = Callable[[], Outcome]
"""Gates and encoding that are still owed: called once, on any thread, while the accelerator makes the next batch."""


class Renderer(Protocol):
    """Turns briefs into media. Same brief, same version: same bytes, or documented why not."""

    def render(self, briefs: Sequence[Brief]) -> Sequence[Outcome | Finish]:
        """Return one outcome per brief, in order, or what finishes it.

        Raises:
            OutOfMemory: the batch does not fit; nothing of it was made, and a smaller one may fit.
            RenderError: the renderer cannot work at all.
        """
        ...

    def provenance(self) -> Mapping[str, str]:
        """What made the media beyond the options: weights' revision or hash, library versions, dtype, device."""
        ...


class ModelFiles(Protocol):
    """Gives renderers and engines their model files, fetched and hash-checked beforehand."""

    def path(self, name: str) -> Path:
        """Return the folder or file of a locked model; raise ModelFileError with what to do where it is missing."""
        ...


class RendererOptions(BaseModel):
    """Base of a renderer's options in a manifest: closed.

    All of them are part of the fingerprint but those that say ``json_schema_extra={"changes_output": False}``; so does
    what changes edits alone, which :class:`EditsPictures` states.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def idle_options(options: type[BaseModel]) -> set[str]:
    """Return the options that change no output, and so are no part of a fingerprint."""
    return {
        name
        for name, field in options.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("changes_output") is False
    }


Licence = Annotated[str, "SPDX identifier, or the licence's usual name"]


class RendererPlugin(Protocol):
    """What an entry point names. Cheap to import; everything but :meth:`load` is instant."""

    name: str
    version: str
    modality: Modality
    is_draft: bool
    """True for preview renderers whose output no one should train on; said in ledger, card and ``show``."""
    options: type[RendererOptions]

    def models(self, options: Any) -> Sequence[str]:
        """Names in the model lock that this renderer needs with these options."""
        ...

    def licences(self, options: Any) -> Mapping[str, Licence]:
        """Licence of every model or data file used, by name."""
        ...

    def is_commercial_use_allowed(self, options: Any) -> bool:
        """False where a licence above (CC-BY-NC and the like) forbids it."""
        ...

    def missing(self) -> str | None:
        """Say which Python package or system part is missing and how to get it, or None."""
        ...

    def estimate(self, options: Any, brief: Brief) -> Seconds:
        """Expected seconds for one brief on the hardware named in the class docstring, for ``plan``."""
        ...

    def load(self, options: Any, models: ModelFiles) -> Renderer:
        """Load weights, once, in the worker."""
        ...


@runtime_checkable
class SpeaksWithEmotion(Protocol):
    """What a speech plug-in has besides where some model of it can be told how to speak.

    A manifest that states emotions for any other plug-in is refused.
    """

    def refuse_emotion(self, options: Any, emotion: str) -> str | None:
        """Say why it cannot be spoken so with these options, and what to do, or None. Instant."""
        ...


@runtime_checkable
class EditsPictures(Protocol):
    """What an image plug-in has besides where it can start from a picture that is there already.

    Any other renders such a brief from its words alone, and the images table says so.
    """

    def describe_edits(self, options: Any) -> Mapping[str, Any] | None:
        """Return what changes the edits alone, such as how far they go; it is part of their fingerprint. Instant.

        None says that with these options it cannot.
        """
        ...


@runtime_checkable
class KnowsItsVoices(Protocol):
    """What a speech plug-in has besides where it can tell, without its weights, that it cannot speak with a voice."""

    def refuse_voice(self, options: Any, voice: Voice) -> str | None:
        """Say why this voice cannot speak, or None. Instant; what only the weights know is told by a failed render."""
        ...


@runtime_checkable
class ReadsLanguages(Protocol):
    """What a speech plug-in has besides where some languages take packages that the others do without."""

    def missing_for(self, options: Any, language: str) -> str | None:
        """Say which package a language needs and how to get it, or None.

        Args:
            options: The renderer's.
            language: BCP 47, the base alone.
        """
        ...


@runtime_checkable
class KnowsItsLimits(Protocol):
    """What a plug-in has besides where it cannot make all that its section of a manifest may ask for."""

    def refuse_section(self, options: Any, section: RendererChoice) -> Mapping[str, str]:
        """Say by key of the section what cannot be made, and what to write instead. Instant."""
        ...
