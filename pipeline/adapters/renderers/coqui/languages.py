"""Which of a model's languages a voice speaks."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.contracts.render import RenderFailure, Voice


def find_language(voice: Voice, known: Sequence[str]) -> str | None:
    """Return the model's name of the first of the voice's languages that it has; a region may be left out.

    Args:
        known: As models call them: ``en``, ``fr-fr``, ``zh-cn``.
    """
    for tag in voice.languages:
        wanted = tag.casefold()
        for name in known:
            if name.casefold() == wanted:
                return name
        for name in known:
            if name.casefold().partition("-")[0] == wanted.partition("-")[0]:
                return name
    return None


def refuse_language(voice: Voice, known: Sequence[str]) -> RenderFailure | None:
    """Refuse a voice none of whose languages the model has."""
    if find_language(voice, known) is not None:
        return None
    return RenderFailure(
        code="unsupported_language",
        message=f"voice {voice.name!r} speaks {', '.join(voice.languages)}; the model speaks {', '.join(known)}",
    )
