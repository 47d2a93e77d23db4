"""How slots are put into words for an LLM."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.contracts.prompts import PromptBook
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


def shown(book: PromptBook, ids: Sequence[str]) -> list[Demonstration]:
    """Return demonstrations by id, in order."""
    return [book.demonstrations[name] for name in ids]


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
