"""Whether a dialogue is in its language, and its descriptions in English, as renderers read them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.contracts.audit import AuditItem, AuditOptions, Reading, Readings
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.languages import ENGLISH, LANGUAGES, Language
from pipeline.values.utterances import Utterance, language_of, list_utterances
from pipeline.work.asking import InvalidAnswer
from pipeline.work.language_check import check_language


class LanguageOptions(AuditOptions):
    """What a row that states no language is held against.

    Attributes:
        language: BCP 47 tag; without one, the language that most of a dialogue's parts are in.
    """

    language: str = ""


MEASURES = (
    count_measure("foreign_parts", "Parts of text or speech that are plainly not in the dialogue's language."),
    count_measure("foreign_descriptions", "Descriptions of pictures or music that are plainly not in English."),
)


def read_language(item: AuditItem, options: LanguageOptions) -> Readings:
    """Return both counts. Only a row that states its language follows our rule for descriptions."""
    parts = list_utterances(item.row)
    said = [part for part in parts if part.is_said]
    stated = language_of(item.row)
    tag = stated or options.language or _guess(said)
    described = [part for part in parts if not part.is_said] if stated else []
    return {
        "dialogue.foreign_parts": _count(said, tag),
        "dialogue.foreign_descriptions": _count(described, ENGLISH),
    }


def is_foreign(text: str, language: Language) -> bool:
    """True where a text is plainly in another language."""
    try:
        check_language("text", text, language)
    except InvalidAnswer:
        return True
    return False


def _count(parts: Sequence[Utterance], tag: str) -> Reading:
    language = LANGUAGES.get(tag)
    if not parts:
        return Reading(value=None)
    if language is None:
        return Reading(value=None, detail=f"no check for the language {tag!r:.20}")
    found = [part for part in parts if is_foreign(part.text, language)]
    return Reading(value=float(len(found)), detail="; ".join(f"part {part.place}: {part.text!r:.60}" for part in found))


def _guess(parts: Sequence[Utterance]) -> str:
    """Return the language that takes offence at the fewest parts; at a tie the one that asks for more comes first."""
    texts = [part.text for part in parts]
    ranked = sorted(LANGUAGES.values(), key=lambda one: (not one.telling, one.shares_script))
    return min(ranked, key=lambda one: sum(is_foreign(text, one) for text in texts)).tag


def _open(options: LanguageOptions) -> OneByOne:
    return OneByOne(lambda item: read_language(item, options))


PLUGIN = PlainAudit("language", "1", MEASURES, _open, LanguageOptions)
