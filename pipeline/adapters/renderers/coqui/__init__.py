"""Speech by coqui-tts: VITS of one or many speakers, and XTTS, which clones voices from recordings.

Importing this package imports neither torch nor coqui-tts; :meth:`CoquiPlugin.load` does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from pipeline.adapters.renderers.coqui.licences import NON_COMMERCIAL
from pipeline.adapters.renderers.coqui.options import CoquiOptions
from pipeline.adapters.speech import estimate_duration
from pipeline.adapters.weights import allows_commercial_use
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions
from pipeline.values.records import Modality
from pipeline.values.units import Seconds

PACKAGES = {"torch": "torch", "torchaudio": "torchaudio", "torchcodec": "torchcodec", "TTS": "coqui-tts"}
XTTS_READERS = {"ja": ("cutlet", "coqui-tts[ja]"), "zh": ("pypinyin", "pypinyin")}
"""The module that XTTS reads a language with, and what brings it."""

PHONEMES = {"phonemizer": "phonemizer", "espeakng_loader": "espeakng-loader"}

VITS_FACTOR = 0.003
XTTS_FACTOR = 0.24
"""Seconds of work a second of speech on one H100, see :class:`CoquiPlugin`."""


class CoquiPlugin:
    """Speech by VITS or XTTS, whichever the model is.

    Same batch, same bytes on the same device; in another batch, or with another number of threads, samples differ by
    rounding. VITS speaks a batch at once, XTTS one utterance after another. A text is spoken in chunks of at most 200
    characters.

    Estimates are for one NVIDIA H100, computed and not measured. VITS: its decoder takes 53 GFLOP a second of speech
    (its residual blocks 2 * 126 * C * C a sample, C from 256 to 32 channels at 689 to 22,050 samples a second, and the
    upsampling) and all else a thirtieth of that; at 20 TFLOP/s, an assumption for convolutions so narrow in TF32, that
    is 0.003 s. XTTS: 21.5 tokens a second of speech (22,050 Hz in codes of 1,024 samples), each one pass through 30
    layers of about 25 small kernels; at 15 microseconds to launch a kernel that is 0.24 s.

    Licences: coqui-tts is MPL-2.0. Phonemes come from espeak-ng through phonemizer, both GPL-3.0-or-later: what they
    speak is free of it, but a program that is shipped with them is not.
    """

    name = "coqui"
    version = "1"
    modality = Modality.SPEECH
    is_draft = False
    options: type[RendererOptions] = CoquiOptions

    def models(self, options: CoquiOptions) -> Sequence[str]:
        """Name no locked model: weights come from coqui's releases, from a hub or from a folder."""
        return ()

    def licences(self, options: CoquiOptions) -> Mapping[str, Licence]:
        """The model's, and that of the pronunciation data; XTTS reads letters and needs none."""
        model = {options.model: options.effective_licence}
        return model if _is_xtts(options) else {**model, "espeak-ng": "GPL-3.0-or-later"}

    def is_commercial_use_allowed(self, options: CoquiOptions) -> bool:
        """The model's licence decides: what is reviewed here, else one that is known to allow it."""
        licence = options.effective_licence
        if options.model in options.known_licences:
            return licence not in NON_COMMERCIAL
        return allows_commercial_use(licence)

    def missing(self) -> str | None:
        """Name the Python packages that are not installed. No program ``espeak-ng`` is needed."""
        absent = [
            package for module, package in {**PACKAGES, **PHONEMES}.items() if importlib.util.find_spec(module) is None
        ]
        if not absent:
            return None
        return f"not installed: {', '.join(absent)}; get them with: make models"

    def missing_for(self, options: CoquiOptions, language: str) -> str | None:
        """Name what XTTS reads this language with and is not installed, or None."""
        if not _is_xtts(options) or language not in XTTS_READERS:
            return None
        module, package = XTTS_READERS[language]
        if importlib.util.find_spec(module) is not None:
            return None
        return f"to read {language}, XTTS imports {module}, which is not installed: pip install '{package}'"

    def estimate(self, options: CoquiOptions, brief: Brief) -> Seconds:
        """Expected duration times the factor of the model's kind."""
        factor = XTTS_FACTOR if _is_xtts(options) else VITS_FACTOR
        return estimate_duration(brief.text, brief.rate) * factor

    def load(self, options: CoquiOptions, models: ModelFiles) -> Renderer:
        """Find, build and fill the model that the options name.

        Raises:
            ModelFileError: the model is not there, is not whole, or holds what is refused.
            RenderError: it cannot be built, or there is no such device.
        """
        from pipeline.adapters.renderers.coqui.loading import load_engine
        from pipeline.adapters.speech_batches import BatchSpeechRenderer

        return BatchSpeechRenderer(load_engine(options), options)


def _is_xtts(options: CoquiOptions) -> bool:
    """Tell the kind by the name, as nothing may be read yet; a folder of another name counts as VITS."""
    return "xtts" in options.model.casefold()


PLUGIN = CoquiPlugin()
