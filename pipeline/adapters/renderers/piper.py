"""Speech by Piper (VITS): one voice at 22.05 kHz, several times faster than it is heard."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.provenance import describe_software
from pipeline.adapters.speech import SpeechOptions, SpeechRenderer, estimate_duration
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions, RenderFailure, Voice
from pipeline.values.errors import RenderError
from pipeline.values.records import Modality
from pipeline.values.units import Seconds

if TYPE_CHECKING:
    from piper.config import PiperConfig

    from pipeline.adapters.audio import Samples

MODEL = "piper-en-us-joe-medium"
SPEAKER = "joe"

SESSION_SECONDS: Seconds = 0.2
REAL_TIME_FACTOR = 0.15
"""Seconds of work a second of speech, one thread of a shared two-core cloud machine without a GPU."""


class PiperEngine:
    """One voice, its weights kept in memory.

    VITS draws noise inside the graph, for the timbre and for the length of every sound. onnxruntime seeds those draws
    once, when a session is built, and a second utterance goes on where the first stopped. So each brief gets a session
    of its own, seeded with the brief's seed: without graph optimisation that costs 0.2 s and speaks no slower.
    """

    name = "piper"

    def __init__(self, weights: bytes, config: PiperConfig, threads: int, errors: tuple[type[Exception], ...]) -> None:
        self._weights = weights
        self._config = config
        self._threads = threads
        self.sample_rate = config.sample_rate
        self.errors = errors

    def refuse(self, voice: Voice) -> RenderFailure | None:
        """Refuse any speaker but the one of the locked model."""
        problem = refuse_speaker(voice)
        return None if problem is None else RenderFailure(code="unknown_voice", message=problem)

    def start(self, brief: Brief, voice: Voice) -> Callable[[str], Samples]:
        """Build a session from the brief's seed and return a function that speaks one chunk."""
        import numpy as np
        import onnxruntime
        from piper import PiperVoice, SynthesisConfig

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        settings.inter_op_num_threads = 1
        # Idle threads sleep instead of spinning on cores that other stages need.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # A setting of the process, read only while a session is built; the engine takes 31 bits of it.
        onnxruntime.set_seed(brief.seed % (2**31 - 1))
        session = onnxruntime.InferenceSession(self._weights, settings, providers=["CPUExecutionProvider"])
        speaking = PiperVoice(session=session, config=self._config)
        manner = SynthesisConfig(length_scale=self._config.length_scale / brief.rate, normalize_audio=False)

        def speak(text: str) -> Samples:
            # Double brackets would be taken as phonemes.
            plain = text.replace("[", " ").replace("]", " ")
            clips = [chunk.audio_float_array.reshape(-1) for chunk in speaking.synthesize(plain, manner)]
            return np.concatenate(clips) if clips else np.zeros(0, dtype=np.float32)

        return speak

    def provenance(self) -> Mapping[str, str]:
        """The libraries that read the text and run the model."""
        return describe_software("piper-tts", "onnxruntime")


class PiperPlugin:
    """Speech by Piper with the voice Joe.

    Same brief, same bytes; another seed speaks the same words with slightly different lengths and timbre. Output does
    not depend on the number of threads (checked for 1 and 2); other processors may round differently.

    Estimates are for one thread of a two-core cloud machine without a GPU.

    Licences: the voice is CC0-1.0. The engine, piper-tts with espeak-ng inside, is GPL-3.0-or-later: what it speaks is
    free of it, but a program that is shipped with it is not.
    """

    name = "piper"
    version = "1"
    modality = Modality.SPEECH
    is_draft = False
    options: type[RendererOptions] = SpeechOptions

    def models(self, options: SpeechOptions) -> Sequence[str]:
        """The voice's weights and settings."""
        return (MODEL,)

    def licences(self, options: SpeechOptions) -> Mapping[str, Licence]:
        """The voice, and the pronunciation data that the phonemes come from."""
        return {MODEL: "CC0-1.0", "espeak-ng": "GPL-3.0-or-later"}

    def is_commercial_use_allowed(self, options: SpeechOptions) -> bool:
        """CC0 allows everything, and the GPL does not reach what a program puts out."""
        return True

    def refuse_voice(self, options: SpeechOptions, voice: Voice) -> str | None:
        """Refuse any speaker but the one of the locked model."""
        return refuse_speaker(voice)

    def missing(self) -> str | None:
        """Name the Python package that is not installed, or None."""
        if importlib.util.find_spec("piper") is None:
            return "the package piper-tts is not installed; get it with: pip install piper-tts"
        return None

    def estimate(self, options: SpeechOptions, brief: Brief) -> Seconds:
        """A session, then the expected duration times the real-time factor of one thread."""
        return SESSION_SECONDS + estimate_duration(brief.text, brief.rate) * REAL_TIME_FACTOR

    def load(self, options: SpeechOptions, models: ModelFiles) -> Renderer:
        """Read the weights (63 MB) and the settings beside them.

        Raises:
            ModelFileError: a model file is missing.
            RenderError: the files cannot be read or are no Piper voice.
        """
        folder: Path = models.path(MODEL)
        from onnxruntime.capi import onnxruntime_pybind11_state as engine_state
        from piper.config import PiperConfig

        try:
            weights = (folder / "model.onnx").read_bytes()
            config = PiperConfig.from_dict(json.loads((folder / "model.onnx.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as exc:
            raise RenderError(f"piper cannot be loaded from {folder}: {exc}") from exc
        errors = (ValueError, RuntimeError, engine_state.Fail, engine_state.RuntimeException)
        return SpeechRenderer(PiperEngine(weights, config, options.threads, errors), options)


def refuse_speaker(voice: Voice) -> str | None:
    """Say that a voice is not the one of the locked model, or None."""
    if voice.speaker == SPEAKER:
        return None
    return f"voice {voice.name!r}: piper has no speaker {voice.speaker!r}, only {SPEAKER}"


PLUGIN = PiperPlugin()
