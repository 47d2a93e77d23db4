"""How slots are put into words for an LLM."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pipeline.contracts.prompts import PromptBook
from pipeline.values.ids import canonical_json, content_key_of_list
from pipeline.values.languages import ENGLISH, LANGUAGES
from pipeline.values.records import Demonstration, Modality, TurnLayout

_NOUNS = {
    Modality.TEXT: "typed text",
    Modality.SPEECH: "spoken words",
    Modality.IMAGE: "pictures",
    Modality.MUSIC: "music",
}
_USER_DOES = {
    Modality.TEXT: "types",
    Modality.SPEECH: "speaks",
    Modality.IMAGE: "shows a picture",
    Modality.MUSIC: "plays a piece of music",
}
_ASSISTANT_DOES = {
    Modality.TEXT: "types",
    Modality.SPEECH: "speaks",
    Modality.IMAGE: "makes a picture",
    Modality.MUSIC: "makes a piece of music",
}


def name_kinds(kinds: Sequence[Modality]) -> str:
    """Return e.g. ``typed text and music``."""
    return _join([_NOUNS[kind] for kind in kinds])


def say_what_happens(layout: TurnLayout) -> str:
    """Return e.g. ``speaks and shows two pictures``."""
    verbs = _USER_DOES if layout.role == "user" else _ASSISTANT_DOES
    said = []
    for kind in dict.fromkeys(layout.kinds):
        verb, count = verbs[kind], layout.kinds.count(kind)
        if count > 1:
            verb = verb.replace("a picture", f"{count} different pictures").replace("a piece", f"{count} pieces")
        said.append(verb)
    return _join(said)


def layout_of(demonstration: Demonstration) -> list[TurnLayout]:
    """Read the turn layouts off a demonstration."""
    return [TurnLayout(role=turn.role, kinds=tuple(part.kind for part in turn.parts)) for turn in demonstration.turns]


def shown(book: PromptBook, ids: Sequence[str], has_sources: bool = False) -> list[Demonstration]:
    """Return demonstrations by id, in order; ``has_sources`` leaves in which picture starts from which."""
    return [_shown(book, name, has_sources) for name in ids]


def key_shown(book: PromptBook, ids: Sequence[str], has_sources: bool = False) -> str:
    """Hash over what :func:`shown` returns."""
    return content_key_of_list([_shown_json(book, name, has_sources) for name in ids])


# Every dialogue is shown some out of the same hundred.
@lru_cache(1024)
def _shown(book: PromptBook, name: str, has_sources: bool) -> Demonstration:
    found = book.demonstrations[name]
    return found if has_sources else _without_sources(found)


@lru_cache(1024)
def _shown_json(book: PromptBook, name: str, has_sources: bool) -> str:
    return canonical_json(_shown(book, name, has_sources).model_dump(mode="json"))


def _without_sources(demonstration: Demonstration) -> Demonstration:
    if not any(part.edits for turn in demonstration.turns for part in turn.parts):
        return demonstration
    turns = [
        turn.model_copy(update={"parts": tuple(part.model_copy(update={"edits": None}) for part in turn.parts)})
        for turn in demonstration.turns
    ]
    return demonstration.model_copy(update={"turns": tuple(turns)})


LANGUAGE_TEMPLATES = ("language.system", "language.user")
"""What a corpus in another language than English fills besides; no corpus in English depends on them."""


def say_rules(book: PromptBook, template: str, language: str) -> str:
    """Return a system prompt, with what there is to say of languages where the corpus is not in English."""
    rules = book.text(template)
    if language == ENGLISH:
        return rules
    spoken = LANGUAGES[language]
    return f"{rules}\n{book.text(LANGUAGE_TEMPLATES[0], language=spoken.name, is_spaced=spoken.is_spaced)}"


def say_language(book: PromptBook, corpus_language: str, language: str) -> str:
    """Return the line that ends an order: the language of what is to be written, or of an example's words.

    Examples say theirs too, so that a model sees its language change with the line. Nothing in an English corpus.
    """
    if corpus_language == ENGLISH:
        return ""
    return "\n" + book.text(LANGUAGE_TEMPLATES[1], language=LANGUAGES[language].name)


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
