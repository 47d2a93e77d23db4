"""Music by MusicGen through audiocraft: for checkpoints in audiocraft's own format, such as one's own training runs.

The models that Meta published are better driven by the ``musicgen`` renderer, which needs no special installation.
Importing this package imports neither torch nor audiocraft; :meth:`AudiocraftPlugin.load` does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from pipeline.adapters.music import MusicRenderer
from pipeline.adapters.renderers.musicgen import MusicgenOptions, MusicgenPlugin
from pipeline.adapters.weights import check_source
from pipeline.contracts.render import ModelFiles, Renderer, RendererOptions
from pipeline.values.render_sections import RendererChoice


class AudiocraftOptions(MusicgenOptions):
    """What a manifest can set, beyond what ``musicgen`` takes.

    Attributes:
        model: A hub id or a folder that holds ``state_dict.bin`` and ``compression_state_dict.bin``.
        text_encoder: The T5 that the checkpoint was trained with, as a hub id or a folder; unless stated, the one that
            the checkpoint names.
        codec: An EnCodec for transformers, as a hub id or a folder, where ``compression_state_dict.bin`` only names
            one; unless stated, the one named.
    """

    text_encoder: str | None = Field(default=None)
    codec: str | None = Field(default=None)

    @field_validator("text_encoder", "codec")
    @classmethod
    def _names_weights_too(cls, source: str | None) -> str | None:
        return source if source is None else check_source(source)


class AudiocraftPlugin(MusicgenPlugin):
    """MusicGen through audiocraft, batched, with one generator a piece.

    What ``musicgen`` says of sameness, limits and estimates holds here too; with the same weights, the two make
    the same piece only where there is no padding in a prompt, since audiocraft attends to it. Checkpoints are opened
    with ``weights_only``: one that holds anything but tensors, numbers and text is refused. Melody checkpoints are
    refused, since they need a source separator that pins an older torch.
    """

    name = "audiocraft"
    version = "1"
    options: type[RendererOptions] = AudiocraftOptions

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        for package in ("torch", "transformers", "audiocraft", "soundfile"):
            if importlib.util.find_spec(package) is None:
                return f"the audiocraft renderer needs the package {package}: make audiocraft"
        return None

    def refuse_section(self, options: Any, section: RendererChoice) -> Mapping[str, str]:
        """Refuse nothing: how long a piece may be stands in the checkpoint."""
        return {}

    def load(self, options: Any, models: ModelFiles) -> Renderer:
        """Load the weights."""
        from pipeline.adapters.renderers.audiocraft.model import AudiocraftEngine

        return MusicRenderer(AudiocraftEngine(options), options)


PLUGIN = AudiocraftPlugin()
