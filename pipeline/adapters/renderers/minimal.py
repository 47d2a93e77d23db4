"""The smallest valid media, at once: for dry runs of the whole pipeline and for tests.

Nothing here shows or says what a brief asks for. Two briefs with different seeds get different bytes, so that
whatever counts, hashes and moves media has something real to work on.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from pipeline.adapters.audio import encode_audio, measure_audio
from pipeline.adapters.decoding import decode_picture
from pipeline.adapters.images import encode_image
from pipeline.adapters.provenance import describe_software
from pipeline.contracts.render import (
    Brief,
    ImageFacts,
    Licence,
    ModelFiles,
    Render,
    Renderer,
    RendererOptions,
    RenderFailure,
    Source,
)
from pipeline.values.records import Modality
from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

IMAGE_SIDE = 64
DURATION: Seconds = 0.3
SAMPLE_RATE: Hertz = 8_000


Make = Callable[[Brief], Render | RenderFailure]


class MinimalOptions(RendererOptions):
    """Nothing can be chosen."""


class MinimalRenderer:
    """Calls one function a brief. Same seed, same bytes, whatever the text."""

    def __init__(self, modality: Modality, make: Make) -> None:
        self._modality = modality
        self._make = make

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        """Return one outcome per brief, in order; what fails is a brief of another modality or a broken source."""
        return [
            self._make(brief)
            if brief.modality is self._modality
            else RenderFailure(
                code="bad_brief", message=f"brief {brief.id}: modality is {brief.modality}, must be {self._modality}"
            )
            for brief in briefs
        ]

    def provenance(self) -> Mapping[str, str]:
        """The encoders' versions."""
        return describe_software("pillow", "soundfile")


class MinimalPlugin:
    """For dry runs and tests: the smallest valid image, music or speech, at once and whatever the brief says."""

    version = "1"
    is_draft = True
    options: type[RendererOptions] = MinimalOptions

    def __init__(self, modality: Modality, make: Make) -> None:
        self.name = f"minimal-{modality}"
        self.modality = modality
        self._make = make

    def models(self, options: MinimalOptions) -> Sequence[str]:
        """None."""
        return ()

    def licences(self, options: MinimalOptions) -> Mapping[str, Licence]:
        """None: everything is computed."""
        return {}

    def is_commercial_use_allowed(self, options: MinimalOptions) -> bool:
        """Nothing forbids it."""
        return True

    def missing(self) -> str | None:
        """Return None: the core's own dependencies suffice."""
        return None

    def estimate(self, options: MinimalOptions, brief: Brief) -> Seconds:
        """One millisecond."""
        return 0.001

    def load(self, options: MinimalOptions, models: ModelFiles) -> Renderer:
        """Return the renderer; nothing is loaded."""
        return MinimalRenderer(self.modality, self._make)


class MinimalImagePlugin(MinimalPlugin):
    """For dry runs and tests: the smallest valid image, at once, which can also be one that is changed."""

    def describe_edits(self, options: MinimalOptions) -> Mapping[str, Any]:
        """Nothing can be chosen."""
        return {}


def make_picture(brief: Brief) -> Render | RenderFailure:
    """Make a gradient, or lay a tint over the picture that is to be changed."""
    return make_gradient(brief) if brief.source is None else make_tint(brief, brief.source)


def make_tint(brief: Brief, source: Source) -> Render | RenderFailure:
    """Mix a picture with a seeded colour, half and half, at its own size."""
    try:
        picture = decode_picture(source.load())
    except ValueError as exc:
        return RenderFailure(code="bad_source", message=f"brief {brief.id}: {source.asset}: {exc}")
    from PIL import Image

    colour = tuple(Random(brief.seed).randbytes(3))
    tinted = Image.blend(picture, Image.new("RGB", picture.size, colour), 0.5)
    facts = ImageFacts(width=picture.width, height=picture.height)
    return Render(data=encode_image(tinted, "png", 0), extension="png", facts=facts, is_edit=True)


def make_gradient(brief: Brief) -> Render:
    """Make a PNG of 64 by 64 pixels that runs from one seeded colour on the left to another on the right."""
    from PIL import Image

    random = Random(brief.seed)
    left, right = [[random.randrange(256) for _ in range(3)] for _ in range(2)]
    last = IMAGE_SIDE - 1
    row = bytes((a * (last - x) + b * x) // last for x in range(IMAGE_SIDE) for a, b in zip(left, right, strict=True))
    buffer = io.BytesIO()
    Image.frombytes("RGB", (IMAGE_SIDE, IMAGE_SIDE), row * IMAGE_SIDE).save(buffer, format="PNG", compress_level=1)
    return Render(data=buffer.getvalue(), extension="png", facts=ImageFacts(width=IMAGE_SIDE, height=IMAGE_SIDE))


def make_tone(brief: Brief) -> Render:
    """Make 0.3 s of a sine between 220 and 880 Hz as FLAC, one channel, 8 kHz."""
    import numpy as np

    frequency = 220.0 * 4.0 ** Random(brief.seed).random()
    times = np.arange(round(DURATION * SAMPLE_RATE), dtype=np.float64) / SAMPLE_RATE
    # The arch from zero to zero spares the ends a click.
    arch = np.sin(math.pi * times / DURATION)
    samples: Samples = (0.5 * arch * np.sin(2.0 * math.pi * frequency * times)).astype(np.float32)
    return Render(
        data=encode_audio(samples, SAMPLE_RATE, "flac"), extension="flac", facts=measure_audio(samples, SAMPLE_RATE)
    )


IMAGE = MinimalImagePlugin(Modality.IMAGE, make_picture)
MUSIC = MinimalPlugin(Modality.MUSIC, make_tone)
SPEECH = MinimalPlugin(Modality.SPEECH, make_tone)
