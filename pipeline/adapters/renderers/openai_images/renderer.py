"""Briefs to requests of the OpenAI images protocol, and answers to pictures. Nothing in an answer is trusted."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.brief_text import refuse_text
from pipeline.adapters.calling.fetching import MAX_BYTES
from pipeline.adapters.calling.line import Route
from pipeline.adapters.calling.options import Scalar
from pipeline.adapters.calling.renderer import CallingRenderer
from pipeline.adapters.decoding import decode_picture, open_picture
from pipeline.adapters.images import encode_image, is_blank
from pipeline.adapters.llm.completion import parse_body
from pipeline.adapters.llm.failures import Translator
from pipeline.adapters.llm.posting import Parcel, Reply, pack_form
from pipeline.adapters.renderers.openai_images import OpenAIImagesOptions
from pipeline.contracts.chat import Usage
from pipeline.contracts.remote import CallSetting, MediaAnswer
from pipeline.contracts.render import Brief, ImageFacts, Outcome, Render, RenderFailure, Source
from pipeline.values.errors import ChatFailure, MediaFailure
from pipeline.values.prices import PictureTokens
from pipeline.values.records import Modality
from pipeline.values.units import USD

PATH = "/images/generations"
EDITS_PATH = "/images/edits"

IMAGE = "image"
"""Field of the picture that is to be changed."""

CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""By what decodes them, the pictures that the endpoint takes."""

SEED_MODULUS = 2**31
"""Servers take a signed 32-bit seed at least."""


@dataclass(frozen=True)
class ImagesBody:
    """An answer, as parsed."""

    body: Mapping[str, Any]
    request_id: str | None


def read_images(reply: Reply, translator: Translator) -> tuple[ImagesBody, int]:
    """Parse an answer; raises as ``parse_body``."""
    body = parse_body(reply.content, translator)
    usage = read_usage(body)
    return ImagesBody(body, reply.headers.get("x-request-id")), usage.prompt_tokens + usage.completion_tokens


def read_usage(body: Mapping[str, Any]) -> Usage:
    """Read the tokens that the GPT image models report; what is missing or senseless counts as none."""
    usage = body.get("usage")
    stated = usage if isinstance(usage, dict) else {}
    counts = [stated.get(name) for name in ("input_tokens", "output_tokens")]
    prompt, picture = map(_count, counts)
    return Usage(prompt_tokens=prompt, completion_tokens=picture)


def read_tokens(body: Mapping[str, Any]) -> PictureTokens:
    """Read the tokens with those of the picture that was sent, as far as they are told apart."""
    stated, usage = body.get("usage"), read_usage(body)
    details = stated.get("input_tokens_details") if isinstance(stated, dict) else None
    source = _count(details.get("image_tokens")) if isinstance(details, dict) else 0
    return PictureTokens(usage.prompt_tokens, min(source, usage.prompt_tokens), usage.completion_tokens)


class OpenAIImagesRenderer(CallingRenderer[ImagesBody]):
    """Implements ``RemoteRenderer``, one picture a call.

    A brief goes to ``/images/generations`` as JSON, one with a source to ``/images/edits`` as a form with that picture,
    over the same connections and at the same pace.
    """

    def __init__(self, options: OpenAIImagesOptions, setting: CallSetting) -> None:
        super().__init__(options, setting, Route(PATH, "render.image.options", "picture", read_images))
        self._options = options
        self._price = options.effective_price

    def refuse(self, brief: Brief) -> RenderFailure | None:
        """Refuse a brief that is no picture's or says nothing."""
        wrong = None
        if brief.modality is not Modality.IMAGE:
            wrong = f"modality is {brief.modality}, must be image"
        elif not brief.text.strip():
            wrong = "there is no text"
        elif self._options.size is None and not (brief.width and brief.height):
            wrong = "width and height are missing"
        if wrong is not None:
            return RenderFailure(code="bad_brief", message=f"brief {brief.id}: {wrong}")
        return refuse_text(brief)

    def describe(self, brief: Brief) -> Mapping[str, Any]:
        """Return the request; what the manifest does not state is not sent. A source stands in it by its hash."""
        options, source = self._options, brief.source
        chosen = {
            "quality": options.quality,
            "style": options.style if source is None else None,
            "background": options.background,
            "moderation": options.moderation if source is None else None,
            "input_fidelity": options.input_fidelity if source is not None else None,
            IMAGE: f"sha256 {source.sha256}" if source is not None else None,
            "response_format": _response_format(options),
            "seed": brief.seed % SEED_MODULUS if options.send_seed else None,
        }
        stated = {name: value for name, value in chosen.items() if value is not None}
        request = {"model": options.model, "prompt": brief.text, "n": 1, "size": options.size_of(brief)}
        return {**request, **stated, **options.extra}

    async def pack(self, brief: Brief) -> Mapping[str, Any] | Parcel:
        """Return the request, for an edit with the bytes of its source."""
        if brief.source is None:
            return self.describe(brief)
        return await asyncio.to_thread(self._attach, brief, brief.source)

    def bound(self, brief: Brief) -> USD:
        """The dearest that the picture may be, its text in dense tokens, and its source where it has one."""
        if self._price is None:
            return 0.0
        size, has_source = self._options.size_of(brief), brief.source is not None
        return self._price.bound(brief.text, self._options.quality, size, has_source=has_source)

    def read(self, brief: Brief, answer: ImagesBody) -> MediaAnswer:
        """Return the picture, or the address of it."""
        body, where = answer.body, self._line.translator.where
        found, usage = body.get("data"), read_usage(body)
        first = found[0] if isinstance(found, list) and found else None
        item: Mapping[str, Any] = first if isinstance(first, dict) else {}
        text, url = item.get("b64_json"), item.get("url")
        usd = self._count_cost(brief, read_tokens(body))
        data = None
        if isinstance(text, str) and text:
            data = self._decode(text, usd)
        elif not (isinstance(url, str) and url):
            said = f": {self._quote(str(body['error']))}" if "error" in body else ""
            paid = usd if usage.completion_tokens else 0.0
            raise MediaFailure("empty", f"{where}: answered without a picture{said[:300]}", paid)
        elif self._line.translator.clean(url) != url:
            raise MediaFailure("bad_answer", f"{where}: gave an address with the key in it", usd)
        created = body.get("created")
        named = {
            "request_id": self._quote(answer.request_id),
            "revised_prompt": self._quote(item.get("revised_prompt")),
            "created": created if isinstance(created, int) else None,
        }
        return MediaAnswer(
            data=data,
            url=None if data is not None else str(url),
            model=self._quote(body.get("model")) or self.model,
            notes={name: value for name, value in named.items() if value is not None},
            usage=usage,
            usd=usd,
            latency=0.0,
        )

    def finish(self, brief: Brief, data: bytes) -> Outcome:
        """Decode, gate, scale down to the brief's size and encode."""
        from PIL import ImageOps
        from PIL.Image import Resampling

        options = self._options
        try:
            image = open_picture(data).convert("RGBA") if options.background == "transparent" else decode_picture(data)
        except ValueError as exc:
            return RenderFailure(code="undecodable", message=f"brief {brief.id}: {exc}")
        made = image.size
        wanted = (brief.width or made[0], brief.height or made[1])
        if options.size != "auto" and made != wanted and made[0] >= wanted[0] and made[1] >= wanted[1]:
            image = ImageOps.fit(image, wanted, Resampling.LANCZOS)
        import numpy as np

        if is_blank(np.asarray(image)):
            return RenderFailure(code="blank", message=f"brief {brief.id}: the picture has one colour all over")
        notes = {} if image.size == made else {"scaled_from": f"{made[0]}x{made[1]}"}
        facts = ImageFacts(width=image.width, height=image.height)
        encoded = encode_image(image, options.extension, options.file_quality)
        is_edit = brief.source is not None
        return Render(data=encoded, extension=options.extension, facts=facts, notes=notes, is_edit=is_edit)

    def _attach(self, brief: Brief, source: Source) -> Parcel:
        data = source.load()
        try:
            kind = CONTENT_TYPES[open_picture(data).format or ""]
        except (ValueError, KeyError) as exc:
            raise ChatFailure(
                "bad_source", f"{source.asset}: is no PNG, JPEG or WebP that could be sent: {exc}"
            ) from exc
        fields = {name: _form_value(value) for name, value in self.describe(brief).items() if name != IMAGE}
        return pack_form(EDITS_PATH, fields, (IMAGE, f"source.{kind.removeprefix('image/')}", data, kind))

    def _decode(self, text: str, usd: USD) -> bytes:
        where = self._line.translator.where
        _, _, plain = text.rpartition("base64,")  # some servers put a data address around it
        if len(plain) > MAX_BYTES // 3 * 4:
            raise MediaFailure("bad_answer", f"{where}: the picture has more than {MAX_BYTES:,} bytes", usd)
        try:
            return base64.b64decode(plain, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise MediaFailure("bad_answer", f"{where}: the picture is no base64: {exc}", usd) from exc

    def _count_cost(self, brief: Brief, counted: PictureTokens) -> USD:
        if self._price is None:
            return 0.0
        size = self._options.size_of(brief)
        return self._price.cost(self._options.quality, size, counted)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _form_value(value: Scalar) -> str:
    """Word a value as forms have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _response_format(options: OpenAIImagesOptions) -> str | None:
    if options.response_format == "auto":
        return None if options.is_gpt else "b64_json"
    return None if options.response_format == "unstated" else options.response_format
