"""Music by MusicGen through transformers: the small, medium and large kinds, stereo, and melody by text alone.

Importing this package imports neither torch nor transformers; :meth:`MusicgenPlugin.load` does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from pydantic import Field

from pipeline.adapters.music import MusicOptions, MusicRenderer, duration_of, refuse_length
from pipeline.adapters.weights import WeightOptions, allows_commercial_use
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions
from pipeline.values.records import Modality
from pipeline.values.render_sections import RendererChoice
from pipeline.values.units import Seconds

KINDS = (
    "small",
    "medium",
    "large",
    "melody",
    "melody-large",
    "stereo-small",
    "stereo-medium",
    "stereo-large",
    "stereo-melody",
    "stereo-melody-large",
)
"""What Meta published under facebook/musicgen-…; the weights of all are CC-BY-NC-4.0 by their model cards."""

LICENCES: Mapping[str, Licence] = MappingProxyType({f"facebook/musicgen-{kind}": "CC-BY-NC-4.0" for kind in KINDS})

TRAINED_WINDOW: Seconds = 30.0
"""MusicGen was trained on crops of 30 s (Copet et al. 2023, section 3) and knows no position after them."""

FRAMES_PER_SECOND = 50
"""Of the codec: 32,000 samples a second, 640 a frame."""


class Size(NamedTuple):
    """Layers and width of a decoder, for :meth:`MusicgenPlugin.estimate`."""

    layers: int
    width: int


SIZES = MappingProxyType({"small": Size(24, 1024), "medium": Size(48, 1536), "large": Size(48, 2048)})
"""As the models' config.json state them; the melody kinds without ``large`` are of the medium size."""


class MusicgenOptions(WeightOptions, MusicOptions):
    """What a manifest can set.

    Attributes:
        guidance: Classifier-free guidance; 3 is what MusicGen's paper uses, 1 turns it off and halves the work.
        temperature: Of the draw.
        top_k: Candidates a draw, 0 for all; 250 is the paper's.
        top_p: Share of the probability that the candidates make up, 1 for all; taken after ``top_k``.
    """

    known_licences: ClassVar[Mapping[str, Licence]] = LICENCES

    model: str = "facebook/musicgen-small"
    guidance: float = Field(default=3.0, ge=1.0, le=20.0)
    temperature: float = Field(default=1.0, gt=0.0, le=5.0)
    top_k: int = Field(default=250, ge=0, le=2048)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)


class MusicgenPlugin:
    """MusicGen through transformers, batched, with one generator a piece.

    The same batch gives the same bytes on the same machine. In another batch a piece differs by rounding: by 1e-5 of
    full scale at most in float32, but for the rare draw in which two candidates come equal to that precision, after
    which it goes another way; in bfloat16 that happens in most pieces. Processor and GPU give different pieces.

    The melody kinds are driven by the description alone, as no brief carries a melody. MusicGen makes 30 s at most in
    one go, since transformers has no sliding window: a manifest that asks for longer is refused, and a longer brief
    fails as ``bad_duration``.
    """

    name = "musicgen"
    version = "1"
    modality = Modality.MUSIC
    is_draft = False
    options: type[RendererOptions] = MusicgenOptions

    def models(self, options: MusicgenOptions) -> Sequence[str]:
        """Name no locked model: the weights come from the hub or a folder."""
        return ()

    def licences(self, options: MusicgenOptions) -> Mapping[str, Licence]:
        """Licence of the weights."""
        return {options.model: options.effective_licence}

    def is_commercial_use_allowed(self, options: MusicgenOptions) -> bool:
        """False for all that Meta published (CC-BY-NC-4.0)."""
        return allows_commercial_use(options.effective_licence)

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        for package in ("torch", "transformers", "safetensors", "soundfile"):
            if importlib.util.find_spec(package) is None:
                return f"the musicgen renderer needs the package {package}: pip install 'anyinstruct[models]'"
        return None

    def refuse_section(self, options: MusicgenOptions, section: RendererChoice) -> Mapping[str, str]:
        """Refuse pieces that are longer than the model's window."""
        return refuse_length(section, self.name, TRAINED_WINDOW)

    def estimate(self, options: MusicgenOptions, brief: Brief) -> Seconds:
        """Computed for one A100 (bfloat16, batches of 16), not measured.

        A step is 1/50 s of music. Eager PyTorch launches about 40 kernels a layer and step at about 10 us each, so a
        batch's step takes 0.4 ms a layer: 10 ms with small, 19 ms with medium and large. On top come each piece's own
        operations at 100 TFLOP/s, a third of the peak: 2 a weight, 16 width^2 weights a layer (self-attention 4,
        cross-attention 4, feed-forward 8), twice with guidance.
        """
        size = _size_of(options.model)
        wanted = duration_of(brief)
        steps = min(wanted, TRAINED_WINDOW) * FRAMES_PER_SECOND if wanted > 0 else 0.0
        operations = 2 * 16 * size.width**2 * size.layers * (1 if options.guidance == 1.0 else 2)
        return steps * (0.4e-3 * size.layers / 16 + operations / 100e12)

    def load(self, options: MusicgenOptions, models: ModelFiles) -> Renderer:
        """Load the weights."""
        from pipeline.adapters.renderers.musicgen.model import MusicgenEngine

        return MusicRenderer(MusicgenEngine(options), options)


def _size_of(model: str) -> Size:
    words = model.casefold().replace("_", "-").split("-")
    return next((SIZES[word] for word in ("large", "small") if word in words), SIZES["medium"])


PLUGIN = MusicgenPlugin()
