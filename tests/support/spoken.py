"""Real speech for audits: sentences by a small voice."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers.piper import PLUGIN
from pipeline.adapters.speech import SpeechOptions
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import Brief, Render, Renderer
from pipeline.values.records import Modality

VOICE = load_voices(Path(__file__).parents[2] / "manifests" / "voices.yaml")["joe"]

Sound = tuple[npt.NDArray[np.float32], int]
"""Samples of shape (num_frames, num_channels), and frames per second."""


@cache
def _renderer() -> Renderer:
    return PLUGIN.load(SpeechOptions(threads=1), ModelCache())


def speak(text: str) -> Sound:
    """A sentence as Piper says it."""
    brief = Brief(id="b", modality=Modality.SPEECH, text=text, seed=11, voice=VOICE)
    (outcome,) = _renderer().render([brief])
    assert isinstance(outcome, Render), outcome
    return soundfile.read(io.BytesIO(outcome.data), dtype="float32", always_2d=True)  # type: ignore[no-any-return]
