"""Where pieces stand in a cluster: copies side by side, things on, in, under, behind or held by others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from pipeline.adapters.renderers.storyboard.sprites import Sprite
from pipeline.adapters.renderers.storyboard.subjects import Subject
from pipeline.adapters.renderers.storyboard.vocabulary import Thing

TALL_TOOLS = ("broom", "~rake", "shovel", "fishing-pole", "ladder", "crutch", "~paddle", "net-with-handle")
MOUNTS = ("bicycle", "motorcycle", "motor-scooter", "carousel-horse")
OVERHEAD = ("umbrella", "balloon", "kite", "~flag", "~sparkler", "red-paper-lantern")


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
        """Width as placed."""
        return self.sprite.width * self.scale

    @property
    def height(self) -> float:
        """Height as placed."""
        return self.sprite.height * self.scale


@dataclass(slots=True)
class Cluster:
    """Pieces in drawing order around a common foot, and the subject that stands for them."""

    lead: Subject
    pieces: list[Piece] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Left edge, from the foot."""
        return min(piece.x - piece.width / 2 for piece in self.pieces)

    @property
    def right(self) -> float:
        """Right edge, from the foot."""
        return max(piece.x + piece.width / 2 for piece in self.pieces)

    @property
    def top(self) -> float:
        """Height over the foot."""
        return max(piece.height - piece.y for piece in self.pieces)

    @property
    def width(self) -> float:
        """From the left edge to the right one."""
        return self.right - self.left


def flies(subject: Subject) -> bool:
    """Whether a subject hangs or flies in the air."""
    return isinstance(subject.what, Thing) and subject.what.at in ("air", "sky")


def arrange(sprites: list[Sprite], scales: list[float], random: Random, *, flies: bool) -> list[Piece]:
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
        pieces.append(
            Piece(sprite, x, y, scale * shrink * random.uniform(0.93, 1.0), flip=random.random() < 0.5 and flies)
        )
    return sorted(pieces, key=lambda piece: piece.y)


def _shifted(cluster: Cluster, x: float, y: float, scale: float = 1.0) -> list[Piece]:
    return [
        replace(piece, x=x + piece.x * scale, y=y + piece.y * scale, scale=piece.scale * scale)
        for piece in cluster.pieces
    ]


def _spread(base: Piece, inner: Cluster, nth: int) -> float:
    """Offset from the middle for the nth of several things on one: middle, left, right, …."""
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
    elif not inner.lead.is_doer and len(inner.pieces) > 1:
        scale = base.width * 0.9 / inner.width  # a bowl of cherries is full
    deep = 0.42 if inner.lead.is_person else 0.3 if inner.lead.is_doer else 0.12
    sunk = min(inner.top * scale * deep, base.height * (1 - base.sprite.rim) * 0.94)
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
    cluster.pieces.extend(_shifted(inner, x, -base.height * 0.7 if flies(inner.lead) else 0.0))


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
    if base.height < inner.top * 0.9:
        # Held up by nothing: an awning over the group.
        cluster.pieces[:] = [replace(piece, y=piece.y - inner.top * 0.94) for piece in cluster.pieces]
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
    elif picture in OVERHEAD or not isinstance(what, Thing) or what.kind in ("animal", "creature"):
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


def crown(cluster: Cluster, base: Piece, inner: Cluster) -> None:
    """Put a hat on an animal: those drawn from the front have the head in the middle, the others look left."""
    front = base.sprite.hips is None and base.sprite.seat == 0.3 and base.sprite.width == 120.0
    x = base.x + (0.0 if front else -base.width * 0.24)
    scale = base.width * (0.6 if front else 0.42) / inner.width
    cluster.pieces.extend(_shifted(inner, x, base.y - base.height * (0.93 if front else 0.9), scale))


def _with(cluster: Cluster, base: Piece, inner: Cluster, nth: int) -> None:
    what, other = cluster.lead.what, inner.lead.what
    if isinstance(what, Thing) and isinstance(other, Thing) and other.at == "table":
        glows = inner.pieces[0].sprite.glow is not None
        if what.kind in ("vessel", "boat") and other.kind != "vessel" and not glows:
            (_in if base.sprite.rim > base.sprite.seat else _on)(cluster, base, inner, nth)
            return
        if what.kind == "furniture" or what.picture == "~market-stall":
            _on(cluster, base, inner, nth)
            return
    if isinstance(what, Thing) and base.width > 2.4 * inner.width and not flies(inner.lead):
        x = base.x + (-0.34, 0.34, 0.0, -0.62, 0.62)[nth % 5] * base.width
        cluster.pieces.extend(_shifted(inner, x, 14.0))
        return
    _beside(cluster, base, inner, nth)


Placer = Callable[[Cluster, Piece, Cluster, int], None]
PLACERS: dict[str, Placer] = {
    "on": _on, "riding": _on, "in": _in, "beside": _beside, "behind": _behind, "front": _front, "under": _under,
    "over": _over, "held": _held, "with": _with,
}  # fmt: skip
