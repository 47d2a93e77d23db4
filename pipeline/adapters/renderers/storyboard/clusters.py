"""Groups what belongs together: a cat on a chair, apples in a basket, a man with a fishing rod is one cluster."""

from __future__ import annotations

from dataclasses import replace

from pipeline.adapters.renderers.storyboard.beasts import FACES, draw_beast
from pipeline.adapters.renderers.storyboard.figures import (
    HATS,
    HATS_OVERHANG,
    WHOLE,
    Look,
    cast,
    draw_figure,
    draw_whole,
    person_height,
)
from pipeline.adapters.renderers.storyboard.icons import IconSet
from pipeline.adapters.renderers.storyboard.placing import OVERHEAD, PLACERS, Cluster, Piece, arrange, crown, flies
from pipeline.adapters.renderers.storyboard.sprites import Sprite, draw_shape
from pipeline.adapters.renderers.storyboard.subjects import Reading, Subject
from pipeline.adapters.renderers.storyboard.vocabulary import Person, Thing, Vocabulary
from pipeline.values.ids import derive_random

# A person of 1.7 m is 230 units high before the scene is fitted; sizes go with the root of the height, so that a mouse
# can be seen beside a house and still is the smaller one.
UNIT, PERSON, POWER = 230.0, 1.7, 0.52
MAX_COPIES = 7
SEATING = ("chair", "~bench", "~sofa", "~armchair", "~rocking-chair", "~swing", "~stairs", "couch-and-lamp", "bed",
           "seat", "~seesaw", "~log-pile",
           "~stone-wall", "~crate", "~bus-shelter", "manual-wheelchair", "~hammock", "sled",
           "~barrel", "~haystack", "rock")  # fmt: skip
# Actions that a drawn body cannot show, so that even children and old people get the ageless icon.
ICON_ONLY = ("cycle", "swim", "row", "ski", "surf", "climb", "in-bed", "biking", "swimming", "surfing", "climbing")
HANDY = ("tool", "object", "instrument", "toy", "food", "drink", "vessel", "garment", "plant", "decor", "flying")


def natural_height(metres: float) -> float:
    """Height in picture units before fitting."""
    return UNIT * float((metres / PERSON) ** POWER)


class Grouper:
    """Builds the clusters of one reading."""

    def __init__(self, reading: Reading, vocabulary: Vocabulary, icons: IconSet, seed: int) -> None:
        self.reading = reading
        self.vocabulary = vocabulary
        self.icons = icons
        self.seed = seed
        self.pictures: list[str] = []
        self._by_picture = {thing.picture: thing for thing in vocabulary.things.values()}
        self._gone: set[int] = set()

    def group(self) -> list[Cluster]:
        """Return one cluster for each subject that depends on no other, in the order of the description."""
        subjects = self.reading.subjects
        self._settle()
        return [
            self._build(at, 0) for at, subject in enumerate(subjects) if subject.to is None and at not in self._gone
        ]

    def _settle(self) -> None:
        """Turn relations that cannot be drawn as they stand into ones that can."""
        subjects = self.reading.subjects
        for at, subject in enumerate(subjects):
            if subject.to is None:
                continue
            other = subjects[subject.to]
            if subject.relation == "with" and flies(subject) != flies(other) and not other.is_person:
                subject.relation, subject.to = "", None
            elif subject.is_person and isinstance(other.what, Thing):
                self._settle_person(at, subject, other, other.what)
            elif other.is_person and isinstance(subject.what, Thing):
                if subject.relation in ("on", "in", "with") and subject.what.size <= 1.0:
                    small = subject.what.kind in HANDY or subject.what.size <= 0.35
                    subject.relation = "held" if small and subject.relation != "with" else subject.relation
                    if subject.relation == "with" and subject.what.kind in HANDY:
                        subject.relation = "held"
                elif subject.relation in ("on", "in"):
                    subject.relation = "beside"
        for at in range(len(subjects)):
            self._break_cycle(at)

    def _settle_person(self, at: int, person: Subject, other: Subject, thing: Thing) -> None:
        if person.relation == "riding" and thing.picture == "bicycle" and not other.colour and not person.old:
            person.pose, person.relation = "cycle", ""
            self._gone.add(self._index(other))
            person.colour = person.colour or other.colour
            person.to = None
        elif person.pose == "sleep" and thing.picture == "bed":
            person.pose, person.relation = "in-bed", ""
            self._gone.add(self._index(other))
            person.to = None
        elif thing.kind in ("tool", "instrument") and person.relation in ("on", "beside") and thing.at == "table":
            index = self._index(other)
            if other.to is None or other.relation in ("under", "beside", "in", "front"):
                person.relation, person.to = "", None
                other.relation, other.to = "held", at
            else:
                person.relation = "beside" if index != at else ""
        elif person.relation in ("beside", "front") and thing.kind in (*HANDY, "vessel") and other.to is None:
            # What is at hand belongs to the person, not the other way round.
            other.relation, other.to = "beside", at
            person.relation, person.to = "", None
        elif person.relation == "beside" and thing.picture == "~bridge":
            person.relation = "on"
        elif person.relation in ("on", "in") and thing.picture in SEATING and person.pose in ("", "sleep"):
            person.pose = "sit"
            person.relation = "on"
        elif person.relation in ("on", "in", "riding") and thing.kind in ("animal", "vehicle"):
            person.pose = "sit"

    def _index(self, subject: Subject) -> int:
        return next(at for at, other in enumerate(self.reading.subjects) if other is subject)

    def _break_cycle(self, at: int) -> None:
        subjects, seen, step = self.reading.subjects, set(), at
        while subjects[step].to is not None:
            if step in seen or subjects[step].to in self._gone:
                subjects[step].to, subjects[step].relation = None, ""
                return
            seen.add(step)
            step = subjects[step].to or 0

    def _children(self, at: int) -> list[int]:
        return [
            other for other, subject in enumerate(self.reading.subjects) if subject.to == at and other not in self._gone
        ]

    def _build(self, at: int, depth: int) -> Cluster:
        subject = self.reading.subjects[at]
        if isinstance(subject.what, Person) and (subject.what.gear or subject.pose == "fish"):
            self._give_gear(at, subject.what.gear or "fishing-pole")
        children = self._children(at)
        own = self._own(at, subject, children)
        cluster = Cluster(lead=subject, pieces=own)
        if depth > 4:
            return cluster
        base = own[0]
        spread: dict[str, int] = {}
        for child in children:
            relation = self.reading.subjects[child].relation
            if relation == "worn":
                if not subject.is_person and self._picture(child) in HATS:
                    crown(cluster, base, self._build(child, depth + 1))
                continue
            inner = self._build(child, depth + 1)
            place = PLACERS.get(relation, PLACERS["beside"])
            nth = spread.get(relation, 0)
            spread[relation] = nth + 1
            place(cluster, base, inner, nth)
        return cluster

    def _own(self, at: int, subject: Subject, children: list[int]) -> list[Piece]:
        """Draw the subject itself, as often as it is counted."""
        copies = min(subject.count, MAX_COPIES)
        random = derive_random(self.seed, str(at), "copies")
        sprites: list[Sprite] = []
        metres = 1.0
        for copy in range(copies):
            sprite, metres = self._sprite(at, subject, children, copy, sprites)
            sprites.append(sprite)
        height = natural_height(metres * subject.size)
        scales = [height / max(sprite.height, 0.6 * sprite.width) for sprite in sprites]
        return arrange(sprites, scales, random, flies=flies(subject))

    def _sprite(
        self, at: int, subject: Subject, children: list[int], copy: int, before: list[Sprite]
    ) -> tuple[Sprite, float]:
        """Return a sprite and its height in metres; copies of a thing are equal, those of a person are not."""
        colour = self.vocabulary.colours.get(subject.colour or "")
        if isinstance(subject.what, Thing):
            self._note(subject.what.picture)
            return (before[0] if before else self.draw_thing(subject.what.picture, colour)), subject.what.size
        person = subject.what
        if person.second and copy % 2 == 1:
            person = self._person(person.second) or person
        random = derive_random(self.seed, f"{at}/{copy}", "figure")
        clothes = colour or self._worn_colour(children)
        look = cast(replace(subject, what=person), clothes, self.reading.sex, self.icons, random)
        whole = _whole_icon(person, look)
        sprite = draw_whole(whole, look.sex, random.randrange(5), self.icons) if whole else None
        if sprite is not None:
            self._note(whole)
            return sprite, 1.0 if whole == "swim" else 1.65
        held = [child for child in children if self.reading.subjects[child].relation == "held"]
        if look.age != "baby" and any(self._picture(child) in OVERHEAD for child in held):
            look = replace(look, pose="raise")
        elif (held or person.gear) and look.pose in ("", "walk", "sleep", "fish"):
            look = replace(look, pose="hold")
        elif look.pose == "sleep":
            look = replace(look, pose="sit")
        self._note(look.head)
        return draw_figure(look, self.icons, self._hat(person, children)), person_height(look)

    def _person(self, word: str) -> Person | None:
        for meaning in self.vocabulary.phrases.get((word,), ()):
            if meaning.category == "person":
                return self.vocabulary.people[int(meaning.name)]
        return None

    def _picture(self, at: int) -> str:
        what = self.reading.subjects[at].what
        return what.picture if isinstance(what, Thing) else ""

    def _note(self, picture: str) -> None:
        if picture not in self.pictures:
            self.pictures.append(picture)

    def draw_thing(self, picture: str, colour: str | None) -> Sprite:
        """Draw a picture of the vocabulary in its own or another colour."""
        if picture.startswith("~"):
            name = picture.removeprefix("~")
            return draw_shape(name, self.vocabulary.shapes[name], colour)
        if picture in FACES:
            return draw_beast(picture, self.icons, colour)
        return self.icons.sprite(picture, colour)

    def _give_gear(self, at: int, picture: str) -> None:
        thing = self._by_picture.get(picture)
        if thing is not None and not any(s.to == at and s.relation == "held" for s in self.reading.subjects):
            gear = Subject(word=picture.removeprefix("~"), what=thing, relation="held", to=at, certain=False)
            self.reading.subjects.append(gear)

    def _worn_colour(self, children: list[int]) -> str | None:
        """Colour of a coat or dress that the description names; hats and shoes do not count."""
        for child in children:
            worn = self.reading.subjects[child]
            if (
                worn.relation == "worn"
                and worn.colour
                and isinstance(worn.what, Thing)
                and worn.what.picture not in HATS
            ):
                return self.vocabulary.colours[worn.colour]
        return None

    def _hat(self, person: Person, children: list[int]) -> tuple[Sprite, float] | None:
        for child in children:
            worn = self.reading.subjects[child]
            if worn.relation == "worn" and isinstance(worn.what, Thing) and worn.what.picture in HATS:
                picture, colour = worn.what.picture, self.vocabulary.colours.get(worn.colour or "")
                return self.draw_thing(picture, colour), HATS_OVERHANG.get(picture, 1.0)
        if person.hat:
            return self.draw_thing(person.hat, None), HATS_OVERHANG.get(person.hat, 1.0)
        return None


def _whole_icon(person: Person, look: Look) -> str:
    """Return the whole icon that shows a person or what it does best, or an empty name."""
    name = person.whole
    if not name and (look.pose in WHOLE or look.pose == "in-bed"):
        # A cook stays a cook and a goalkeeper keeps the ball, whatever they do.
        name = "" if person.bust or (person.gear and look.pose == "swim") else look.pose
    ageless = look.age in ("adult", "young") or (look.age != "baby" and name in ICON_ONLY)
    return name if ageless else ""
