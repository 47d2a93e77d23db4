"""Endpoints of the OpenAI images and speech protocols on loopback: real HTTP, and media that follow from the request.

Equal requests get equal bytes. Every request is kept, so that tests can say exactly what was paid for.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from aiohttp import web
from PIL import Image

from pipeline.contracts.remote import CallSetting, RemotePlugin, RemoteRenderer
from pipeline.contracts.render import Brief, Voice
from pipeline.values.records import Modality
from tests.support.fault_server import FaultServer, Reply, read_body, says
from tests.support.serving import serving_app

IMAGES, EDITS, SPEECH = "/v1/images/generations", "/v1/images/edits", "/v1/audio/speech"
SOUND_FORMATS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", None), "opus": ("OGG", "OPUS")}
RATE = 24_000
NOVA = Voice(name="openai_nova", renderer="openai-speech", speaker="nova", languages=("en",), licence="terms")


def paint(prompt: str, size: str = "64x64", seed: int | None = None, kind: str = "PNG") -> bytes:
    """A small noisy picture, its colours drawn from the request."""
    width, _, height = size.partition("x")
    digest = sha256(json.dumps([prompt, seed]).encode()).digest()
    pixels = np.random.default_rng(list(digest)).integers(0, 256, (int(height), int(width), 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def speak(text: str, kind: str = "wav", speed: float = 1.0) -> bytes:
    """A wavering tone, about as long as the text takes to say, with silence around it."""
    seconds = (0.3 + len(text) / 14.0) / speed
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 150 + sha256(text.encode("utf-8", "replace")).digest()[0]
    tone = 0.3 * np.sin(2 * np.pi * pitch * times) * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))
    samples = (np.pad(tone, RATE // 10) * 32767).astype(np.int16)
    if kind == "pcm":
        return samples.tobytes()
    buffer = io.BytesIO()
    container, subtype = SOUND_FORMATS[kind]
    soundfile.write(buffer, samples, RATE, format=container, subtype=subtype)
    return buffer.getvalue()


def images_body(data: bytes | None = None, **changes: Any) -> dict[str, Any]:
    """A whole answer of the images protocol; changes go into its one item."""
    plain = paint("a red fox") if data is None else data
    item = {"b64_json": base64.b64encode(plain).decode(), **changes}
    return {"created": 1_790_000_000, "data": [{name: value for name, value in item.items() if value is not None}]}


def picture(data: bytes | None = None, **changes: Any) -> Reply:
    return says(images_body(data, **changes), **{"x-request-id": "req-1"})


def sound(data: bytes, content_type: str = "audio/wav") -> Reply:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(body=data, content_type=content_type, headers={"x-request-id": "req-2"})

    return reply


def image_brief(text: str = "a red fox", number: int = 0, **changes: Any) -> Brief:
    values = {"id": f"i{number}", "modality": Modality.IMAGE, "text": text, "seed": 11, "width": 64, "height": 64}
    return Brief.model_validate(values | changes)


def speech_brief(text: str = "Good morning to you.", number: int = 0, **changes: Any) -> Brief:
    values = {"id": f"s{number}", "modality": Modality.SPEECH, "text": text, "seed": 11, "voice": NOVA}
    return Brief.model_validate(values | changes)


@asynccontextmanager
async def calling(
    server: FaultServer, plugin: RemotePlugin, memory: Path | None = None, **options: Any
) -> AsyncIterator[RemoteRenderer]:
    """Serve both protocols from a fault server and open a renderer that calls it."""
    app = web.Application()
    for path in (IMAGES, EDITS, SPEECH):
        app.router.add_post(path, server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    stated = {"model": "m", "base_url": url, "api_key_env": "TEST_KEY", "extension": "png"}
    if plugin.modality is Modality.SPEECH:
        stated["extension"] = "flac"
    renderer = plugin.open(plugin.options.model_validate(stated | options), CallSetting(memory))
    try:
        yield renderer
    finally:
        await renderer.close()
        await runner.cleanup()


@dataclass
class MediaEndpoint:
    """A running endpoint of both protocols.

    Attributes:
        requests: Bodies as received.
        delay: Seconds before each answer.
        as_url: Pictures are answered by an address on this server.
        refusals: Replies that go before the answers, by the first words of the text.
    """

    url: str = ""
    delay: float = 0.0
    as_url: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[str, Reply] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    _files: dict[str, bytes] = field(default_factory=dict)

    def take(self) -> list[dict[str, Any]]:
        """Return the requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    async def image(self, request: web.Request) -> web.StreamResponse:
        body, refusal = await self._receive(request, "prompt")
        if refusal is not None:
            return await refusal(request)
        words = body["prompt"] + (sha256(body["image"]).hexdigest() if "image" in body else "")
        data = paint(words, body["size"], body.get("seed"))
        if not self.as_url:
            return web.json_response(images_body(data))
        name = sha256(data).hexdigest()
        self._files[name] = data
        return web.json_response(images_body(b64_json=None, url=f"{self.url.removesuffix('/v1')}/files/{name}"))

    async def speech(self, request: web.Request) -> web.StreamResponse:
        body, refusal = await self._receive(request, "input")
        if refusal is not None:
            return await refusal(request)
        return web.Response(body=speak(body["input"], body["response_format"]), content_type="audio/wav")

    async def file(self, request: web.Request) -> web.Response:
        self.fetched.append(request.match_info["name"])
        return web.Response(body=self._files[request.match_info["name"]], content_type="image/png")

    async def _receive(self, request: web.Request, words: str) -> tuple[dict[str, Any], Reply | None]:
        body = await read_body(request)
        self.requests.append(body)
        await asyncio.sleep(self.delay)
        found = [reply for start, reply in self.refusals.items() if body[words].startswith(start)]
        return body, found[0] if found else None


@contextmanager
def running_media(**settings: Any) -> Iterator[MediaEndpoint]:
    """Serve on a free port of 127.0.0.1 from a thread of its own."""
    endpoint = MediaEndpoint(**settings)
    app = web.Application(client_max_size=2**26)
    app.router.add_post(IMAGES, endpoint.image)
    app.router.add_post(EDITS, endpoint.image)
    app.router.add_post(SPEECH, endpoint.speech)
    app.router.add_get("/files/{name}", endpoint.file)
    with serving_app(app) as address:
        endpoint.url = f"{address}/v1"
        yield endpoint
