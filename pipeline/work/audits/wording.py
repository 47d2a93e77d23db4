"""How much a dialogue says and how often it says the same: length, loops, placeholders, variety of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.ids import normalise_text
from pipeline.values.languages import SIGNS_A_WORD, count_words, is_unspaced, split_words
from pipeline.values.utterances import Utterance, list_utterances

LOOP_WORDS = 3
"""Words of a run that is looked for again; of signs that stand without spaces, twice as many."""

LOOP_FROM = 10
"""Runs of a part from which loops are looked for: in fewer, one chorus of three words is a third."""

LONG_TURN = 5
"""Words from which a turn that stands twice is no mere "Thank you"."""

_PLACEHOLDER = re.compile(
    r"lorem ipsum|\b(?:todo|fixme|tbd)\b:?|\{\{?\s?\w+\s?\}?\}|<\|?\w{2,20}\|?>|"
    r"\[(?:insert|your|name|text|image|music|speech|audio|description)\b[^\]]{0,60}\]|"
    r"\A\W*(?:n/?a|null|none|string|undefined|placeholder|description here|text here)\W*\Z|"
    r"\bas an ai (?:language )?model\b",
    re.IGNORECASE,
)

MEASURES = (
    Measure(name="dialogue.num_words", unit="words", better="higher", summary="Words said in all turns together."),
    Measure(
        name="dialogue.longest_turn",
        unit="words",
        better="lower",
        limit=400.0,
        summary="Words of the turn that says the most; nobody says 400 at once in a conversation.",
    ),
    Measure(
        name="dialogue.shortest_turn",
        unit="words",
        better="higher",
        summary='Words of the turn that says the least, of those that say any; "Yes." can be a fine turn.',
    ),
    count_measure("degenerate_parts", "Parts without a letter or digit, and those that hold a placeholder."),
    Measure(
        name="dialogue.looped_share",
        unit="share",
        better="lower",
        limit=0.3,
        summary="Share of the runs of three words of a part that stand in it before; the worst part's.",
    ),
    count_measure("repeated_turns", "Turns of five words or more that say again what an earlier turn says."),
    Measure(
        name="dialogue.distinct_2",
        unit="share",
        better="higher",
        summary="Share of distinct pairs of words among all pairs (Li et al. 2016); short dialogues have more.",
    ),
)


def read_wording(item: AuditItem) -> Readings:
    """Return all measures of one dialogue."""
    parts = list_utterances(item.row)
    turns: dict[str, list[Utterance]] = {}
    for part in parts:
        if part.is_said:
            turns.setdefault(part.place.partition(".")[0], []).append(part)
    lengths = [found for said in turns.values() if (found := count_words(_join(said)))]
    loops = [(measure_loops(part.text), part.place) for part in parts]
    worst, place = max(loops, default=(0.0, ""))
    return {
        "dialogue.num_words": Reading(value=sum(lengths)),
        "dialogue.longest_turn": Reading(value=max(lengths, default=None)),
        "dialogue.shortest_turn": Reading(value=min(lengths, default=None)),
        "dialogue.degenerate_parts": _read_degenerate(parts),
        "dialogue.looped_share": Reading(value=worst, detail=f"part {place}" if worst else ""),
        "dialogue.repeated_turns": _read_repeats(turns),
        "dialogue.distinct_2": Reading(value=measure_distinct([part.text for part in parts if part.is_said])),
    }


def measure_loops(text: str) -> float:
    """Return the share of a text's runs of words that stand in it before; 0 for a text too short to tell."""
    words = split_words(text)
    length = LOOP_WORDS * (SIGNS_A_WORD if is_unspaced(text) else 1)
    runs = [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]
    return 1 - len(set(runs)) / len(runs) if len(runs) >= LOOP_FROM else 0.0


def measure_distinct(texts: Sequence[str]) -> float | None:
    """Return the share of distinct pairs of neighbouring words; None where there is no pair."""
    pairs = Counter(pair for text in texts for pair in pairwise(split_words(text)))
    return len(pairs) / pairs.total() if pairs else None


def _read_degenerate(parts: Sequence[Utterance]) -> Reading:
    found = []
    for part in parts:
        held = _PLACEHOLDER.search(part.text)
        if not any(sign.isalnum() for sign in part.text):
            found.append(f"part {part.place} holds no word")
        elif held is not None:
            found.append(f"part {part.place} holds {held[0]!r:.40}")
    return Reading(value=float(len(found)), detail="; ".join(found))


def _read_repeats(turns: Mapping[str, Sequence[Utterance]]) -> Reading:
    seen: dict[tuple[str, ...], str] = {}
    found = []
    for turn, said in turns.items():
        if count_words(_join(said)) >= LONG_TURN:
            # What was written and is then read aloud, or the other way round, is an answer and no repetition.
            first = seen.setdefault((normalise_text(_join(said)), *(part.kind for part in said)), turn)
            if first != turn:
                found.append(f"turn {turn} says what turn {first} says")
    return Reading(value=float(len(found)), detail="; ".join(found))


def _join(said: Sequence[Utterance]) -> str:
    return " ".join(part.text for part in said)


def _open(options: AuditOptions) -> OneByOne:
    return OneByOne(read_wording)


PLUGIN = PlainAudit("wording", "1", MEASURES, _open)
