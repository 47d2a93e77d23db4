"""Which voices speak the language of a corpus."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.contracts.render import Voice
from pipeline.values.voice_sets import base_language
from pipeline.values.words import say_some
from pipeline.work.casting import Casting


def refuse_language(voice: Voice, language: str, voices: Mapping[str, Voice]) -> str | None:
    """Say that a voice does not speak a corpus's language, and which of its renderer do, or None.

    Args:
        voice: One that the manifest chooses.
        language: BCP 47, the base alone.
        voices: All of the voices file.
    """
    if _spoken_tags(voice, language):
        return None
    others = [other.name for other in voices.values() if other.renderer == voice.renderer]
    fitting = [name for name in others if _spoken_tags(voices[name], language)]
    advice = (
        f"choose {say_some(fitting)}, or language:{language}" if fitting else f"{voice.renderer} has no voice that does"
    )
    spoken = ", ".join(voice.languages)
    return f"voice {voice.name!r} speaks {spoken}, and the corpus's language is {language}; {advice}"


def in_language(casting: Casting, language: str) -> Casting:
    """Return a casting whose voices speak a corpus's language, where a voice speaks several.

    A renderer takes the first language of a voice that it knows. A voice that has the corpus's first stays as it is,
    and so does what was rendered with it.
    """
    pool = {name: _narrow(voice, language) for name, voice in casting.pool.items()}
    return Casting(pool, _narrow(casting.assistant, language))


def _narrow(voice: Voice, language: str) -> Voice:
    spoken = _spoken_tags(voice, language)
    if not spoken or voice.languages[0] in spoken:
        return voice
    return voice.model_copy(update={"languages": spoken})


def _spoken_tags(voice: Voice, language: str) -> tuple[str, ...]:
    return tuple(tag for tag in voice.languages if base_language(tag) == language)
