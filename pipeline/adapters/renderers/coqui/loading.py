"""From options to an engine, in the worker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pipeline.adapters.renderers.coqui.folder import locate_model, read_config
from pipeline.adapters.renderers.coqui.kernels import choose_speech_dtype
from pipeline.adapters.weights import choose_device, describe
from pipeline.values.errors import RenderError

if TYPE_CHECKING:
    from pipeline.adapters.renderers.coqui.options import CoquiOptions
    from pipeline.adapters.speech_batches import BatchSpeechEngine


def load_engine(options: CoquiOptions) -> BatchSpeechEngine:
    """Find the model, and build the engine of its kind.

    Raises:
        ModelFileError: the model is not there, is not whole, or holds what is refused.
        RenderError: it cannot be built, or there is no such device.
    """
    try:
        import torch
        import TTS  # noqa: F401  says what it lacks when it is imported
    except ImportError as exc:
        raise RenderError(f"coqui-tts cannot start: {exc}") from exc
    # It warns of every sign that a model does not know, with the whole text.
    logging.getLogger("TTS").setLevel(logging.ERROR)
    device = choose_device(options)
    dtype = choose_speech_dtype(options.dtype)
    if device == "cpu":
        torch.set_num_threads(options.threads)
    weights = locate_model(options)
    packages = ("coqui-tts", "torchaudio", "transformers", "phonemizer", "espeakng-loader")
    about = describe(weights, device, dtype, *packages)
    settings = read_config(weights.folder)
    if settings["model"] == "xtts":
        from pipeline.adapters.renderers.coqui.xtts import load_xtts

        return load_xtts(weights.folder, settings, about, options, device)
    from pipeline.adapters.renderers.coqui.vits import load_vits

    return load_vits(weights.folder, settings, about, device, dtype)
