"""Pictures by any endpoint of the OpenAI images protocol.

Importing this package imports no client; :meth:`OpenAIImagesPlugin.open` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.adapters.calling.keys import say_missing_key
from pipeline.adapters.calling.options import IDLE, CallOptions
from pipeline.adapters.calling.prices import listed_images
from pipeline.adapters.images import ImageExtension
from pipeline.contracts.remote import CallSetting, RemoteRenderer
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions
from pipeline.values.prices import ImagePrice
from pipeline.values.records import Modality
from pipeline.values.render_sections import ImageSection, RendererChoice
from pipeline.values.units import USD, Seconds

_SQUARE_AND_OBLONG = ("1024x1024", "1024x1536", "1536x1024")
SIZES: Mapping[str, Sequence[str]] = {
    "dall-e-2": ("256x256", "512x512", "1024x1024"),
    "dall-e-3": ("1024x1024", "1024x1792", "1792x1024"),
    "gpt-image-1": _SQUARE_AND_OBLONG,
    "gpt-image-1-mini": _SQUARE_AND_OBLONG,
    "gpt-image-1.5": _SQUARE_AND_OBLONG,
}
"""All that these models make, by the documentation of their provider. Later ones make nearly any size."""

LATENCY: Seconds = 20.0
IN_FLIGHT = 8
"""Assumed for estimates, not measured: seconds a picture takes, and how many an endpoint bears at a time."""


class OpenAIImagesOptions(CallOptions):
    """What a manifest can set; the size is that of the section's width and height.

    What is not stated is not sent, so that the endpoint's own default holds.

    Attributes:
        size: What the endpoint is asked for in place of the section's size, e.g. ``1024x1024`` or ``auto``. A picture
            that is larger than the section says is then scaled down, and cut at the longer sides.
        quality: As the model has it, e.g. ``low``, ``medium``, ``high``; ``standard`` or ``hd``.
        style: ``vivid`` or ``natural``, of DALL·E 3.
        background: ``transparent`` keeps the picture's transparency; else it is laid on white.
        moderation: ``low`` filters less, of the GPT image models.
        response_format: Whether a picture comes as base64 or as an address to fetch it from. ``auto`` asks for base64,
            but of models named ``gpt-image…``, which send nothing else and refuse the key.
        edits: Have a picture that changes an earlier one made out of it, by the endpoint's ``/images/edits``; false
            makes it from its words alone. Left out, true of models named ``gpt-image…`` and ``chatgpt-image…``.
        input_fidelity: How closely an edit keeps to the picture that it changes, of models that take the key.
        send_seed: Send the brief's seed, for servers that take one; OpenAI's own refuses the key.
        extension: Of the stored file; ``png`` is exact and the largest.
        file_quality: Of a stored WebP or JPEG, 1 to 100.
        price: Goes before the shipped price list.
    """

    reserved: ClassVar[frozenset[str]] = frozenset(
        {
            "model",
            "prompt",
            "n",
            "size",
            "quality",
            "style",
            "background",
            "moderation",
            "response_format",
            "stream",
            "image",
            "input_fidelity",
            "mask",
        }
    )

    size: str | None = Field(default=None, pattern=r"^([1-9]\d{1,4}x[1-9]\d{1,4}|[a-z-]{1,20})$")
    quality: str | None = Field(default=None, min_length=1, max_length=40)
    style: str | None = Field(default=None, min_length=1, max_length=40)
    background: Literal["transparent", "opaque", "auto"] | None = None
    moderation: Literal["low", "auto"] | None = None
    response_format: Literal["auto", "b64_json", "url", "unstated"] = Field(default="auto", json_schema_extra=IDLE)
    edits: bool | None = Field(default=None, json_schema_extra=IDLE)
    input_fidelity: Literal["low", "high"] | None = Field(default=None, json_schema_extra=IDLE)
    send_seed: bool = False
    extension: ImageExtension = "webp"
    file_quality: int = Field(default=90, ge=1, le=100)
    price: ImagePrice | None = Field(default=None, json_schema_extra=IDLE)

    @model_validator(mode="after")
    def _file_takes_transparency(self) -> OpenAIImagesOptions:
        if self.background == "transparent" and self.extension == "jpg":
            raise ValueError("extension jpg: has no transparency; state png or webp, or another background")
        return self

    @property
    def is_gpt(self) -> bool:
        """Whether the model is one of the GPT image models, by its name."""
        return self.model.startswith(("gpt-image", "chatgpt-image"))

    @property
    def has_edits(self) -> bool:
        """Whether pictures are made out of others."""
        return self.is_gpt if self.edits is None else self.edits

    @property
    def effective_price(self) -> ImagePrice | None:
        """The price stated, or the shipped list's."""
        return self.price or listed_images().get(self.model)

    def size_of(self, brief: Brief) -> str:
        """Return the size that the endpoint is asked for."""
        return self.size or f"{brief.width}x{brief.height}"


class OpenAIImagesPlugin:
    """Pictures by a remote model.

    What an endpoint makes cannot be made again to the bit, also where it takes a seed; what arrived is journalled
    before anything is done with it, so no picture is paid for twice.

    Estimates are assumptions: :data:`LATENCY` over :data:`IN_FLIGHT`.
    """

    name = "openai-images"
    version = "1"
    modality = Modality.IMAGE
    is_draft = False
    options: type[RendererOptions] = OpenAIImagesOptions

    def models(self, options: OpenAIImagesOptions) -> Sequence[str]:
        """None of the lock: the endpoint has them."""
        return ()

    def licences(self, options: OpenAIImagesOptions) -> Mapping[str, Licence]:
        """The provider's terms, or what the manifest states of a server of one's own."""
        return {options.model: options.licence}

    def describe_edits(self, options: OpenAIImagesOptions) -> Mapping[str, Any] | None:
        """How closely they keep to their source; None where the endpoint changes no pictures."""
        return {"input_fidelity": options.input_fidelity} if options.has_edits else None

    def is_commercial_use_allowed(self, options: OpenAIImagesOptions) -> bool:
        """Where a licence is stated, as it says."""
        return options.is_commercial_use_allowed

    def missing(self) -> str | None:
        """Return None: the core's own dependencies suffice."""
        return None

    def missing_key(self, options: OpenAIImagesOptions) -> str | None:
        """OpenAI's own endpoint wants a key."""
        return say_missing_key(options.base_url, options.api_key_env)

    def refuse_section(self, options: OpenAIImagesOptions, section: RendererChoice) -> Mapping[str, str]:
        """Name a size that the model is known not to make, or that cannot be cut from what it is asked for."""
        if not isinstance(section, ImageSection):
            return {}
        size = options.size or f"{section.width}x{section.height}"
        known = SIZES.get(options.model, ())
        if known and size not in known and not (size == "auto" and options.model.startswith("gpt-image")):
            where = "options.size" if options.size else "width"
            told = f"{options.model} makes {', '.join(known)} and not {size}; state one of them"
            return {where: told + ("" if options.size else ", or have one scaled down by options.size")}
        width, _, height = (options.size or "").partition("x")
        if width.isdecimal() and (int(width) < section.width or int(height) < section.height):
            return {"options.size": f"{size} is smaller than {section.width}x{section.height}, which is asked for"}
        return {}

    def estimate(self, options: OpenAIImagesOptions, brief: Brief) -> Seconds:
        """A share of the time that one picture is taken to take."""
        return LATENCY / min(IN_FLIGHT, options.in_flight)

    def model(self, options: OpenAIImagesOptions) -> str:
        """The model's name at the endpoint."""
        return options.model

    def in_flight(self, options: OpenAIImagesOptions) -> int:
        """Calls in flight over all processes."""
        return options.in_flight

    def price(self, options: OpenAIImagesOptions) -> Mapping[str, Any] | None:
        """The prices that calls are counted at."""
        price = options.effective_price
        return None if price is None else price.model_dump(mode="json", exclude_defaults=True)

    def expect_cost(self, options: OpenAIImagesOptions, brief: Brief) -> USD:
        """The price of the picture; the dearest that it may be, where its quality is the endpoint's to choose."""
        price = options.effective_price
        return 0.0 if price is None else price.of_picture(options.quality, options.size_of(brief))

    def load(self, options: OpenAIImagesOptions, models: ModelFiles) -> Renderer:
        """Return a renderer for use outside a corpus; it remembers nothing."""
        return self.open(options, CallSetting())

    def open(self, options: OpenAIImagesOptions, setting: CallSetting) -> RemoteRenderer:
        """Return the renderer; nothing is connected before its first call."""
        from pipeline.adapters.renderers.openai_images.renderer import OpenAIImagesRenderer

        return OpenAIImagesRenderer(options, setting)


PLUGIN = OpenAIImagesPlugin()
