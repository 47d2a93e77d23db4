"""What an answer must look like: the JSON schema of a turn, and the rules that its words have to meet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from pipeline.values.languages import ENGLISH, LANGUAGES, count_words, is_unspaced, split_words
from pipeline.values.records import Modality, Part, Role, Slot, Turn, TurnLayout
from pipeline.values.spoken import is_speakable, spoken_form
from pipeline.work.asking import InvalidAnswer
from pipeline.work.language_check import check_language

MAX_CHARACTERS = {Modality.TEXT: 160, Modality.SPEECH: 160, Modality.IMAGE: 180, Modality.MUSIC: 160}
"""Longest field of a small model's answer; longer ones drift. A dialogue written whole may have twice as much, and a
language that says more in a character has less (``Language.length``)."""

MIN_WORDS = {Modality.TEXT: 2, Modality.SPEECH: 2, Modality.IMAGE: 5, Modality.MUSIC: 4}

MAX_OVERLAP = 0.25
"""Share of a field's 4-grams that may already stand in the dialogue or in the examples shown."""

GRAM_SIGNS = 10
"""Ideographs or kana that make a gram where no spaces stand between words: what four English words take, 20 characters,
at half the length. Eight would be no more than the ending by which Japanese politely asks for something."""

_MARKUP = re.compile(
    r"[\[\]{}<>|*_#`\\]|https?:|www\.|[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
    r"|[\u202a-\u202e\u2066-\u2069]"  # turn the order of what stands around them, so that it reads as something else
)
_SENTENCE_ENDS = ".?!\"'”’。？！」』）"
_SENTENCE_END = re.compile(r"[.?!][\"'”’]?(?=\s)|[。？！][」』”’）]?")

NEAR_LIMIT = 8
"""A text that comes this close to its limit, in characters, without an end mark was cut by the schema."""


def field_names(layout: TurnLayout) -> list[str]:
    """Name a turn's parts for an answer: the modality, numbered from its second piece on."""
    names: list[str] = []
    for kind in layout.kinds:
        count = sum(name.split("_")[0] == kind for name in names)
        names.append(f"{kind}_{count + 1}" if count else str(kind))
    return names


def language_of(kind: Modality, language: str) -> str:
    """Return the language of a part's words: renderers of images and music read English, whatever the corpus's."""
    return language if kind in (Modality.TEXT, Modality.SPEECH) else ENGLISH


def telling_names(layout: TurnLayout, corpus_language: str, language: str) -> list[str]:
    """Name a turn's parts with the language of each, e.g. ``text_in_japanese``; without it in an English corpus.

    Small models follow the name of a field that they are about to fill more than any rule: within three tries a turn, a
    model of 1.5 billion parameters wrote eleven of twelve dialogues in Japanese and Mandarin under these names and
    :func:`telling_schema`; without them its Japanese dialogues stayed in English or had Japanese descriptions.

    Args:
        layout: The turn.
        corpus_language: What decides whether languages are told.
        language: Of the turn's words: the corpus's, or English for a demonstration.
    """
    names = field_names(layout)
    if corpus_language == ENGLISH:
        return names
    told = [LANGUAGES[language_of(kind, language)].label for kind in layout.kinds]
    return [f"{name}_in_{label}" for name, label in zip(names, told, strict=True)]


def limit_of(kind: Modality, language: str, slack: int = 1) -> int:
    """Longest field of a modality in a corpus of a language; ``slack`` times as long where answers are."""
    return int(MAX_CHARACTERS[kind] * slack * LANGUAGES[language_of(kind, language)].length)


def turn_schema(layout: TurnLayout, slack: int = 1, language: str = ENGLISH) -> dict[str, Any]:
    """JSON schema of one turn: every field a string of bounded length, none left out."""
    names = field_names(layout)
    sizes = {name: limit_of(kind, language, slack) for name, kind in zip(names, layout.kinds, strict=True)}
    return {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": size} for name, size in sizes.items()},
        "required": names,
        "additionalProperties": False,
    }


def telling_schema(layout: TurnLayout, language: str) -> dict[str, Any]:
    """JSON schema of one turn under :func:`telling_names`; in another language than English, descriptions are ASCII.

    The pattern is for small models, which go on in the language that they have just written in. It counts characters
    itself, since llama.cpp heeds no length beside a pattern.
    """
    schema = turn_schema(layout, language=language)
    if language == ENGLISH:
        return schema
    names = telling_names(layout, language, language)
    fields: dict[str, Any] = {}
    for name, kind, field in zip(names, layout.kinds, schema["properties"].values(), strict=True):
        is_english = language_of(kind, language) == ENGLISH
        pattern = {"pattern": rf"^[ !#-\[\]-~]{{0,{field['maxLength']}}}$"} if is_english else {}
        fields[name] = {**field, **pattern}
    return {**schema, "properties": fields, "required": names}


def dialogue_schema(slot: Slot, language: str = ENGLISH) -> dict[str, Any]:
    """JSON schema of a whole dialogue: one property a turn, so that no turn can be missing or misplaced."""
    names = [turn_name(index, layout) for index, layout in enumerate(slot.turns)]
    schemas = [turn_schema(layout, slack=2, language=language) for layout in slot.turns]
    return {
        "type": "object",
        "properties": dict(zip(names, schemas, strict=True)),
        "required": names,
        "additionalProperties": False,
    }


def turn_name(index: int, layout: TurnLayout) -> str:
    """Name a turn's property, e.g. ``turn_1_user``."""
    return f"turn_{index + 1}_{layout.role}"


def string_schema(name: str, max_characters: int) -> dict[str, Any]:
    """JSON schema of an object with one string."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": max_characters}},
        "required": [name],
        "additionalProperties": False,
    }


def compact_json(value: Mapping[str, Any]) -> str:
    """Write an example answer as grammars produce it, in the order given and without a space to spare."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_object(text: str) -> dict[str, Any]:
    """Read a JSON object out of an answer."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidAnswer(f"it is not JSON ({exc})") from exc
    if not isinstance(value, dict):
        raise InvalidAnswer("it is not a JSON object")
    return value


def parse_turn(value: Any, layout: TurnLayout, slack: int = 1, language: str = ENGLISH) -> Turn:
    """Check one turn's fields against its layout and the rules for words.

    Raises:
        InvalidAnswer: names the field, the rule and the value.
    """
    names = field_names(layout)
    if not isinstance(value, dict) or set(value) != set(names):
        raise InvalidAnswer(f"the {layout.role}'s turn must have exactly the fields {', '.join(names)}")
    parts = tuple(
        _parse_part(name, layout.role, value[name], Rules(kind, language, slack))
        for name, kind in zip(names, layout.kinds, strict=True)
    )
    texts = [part.text.casefold() for part in parts]
    if len(set(texts)) != len(texts):
        raise InvalidAnswer("two fields of one turn say the same")
    return Turn(role=layout.role, parts=parts)


def check_new(turn: Turn, earlier: Iterable[str]) -> None:
    """Refuse a turn that repeats what was said or shown before.

    Raises:
        InvalidAnswer: names the field and its overlap.
    """
    known = list(earlier)
    for part in turn.parts:
        check_overlap(part.kind, part.text, known)


def check_overlap(name: str, text: str, earlier: Iterable[str]) -> None:
    """Refuse a text of which too many 4-grams of words stand in earlier texts.

    Raises:
        InvalidAnswer: names the field and its overlap.
    """
    grams, distinct = _kept_grams(text)
    known = set[tuple[str, ...]]().union(*(distinct & _kept_grams(other)[1] for other in earlier))
    overlap = sum(gram in known for gram in grams) / len(grams) if grams else 0.0
    if overlap >= MAX_OVERLAP:
        raise InvalidAnswer(f"the field {name} repeats earlier words ({overlap:.0%} of its 4-grams)")


def four_grams(text: str) -> list[tuple[str, ...]]:
    """All runs of four words, or of :data:`GRAM_SIGNS` signs where most stand unspaced, without case or punctuation."""
    words = split_words(text)
    length = GRAM_SIGNS if is_unspaced(text) else 4
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


@lru_cache(4096)
def _kept_grams(text: str) -> tuple[list[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """The same texts come up with every field of a dialogue, and the examples with every dialogue."""
    grams = four_grams(text)
    return grams, frozenset(grams)


@cache
def _refused(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """What no field holds, in its own language or in English, with what it is called."""
    spoken = [LANGUAGES[tag] for tag in dict.fromkeys((ENGLISH, language))]
    banned = "|".join(item.banned for item in spoken)
    labels = "|".join(item.labels for item in spoken)
    return (
        (_MARKUP, "markup"),
        (re.compile(banned, re.IGNORECASE), "a banned subject"),
        (re.compile(rf"^\s*({labels})\s*[:：]", re.IGNORECASE), "a label before the words"),
    )


def plain_text(name: str, value: Any, max_characters: int, min_words: int, language: str = ENGLISH) -> str:
    """Check a string field; return it with its white space folded.

    Raises:
        InvalidAnswer: it is no string, too long, too short, holds markup, or what dialogues must not be about.
    """
    if not isinstance(value, str):
        raise InvalidAnswer(f"the field {name} is not a string")
    text = " ".join(value.split())
    if len(text) > max_characters:
        raise InvalidAnswer(f"the field {name} has {len(text)} characters, at most {max_characters} are allowed")
    if count_words(text) < min_words:
        of_signs = ", of two characters each" if is_unspaced(text) else ""
        raise InvalidAnswer(f"the field {name} has fewer than {min_words} words{of_signs}")
    for pattern, what in _refused(language):
        if found := pattern.search(text):
            raise InvalidAnswer(f"the field {name} holds {what}: {found.group(0)!r}")
    return text


def whole_sentences(name: str, text: str, max_characters: int, min_words: int) -> str:
    """Drop the sentence that the limit of the schema cut in two; what ends well below the limit is whole as it is.

    Raises:
        InvalidAnswer: the first sentence is cut already.
    """
    if len(text) < max_characters - NEAR_LIMIT or text[-1] in _SENTENCE_ENDS:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    whole = text[: ends[-1]].rstrip() if ends else ""
    if count_words(whole) < min_words:
        raise InvalidAnswer(f"the field {name} was cut off at {max_characters} characters")
    return whole


@dataclass(frozen=True)
class Rules:
    """What a part's words are held against: its modality, the corpus's language, and how long answers may be."""

    kind: Modality
    language: str
    slack: int


def _parse_part(name: str, role: Role, value: Any, rules: Rules) -> Part:
    kind, language = rules.kind, language_of(rules.kind, rules.language)
    limit, min_words = limit_of(kind, rules.language, rules.slack), MIN_WORDS[kind]
    text = plain_text(name, value, limit, min_words, language)
    check_language(name, text, LANGUAGES[language])
    if kind in (Modality.IMAGE, Modality.MUSIC):
        return Part(kind=kind, text=text)
    text = whole_sentences(name, text, limit, min_words)
    if role == "user" and (found := re.search(LANGUAGES[language].serves, text, re.IGNORECASE)):
        raise InvalidAnswer(f"the user speaks as the assistant would: {found.group(0)!r}")
    if kind is Modality.TEXT:
        return Part(kind=kind, text=text)
    if not is_speakable(text):
        raise InvalidAnswer("the field speech holds nothing that can be spoken")
    return Part(kind=kind, text=text, spoken=spoken_form(text, language))


def texts_of(turns: Sequence[Turn]) -> list[str]:
    """All words and descriptions of some turns."""
    return [part.text for turn in turns for part in turn.parts]
