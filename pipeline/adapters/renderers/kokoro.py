"""Speech by Kokoro-82M through kokoro-onnx: 54 voices at 24 kHz, on a CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.phonemes import chinese, japanese
from pipeline.adapters.provenance import describe_software
from pipeline.adapters.speech import SpeechOptions, SpeechRenderer, estimate_duration
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions, RenderFailure, Voice
from pipeline.values.errors import RenderError
from pipeline.values.records import Modality
from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    from kokoro_onnx import Kokoro
    from phonemizer.backend import EspeakBackend

    from pipeline.adapters.audio import Samples

MODEL = "kokoro-82m-int8"
VOICES = "kokoro-voices-v1.0"

ESPEAK_LANGUAGES: Mapping[str, str] = {
    "en-US": "en-us",
    "en-GB": "en-gb",
    "es": "es",
    "fr-FR": "fr-fr",
    "hi": "hi",
    "it": "it",
    "pt-BR": "pt-br",
}
"""BCP 47 tag of a voice to espeak-ng's name."""

OWN_READERS: Mapping[str, Mapping[str, str]] = {"ja": japanese.PACKAGES, "zh": chinese.PACKAGES}
"""Base of a tag to the packages, by module, of a reader other than espeak-ng, which reads an ideograph as the words
"Chinese letter": the model was trained on phonemes of other tools there."""

REAL_TIME_FACTOR = 0.8
"""Seconds of work a second of speech, one thread of a shared two-core cloud machine without a GPU."""


class KokoroEngine:
    """One loaded Kokoro model. Deterministic: the model draws no random numbers."""

    name = "kokoro"
    sample_rate: Hertz = 24_000

    def __init__(self, kokoro: Kokoro, errors: tuple[type[Exception], ...]) -> None:
        self._kokoro = kokoro
        self._backends: dict[str, EspeakBackend] = {}
        self._readers: dict[str, Callable[[str], str]] = {}
        self.errors = errors

    def refuse(self, voice: Voice) -> RenderFailure | None:
        """Refuse speakers that the voices file lacks and languages without phonemes."""
        if voice.speaker not in self._kokoro.voices:
            known = ", ".join(sorted(self._kokoro.voices))
            return RenderFailure(
                code="unknown_voice", message=f"voice {voice.name!r}: kokoro has no speaker {voice.speaker!r}: {known}"
            )
        problem = refuse_language(voice)
        return None if problem is None else RenderFailure(code="unsupported_language", message=problem)

    def start(self, brief: Brief, voice: Voice) -> Callable[[str], Samples]:
        """Return a function that speaks one chunk with this voice and pace."""
        import numpy as np

        read = self._reader(_find_language(voice) or "en-US")
        style = np.asarray(self._kokoro.get_voice_style(voice.speaker), dtype=np.float32)
        vocabulary = self._kokoro.tokenizer.vocab

        def speak(text: str) -> Samples:
            phonemes = "".join(sign for sign in read(text) if sign in vocabulary).strip()
            if not any(sign.isalpha() for sign in phonemes):
                return np.zeros(0, dtype=np.float32)
            samples, _ = self._kokoro.create(phonemes, style, speed=brief.rate, is_phonemes=True, trim=False)
            return np.asarray(samples, dtype=np.float32).reshape(-1)

        return speak

    def provenance(self) -> Mapping[str, str]:
        """The libraries that read the text and run the model."""
        others = [package for packages in OWN_READERS.values() for package in packages.values()]
        return describe_software("kokoro-onnx", "onnxruntime", "phonemizer", "espeakng-loader", *others)

    def _reader(self, tag: str) -> Callable[[str], str]:
        """What reads a language into phonemes, kept.

        Raises:
            RenderError: its packages are not installed.
        """
        if tag not in self._readers:
            self._readers[tag] = self._make_reader(tag)
        return self._readers[tag]

    def _make_reader(self, tag: str) -> Callable[[str], str]:
        if tag in ESPEAK_LANGUAGES:
            backend = self._backend(ESPEAK_LANGUAGES[tag])
            return lambda text: str(backend.phonemize([text])[0])
        if problem := _find_missing(tag):
            raise RenderError(f"kokoro: {problem}")
        if tag == "ja":
            return japanese.JapaneseReader()
        return chinese.ChineseReader(read_latin=self._reader("en-US"))

    def _backend(self, language: str) -> EspeakBackend:
        """One phonemizer a language, kept: making one copies espeak-ng's library into a temporary folder."""
        import logging

        from phonemizer.backend import EspeakBackend

        if language not in self._backends:
            quiet = logging.getLogger("pipeline.kokoro.phonemizer")
            quiet.setLevel(logging.ERROR)
            # Flags such as "(en)" would be spoken letter by letter: the model knows those signs as phonemes.
            self._backends[language] = EspeakBackend(
                language, preserve_punctuation=True, with_stress=True, language_switch="remove-flags", logger=quiet
            )
        return self._backends[language]


class KokoroPlugin:
    """Speech by Kokoro-82M, quantised to int8.

    Same brief, same bytes, whatever the number of threads (checked for 1 and 2); other processors may round
    differently. A long text is spoken in chunks of at most 200 characters.

    Estimates are for one thread of a two-core cloud machine without a GPU. More threads than idle cores make it
    slower.

    Licences: the weights and voices are Apache-2.0. Phonemes come from espeak-ng through phonemizer, both
    GPL-3.0-or-later: what they speak is free of it, but a program that is shipped with them is not.
    """

    name = "kokoro"
    version = "1"
    modality = Modality.SPEECH
    is_draft = False
    options: type[RendererOptions] = SpeechOptions

    def models(self, options: SpeechOptions) -> Sequence[str]:
        """The model and the file of its voices."""
        return (MODEL, VOICES)

    def licences(self, options: SpeechOptions) -> Mapping[str, Licence]:
        """Weights and voices, and the pronunciation data that the phonemes come from."""
        return {MODEL: "Apache-2.0", VOICES: "Apache-2.0", "espeak-ng": "GPL-3.0-or-later"}

    def is_commercial_use_allowed(self, options: SpeechOptions) -> bool:
        """Apache-2.0 allows it, and the GPL does not reach what a program puts out."""
        return True

    def refuse_voice(self, options: SpeechOptions, voice: Voice) -> str | None:
        """Refuse languages without phonemes."""
        return refuse_language(voice)

    def missing(self) -> str | None:
        """Name the Python package that is not installed, or None."""
        if importlib.util.find_spec("kokoro_onnx") is None:
            return "the package kokoro-onnx is not installed; get it with: pip install kokoro-onnx"
        return None

    def missing_for(self, options: SpeechOptions, language: str) -> str | None:
        """Name the packages that read this language and are not installed, or None."""
        return _find_missing(language)

    def estimate(self, options: SpeechOptions, brief: Brief) -> Seconds:
        """Expected duration times the real-time factor of one thread."""
        return estimate_duration(brief.text, brief.rate) * REAL_TIME_FACTOR

    def load(self, options: SpeechOptions, models: ModelFiles) -> Renderer:
        """Load the model (about one second, 300 MB of memory).

        Raises:
            ModelFileError: a model file is missing.
            RenderError: the engine or its phonemizer cannot start.
        """
        model = models.path(MODEL) / "model.onnx"
        voices = models.path(VOICES) / "voices.npz"
        import onnxruntime
        from kokoro_onnx import Kokoro
        from onnxruntime.capi import onnxruntime_pybind11_state as engine_state

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        # Idle threads sleep instead of spinning on cores that other stages need.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        errors = (ValueError, RuntimeError, engine_state.Fail, engine_state.RuntimeException)
        try:
            session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
            kokoro = Kokoro.from_session(session, str(voices))
        except (*errors, engine_state.NoSuchFile, engine_state.InvalidProtobuf, OSError) as exc:
            raise RenderError(f"kokoro cannot be loaded from {model} and {voices}: {exc}") from exc
        return SpeechRenderer(KokoroEngine(kokoro, errors), options)


def refuse_language(voice: Voice) -> str | None:
    """Say that a voice speaks no language that there are phonemes for, or None."""
    if _find_language(voice) is not None:
        return None
    known = ", ".join((*ESPEAK_LANGUAGES, *OWN_READERS))
    return f"voice {voice.name!r} speaks {', '.join(voice.languages)}; kokoro has phonemes here for {known}"


def _find_language(voice: Voice) -> str | None:
    """Return the first of the voice's languages that there are phonemes for, as the tables above call it."""
    for tag in voice.languages:
        base = tag.partition("-")[0]
        if tag in ESPEAK_LANGUAGES or base in OWN_READERS:
            return tag if tag in ESPEAK_LANGUAGES else base
    return None


def _find_missing(language: str) -> str | None:
    packages = OWN_READERS.get(language, {})
    absent = [name for module, name in packages.items() if importlib.util.find_spec(module) is None]
    if not absent:
        return None
    return f"to read {language}, {', '.join(absent)} must be installed: pip install 'anyinstruct[languages]'"


PLUGIN = KokoroPlugin()
