"""Groups what belongs together: a cat on a chair, apples in a basket, a man with a fishing rod is one cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from pipeline.adapters.renderers.storyboard.figures import (
    HATS,
    HATS_OVERHANG,
    WHOLE,
    cast,
    draw_figure,
    draw_whole,
    person_height,
)
from pipeline.adapters.renderers.storyboard.icons import IconSet
from pipeline.adapters.renderers.storyboard.parse import Reading, Subject
from pipeline.adapters.renderers.storyboard.sprites import Sprite, draw_shape
from pipeline.adapters.renderers.storyboard.vocabulary import Person, Thing, Vocabulary
from pipeline.values.ids import derive_random

# A person of 1.7 m is 230 units high before the scene is fitted; sizes go with the root of the height, so that a mouse
# can be seen beside a house and still is the smaller one.
UNIT, PERSON, POWER = 230.0, 1.7, 0.52
MAX_COPIES = 7
MOUNTS = ("bicycle", "motorcycle", "motor-scooter", "carousel-horse")
SEATING = ("chair", "~bench", "~sofa", "~armchair", "~rocking-chair", "~swing", "~stairs", "couch-and-lamp", "bed", "seat",
           "~seesaw", "~log-pile", "~stone-wall", "~crate", "~bus-shelter", "manual-wheelchair", "~hammock", "sled",
           "~barrel", "~haystack", "rock")  # fmt: skip
TALL_TOOLS = ("broom", "~rake", "shovel", "fishing-pole", "ladder", "crutch", "~paddle", "net-with-handle")
OVERHEAD = ("umbrella", "balloon", "kite", "~flag", "~sparkler", "red-paper-lantern")
# Actions that a drawn body cannot show, so that even children and old people get the ageless icon.
ICON_ONLY = ("cycle", "swim", "row", "ski", "surf", "climb", "in-bed", "biking", "swimming", "surfing", "climbing")
HANDY = ("tool", "object", "instrument", "toy", "food", "drink", "vessel", "garment", "plant", "decor", "flying")


@dataclass(frozen=True, slots=True)
class Piece:
    """A sprite placed in a cluster: x is its middle, y its foot (negative is up), both from the cluster's foot."""

    sprite: Sprite
    x: float
    y: float
    scale: float
    flip: bool = False

    @property
    def width(self) -> float:
        return self.sprite.width * self.scale

    @property
    def height(self) -> float:
        return self.sprite.height * self.scale


@dataclass(slots=True)
class Cluster:
    """Pieces in drawing order around a common foot, and the subject that stands for them."""

    lead: Subject
    pieces: list[Piece] = field(default_factory=list)

    @property
    def left(self) -> float:
        return min(piece.x - piece.width / 2 for piece in self.pieces)

    @property
    def right(self) -> float:
        return max(piece.x + piece.width / 2 for piece in self.pieces)

    @property
    def top(self) -> float:
        return max(piece.height - piece.y for piece in self.pieces)

    @property
    def width(self) -> float:
        return self.right - self.left


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
            if subject.is_person and isinstance(other.what, Thing):
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
                continue
            inner = self._build(child, depth + 1)
            place = PLACERS.get(relation, _beside)
            nth = spread.get(relation, 0)
            spread[relation] = nth + 1
            place(cluster, base, inner, nth)
        return cluster

    def _own(self, at: int, subject: Subject, children: list[int]) -> list[Piece]:
        """Draw the subject itself, as often as it is counted."""
        copies = min(subject.count, MAX_COPIES)
        random = derive_random(self.seed, str(at), "copies")
        sprites = []
        metres = 1.0
        for copy in range(copies):
            sprite, metres = self._sprite(at, subject, children, copy, sprites)
            sprites.append(sprite)
        height = natural_height(metres * subject.size)
        scales = [height / max(sprite.height, 0.6 * sprite.width) for sprite in sprites]
        return _arrange(sprites, scales, random, flies=isinstance(subject.what, Thing) and subject.what.at in ("air", "sky"))

    def _sprite(
        self, at: int, subject: Subject, children: list[int], copy: int, before: list[Sprite]
    ) -> tuple[Sprite, float]:
        """Return a sprite and its height in metres; copies of a thing are equal, those of a person are not."""
        colour = self.vocabulary.colours.get(subject.colour or "")
        if isinstance(subject.what, Thing):
            self._note(subject.what.picture)
            return (before[0] if before else self.draw_thing(subject.what.picture, colour)), subject.what.size
        random = derive_random(self.seed, f"{at}/{copy}", "figure")
        held = [child for child in children if self.reading.subjects[child].relation == "held"]
        if subject.what.gear and not held:
            self._give_gear(at, subject.what)
        look = cast(subject, colour or self._worn_colour(children), self.reading.sex, self.icons, random)
        whole = subject.what.whole or (look.pose if look.pose in WHOLE or look.pose == "in-bed" else "")
        if whole and (look.age in ("adult", "young") or (look.age != "baby" and whole in ICON_ONLY)):
            sprite = draw_whole(whole, look.sex, random.randrange(5), self.icons)
            if sprite is not None:
                self._note(whole)
                return sprite, 1.0 if whole == "swim" else 1.65
        if (held or subject.what.gear) and look.pose in ("", "walk", "sleep"):
            look = replace(look, pose="hold")
        elif look.pose == "sleep":
            look = replace(look, pose="sit")
        self._note(look.head)
        return draw_figure(look, self.icons, self._hat(subject.what, children)), person_height(look)

    def _note(self, picture: str) -> None:
        if picture not in self.pictures:
            self.pictures.append(picture)

    def draw_thing(self, picture: str, colour: str | None) -> Sprite:
        """Draw a picture of the vocabulary in its own or another colour."""
        if picture.startswith("~"):
            name = picture.removeprefix("~")
            return draw_shape(name, self.vocabulary.shapes[name], colour)
        return self.icons.sprite(picture, colour)

    def _give_gear(self, at: int, person: Person) -> None:
        thing = self._by_picture.get(person.gear)
        if thing is not None and not any(s.to == at and s.relation == "held" for s in self.reading.subjects):
            gear = Subject(word=person.gear.removeprefix("~"), what=thing, relation="held", to=at, certain=False)
            self.reading.subjects.append(gear)

    def _worn_colour(self, children: list[int]) -> str | None:
        """Colour of a coat or dress that the description names; hats and shoes do not count."""
        for child in children:
            worn = self.reading.subjects[child]
            if worn.relation == "worn" and worn.colour and isinstance(worn.what, Thing) and worn.what.picture not in HATS:
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


def _arrange(sprites: list[Sprite], scales: list[float], random: Random, *, flies: bool) -> list[Piece]:
    """Stand copies side by side, those behind a little higher; what flies is strewn."""
    count = len(sprites)
    if count == 1:
        return [Piece(sprites[0], 0.0, 0.0, scales[0], flip=False)]
    width = max(sprite.width * scale for sprite, scale in zip(sprites, scales, strict=True))
    height = max(sprite.height * scale for sprite, scale in zip(sprites, scales, strict=True))
    shrink = 1.0 if count <= 3 else 0.86 if count <= 5 else 0.76
    step = width * (0.86 if count <= 3 else 0.62 if count == 4 else 0.5) * shrink
    pieces = []
    for at, (sprite, scale) in enumerate(zip(sprites, scales, strict=True)):
        x = (at - (count - 1) / 2) * step
        back = at % 2 == 1
        y = -height * ((0.1 if count < 5 else 0.24) if count > 2 and back else 0.0)
        if flies:
            x += random.uniform(-0.2, 0.2) * width
            y = -random.uniform(0.0, 1.6) * height
        pieces.append(Piece(sprite, x, y, scale * shrink * random.uniform(0.93, 1.0), flip=random.random() < 0.5 and flies))
    return sorted(pieces, key=lambda piece: piece.y)


def _shifted(cluster: Cluster, x: float, y: float, scale: float = 1.0) -> list[Piece]:
    return [
        replace(piece, x=x + piece.x * scale, y=y + piece.y * scale, scale=piece.scale * scale) for piece in cluster.pieces
    ]


def _spread(base: Piece, inner: Cluster, nth: int) -> float:
    """Offset from the middle for the nth of several things on one: middle, left, right, …"""
    room = max(base.width * 0.36, inner.width * 0.5)
    return (0.0, -1.0, 1.0, -0.5, 0.5)[nth % 5] * room


def _on(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    lead = inner.pieces[0].sprite
    what = cluster.lead.what
    if isinstance(what, Thing) and what.kind in ("boat",):
        _in(cluster, base, inner, nth)
        return
    if isinstance(what, Thing) and what.kind == "vehicle" and what.picture not in MOUNTS:
        _in(cluster, base, inner, nth)
        return
    seat = base.y - base.height * (1 - base.sprite.seat)
    if lead.hips is not None and inner.lead.pose == "sit":
        seat += inner.pieces[0].height * (1 - lead.hips) - 4
    scale = min(1.0, base.width * 1.5 / inner.width) if inner.lead.is_person is False else 1.0
    x = _spread(base, inner, nth) if nth or inner.width < base.width * 0.7 else 0.0
    cluster.pieces.extend(_shifted(inner, base.x + x, seat, scale))


def _in(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    what = cluster.lead.what
    if isinstance(what, Thing) and (what.kind in ("building", "shelter", "tree", "plant") or what.at == "sky"):
        (_on if what.kind == "tree" and not inner.lead.is_person else _front)(cluster, base, inner, nth)
        return
    rim = base.y - base.height * (1 - base.sprite.rim)
    scale = min(1.0, base.width * 0.92 / inner.width)
    if inner.lead.is_doer and inner.top < base.height:
        # Who sits in a box is what the picture is about: not smaller than the box.
        scale = min(base.height / inner.top, base.width * 0.92 / inner.width)
    sunk = min(inner.top * scale * (0.42 if inner.lead.is_person else 0.3), base.height * (1 - base.sprite.rim) * 0.94)
    x = _spread(base, inner, nth) * 0.8 if nth else 0.0
    at = next(place for place, piece in enumerate(cluster.pieces) if piece is base)
    cluster.pieces[at:at] = _shifted(inner, base.x + x, rim + sunk, scale)


def _beside(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    what = cluster.lead.what
    if isinstance(what, Thing) and what.picture in ("~table", "~desk", "~market-stall") and inner.lead.is_person:
        cluster.pieces[0:0] = _shifted(inner, base.x, -14.0)
        return
    if nth % 2 == 0:
        x = cluster.right - inner.left * 0.98 - min(inner.width, base.width) * 0.06
    else:
        x = cluster.left - inner.right * 0.98 + min(inner.width, base.width) * 0.06
    flies = isinstance(inner.lead.what, Thing) and inner.lead.what.at in ("air", "sky")
    cluster.pieces.extend(_shifted(inner, x, -base.height * 0.7 if flies else 0.0))


def _behind(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    side = 1 if nth % 2 == 0 else -1
    x = base.x + side * (base.width * 0.42 + inner.width * 0.12)
    cluster.pieces[0:0] = _shifted(inner, x, -base.height * 0.12 - 10, 0.92)


def _front(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    side = -1 if nth % 2 == 0 else 1
    x = base.x + side * base.width * 0.3 * (1 if nth == 0 else 1.3)
    cluster.pieces.extend(_shifted(inner, x, 16.0))


def _under(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    what = cluster.lead.what
    if isinstance(what, Thing) and what.at in ("sky", "air"):
        return
    need = inner.top * 1.45
    if base.height < need and isinstance(what, Thing) and what.picture in ("umbrella", "~lamp", "~string-lights", "~bunting"):
        # Held up by nothing: an awning over the group.
        at = cluster.pieces.index(base)
        cluster.pieces[at] = replace(base, y=-inner.top * 0.9)
        cluster.pieces.extend(_shifted(inner, base.x, 0.0))
        return
    scale = min(1.0, base.height * 0.62 / inner.top)
    x = _spread(base, inner, nth) * 0.8 if nth else base.width * 0.06
    cluster.pieces.extend(_shifted(inner, base.x + x, 12.0, max(scale, 0.45)))


def _over(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    cluster.pieces.extend(_shifted(inner, base.x + _spread(base, inner, nth), -cluster.top - 12.0))


def _held(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    bearer = next((piece for piece in cluster.pieces if piece.sprite.hips is not None), base)
    what = inner.lead.what
    picture = what.picture if isinstance(what, Thing) else ""
    limit = 0.62 if isinstance(what, Thing) and what.kind == "instrument" else 0.4
    if picture in TALL_TOOLS:
        limit = 0.92
    elif picture in OVERHEAD:
        limit = 0.5
    elif not isinstance(what, Thing) or what.kind in ("animal", "creature"):
        limit = 0.5
    scale = min(1.0, bearer.height * limit / max(inner.top, inner.width * 0.8))
    hand_x = bearer.x + (bearer.sprite.hand[0] - 0.5) * bearer.width
    hand_y = bearer.y - bearer.height * (1 - bearer.sprite.hand[1])
    if bearer.sprite.hips is None:  # animals carry things before them
        cluster.pieces.extend(_shifted(inner, bearer.x - bearer.width * 0.42, -bearer.height * 0.2, scale))
    elif picture in TALL_TOOLS:
        cluster.pieces.extend(_shifted(inner, bearer.x + bearer.width * 0.42, 0.0, scale))
    elif picture in OVERHEAD:
        cluster.pieces.extend(_shifted(inner, bearer.x + bearer.width * 0.4, hand_y + 4, scale))
    elif picture in ("~cello", "harp"):
        cluster.pieces.extend(_shifted(inner, bearer.x + bearer.width * 0.1, 0.0, max(scale, 0.7)))
    elif picture in ("~piano", "musical-keyboard", "~gong", "~xylophone"):
        _beside(cluster, base, inner, nth)
    else:
        x = hand_x + (0.0 if nth == 0 else bearer.width * 0.4)
        cluster.pieces.extend(_shifted(inner, x, hand_y + inner.top * scale * 0.5, scale))


def _with(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    what, other = cluster.lead.what, inner.lead.what
    if isinstance(what, Thing) and isinstance(other, Thing) and what.kind in ("vessel", "boat") and other.at == "table":
        (_in if base.sprite.rim > base.sprite.seat else _on)(cluster, base, inner, nth)
        return
    if isinstance(what, Thing) and isinstance(other, Thing) and what.kind == "furniture" and other.at == "table":
        _on(cluster, base, inner, nth)
        return
    _beside(cluster, base, inner, nth)


Placer = Callable[[Cluster, Piece, Cluster, int], None]
PLACERS: dict[str, Placer] = {
    "on": _on, "riding": _on, "in": _in, "beside": _beside, "behind": _behind, "front": _front, "under": _under,
    "over": _over, "held": _held, "with": _with,
}  # fmt: skip
