"""The words a description may use and what they stand for, read from the YAML files in ``words`` beside this module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent / "words"

At = Literal["ground", "table", "water", "air", "sky", "wall", "far"]
Category = Literal[
    "person", "thing", "place", "colour", "number", "size", "time", "weather", "mood", "style", "relation", "pose",
    "hair", "old", "young", "she", "he", "scenic", "part", "skip",
]  # fmt: skip

IRREGULAR = {
    "mice": "mouse", "geese": "goose", "wolves": "wolf", "calves": "calf", "loaves": "loaf", "knives": "knife",
    "shelves": "shelf", "leaves": "leaf", "men": "man", "women": "woman", "oxen": "ox", "scarves": "scarf",
    "halves": "half", "cacti": "cactus", "fishermen": "fisherman", "policemen": "policeman", "postmen": "postman",
    "craftsmen": "craftsman", "hooves": "hoof", "wives": "wife", "feet": "foot",
}  # fmt: skip


class Entry(BaseModel):
    """Base of vocabulary entries: frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Thing(Entry):
    """What a noun looks like.

    Attributes:
        picture: Name of an icon of the emoji set or, with a tilde before it, of a drawing in shapes.yaml.
        kind: Group that it belongs to (animal, food, tool, …).
        at: Where it is put when the description does not say.
        size: Height in metres.
    """

    picture: str
    kind: str
    at: At
    size: float


class Person(Entry):
    """A kind of person; people.yaml explains the fields."""

    words: str
    sex: str = ""
    age: str = "adult"
    bust: str = ""
    whole: str = ""
    clothes: str = ""
    gear: str = ""
    hat: str = ""
    pose: str = ""
    count: int = 1
    second: str = ""
    home: str = ""


class Place(Entry):
    """A backdrop; places.yaml explains the fields."""

    words: str
    inside: bool = False
    wall: str = "#d8c8b0"
    pattern: str = "plain"
    floor: str = "#a8774c"
    flooring: str = "planks"
    windows: int | str = 0
    tables: bool = True
    dark: float = 0.0
    ground: str = "grass"
    far: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    water: bool = False
    space: bool = False
    weather: str = ""
    props: tuple[str, ...] = ()


class Shape(Entry):
    """A drawing of our own; shapes.yaml explains the fields."""

    box: tuple[float, float]
    colour: str
    art: str
    seat: float | None = None
    rim: float | None = None


class Meaning(Entry):
    """One thing that a phrase can stand for: its category, the name in it, and whether it was a plural."""

    category: Category
    name: str
    plural: bool = False


class Vocabulary(Entry):
    """Everything that the reader and the painter look up.

    Attributes:
        phrases: A phrase of one or more tokens to all that it can mean.
        longest: Most tokens of any phrase.
        homes: Where a picture, a kind of thing or a bust is found when the description names no place.
    """

    things: Mapping[str, Thing]
    people: tuple[Person, ...]
    places: Mapping[str, Place]
    shapes: Mapping[str, Shape]
    colours: Mapping[str, str]
    numbers: Mapping[str, int]
    sizes: Mapping[str, float]
    homes: Mapping[str, str]
    phrases: Mapping[tuple[str, ...], tuple[Meaning, ...]]
    longest: int


def spell(phrase: str) -> tuple[str, ...]:
    """Write a phrase as the reader's tokens: lower case, hyphens part words, no genitive s."""
    return tuple(phrase.casefold().replace("-", " ").replace("'s", "").replace("'", "").split())


def split_words(words: str) -> list[str]:
    """Part a comma-separated list, leaving out empty entries."""
    return [word.strip() for word in words.split(",") if word.strip()]


def pluralise(word: str) -> str:
    """Return the regular plural of an English noun."""
    if word.endswith(("s", "sh", "ch", "x", "z")) or (word.endswith("o") and word[-2:-1] not in "aeiou"):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _read(name: str) -> Any:
    # The parser in C, where PyYAML was built with it, is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=loader)


def _things(groups: list[dict[str, Any]]) -> Iterator[tuple[Thing, list[str]]]:
    for group in groups:
        sizes = group.get("sizes", {})
        for picture, words in group["words"].items():
            size = sizes.get(picture, group["size"])
            yield Thing(picture=picture, kind=group["kind"], at=group["at"], size=size), split_words(words)


class _Index:
    """Collects phrases; plurals of nouns are added unless the plural is listed itself."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, ...], list[Meaning]] = {}
        self._singular: list[tuple[tuple[str, ...], Category, str]] = []

    def add(self, words: list[str], category: Category, name: str, *, nouns: bool = False) -> None:
        for word in words:
            phrase = spell(word)
            self.found.setdefault(phrase, []).append(Meaning(category=category, name=name))
            if nouns:
                self._singular.append((phrase, category, name))

    def finish(self) -> dict[tuple[str, ...], tuple[Meaning, ...]]:
        """Add the plurals and return the index."""
        irregular = {singular: plural for plural, singular in IRREGULAR.items()}
        for phrase, category, name in self._singular:
            last = phrase[-1]
            if last.endswith("s") and not last.endswith("ss"):
                continue
            plural = (*phrase[:-1], irregular.get(last) or pluralise(last))
            meanings = self.found.setdefault(plural, [])
            if all(meaning.category != category for meaning in meanings):
                meanings.append(Meaning(category=category, name=name, plural=True))
        return {phrase: tuple(meanings) for phrase, meanings in self.found.items()}


@cache
def load_vocabulary() -> Vocabulary:
    """Read and check the YAML files, once in a process."""
    words = _read("words")
    people = tuple(Person(**entry) for entry in _read("people"))
    places = {name: Place(**entry) for name, entry in _read("places").items()}
    index = _Index()
    things: dict[str, Thing] = {}
    for thing, names in _things(_read("things")):
        for name in names:
            things.setdefault(name, thing)
            index.add([name], "thing", name, nouns=True)
    for number, person in enumerate(people):
        index.add(split_words(person.words), "person", str(number), nouns=True)
    for name, place in places.items():
        index.add(split_words(place.words), "place", name, nouns=True)
    listed: tuple[tuple[str, Category], ...] = (
        ("times", "time"), ("weathers", "weather"), ("moods", "mood"), ("styles", "style"),
        ("relations", "relation"), ("poses", "pose"), ("hair", "hair"),
    )  # fmt: skip
    for key, category in listed:
        for name, text in words[key].items():
            index.add(split_words(text), category, name)
    single: tuple[tuple[str, Category], ...] = (
        ("old", "old"), ("young", "young"), ("she", "she"), ("he", "he"), ("scenic", "scenic"), ("parts", "part"),
        ("skip", "skip"),
    )  # fmt: skip
    for key, category in single:
        index.add(split_words(words[key]), category, key)
    keyed: tuple[tuple[str, Category], ...] = (("colours", "colour"), ("numbers", "number"), ("sizes", "size"))
    for key, category in keyed:
        for name in words[key]:
            index.add([name], category, name)
    phrases = index.finish()
    return Vocabulary(
        things=things,
        people=people,
        places=places,
        shapes={name: Shape(**entry) for name, entry in _read("shapes").items()},
        colours=words["colours"],
        numbers=words["numbers"],
        sizes=words["sizes"],
        homes={name: place for place, listing in words["homes"].items() for name in split_words(listing)},
        phrases=phrases,
        longest=max(map(len, phrases)),
    )
