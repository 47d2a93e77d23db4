"""Briefs to requests of the OpenAI speech protocol, and answers to clips. Nothing in an answer is trusted."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.adapters.calling.fetching import MAX_BYTES
from pipeline.adapters.calling.line import Route
from pipeline.adapters.calling.renderer import CallingRenderer
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.llm.failures import BadBody, Translator
from pipeline.adapters.llm.posting import Reply
from pipeline.adapters.renderers.openai_speech import PLUGIN, OpenAISpeechOptions
from pipeline.adapters.speech import bound_duration, finish_speech, refuse_brief
from pipeline.contracts.remote import CallSetting, MediaAnswer
from pipeline.contracts.render import Brief, Outcome, RenderFailure
from pipeline.values.errors import MediaFailure
from pipeline.values.units import USD, Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

PATH = "/audio/speech"

SLACK: Seconds = 2.0
"""Silence at the ends that a bound of the cost counts with."""

_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class SpeechBody:
    """An answer: the bytes, and what its headers say."""

    data: bytes
    request_id: str | None


def read_speech(reply: Reply, translator: Translator) -> tuple[SpeechBody, int]:
    """Take an answer's bytes; their decoding says whether they are speech.

    Raises:
        BadBody: there are none; asking again may help.
        ChatFailure: ``bad_answer``: it calls itself something else, an error page perhaps.
    """
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not (kind.startswith("audio/") or kind.endswith("/octet-stream") or kind == "application/ogg"):
        shown = reply.content[:2000].decode("utf-8", "replace")
        raise translator.translate(BadBody(f"it is {kind[:60]!r}: {shown}"))
    if not reply.content:
        raise BadBody("no bytes")
    return SpeechBody(reply.content, reply.headers.get("x-request-id")), 0


class OpenAISpeechRenderer(CallingRenderer[SpeechBody]):
    """Implements ``RemoteRenderer`` over ``POST /audio/speech``, one clip a call."""

    def __init__(self, options: OpenAISpeechOptions, setting: CallSetting) -> None:
        super().__init__(options, setting, Route(PATH, "render.speech.options", "speech", read_speech))
        self._options = options
        self._price = options.effective_price

    def refuse(self, brief: Brief) -> RenderFailure | None:
        """Refuse what no voice can speak, or not this one."""
        return refuse_brief(brief, PLUGIN.name)

    def describe(self, brief: Brief) -> Mapping[str, Any]:
        """Return the request; what is not stated is not sent."""
        options = self._options
        request: dict[str, Any] = {
            "model": options.model,
            "input": brief.text,
            "voice": brief.voice.speaker if brief.voice else "",
            "response_format": options.response_format,
        }
        if options.send_rate and brief.rate != 1.0:
            request["speed"] = brief.rate
        if instructions := options.instructions_for(brief):
            request["instructions"] = instructions
        return {**request, **options.extra}

    def bound(self, brief: Brief) -> USD:
        """The price of the words, and of the most seconds that are plausible for them."""
        return self._count_cost(brief, self._longest(brief))

    def read(self, brief: Brief, answer: SpeechBody) -> MediaAnswer:
        """Return the clip as it came."""
        if len(answer.data) > MAX_BYTES:
            where = self._line.translator.where
            raise MediaFailure("bad_answer", f"{where}: speech has more than {MAX_BYTES:,} bytes", self.bound(brief))
        request_id = self._quote(answer.request_id)
        return MediaAnswer(
            data=answer.data,
            model=self.model,
            notes={"request_id": request_id} if request_id else {},
            usd=self._count_cost(brief, self._measure(brief, answer.data)),
            latency=0.0,
        )

    def finish(self, brief: Brief, data: bytes) -> Outcome:
        """Decode, mix down to one channel, trim, level, gate and encode."""
        try:
            samples, sample_rate = self._decode(data)
        except ValueError as exc:
            return RenderFailure(code="undecodable", message=f"brief {brief.id}: {exc}")
        mono = samples.mean(axis=1, keepdims=True, dtype="float32")
        return finish_speech(mono, sample_rate, self._paced(brief), self._options)

    def _paced(self, brief: Brief) -> Brief:
        """The brief at the pace that it is spoken at."""
        return brief if self._options.send_rate else brief.model_copy(update={"rate": 1.0})

    def _decode(self, data: bytes) -> tuple[Samples, Hertz]:
        if self._options.response_format != "pcm":
            return decode_sound(data)
        import numpy as np

        whole = data[: len(data) // _BYTES_PER_SAMPLE * _BYTES_PER_SAMPLE]
        samples = np.frombuffer(whole, dtype="<i2").astype(np.float32)[:, None] / 32768.0
        return samples, self._options.pcm_rate

    def _longest(self, brief: Brief) -> Seconds:
        return bound_duration(brief.text, self._paced(brief).rate) + SLACK

    def _measure(self, brief: Brief, data: bytes) -> Seconds:
        """Seconds of sound by its header; the most that are plausible where it cannot be read."""
        if self._price is None or not self._price.minute:
            return 0.0
        if self._options.response_format == "pcm":
            return len(data) / _BYTES_PER_SAMPLE / self._options.pcm_rate
        import soundfile

        try:
            return float(soundfile.info(io.BytesIO(data)).duration)
        except (soundfile.SoundFileError, TypeError, ValueError, ZeroDivisionError):
            return self._longest(brief)

    def _count_cost(self, brief: Brief, seconds: Seconds) -> USD:
        if self._price is None:
            return 0.0
        return self._price.cost(brief.text, self._options.instructions_for(brief), seconds)
