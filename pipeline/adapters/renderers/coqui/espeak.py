"""Phonemes for coqui's models from espeak-ng's library, so that no program need be installed on the system.

coqui-tts starts the program ``espeak-ng`` for every stretch between two punctuation marks. Here the shared library of
the package espeakng-loader is asked for the same phonemes in the same form (IPA), and coqui's own code around it keeps
the punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ESPEAK_NAMES = {"en": "en-us", "zh-cn": "cmn"}
"""What coqui's models call a language, where espeak-ng calls it otherwise."""

_OTHERS = ("be", "bn", "ja-jp", "ko-kr", "zh-cn")
"""Languages that coqui reads with other phonemizers unless a config says so."""


def choose_phonemizer(settings: Mapping[str, Any]) -> str | None:
    """Return the phonemizer that a config means; the oldest ones leave it out, and mean espeak."""
    named = settings.get("phonemizer") or None
    if named is None and settings.get("use_phonemes") and settings.get("phoneme_language") not in _OTHERS:
        return "espeak"
    return named


def register_phonemizer() -> None:
    """Put a phonemizer over the library in the place of coqui's own ``espeak``, for this process."""
    import espeakng_loader  # type: ignore[import-untyped]
    from phonemizer.backend.espeak.wrapper import EspeakWrapper
    from TTS.tts.utils.text import phonemizers
    from TTS.tts.utils.text.phonemizers.base import BasePhonemizer

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())

    class LibraryPhonemizer(BasePhonemizer):  # type: ignore[misc]
        def __init__(self, language: str) -> None:
            self._espeak = EspeakWrapper()
            self._espeak.set_voice(_ESPEAK_NAMES.get(language, language))
            super().__init__(language, keep_puncs=True)

        @staticmethod
        def name() -> str:
            return "espeak"

        @classmethod
        def is_available(cls) -> bool:
            return True

        @staticmethod
        def supported_languages() -> dict[str, str]:
            return {}

        def is_supported_language(self, language: str) -> bool:
            return True  # else set_voice has raised

        def version(self) -> str:
            return ".".join(map(str, self._espeak.version))

        def _phonemize(self, text: str, separator: str) -> str:
            # Flags such as "(en)" mark a switch of language and are no phonemes.
            phonemes = re.sub(r"\(.+?\)", "", self._espeak.text_to_phonemes(text))
            return phonemes.strip().replace("_", separator)

    # Coqui fills its registry at the first question, over whatever stands there; so it is asked first.
    phonemizers.get_default_phonemizer("be")
    phonemizers.PHONEMIZERS["espeak"] = LibraryPhonemizer
