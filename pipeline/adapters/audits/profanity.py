"""Profanity, slurs and threats out of a lexicon.

A lexicon knows words and no meaning: hatred in plain words passes, and so does irony. English words, written plainly or
disguised ("f*ck"), are those of glin-profanity (MIT) without what ordinary prose says too; Japanese and Chinese ones,
and whole sayings, are those of our own list.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.adapters.audits.wordlists import compile_names
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.audit import AuditItem, AuditOptions, Reading, Readings
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.utterances import list_utterances

LEXICON = Path(__file__).with_name("profanity.yaml")


class Lexicon(BaseModel):
    """The file of our own list.

    Attributes:
        ordinary: English words of the package's lexicon that ordinary prose says too: not counted.
        added: Words and sayings that count as well, of any language.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ordinary: tuple[str, ...]
    added: tuple[str, ...]


class ProfanityOptions(AuditOptions):
    """What a user makes of the lexicon.

    Attributes:
        add: Words that count as well, whatever their case.
        allow: Words that do not count.
    """

    add: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


MEASURES = (count_measure("profane_words", "Words of a lexicon of profanity, slurs and threats, in any part."),)


class Profanity:
    """Finds the words of the lexicon; loaded once, since it takes a tenth of a second."""

    def __init__(self, options: ProfanityOptions) -> None:
        from glin_profanity import Filter

        lexicon = load_yaml(LEXICON, Lexicon)
        allowed = {word.casefold() for word in options.allow}
        added = [word for word in (*lexicon.added, *options.add) if word.casefold() not in allowed]
        settings: Mapping[str, Any] = {
            "languages": ["english"],
            "ignore_words": sorted({*lexicon.ordinary, *allowed}),
        }
        self._filter = Filter(settings)
        self._added = compile_names(added, ignore_case=True)

    def read(self, item: AuditItem) -> Readings:
        """Count over all parts, descriptions too."""
        found = [(part.place, word) for part in list_utterances(item.row) for word in self.find(part.text)]
        detail = "; ".join(f"part {place} holds {word!r:.40}" for place, word in found)
        return {"dialogue.profane_words": Reading(value=float(len(found)), detail=detail)}

    def find(self, text: str) -> list[str]:
        """Return the words of the lexicon that a text holds, each once."""
        folded = unicodedata.normalize("NFKC", text)
        hits = {hit[0].casefold(): None for hit in self._added.finditer(folded)}
        if any(sign.isascii() and sign.isalpha() for sign in folded):
            hits |= {word.casefold(): None for word in self._filter.check_profanity(folded)["profane_words"]}
        return list(hits)


def _open(options: ProfanityOptions) -> OneByOne:
    return OneByOne(Profanity(options).read)


PLUGIN = PlainAudit("profanity", "1", MEASURES, _open, ProfanityOptions, packages={"glin-profanity": "glin_profanity"})
