"""Speech by any endpoint of the OpenAI speech protocol.

Importing this package imports no client; :meth:`OpenAISpeechPlugin.open` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.adapters.calling.keys import say_missing_key
from pipeline.adapters.calling.options import IDLE, CallOptions
from pipeline.adapters.calling.prices import listed_speech
from pipeline.adapters.speech import ClipOptions, estimate_duration
from pipeline.contracts.remote import CallSetting, RemoteRenderer
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions, Voice
from pipeline.values.prices import SpeechPrice
from pipeline.values.records import Modality
from pipeline.values.units import USD, Hertz, Seconds

UNINSTRUCTED = frozenset({"tts-1", "tts-1-hd"})
"""Models that take no instructions, by the documentation of their provider."""

OLD_VOICES = frozenset({"alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer"})
"""All that those models speak with."""

LATENCY: Seconds = 3.0
IN_FLIGHT = 8
"""Assumed for estimates, not measured: seconds a clip takes, and how many an endpoint bears at a time."""


class OpenAISpeechOptions(CallOptions, ClipOptions):
    """What a manifest can set; voices, rate and emotions stand beside the renderer there.

    Attributes:
        instructions: How every voice is to speak; a dialogue's emotion follows on a line of its own.
        response_format: What the endpoint sends; what is stored says ``extension``. ``pcm`` is 16-bit samples of one
            channel without a header.
        pcm_rate: Frames a second of ``pcm``, which does not state them itself; OpenAI's has 24,000.
        send_rate: Send the brief's rate as ``speed``; without it every voice speaks at its own pace, and the rate that
            is stated of a clip is 1.
        price: Goes before the shipped price list.
    """

    reserved: ClassVar[frozenset[str]] = frozenset(
        {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
    )

    instructions: str | None = Field(default=None, min_length=1, max_length=4000)
    response_format: Literal["wav", "flac", "mp3", "opus", "pcm"] = "wav"
    pcm_rate: Hertz = Field(default=24_000, ge=8_000, le=48_000)
    send_rate: bool = True
    price: SpeechPrice | None = Field(default=None, json_schema_extra=IDLE)

    @property
    def effective_price(self) -> SpeechPrice | None:
        """The price stated, or the shipped list's."""
        return self.price or listed_speech().get(self.model)

    def instructions_for(self, brief: Brief) -> str:
        """Return how a brief is to be spoken; empty where nothing is said of it."""
        return "\n".join(filter(None, (self.instructions, brief.emotion)))


class OpenAISpeechPlugin:
    """Speech by a remote model, levelled and gated like that of a model here.

    What an endpoint speaks cannot be spoken again to the bit; what arrived is journalled before anything is done with
    it, so no clip is paid for twice.

    Estimates are assumptions: :data:`LATENCY` over :data:`IN_FLIGHT`.
    """

    name = "openai-speech"
    version = "1"
    modality = Modality.SPEECH
    is_draft = False
    options: type[RendererOptions] = OpenAISpeechOptions

    def models(self, options: OpenAISpeechOptions) -> Sequence[str]:
        """None of the lock: the endpoint has them."""
        return ()

    def licences(self, options: OpenAISpeechOptions) -> Mapping[str, Licence]:
        """The provider's terms, or what the manifest states of a server of one's own."""
        return {options.model: options.licence}

    def is_commercial_use_allowed(self, options: OpenAISpeechOptions) -> bool:
        """Where a licence is stated, as it says."""
        return options.is_commercial_use_allowed

    def missing(self) -> str | None:
        """Return None: the core's own dependencies suffice."""
        return None

    def missing_key(self, options: OpenAISpeechOptions) -> str | None:
        """OpenAI's own endpoint wants a key."""
        return say_missing_key(options.base_url, options.api_key_env)

    def refuse_voice(self, options: OpenAISpeechOptions, voice: Voice) -> str | None:
        """Name a voice that the model is known not to have."""
        if options.model not in UNINSTRUCTED or voice.speaker in OLD_VOICES:
            return None
        return f"{options.model} has no voice {voice.speaker!r}, only {', '.join(sorted(OLD_VOICES))}"

    def refuse_emotion(self, options: OpenAISpeechOptions, emotion: str) -> str | None:
        """Name a model that is known to take no instructions."""
        if options.model not in UNINSTRUCTED:
            return None
        return f"{options.model} takes no instructions; leave emotions out, or choose another model"

    def estimate(self, options: OpenAISpeechOptions, brief: Brief) -> Seconds:
        """A share of the time that one clip is taken to take."""
        return LATENCY / min(IN_FLIGHT, options.in_flight)

    def model(self, options: OpenAISpeechOptions) -> str:
        """The model's name at the endpoint."""
        return options.model

    def in_flight(self, options: OpenAISpeechOptions) -> int:
        """Calls in flight over all processes."""
        return options.in_flight

    def price(self, options: OpenAISpeechOptions) -> Mapping[str, Any] | None:
        """The prices that calls are counted at."""
        price = options.effective_price
        return None if price is None else price.model_dump(mode="json", exclude_defaults=True)

    def expect_cost(self, options: OpenAISpeechOptions, brief: Brief) -> USD:
        """The price of the words, and of the seconds that they usually take."""
        price = options.effective_price
        if price is None:
            return 0.0
        return price.cost(brief.text, options.instructions_for(brief), estimate_duration(brief.text, brief.rate))

    def load(self, options: OpenAISpeechOptions, models: ModelFiles) -> Renderer:
        """Return a renderer for use outside a corpus; it remembers nothing."""
        return self.open(options, CallSetting())

    def open(self, options: OpenAISpeechOptions, setting: CallSetting) -> RemoteRenderer:
        """Return the renderer; nothing is connected before its first call."""
        from pipeline.adapters.renderers.openai_speech.renderer import OpenAISpeechRenderer

        return OpenAISpeechRenderer(options, setting)


PLUGIN = OpenAISpeechPlugin()
