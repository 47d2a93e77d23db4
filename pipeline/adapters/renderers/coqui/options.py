"""What a manifest may choose of the renderer ``coqui``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from pipeline.adapters.renderers.coqui.licences import LICENCES
from pipeline.adapters.speech import SpeechOptions
from pipeline.adapters.weights import WeightOptions, check_source
from pipeline.contracts.render import Licence

LISTED = "tts_models/"
"""How names in coqui's own list of models begin."""


class CoquiOptions(SpeechOptions, WeightOptions):
    """What a manifest may choose.

    Attributes:
        model: A name of coqui's list (``tts_models/en/vctk/vits``), a hub id (``coqui/XTTS-v2``) or a folder with
            config.json and weights.
        dtype: ``auto`` is float32 here on every device: the models are small, lengths are decided by rounding, and
            convolutions run in TF32 where the device has it. Another one is used for matrix products and convolutions
            (autocast), and never for lengths.
        temperature, top_k, top_p, repetition_penalty: How XTTS draws its sounds; None takes the model's own. VITS
            knows none of them.
    """

    known_licences: ClassVar[Mapping[str, Licence]] = LICENCES

    temperature: float | None = Field(default=None, gt=0.0, le=2.0)
    top_k: int | None = Field(default=None, ge=1, le=1024)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    repetition_penalty: float | None = Field(default=None, ge=1.0, le=20.0)

    def own_place(self) -> Path | None:
        """Where coqui-tts keeps a model of its list; see ``locate_model``."""
        if not self.model.startswith(LISTED):
            return None
        home = os.environ.get("TTS_HOME") or os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(home).expanduser() / "tts" / self.model.replace("/", "--")

    @field_validator("model")
    @classmethod
    def _names_weights(cls, model: str) -> str:
        if not model.startswith(LISTED):
            return check_source(model)
        if model.count("/") != 3 or ".." in model:
            raise ValueError(f"{model!r} is no name of coqui's list; those are tts_models/<language>/<data>/<model>")
        return model
