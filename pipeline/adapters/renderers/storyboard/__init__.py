"""Picture drafts: a description is read and composed as a flat illustration of emoji art and drawings of our own.

Importing this package reads no vocabulary and imports neither an imaging library nor a rasteriser; :meth:`load` does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from pipeline.adapters.images import ImageExtension
from pipeline.adapters.renderers.storyboard.sizes import refuse_size
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions
from pipeline.values.records import Modality
from pipeline.values.render_sections import ImageSection, RendererChoice
from pipeline.values.units import Seconds

PACKAGES = {"PIL": "pillow", "resvg_py": "resvg-py", "yaml": "pyyaml"}
SENTENCE_PACKAGES = {"numpy": "numpy", "onnxruntime": "onnxruntime", "tokenizers": "tokenizers"}
LICENCES = {"noto-emoji": "Apache-2.0", "emojilib": "MIT", "emojibase-data": "MIT"}
SENTENCE_MODEL = "minilm-l6-v2-int8"


class StoryboardOptions(RendererOptions):
    """What a manifest can set.

    Attributes:
        quality: Of WebP and JPEG, 1 to 100.
        sentence_model: Look unknown nouns up by meaning too. Costs 20 s once and 5 ms a noun; off, since over 70
            unknown nouns it found a fitting picture for few that the keywords had missed.
    """

    format: ImageExtension = "png"
    quality: int = Field(default=85, ge=1, le=100)
    sentence_model: bool = False


class StoryboardPlugin:
    """Flat illustrations after a description, on any processor.

    Its output is a sketch of who and what is where, when and in which weather, not a picture of how it would look:
    nothing to train on.
    """

    name = "storyboard"
    version = "1"
    modality = Modality.IMAGE
    is_draft = True
    options: type[RendererOptions] = StoryboardOptions

    def models(self, options: StoryboardOptions) -> Sequence[str]:
        """Icons and keyword lists, and the sentence model where it is switched on."""
        return (*LICENCES, SENTENCE_MODEL) if options.sentence_model else tuple(LICENCES)

    def licences(self, options: StoryboardOptions) -> Mapping[str, Licence]:
        """Licences as the packages that carry the files state them."""
        return {**LICENCES, SENTENCE_MODEL: "Apache-2.0"} if options.sentence_model else LICENCES

    def is_commercial_use_allowed(self, options: StoryboardOptions) -> bool:
        """Apache-2.0 and MIT allow it."""
        return True

    def missing(self) -> str | None:
        """Name the first Python package that is not installed; those of the sentence model only load when used."""
        for module, package in PACKAGES.items():
            if importlib.util.find_spec(module) is None:
                return f"the storyboard renderer needs the package {package}: pip install {package}"
        return None

    def estimate(self, options: StoryboardOptions, brief: Brief) -> Seconds:
        """Measured on one core of a two-core server: 0.13 s at 512 x 512 pixels on average."""
        pixels = (brief.width or 512) * (brief.height or 512)
        return 0.05 + 0.08 * pixels / 512**2

    def describe_edits(self, options: StoryboardOptions) -> Mapping[str, Any]:
        """Nothing to choose: a changed picture is drawn anew after its own description, with its source's chances."""
        return {}

    def refuse_section(self, options: StoryboardOptions, section: RendererChoice) -> Mapping[str, str]:
        """Name a size that is too large or too narrow."""
        if isinstance(section, ImageSection) and (why := refuse_size(section.width, section.height)):
            return {"width": why}
        return {}

    def load(self, options: StoryboardOptions, models: ModelFiles) -> Renderer:
        """Read the vocabulary, the icons and the keyword lists."""
        from pipeline.adapters.renderers.storyboard.renderer import StoryboardRenderer

        return StoryboardRenderer(options, models)


PLUGIN = StoryboardPlugin()
