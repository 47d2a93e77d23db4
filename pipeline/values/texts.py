"""Text-only instruction data as a source of dialogues: which files, and by which rules their rows are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.values.section import Section

UNSTATED = "not stated"
"""Licence of a source of which the manifest says none."""


class TextFile(Section):
    """One file; a bare path stands for one without other keys.

    Attributes:
        path: Relative to the manifest's folder. Its ending says what it is: ``.jsonl``, ``.ndjson``, ``.json`` or
            ``.parquet``; of the first three also with ``.gz`` behind it.
        encoding: ``auto`` takes a byte order mark's word, and UTF-8 without one. Nothing is guessed beyond that: a row
            that does not decode is rejected, and counted.
        licence: SPDX identifier or a few words, for the data card.
    """

    path: str = Field(min_length=1)
    encoding: Literal["auto", "latin-1", "cp1252", "utf-16-le", "utf-16-be"] = "auto"
    licence: str = Field(UNSTATED, min_length=1, max_length=200)

    @model_validator(mode="before")
    @classmethod
    def _may_be_bare(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @property
    def name(self) -> str:
        """What counts and records call it."""
        return self.path


class HubSet(Section):
    """One split of a data set on the Hugging Face hub, read row by row as it comes.

    Attributes:
        revision: Commit or tag; a branch such as ``main`` moves, and the corpus with it.
    """

    # Letters by name: with \w, which means those of all scripts, the pattern takes a sixth of a second to be compiled.
    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,96}/[A-Za-z0-9_.-]{1,96}$")
    revision: str = Field(min_length=1, max_length=200)
    split: str = Field("train", min_length=1, max_length=200)
    config: str | None = Field(None, min_length=1, max_length=200)
    licence: str = Field(UNSTATED, min_length=1, max_length=200)

    @property
    def name(self) -> str:
        """What counts and records call it."""
        return ":".join([self.id, *([self.config] if self.config else []), self.split])


class TextRules(Section):
    """What a dialogue has to keep to beside the rounds of the mix's cell; see :class:`Rule` for all rules.

    Attributes:
        words: Fewest and most words of a turn; at 2.5 words a second, 80 of them take half a minute.
        min_speakable: Least share of a turn's signs, spaces apart, that are letters or punctuation. Times and years
            bring a sentence down to 0.75; rows of figures have less than half.
        system: Whether a system message is dropped, and counted, or has its dialogue rejected.
    """

    words: tuple[int, int] = (1, 80)
    min_speakable: float = Field(0.7, ge=0, le=1)
    system: Literal["drop", "reject"] = "drop"

    @model_validator(mode="after")
    def _rises(self) -> TextRules:
        low, high = self.words
        if not 1 <= low <= high <= 400:
            raise ValueError(f"words [{low}, {high}]: must rise and lie within 1 to 400")
        return self


class Texts(Section):
    """Where dialogues are taken from; of rows that say the same, the first one stays.

    Attributes:
        rewrite: Have the writer reword each dialogue as people talk, one call a dialogue. Rows are then also taken that
            break no rule but :data:`MENDED`, and what comes back has to keep to all of them.
    """

    files: tuple[TextFile, ...] = ()
    hub: tuple[HubSet, ...] = ()
    rules: TextRules = TextRules()
    rewrite: bool = False

    @model_validator(mode="after")
    def _has_sources(self) -> Texts:
        names = [source.name for source in self.sources]
        if not names:
            raise ValueError("name at least one source of texts: files or hub")
        if len(set(names)) != len(names):
            raise ValueError(f"names {max(names, key=names.count)!r} twice")
        return self

    @property
    def sources(self) -> tuple[TextFile | HubSet, ...]:
        """All of them, files first, in the manifest's order."""
        return (*self.files, *self.hub)


class Rule(StrEnum):
    """Why a row of instruction data is no spoken dialogue, in the order in which the rules are asked."""

    UNDECODABLE = "undecodable"
    BROKEN = "broken"
    TOO_LARGE = "too_large"
    UNKNOWN_SHAPE = "unknown_shape"
    NOT_WORDS = "not_words"
    SYSTEM = "system"
    ROLES = "roles"
    ROUNDS = "rounds"
    EMPTY = "empty"
    CONTROL = "control_characters"
    FORMULA = "formula"
    LIST = "list"
    LINK = "link"
    CODE = "code"
    TABLE = "table"
    MARKUP = "markup"
    SIGN = "sign"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    UNSPEAKABLE = "unspeakable"
    LANGUAGE = "language"
    DUPLICATE = "duplicate"


RULES: Mapping[Rule, str] = {
    Rule.UNDECODABLE: "its bytes are no text of the file's encoding",
    Rule.BROKEN: "it is no JSON",
    Rule.TOO_LARGE: "it is many times longer than any dialogue",
    Rule.UNKNOWN_SHAPE: "it is neither Alpaca, ShareGPT nor messages",
    Rule.NOT_WORDS: "a turn holds something other than words: pictures, calls of tools",
    Rule.SYSTEM: "it has a system message, and the manifest rejects these",
    Rule.ROLES: "turns do not go from user to assistant, one after the other, to an answer",
    Rule.ROUNDS: "it has fewer or more rounds than the mix's cell",
    Rule.EMPTY: "a turn says nothing",
    Rule.CONTROL: "it holds control characters",
    Rule.FORMULA: "it holds a formula",
    Rule.LIST: "it holds a list",
    Rule.LINK: "it holds a link or an address",
    Rule.CODE: "it holds code",
    Rule.TABLE: "it holds a table",
    Rule.MARKUP: "it holds markup",
    Rule.SIGN: "it holds signs that no voice can say",
    Rule.TOO_SHORT: "a turn has too few words",
    Rule.TOO_LONG: "a turn has too many words",
    Rule.UNSPEAKABLE: "too few of a turn's signs are letters",
    Rule.LANGUAGE: "it is not in the corpus's language",
    Rule.DUPLICATE: "an earlier row says the same, case and spacing apart",
}
"""What each rule rejects, for people. Near duplicates are left to the screen, which sees what was taken before, too."""


class NotTaken(Exception):
    """A row is rejected, and counted under its rule."""

    def __init__(self, rule: Rule, detail: str = "") -> None:
        super().__init__(detail or RULES[rule])
        self.rule = rule


MENDED = frozenset({Rule.LIST, Rule.MARKUP, Rule.SIGN, Rule.TOO_LONG, Rule.UNSPEAKABLE})
"""What rewording mends. Code, tables, links and formulas say something that would be lost."""


@dataclass(frozen=True)
class RawText:
    """A row as it stands in its source.

    Attributes:
        place: Its line in a file of lines, else its number; from 1.
        value: Any JSON value; None where it could not be read.
        problem: Why it could not.
    """

    place: int
    value: Any
    problem: NotTaken | None = None
