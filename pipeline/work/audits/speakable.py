"""Whether what is spoken can be spoken: no links, code, tables or markup, and sentences that one breath carries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.languages import count_words
from pipeline.values.records import Modality
from pipeline.values.utterances import list_utterances

UNFIT: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(pattern, re.MULTILINE))
    for what, pattern in (
        ("a link", r"(?i)\bhttps?:|\bwww\.|\]\([^)\s]{1,500}\)"),
        (
            "code",
            r"`|[{};]\s*$|\b(?:def|function|import|const|let|var) \w+\s?[(={;]|==|=>|!=|&&|\|\||\w\(\)|</?\w+[^<>]*>",
        ),
        ("a table", r"\|[^|\n]*\||\t\S+\t|^\s*[-+=]{5,}\s*$"),
        ("markup", r"\*\*|\*\w|__|~~|^\s{0,3}#{1,6}\s|^\s{0,3}[-*+•]\s"),
        ("a numbered list", r"^\s{0,3}\d{1,2}[.)]\s+\S.*\n\s{0,3}\d{1,2}[.)]\s"),
        ("a sign", r"[\U0001F000-\U0001FAFF\u2600-\u27BF\u2190-\u21FF\u2200-\u22FF\u2500-\u25FF<>\\^~\[\]{}|]"),
    )
)
"""What no voice can say, by what it is called; of several, the first one is named."""

LONGEST_SENTENCE = 60.0
"""Words; at the usual 2.5 a second, 24 s without a pause. Legal prose has 50."""

_SENTENCE = re.compile(r"[.!?。！？…\n]+")

MEASURES = (
    count_measure("unfit_speech", "Speech parts whose words hold a link, code, a table, markup or signs."),
    Measure(
        name="dialogue.longest_sentence",
        unit="words",
        better="lower",
        limit=LONGEST_SENTENCE,
        summary="Words of the longest sentence that is spoken.",
    ),
)


def read_speakable(item: AuditItem) -> Readings:
    """Return both measures; neither applies to a dialogue without speech."""
    parts = [part for part in list_utterances(item.row) if part.kind == Modality.SPEECH]
    if not parts:
        return {}
    # The transcript is what a model learns to say, and the spoken form what the voice was given.
    found = [(part.place, what) for part in parts if (what := find_unfit(part.text) or find_unfit(part.spoken))]
    sentences = [count_words(one) for part in parts for one in _SENTENCE.split(part.spoken or part.text)]
    detail = "; ".join(f"part {place} holds {what}" for place, what in found)
    return {
        "dialogue.unfit_speech": Reading(value=float(len(found)), detail=detail),
        "dialogue.longest_sentence": Reading(value=max(sentences)),
    }


def find_unfit(text: str) -> str | None:
    """Say what a text holds that cannot be spoken, or None."""
    return next(find_all_unfit(text), None)


def find_all_unfit(text: str) -> Iterator[str]:
    """Yield all that a text holds that cannot be spoken."""
    return (what for what, pattern in UNFIT if pattern.search(text))


def _open(options: AuditOptions) -> OneByOne:
    return OneByOne(read_speakable)


PLUGIN = PlainAudit("speakable", "1", MEASURES, _open)
