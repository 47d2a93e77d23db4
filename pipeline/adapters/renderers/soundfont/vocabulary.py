"""The words a description may use, read from the YAML files in ``words`` beside this module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent / "words"
Sound = Literal["plucked", "struck", "sustained"]


class Entry(BaseModel):
    """Base of vocabulary entries: frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Instrument(Entry):
    """One melodic instrument; instruments.yaml explains the fields."""

    program: int
    family: str
    range: tuple[int, int]
    does: str
    sound: Sound
    soft: bool = False
    words: tuple[str, ...]


class Percussion(Entry):
    """One percussion instrument; percussion.yaml explains the fields."""

    keys: tuple[int, int]
    plays: str
    program: int | None = None
    kit: int | None = None
    words: tuple[str, ...]


class Group(Entry):
    """A word for several instruments."""

    does: tuple[str, ...]
    words: tuple[str, ...]


class Genre(Entry):
    """Defaults of one genre; genres.yaml explains the fields."""

    words: tuple[str, ...]
    tempo: tuple[float, float]
    scales: Mapping[str, float]
    harmony: str
    colour: str = "triad"
    lead: tuple[str, ...]
    comp: tuple[str, ...]
    bass: tuple[str, ...]
    pad: tuple[str, ...] = ()
    groove: str
    drums: Literal["core", "open", "none"]
    kit: int = 0
    bassline: str
    comping: str
    style: str
    metre: str = "4/4"
    swing: float = 0.0
    space: float = 0.16
    echo: float = 0.0
    muffle: float | None = None
    drone: str | None = None
    hands: tuple[str, ...] = ()
    mechanical: bool = False
    rank: float = 2.0


class Style(Entry):
    """How melodies of a style move; patterns.yaml explains the fields."""

    density: float
    leap: float
    sync: float
    rest: float
    legato: float


class Vocabulary(Entry):
    """Everything that the reader and the arranger look up.

    Attributes:
        phrases: By category (genre, player, mood, tempo, loudness, articulation, metre, change): a phrase of one or
            more tokens to what it stands for.
        longest: Most tokens of any phrase.
    """

    instruments: Mapping[str, Instrument]
    percussion: Mapping[str, Percussion]
    groups: Mapping[str, Group]
    genres: Mapping[str, Genre]
    progressions: Mapping[str, Mapping[str, tuple[str, ...]]]
    grooves: Mapping[str, Mapping[str, str]]
    grooves_3: Mapping[str, Mapping[str, str]]
    hands: Mapping[str, tuple[str, ...]]
    bass: Mapping[str, str]
    comping: Mapping[str, str]
    styles: Mapping[str, Style]
    mood: Mapping[str, tuple[float, float]]
    tempo: Mapping[str, tuple[float, float]]
    loudness: Mapping[str, float]
    articulation: Mapping[str, float]
    phrases: Mapping[str, Mapping[tuple[str, ...], str]]
    longest: int


def _spell(phrase: str) -> tuple[str, ...]:
    """Write a phrase as the reader's tokens: hyphens part words."""
    return tuple(phrase.casefold().replace("-", " ").replace("'", "").split())


def _phrases(named: Iterator[tuple[str, tuple[str, ...]]]) -> dict[tuple[str, ...], str]:
    """Index phrases and their plain plurals; the first entry keeps a phrase that two claim."""
    index: dict[tuple[str, ...], str] = {}
    for name, words in named:
        for word in (name, *words):
            index.setdefault(_spell(word), name)
    for phrase, name in list(index.items()):
        if not phrase[-1].endswith("s"):
            index.setdefault((*phrase[:-1], phrase[-1] + "s"), name)
    return index


def _read(name: str) -> dict[str, Any]:
    # The parser in C, where PyYAML was built with it, is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=loader))


@cache
def load_vocabulary() -> Vocabulary:
    """Read and check the YAML files, once in a process."""
    instruments = _read("instruments")
    groups = instruments.pop("groups")
    percussion = _read("percussion")
    genres = _read("genres")
    words = _read("words")
    players = [(name, tuple(e["words"])) for part in (groups, instruments, percussion) for name, e in part.items()]
    ranked = sorted(genres.items(), key=lambda item: -item[1].get("rank", 2.0))
    plain = ("mood", "tempo", "loudness", "articulation")
    phrases = {
        "genre": _phrases((name, tuple(entry["words"])) for name, entry in ranked),
        "player": _phrases(iter(players)),
        "metre": _phrases((name, tuple(values)) for name, values in words["metre"].items()),
        "change": _phrases((name, tuple(values)) for name, values in words.pop("changes").items()),
        **{kind: {_spell(word): word for word in words[kind]} for kind in plain},
    }
    del words["metre"]
    return Vocabulary(
        instruments=instruments,
        percussion=percussion,
        groups=groups,
        genres=genres,
        progressions=_read("progressions"),
        **_read("patterns"),
        **words,
        phrases=phrases,
        longest=max(len(phrase) for index in phrases.values() for phrase in index),
    )
