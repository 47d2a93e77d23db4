"""Reads a description: what it names, how many, in which colour and size, where, when, in which weather and style.

No grammar is parsed. Known phrases are found, longest first, and the words between them say how they belong together:
in "two cats on a red chair beside the stove" the relation `on` ties the cats to the chair.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.adapters.renderers.storyboard.binding import TAKING, Binding
from pipeline.adapters.renderers.storyboard.subjects import Reading, Subject, trim
from pipeline.adapters.renderers.storyboard.tokens import Item, itemise
from pipeline.adapters.renderers.storyboard.vocabulary import Category, Meaning, Thing, Vocabulary

Resolve = Callable[[str], Thing | None]

# Endings of plurals, and what the singular has in their place.
PLURAL_ENDS = (("ies", "y"), ("es", ""), ("s", ""))
# Surroundings that a room named in them does not replace.
ELEMENTS = ("underwater", "space", "moon", "mars")
WEATHER_RANK = ("storm", "snow", "rain", "fog", "cloudy", "autumn", "wind", "clear")
# Endings of who does something, and of words that are no nouns whatever stands after them.
MAKER = re.compile(r"(ers?|ors?|ists?|smiths?|wrights?)$")
NOT_NOUN = re.compile(r"(ly|ed|ing|ous|ful|less|ish|est|ier)$")


class _Reader(Binding):
    """One pass over the items."""

    def __init__(self, items: list[Item], vocabulary: Vocabulary, resolve: Resolve) -> None:
        super().__init__()
        self.items = items
        self.vocabulary = vocabulary
        self.resolve = resolve
        self.weathers: set[str] = set()
        self.weak_place = ""
        self.at = 0
        self.skipped = -1
        self.after_part = False
        self.taking = ""  # the last "with" or "holding", which a list of things continues
        self.clause = 0  # index of the first subject since the last comma

    def read(self) -> Reading:
        for at, item in enumerate(self.items):
            self._take(at, item)
        self._finish()
        return self.reading

    def _take(self, at: int, item: Item) -> None:
        if item.text == ",":
            self.clothe()
            self.relation = self.taking if self._goes_on(at) else ""
            self.taking = self.relation
            self.after_of = False
            self.joined = []
            self.clause = len(self.reading.subjects)
            self.after_part = False
            self.forget()
            return
        if not item.meanings:
            self._guess(at, item)
            return
        following = self.items[at + 1] if at + 1 < len(self.items) else None
        self.at = at
        meaning = self._choose(item, following)
        if item.text == "dark" and following is not None and following.get("place"):
            self.reading.time = self.reading.time or "night"
        taker = getattr(self, f"_take_{meaning.category}", None)
        if taker is not None:
            taker(meaning, item, following)

    def _goes_on(self, comma: int) -> bool:
        """Whether a comma stands inside a list ("with flour, eggs and a rolling pin")."""
        if not self.taking:
            return False
        for item in self.items[comma + 1 :]:
            relation = item.get("relation")
            if item.text == "and":
                return True
            if (relation is not None and item.text != "of") or item.get("pose") or item.get("person"):
                return False
        return False

    def _choose(self, item: Item, following: Item | None) -> Meaning:
        """Pick what an ambiguous phrase means here."""
        before_noun = (
            following is not None
            and following.text != ","
            and (following.is_noun or not following.meanings or following.is_modifier)
        )
        if before_noun:
            categories: tuple[Category, ...] = ("colour", "size", "pose")
            for category in categories:
                if (meaning := item.get(category)) is not None:
                    return meaning
        part = item.get("part")
        if part is not None and (self.current is not None or (following is not None and following.is_noun)):
            return part
        if (place := item.get("place")) and item.get("thing") and self.relation in ("in", "beside", "behind"):
            return place
        order: tuple[Category, ...] = ("style", "person", "thing", "place", "time", "pose", "relation")
        for category in order:
            meaning = item.get(category)
            if meaning is None or (category == "pose" and item.get("relation") and self._takes_object(following)):
                continue
            return meaning
        return item.meanings[0]

    def _takes_object(self, following: Item | None) -> bool:
        return following is not None and (following.is_noun or following.get("number") or following.get("skip") or
                                          following.get("colour")) is not None  # fmt: skip

    def _take_person(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        person = self.vocabulary.people[int(meaning.name)]
        if following is not None and following.get("person"):
            # "women footballers", "woman baker": the first word tells the sex of the second.
            self.sex = person.sex
            self.count = 3 if meaning.plural and not self.count else self.count
            return
        if following is not None and not following.get("thing") and (following.get("place") or following.get("style")):
            return  # "child's bedroom", "child's crayon drawing" show no child
        many = 3 if meaning.plural else person.count
        self.add(item.text, person, many)

    def _take_thing(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        thing = self.vocabulary.things[meaning.name]
        self._note_place(item)
        many = 1
        singulars = (
            self.vocabulary.things.get(item.text.removesuffix(end) + new)
            for end, new in PLURAL_ENDS
            if item.text.endswith(end)
        )
        if meaning.plural or (
            item.text.endswith("s") and any(one is not None and one.picture == thing.picture for one in singulars)
        ):
            many = 2 if thing.kind == "garment" else 3
        if following is not None and many == 1:
            if not following.meanings and MAKER.search(following.text):
                self._add_maker(item, thing, following)
                return
            if _is_head(following):
                # The first half of a compound ("bicycle bell", "condor wings") counts only where nothing else does.
                self.add(item.text, thing, 1, certain=False)
                self.reading.subjects[-1].half = thing.at != "far"
                self.reading.subjects[-1].depth = "back" if thing.at == "far" else ""
                return
        self.add(item.text, thing, many)

    def _tool(self, word: str) -> Thing | None:
        """Return what a skateboarder or drummers have: the thing that the stem names."""
        return self.resolve(MAKER.sub("", word)) if MAKER.search(word) else None

    def _add_maker(self, item: Item, thing: Thing, following: Item | None) -> None:
        """A knife grinder, a bell ringer, a skateboarder: somebody with the thing that the word names."""
        person = next(person for person in self.vocabulary.people if "somebody" in person.words)
        word = item.text if following is None else f"{item.text} {following.text}"
        self.skipped = self.at + 1 if following is not None else self.skipped
        self.add(word, person, 3 if word.endswith("s") else 1)
        gear = Subject(word=item.text, what=thing)
        if thing.size <= 1.5:
            gear.relation, gear.to = "held", len(self.reading.subjects) - 1
        else:
            gear.depth = "back"
        self.reading.subjects.append(gear)

    def _note_place(self, item: Item) -> None:
        """A kitchen table stands in a kitchen, unless another place is named."""
        words = item.text.split()
        if len(words) == 1:
            return
        for meaning in self.vocabulary.phrases.get((words[0],), ()):
            if meaning.category == "place":
                self.weak_place = self.weak_place or meaning.name
            elif meaning.category == "time":
                self.reading.time = self.reading.time or meaning.name

    def _take_place(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        aside = following is not None and (following.is_noun or following.text == "behind")
        if aside or (self.relation == "with" and self.current is not None):
            self.weak_place = self.weak_place or meaning.name
            self._note_place(item)
            return
        self.reading.place = self.reading.place or meaning.name
        self._note_place(item)
        if meaning.name == "plain" and self.colour:
            self.reading.background = self.vocabulary.colours[self.colour]
        self.forget()
        self.relation = ""

    def _take_colour(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.colour = meaning.name
        if following is None or following.text == ",":
            self.clothe()

    def _take_number(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        number = self.vocabulary.numbers[meaning.name]
        # In "a long line of camels" the article comes first, in "two little boys" the number does.
        self.count = number if number > 1 else (self.count or number)

    def _take_size(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.size = self.vocabulary.sizes[meaning.name]

    def _take_part(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        # What is said of a part ("with one green ear") is not said of the whole.
        if not (following is not None and following.is_noun):
            self.forget()
            self.relation = ""
            self.after_part = True

    def _take_time(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.forget()
        self.reading.time = self.reading.time or meaning.name
        if item.get("mood"):
            self.reading.moods.append("warm")

    def _take_weather(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.forget()
        self.weathers.add(meaning.name)

    def _take_mood(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.reading.moods.append(meaning.name)

    def _take_style(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.reading.style = self.reading.style or meaning.name
        self.relation = ""

    def _take_scenic(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.reading.is_close = True

    def _take_relation(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        if item.text == "and":
            if self.relation in TAKING or self.relation == "":
                return
            self.relation = ""
            return
        if item.text == "of" and self.current is not None and self.reading.subjects[self.current].is_person:
            return
        if meaning.name in ("holding", "wearing") and self.doer is None:
            return
        self.after_of = item.text == "of"
        self.clothe()
        # "one foot on a ball", "her back on the calf": the part is there, not the whole.
        self.taking = meaning.name if meaning.name in TAKING else ""
        self.relation = "beside" if self.after_part and meaning.name in ("on", "in") else meaning.name
        self.after_part = False
        if self.current is not None:
            if not self._has_object():
                if meaning.name in ("behind", "front") and self.current >= self.clause:
                    self.reading.subjects[self.current].depth = "back" if meaning.name == "behind" else "front"
                self.relation = ""
            elif not self.joined:
                self.joined = [self.current if self.doer is None or self.doer < self.clause else self.doer]
        self.forget()

    def _has_object(self) -> bool:
        """Whether a noun, known or not, stands between here and the next comma."""
        for item in self.items[self.at + 1 :]:
            if item.text == ",":
                return False
            if item.is_noun or not item.meanings or item.get("part"):
                return True
        return False

    def _take_pose(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        doer = self.reading.subjects[self.doer] if self.doer is not None else None
        if (doer is not None and self.doer == self.current and not self.relation) or (
            doer is not None and not (following is not None and following.is_noun)
        ):
            doer.pose = doer.pose or meaning.name
        else:
            self.pose = meaning.name

    def _take_hair(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        doer = self.reading.subjects[self.doer] if self.doer is not None else None
        if following is not None and following.is_noun:
            self.hair = meaning.name
        elif doer is not None and doer.is_person:
            doer.hair = doer.hair or meaning.name

    def _take_old(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        doer = self.reading.subjects[self.doer] if self.doer is not None else None
        if item.text.startswith("in ") and doer is not None:
            doer.old = True
        else:
            self.old = True

    def _take_young(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.young = True

    def _take_she(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.reading.sex = self.reading.sex or "f"

    def _take_he(self, meaning: Meaning, item: Item, following: Item | None) -> None:
        self.reading.sex = self.reading.sex or "m"

    def _guess(self, at: int, item: Item) -> None:
        """Look up an unknown word where a noun is likely: before a comma, a relation, a verb or the end."""
        if at == self.skipped:
            return
        following = self.items[at + 1] if at + 1 < len(self.items) else None
        ends = following is None or following.text == "," or any(
            meaning.category in ("relation", "pose", "skip", "time", "part") for meaning in following.meanings
        )  # fmt: skip
        if not ends or len(item.text) < 3 or NOT_NOUN.search(item.text):
            return
        thing = self.resolve(item.text)
        if thing is not None:
            plural = item.text.endswith("s") and not item.text.endswith("ss")
            self.add(item.text, thing, 3 if plural else 1, certain=False)
        elif (tool := self._tool(item.text)) is not None and at and self.items[at - 1].get("number"):
            self._add_maker(item, tool, None)
        else:
            self.forget()

    def _finish(self) -> None:
        self.clothe()
        reading = self.reading
        # A palace ballroom under water is under water first.
        if not reading.place or self.weak_place in ELEMENTS:
            reading.place = self.weak_place
        reading.weather = next((weather for weather in WEATHER_RANK if weather in self.weathers), "")
        trim(reading)


def _is_head(following: Item) -> bool:
    """Whether a word makes the one before it the first half of a compound."""
    if following.get("thing") or following.get("person") or following.get("part"):
        return following.get("relation") is None
    return not following.meanings and following.text != "," and not NOT_NOUN.search(following.text)


def read_description(text: str, vocabulary: Vocabulary, resolve: Resolve) -> Reading:
    """Read a description of any length, language or sense; what is not understood is left out."""
    return _Reader(itemise(text, vocabulary), vocabulary, resolve).read()
