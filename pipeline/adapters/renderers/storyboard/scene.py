"""Composes a picture: backdrop, clusters on their ground, light, as one SVG."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from pipeline.adapters.renderers.storyboard.clusters import Cluster, Grouper, Piece
from pipeline.adapters.renderers.storyboard.icons import IconSet, rename_ids
from pipeline.adapters.renderers.storyboard.indoors import paint_room
from pipeline.adapters.renderers.storyboard.outdoors import paint_outdoors
from pipeline.adapters.renderers.storyboard.parse import Reading
from pipeline.adapters.renderers.storyboard.sky import HEIGHT, Air, paint_light, paint_weather
from pipeline.adapters.renderers.storyboard.sprites import Sprite, shade
from pipeline.adapters.renderers.storyboard.vocabulary import Person, Place, Thing, Vocabulary
from pipeline.values.ids import derive_random

# Where people are when nothing says so, and what an unreadable description gets.
EVERYDAY = ("street", "park", "living", "meadow", "village", "garden")
ANYWHERE = ("meadow", "mountains", "beach", "street", "forest", "living", "harbour", "garden")
TABLE_KINDS = ("food", "drink", "vessel", "object", "tool", "toy", "garment", "instrument", "decor")
WET_WEATHER = ("rain", "storm", "snow", "fog", "wind", "autumn")


@dataclass(slots=True)
class Scene:
    """A composed picture.

    Attributes:
        svg: The whole document, safe to render: nothing of the description's text is in it.
        pictures: Names of the icons and drawings of the subjects.
    """

    svg: str
    place: str
    time: str
    weather: str
    pictures: list[str]


@dataclass(slots=True)
class _Plan:
    """Clusters by the part of the picture that they belong to."""

    main: list[Cluster] = field(default_factory=list)
    back: list[Cluster] = field(default_factory=list)
    sky: list[Cluster] = field(default_factory=list)
    table: list[Cluster] = field(default_factory=list)


def choose_place(reading: Reading, vocabulary: Vocabulary, random: Random) -> str:
    """Return the named place, or where the things named are mostly found."""
    if reading.place:
        return reading.place
    votes: Counter[str] = Counter()
    for at, subject in enumerate(reading.subjects):
        what = subject.what
        names = [what.picture, what.kind] if isinstance(what, Thing) else [what.bust, what.whole, what.gear, subject.pose]
        named = [name for name in names if name in vocabulary.homes]
        if named:
            votes[vocabulary.homes[named[0]]] += 4 if at == 0 else 1 if named[0] == names[1] else 2
    if not votes:
        return random.choice(EVERYDAY if reading.subjects else ANYWHERE)
    place = max(votes.items(), key=lambda item: item[1])[0]
    outdoors = any(subject.is_doer for subject in reading.subjects) and reading.weather in WET_WEATHER
    if vocabulary.places[place].inside and outdoors:
        return "street"
    return place


def compose(reading: Reading, vocabulary: Vocabulary, icons: IconSet, seed: int, aspect: float) -> Scene:
    """Compose a scene of 512 units' height and ``512 * aspect`` units' width."""
    random = derive_random(seed, "storyboard", "scene")
    name = choose_place(reading, vocabulary, random)
    place = vocabulary.places[name]
    if reading.background:
        place = place.model_copy(update={"wall": reading.background, "floor": shade(reading.background, -0.06)})
    air = Air(time=reading.time or "day", weather=reading.weather or place.weather, width=HEIGHT * aspect)
    grouper = Grouper(reading, vocabulary, icons, seed)
    plan = _sort(grouper.group(), place)
    stage = _Stage(place, air, derive_random(seed, "storyboard", "stage"), grouper)
    svg = stage.paint(plan, reading)
    return Scene(svg=svg, place=name, time=air.time, weather=air.weather, pictures=grouper.pictures)


def _sort(clusters: list[Cluster], place: Place) -> _Plan:
    plan = _Plan()
    grounded = [cluster for cluster in clusters if not _lies_on_table(cluster) and not _flies(cluster)]
    for cluster in clusters:
        what = cluster.lead.what
        if _flies(cluster) and not (place.ground == "seabed" or (place.space and len(clusters) == 1)):
            plan.sky.append(cluster)
        elif _lies_on_table(cluster) and ((place.inside and place.tables) or (not grounded and _is_food(cluster))):
            plan.table.append(cluster)
        elif cluster.lead.depth == "back" or (
            isinstance(what, Thing) and (what.at == "far" or what.kind == "tree") and len(clusters) > 1
        ):
            plan.back.append(cluster)
        else:
            plan.main.append(cluster)
    if plan.table and all(_is_small(cluster) for cluster in plan.main):
        plan.table, plan.main = [cluster for cluster in clusters if cluster in plan.table or cluster in plan.main], []
    if not plan.main and not plan.table and plan.back:
        plan.main, plan.back = plan.back[:3], plan.back[3:]
    return plan


def _flies(cluster: Cluster) -> bool:
    return isinstance(cluster.lead.what, Thing) and cluster.lead.what.at in ("air", "sky")


def _lies_on_table(cluster: Cluster) -> bool:
    what = cluster.lead.what
    return isinstance(what, Thing) and what.at == "table" and what.kind in TABLE_KINDS and what.size < 1.0


def _is_small(cluster: Cluster) -> bool:
    what = cluster.lead.what
    return isinstance(what, Thing) and what.size < 0.8 and what.kind in (*TABLE_KINDS, "plant")


def _is_food(cluster: Cluster) -> bool:
    return isinstance(cluster.lead.what, Thing) and cluster.lead.what.kind in ("food", "drink")


class _Stage:
    """Paints one scene."""

    def __init__(self, place: Place, air: Air, random: Random, grouper: Grouper) -> None:
        self.place = place
        self.air = air
        self.random = random
        self.grouper = grouper
        self.width = air.width
        self.lights: list[tuple[float, float, float, str]] = []
        self.defs: dict[str, str] = {}

    def paint(self, plan: _Plan, reading: Reading) -> str:
        """Return the whole document."""
        big_sun = any(subject.word == "sun" for subject in reading.subjects)
        if self.place.inside:
            backdrop, line = paint_room(self.place, self.air, self.random)
        else:
            backdrop, line = paint_outdoors(self.place, self.air, self.random, big_sun=big_sun)
        named = set(self.grouper.pictures)
        parts = [backdrop, self._props(line, named)]
        parts.append(self._sky(plan.sky, alone=not (plan.main or plan.table or plan.back)))
        parts.append(self._back(plan.back, line))
        parts.append(self._main(plan, line))
        parts.append(paint_weather(self.air, self.random, inside=self.place.inside or self.place.ground == "seabed"))
        if not self.place.space and self.place.ground != "seabed":
            parts.append(paint_light(self.air, inside=self.place.inside))
        parts.append(self._moods(reading))
        body = "".join(parts)
        defs = "".join(self.defs.values())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {self.width:g} {HEIGHT:g}"><defs>{defs}</defs>{body}</svg>'
        )

    def _use(self, sprite: Sprite) -> str:
        """Define a sprite once and return its id."""
        if sprite.svg not in self.defs:
            name = f"s{len(self.defs)}"
            self.defs[sprite.svg] = f'<g id="{name}">{rename_ids(sprite.svg, name + "-")}</g>'
        return f"s{list(self.defs).index(sprite.svg)}"

    def _draw(self, piece: Piece, x: float, y: float, scale: float) -> str:
        """Draw a piece of a cluster whose foot is at (x, y)."""
        size = piece.scale * scale
        left = x + piece.x * scale - piece.sprite.width * size / 2
        top = y + piece.y * scale - piece.sprite.height * size
        if piece.sprite.glow is not None:
            middle = (left + piece.sprite.width * size / 2, top + piece.sprite.height * size / 2)
            self.lights.append((*middle, max(70.0, piece.sprite.height * size * 1.3), piece.sprite.glow))
        turn = f"translate({left:.1f},{top:.1f}) scale({size:.4f})"
        if piece.flip:
            turn = f"translate({left + piece.sprite.width * size:.1f},{top:.1f}) scale({-size:.4f},{size:.4f})"
        return f'<use xlink:href="#{self._use(piece.sprite)}" transform="{turn}"/>'

    def _cluster(self, cluster: Cluster, x: float, y: float, scale: float, *, shadow: bool = True) -> str:
        drawn = "".join(self._draw(piece, x, y, scale) for piece in cluster.pieces)
        if not shadow:
            return drawn
        feet = [piece for piece in cluster.pieces if piece.y > -piece.height * 0.15]
        shade_under = "".join(
            f'<ellipse cx="{x + piece.x * scale:.1f}" cy="{y + piece.y * scale - 1:.1f}" rx="{piece.width * scale * 0.46:.1f}" '
            f'ry="{max(3.0, min(13.0, piece.width * scale * 0.07)):.1f}" fill="#1b1730" opacity=".2"/>'
            for piece in feet
        )
        return shade_under + drawn

    def _props(self, line: float, named: set[str]) -> str:
        parts = []
        for prop in self.place.props:
            words = prop.split()
            picture, x, high = words[0], float(words[1]), float(words[2])
            if picture in named:
                continue
            sprite = self.grouper.draw_thing(picture, None)
            spot = words[3] if len(words) > 3 else "floor"
            scale = HEIGHT * high / max(sprite.height, sprite.width * 0.35)
            foot = {"wall": 150.0 + sprite.height * scale / 2, "sky": 30.0 + sprite.height * scale}.get(spot, line + 22.0)
            parts.append(
                self._cluster(
                    Cluster(lead=None, pieces=[Piece(sprite, 0.0, 0.0, scale)]),  # type: ignore[arg-type]
                    self.width * x, foot, 1.0, shadow=spot == "floor",
                )
            )  # fmt: skip
        return "".join(parts)

    def _sky(self, clusters: list[Cluster], *, alone: bool) -> str:
        parts = []
        spots = [0.3, 0.7, 0.5, 0.15, 0.85]
        if self.random.random() < 0.5:
            spots = [1 - spot for spot in spots]
        for at, cluster in enumerate(clusters[:5]):
            limit = 330.0 if alone and len(clusters) == 1 else 200.0 if alone else 150.0
            scale = min(1.15 if alone else 0.8, limit / cluster.top, self.width * 0.6 / cluster.width)
            x = self.width * (0.5 if alone and len(clusters) == 1 else spots[at])
            y = (HEIGHT * 0.72 if alone and len(clusters) == 1 else 70.0 + 34 * (at % 2) + cluster.top * scale)
            parts.append(self._cluster(cluster, self._keep_inside(cluster, x, scale), y, scale, shadow=False))
        return "".join(parts)

    def _keep_inside(self, cluster: Cluster, x: float, scale: float) -> float:
        low, high = 8 - cluster.left * scale, self.width - 8 - cluster.right * scale
        return min(max(x, low), max(high, low)) if low <= high else (low + high) / 2

    def _back(self, clusters: list[Cluster], line: float) -> str:
        parts = []
        spots = [0.76, 0.24, 0.5, 0.9, 0.1]
        if self.random.random() < 0.5:
            spots = [1 - spot for spot in spots]
        for at, cluster in enumerate(clusters[:5]):
            scale = min(1.0, 270.0 / cluster.top, self.width * 0.7 / cluster.width)
            x = self._keep_inside(cluster, self.width * spots[at], scale)
            parts.append(self._cluster(cluster, x, line + 34 + 6 * at, scale))
        return "".join(parts)

    def _main(self, plan: _Plan, line: float) -> str:
        floating = self.place.ground in ("seabed", "none") or self.place.ground == "clouds"
        bank = self._bank(plan)
        behind_table = bool(plan.table) and bool(plan.main)
        foot = 470.0
        if floating:
            foot = 430.0
        parts = [bank]
        clusters = plan.main
        if behind_table and any(not cluster.lead.is_person for cluster in clusters):
            # Furniture and animals are hidden by a table across the picture: the small things stand before them.
            clusters, behind_table = [*plan.main, *plan.table], False
            plan = replace(plan, table=[])
        tallest = 330.0 if behind_table else 300.0 if len(clusters) > 1 else 320.0
        if clusters:
            parts.append(self._row(clusters, foot if not behind_table else 500.0, tallest, floating=floating, water=line))
        if plan.table:
            parts.append(self._table(plan.table, with_people=behind_table))
        return "".join(parts)

    def _bank(self, plan: _Plan) -> str:
        """A strip of shore where something must stand beside water."""
        dry = any(not _swims(cluster) for cluster in plan.main)
        if not (self.place.water and dry and self.place.ground in ("sea", "lake")):
            return ""
        colour = "#e6c98c" if self.place.ground == "sea" else "#7fae5c"
        return (
            f'<path d="M0 424q{self.width / 4:g}-26 {self.width / 2:g}-6t{self.width / 2:g}-4V{HEIGHT:g}H0z" fill="{colour}"/>'
        )

    def _row(self, clusters: list[Cluster], foot: float, tallest: float, *, floating: bool, water: float) -> str:
        """Stand clusters side by side; where they would get too small, the taller half stands behind the other."""
        ordered = self._order(clusters[:6])
        high = tallest / max(cluster.top for cluster in ordered)
        rows = [ordered]
        if len(ordered) > 1 and self._fit(ordered) < (0.72 if len(ordered) > 2 else 0.55) * high:
            ranked = sorted(ordered, key=lambda cluster: -cluster.top)[: len(ordered) // 2]
            rows = [
                [cluster for cluster in ordered if any(cluster is other for other in ranked)],
                [cluster for cluster in ordered if not any(cluster is other for other in ranked)],
            ]
        scale = min(high, 1.9 if len(ordered) > 1 else 2.7, min(self._fit(row) for row in rows))
        placed = []
        for depth, row in enumerate(reversed(rows)):
            placed.extend(self._line(row, scale * (0.92 if depth else 1.0), foot - 66.0 * depth, floating=floating, water=water))
        return "".join(markup for _, markup in sorted(placed, key=lambda item: item[0]))

    def _fit(self, clusters: list[Cluster]) -> float:
        """Scale at which a row fills the width; neighbours may overlap a little."""
        overlap = 0.88 if len(clusters) > 1 else 0.97
        return self.width * 0.95 / (sum(cluster.width for cluster in clusters) * overlap)

    def _line(
        self, row: list[Cluster], scale: float, foot: float, *, floating: bool, water: float
    ) -> list[tuple[float, str]]:
        """Place one row; return markup with the height of its foot, by which it is drawn."""
        total = sum(cluster.width for cluster in row) * scale
        slack = self.width * 0.95 - total
        gap = min(slack / (len(row) + 1), 40.0) if slack > 0 else slack / max(1, len(row) - 1)
        x = (self.width - total - gap * (len(row) - 1)) / 2
        placed = []
        for at, cluster in enumerate(row):
            middle = x + cluster.width * scale / 2
            x += cluster.width * scale + gap
            y = foot + self.random.uniform(-10, 8) - (16 if at % 2 and len(row) > 2 else 0)
            own = scale
            if cluster.top * scale < 64:
                own = min(64 / cluster.top, scale * 1.7)
                y = min(y + 18, 496.0)
            if floating:
                y -= self.random.uniform(0.0, 130.0) * (1 if _swims(cluster) or self.place.ground != "seabed" else 0)
            elif self.place.water and _swims(cluster):
                y = min(foot - 60, water + 120)
            centre = middle - (cluster.left + cluster.right) / 2 * own
            placed.append((y, self._cluster(cluster, self._keep_inside(cluster, centre, own), y, own, shadow=not floating)))
        return placed

    def _order(self, clusters: list[Cluster]) -> list[Cluster]:
        """Put the first-named into the middle; the seed decides which side comes first."""
        ordered: list[Cluster] = []
        for at, cluster in enumerate(clusters):
            ordered = [*ordered, cluster] if at % 2 else [cluster, *ordered]
        return ordered if self.random.random() < 0.5 else ordered[::-1]

    def _table(self, clusters: list[Cluster], *, with_people: bool) -> str:
        """A table across the foreground with everything on it."""
        top = 410.0 if with_people else 356.0
        wood = "#b07a48" if self.place.wall != "#a98560" else "#8f5f38"
        parts = [
            f'<rect y="{top:g}" width="{self.width:g}" height="{HEIGHT - top:g}" fill="{wood}"/>'
            f'<rect y="{top:g}" width="{self.width:g}" height="9" fill="{shade(wood, 0.25)}"/>'
            f'<path d="M0 {top + 44:g}H{self.width:g}M0 {top + 92:g}H{self.width:g}" stroke="{shade(wood, -0.15)}" stroke-width="3"/>'
        ]
        ordered = self._order(clusters[:6])
        tallest = 130.0 if with_people else 250.0
        total = sum(cluster.width for cluster in ordered) + 24.0 * (len(ordered) - 1)
        scale = min(tallest / max(cluster.top for cluster in ordered), self.width * 0.9 / total, 3.4)
        x = (self.width - total * scale) / 2
        for at, cluster in enumerate(ordered):
            y = top + (44.0 if with_people else 66.0) + (28 if at % 2 else 0)
            own = scale if cluster.top * scale > 46 else min(46 / cluster.top, scale * 1.8)
            centre = x - cluster.left * scale
            x += (cluster.width + 24.0) * scale
            parts.append(self._cluster(cluster, self._keep_inside(cluster, centre, own), y, own))
        return "".join(parts)

    def _moods(self, reading: Reading) -> str:
        """Lamps, glow and darkness that the description asks for, over everything else."""
        moods, parts = set(reading.moods), []
        if "dim" in moods:
            parts.append(self._veil("#141022", 0.1 if self.air.time == "night" else 0.3))
        if "neon" in moods:
            parts.append(self._veil("#c03fd0", 0.16))
        if self.air.is_dark or moods & {"warm", "dim"}:
            lights = list(self.lights[:8])
            if not lights and (self.place.inside or "warm" in moods):
                lights = [(self.width / 2, 150.0, 300.0, "#c98a45")]
            for x, y, radius, colour in lights:
                parts.append(self._glow(x, y, radius, colour))
        if "warm" in moods:
            parts.append(f'<rect width="{self.width:g}" height="{HEIGHT:g}" fill="#ff9d3d" opacity=".14"/>')
        if "spot" in moods:
            middle = self.width / 2
            parts.append(
                f'<path d="M0 0H{self.width:g}V{HEIGHT:g}H0zM{middle - 26:g} 0L{middle - 200:g} 490q200 40 400 0L{middle + 26:g} 0z" '
                f'fill="#0c0a18" opacity=".5" fill-rule="evenodd"/>'
                f'<path d="M{middle - 26:g} 0L{middle - 200:g} 490q200 40 400 0L{middle + 26:g} 0z" fill="#fff3c4" opacity=".15"/>'
            )
        return "".join(parts)

    def _veil(self, colour: str, strength: float) -> str:
        return f'<rect width="{self.width:g}" height="{HEIGHT:g}" fill="{colour}" opacity="{strength}"/>'

    def _glow(self, x: float, y: float, radius: float, colour: str) -> str:
        name = f"glow{colour.lstrip('#')}"
        self.defs.setdefault(
            name,
            f'<radialGradient id="{name}"><stop offset="0" stop-color="{colour}" stop-opacity=".5"/>'
            f'<stop offset="1" stop-color="{colour}" stop-opacity="0"/></radialGradient>',
        )
        return (
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}" fill="url(#{name})" style="mix-blend-mode:screen"/>'
        )


def _swims(cluster: Cluster) -> bool:
    what = cluster.lead.what
    if isinstance(what, Person):
        return what.whole in ("swimming", "rowing-boat", "surfing") or cluster.lead.pose in ("swim", "row", "surf")
    return what.at == "water" or what.picture in ("duck", "swan", "lotus", "turtle", "otter", "seal")
