"""Whether a clip says the words that it should: what Whisper hears, against what was to be spoken.

Both are normalised first, so that "12.50 dollars" and "$12.50" are the same words. A listener mishears names and short
sentences: a word spelt nearly alike counts by its letters, a clip of fewer than :data:`MIN_WORDS` words is heard and
not judged, and what is judged of the others is not the share of wrong words but its lower confidence bound.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.adapters.resampling import resample
from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings, Subject

if TYPE_CHECKING:
    from pipeline.contracts.render import Licence, ModelFiles

MODEL = "whisper-base"
RATE = 16_000
"""Hertz that Whisper hears."""
MIN_WORDS = 8
Z_ONE_SIDED = 1.6448536269514722
"""95 % quantile of the normal distribution."""

MEASURES = (
    Measure(
        name="speech.word_errors",
        unit="share",
        better="lower",
        summary="Words heard wrong, of the words to be spoken; of characters where words are not set apart.",
    ),
    Measure(
        name="speech.wrong_words",
        unit="share",
        better="lower",
        limit=0.1,
        summary="Share of wrong words that is exceeded with 95 % confidence; of clips of eight words and more.",
    ),
    Measure(
        name="speech.missing_end",
        unit="words",
        better="lower",
        limit=1.0,
        summary="Words to be spoken after the last one that was heard, less what was heard after it.",
    ),
)


class SpeechWordsOptions(AuditOptions):
    """What can be chosen.

    Attributes:
        model: A locked model, a folder in CTranslate2's form (begins with ``/``, ``./``, ``../`` or ``~``).
        language: Of clips whose script does not tell it.
        beam: Hypotheses followed; more hear a little better and take longer.
    """

    model: str = MODEL
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
    beam: int = Field(default=1, ge=1, le=10)


class WordListener:
    """Hears clips one by one."""

    def __init__(self, folder: str, options: SpeechWordsOptions) -> None:
        from faster_whisper import WhisperModel

        self._options = options
        threads = min(4, os.cpu_count() or 1)
        self._model = WhisperModel(folder, device="auto", compute_type="int8", cpu_threads=threads)

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each clip, in order."""
        return [self._measure(item) for item in items]

    def _measure(self, item: AuditItem) -> Readings:
        wanted = str(item.row.get("spoken") or item.row.get("transcript") or "")
        language = find_language(wanted, self._options.language)
        expected = normalise(wanted, language)
        if not expected:
            return {}
        text = self._listen(item, language)
        heard = normalise(text, language)
        bound = lower_bound(weigh_errors(expected, heard), len(expected))
        detail = f"heard: {text}"
        return {
            "speech.word_errors": Reading(value=count_errors(expected, heard) / len(expected), detail=detail),
            "speech.wrong_words": Reading(value=bound, detail="too few words to judge" if bound is None else detail),
            "speech.missing_end": Reading(value=float(count_missing_end(expected, heard)), detail=detail),
        }

    def _listen(self, item: AuditItem, language: str) -> str:
        samples, rate = item.media
        mono = resample(samples.mean(axis=1, keepdims=True), rate, RATE)[:, 0]
        segments, _ = self._model.transcribe(
            mono.astype("float32"),
            language=language,
            beam_size=self._options.beam,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)


def find_language(text: str, otherwise: str) -> str:
    """Tell Japanese and Chinese by their script; other languages are as stated."""
    names = {unicodedata.name(character, "").split(" ")[0] for character in text}
    if names & {"HIRAGANA", "KATAKANA"}:
        return "ja"
    return "zh" if "CJK" in names else otherwise


def normalise(text: str, language: str) -> list[str]:
    """Return the words of a text as they are compared; its characters in Japanese and Chinese."""
    if language in ("ja", "zh"):
        return [character for character in unicodedata.normalize("NFKC", text) if character.isalnum()]
    words: list[str] = _normaliser(language == "en")(text).split()
    return words


@cache
def _normaliser(is_english: bool) -> Any:
    if is_english:
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer()


def count_errors(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Count the words changed, left out and added; never more than there are, for what is all wrong is all wrong."""
    from rapidfuzz.distance import Levenshtein

    return min(len(expected), Levenshtein.distance(expected, heard))


def weigh_errors(expected: Sequence[str], heard: Sequence[str]) -> float:
    """Count errors by words, or by letters in units of words where that is less: a misheard name keeps most of them."""
    from rapidfuzz.distance import Levenshtein

    letters, others = "".join(expected), "".join(heard)
    by_letters = min(1.0, Levenshtein.distance(letters, others) / len(letters)) * len(expected)
    return min(float(count_errors(expected, heard)), by_letters)


def count_missing_end(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Count the words after the last one that was heard; what was heard after it may be one of them, misheard."""
    from rapidfuzz.distance import Levenshtein

    same = [block for block in Levenshtein.opcodes(expected, heard) if block.tag == "equal"]
    ends = (same[-1].src_end, same[-1].dest_end) if same else (0, 0)
    return max(0, (len(expected) - ends[0]) - (len(heard) - ends[1]))


def lower_bound(errors: float, words: int) -> float | None:
    """Lower end of Wilson's one-sided 95 % interval for the share of wrong words (Wilson 1927); None for too few."""
    if words < MIN_WORDS:
        return None
    share, z2 = errors / words, Z_ONE_SIDED**2
    spread = Z_ONE_SIDED * math.sqrt(share * (1 - share) / words + z2 / (4 * words**2))
    return max(0.0, (share + z2 / (2 * words) - spread) / (1 + z2 / words))


class SpeechWordsPlugin:
    """Whisper through CTranslate2. Not a default audit: a minute of speech takes ten seconds of a core."""

    name = "speech-words"
    version = "2"
    about: Subject = "speech"
    is_default = False
    compares = False
    options = SpeechWordsOptions

    def measures(self, options: SpeechWordsOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return MEASURES

    def models(self, options: SpeechWordsOptions) -> Sequence[str]:
        """Name the locked model, unless a folder is given."""
        return () if _is_folder(options.model) else (options.model,)

    def licences(self, options: SpeechWordsOptions) -> Mapping[str, Licence]:
        """Whisper's weights are under the MIT licence."""
        return {options.model: "MIT"} if options.model == MODEL else {}

    def missing(self) -> str | None:
        """Name the packages that are not installed."""
        needed = {
            "faster_whisper": "faster-whisper",
            "rapidfuzz": "rapidfuzz",
            "whisper_normalizer": "whisper-normalizer",
        }
        absent = [package for module, package in needed.items() if find_spec(module) is None]
        return f"the package {absent[0]} is missing; pip install 'anyinstruct[audits]'" if absent else None

    def load(self, options: SpeechWordsOptions, models: ModelFiles) -> WordListener:
        """Load Whisper."""
        folder = os.path.expanduser(options.model) if _is_folder(options.model) else str(models.path(options.model))
        return WordListener(folder, options)


def _is_folder(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~"))


PLUGIN = SpeechWordsPlugin()
