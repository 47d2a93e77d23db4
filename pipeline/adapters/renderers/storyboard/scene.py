"""Composes a picture: backdrop, clusters on their ground, light, as one SVG."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from pipeline.adapters.renderers.storyboard.clusters import Grouper
from pipeline.adapters.renderers.storyboard.icons import IconSet, rename_ids
from pipeline.adapters.renderers.storyboard.indoors import paint_room
from pipeline.adapters.renderers.storyboard.outdoors import paint_outdoors
from pipeline.adapters.renderers.storyboard.placing import Cluster, Piece
from pipeline.adapters.renderers.storyboard.planning import Plan, choose_place, is_low, sort_clusters, swims
from pipeline.adapters.renderers.storyboard.sky import HEIGHT, Air, paint_light, paint_moon, paint_weather
from pipeline.adapters.renderers.storyboard.sprites import Sprite, mix, shade
from pipeline.adapters.renderers.storyboard.subjects import Reading
from pipeline.adapters.renderers.storyboard.vocabulary import Place, Thing, Vocabulary
from pipeline.values.ids import derive_random


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


def compose(reading: Reading, vocabulary: Vocabulary, icons: IconSet, seed: int, aspect: float) -> Scene:
    """Compose a scene of 512 units' height and ``512 * aspect`` units' width."""
    random = derive_random(seed, "storyboard", "scene")
    name = choose_place(reading, vocabulary, random)
    place = vocabulary.places[name]
    if reading.background:
        place = place.model_copy(update={"wall": reading.background, "floor": shade(reading.background, -0.06)})
    if place.inside:
        place = _take_walls(reading, vocabulary, place)
    air = Air(time=reading.time or "day", weather=reading.weather or place.weather, width=HEIGHT * aspect)
    grouper = Grouper(reading, vocabulary, icons, seed)
    plan = sort_clusters(grouper.group(), place)
    stage = _Stage(place, air, derive_random(seed, "storyboard", "stage"), grouper)
    svg = stage.paint(plan, reading)
    return Scene(svg=svg, place=name, time=air.time, weather=air.weather, pictures=grouper.pictures)


def _take_walls(reading: Reading, vocabulary: Vocabulary, place: Place) -> Place:
    """Walls named in a room are the room's: take them from the subjects, and their colour for it."""
    subjects = reading.subjects
    for at, subject in enumerate(subjects):
        what = subject.what
        if isinstance(what, Thing) and what.picture == "~stone-wall" and not any(s.to == at for s in subjects):
            if subject.to is None:
                subjects.pop(at)
                for other in subjects:
                    other.to = other.to - 1 if other.to is not None and other.to > at else other.to
            colour = vocabulary.colours.get(subject.colour or "")
            return place.model_copy(update={"wall": mix(colour, "#ffffff", 0.35)}) if colour else place
    return place


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

    def paint(self, plan: Plan, reading: Reading) -> str:
        """Return the whole document."""
        big_sun = any(subject.word == "sun" for subject in reading.subjects)
        if self.place.inside:
            backdrop, line = paint_room(self.place, self.air, self.random)
        else:
            backdrop, line = paint_outdoors(self.place, self.air, self.random, big_sun=big_sun)
        inside = self.place.inside
        props = self._props(line, set(self.grouper.pictures))
        sky = self._sky(plan.sky, alone=not (plan.main or plan.table or plan.back))
        subjects = [sky, self._back(plan.back, line), self._main(plan, line)]
        lit = not self.place.space and self.place.ground != "seabed"
        veils = [paint_light(self.air, share, inside=inside) if lit else "" for share in (0.85, 0.35)]
        moon = ""
        if lit and not inside and self.air.time == "night" and self.air.weather not in ("rain", "storm", "fog"):
            moon = paint_moon(self.width * self.random.choice((0.2, 0.5, 0.8)), 70.0)
        weather = paint_weather(self.air, self.random, inside=inside or not lit)
        glow = self._glows(reading)
        body = "".join([backdrop, props, veils[0], moon, glow, *subjects, weather, veils[1], self._moods(reading)])
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
            f'<ellipse cx="{x + piece.x * scale:.1f}" cy="{y + piece.y * scale - 1:.1f}" '
            f'rx="{piece.width * scale * 0.46:.1f}" '
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
            foot = {"wall": 150.0 + sprite.height * scale / 2, "sky": 30.0 + sprite.height * scale}.get(
                spot, line + 22.0
            )
            parts.append(
                self._cluster(
                    Cluster(lead=None, pieces=[Piece(sprite, 0.0, 0.0, scale)]),  # type: ignore[arg-type]
                    self.width * x, foot, 1.0, shadow=spot == "floor",
                )
            )  # fmt: skip
        return "".join(parts)

    def _sky(self, clusters: list[Cluster], *, alone: bool) -> str:
        """Place what flies, hangs or shines; a single one that is all there is becomes the picture's middle."""
        parts = []
        spots = [0.3, 0.7, 0.5, 0.15, 0.85]
        if self.random.random() < 0.5:
            spots = [1 - spot for spot in spots]
        single = alone and len(clusters) == 1
        for at, cluster in enumerate(clusters[:5]):
            shines = isinstance(cluster.lead.what, Thing) and cluster.lead.what.at == "sky"
            limit = 330.0 if single else 200.0 if alone or shines else 150.0
            scale = min(1.15 if alone else 0.9, limit / cluster.top, self.width * 0.6 / cluster.width)
            x = self.width * (0.5 if single else spots[at])
            y = HEIGHT * 0.72 if single else (24.0 if shines else 70.0 + 34 * (at % 2)) + cluster.top * scale
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
            foot = line + 34 + 6 * at
            if swims(cluster) and self.place.ground in ("pier", "beach"):
                foot = line + 6
                scale = min(
                    210.0 / cluster.top, self.width * (0.6 if len(clusters) == 1 else 0.45) / cluster.width, 1.5
                )
            parts.append(self._cluster(cluster, x, foot, scale))
        return "".join(parts)

    def _main(self, plan: Plan, line: float) -> str:
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
        if len(clusters) == 1 and is_low(clusters[0]):
            tallest = 250.0
        if clusters:
            parts.append(
                self._row(clusters, foot if not behind_table else 500.0, tallest, floating=floating, water=line)
            )
        if plan.table:
            parts.append(self._table(plan.table, with_people=behind_table))
        return "".join(parts)

    def _bank(self, plan: Plan) -> str:
        """A strip of shore where something must stand beside water."""
        dry = any(not swims(cluster) for cluster in plan.main)
        if not (self.place.water and dry and self.place.ground in ("sea", "lake")):
            return ""
        colour = "#e6c98c" if self.place.ground == "sea" else "#7fae5c"
        return (
            f'<path d="M0 424q{self.width / 4:g}-26 '
            f'{self.width / 2:g}-6t{self.width / 2:g}-4V{HEIGHT:g}H0z" fill="{colour}"/>'
        )

    def _row(self, clusters: list[Cluster], foot: float, tallest: float, *, floating: bool, water: float) -> str:
        """Stand clusters side by side; where they would get too small, the taller half stands behind the other."""
        ordered = self._order(clusters[:6])
        high = tallest / max(cluster.top for cluster in ordered)
        rows = [ordered]
        if len(ordered) > 1 and self._fit(ordered) < (0.72 if len(ordered) > 3 else 0.5) * high:
            ranked = sorted(ordered, key=lambda cluster: -cluster.top)[: len(ordered) // 2]
            rows = [
                [cluster for cluster in ordered if any(cluster is other for other in ranked)],
                [cluster for cluster in ordered if not any(cluster is other for other in ranked)],
            ]
        scale = min(high, 1.9 if len(ordered) > 1 else 2.7, *(self._fit(row) for row in rows))
        placed = []
        for depth, row in enumerate(reversed(rows)):
            placed.extend(
                self._line(row, scale * (0.92 if depth else 1.0), foot - 66.0 * depth, floating=floating, water=water)
            )
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
                y -= self.random.uniform(0.0, 130.0) * (1 if swims(cluster) or self.place.ground != "seabed" else 0)
            elif self.place.water and swims(cluster):
                y = min(foot - 60, water + 120)
            centre = middle - (cluster.left + cluster.right) / 2 * own
            placed.append(
                (y, self._cluster(cluster, self._keep_inside(cluster, centre, own), y, own, shadow=not floating))
            )
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
            f'<path d="M0 {top + 44:g}H{self.width:g}M0 {top + 92:g}H{self.width:g}" '
            f'stroke="{shade(wood, -0.15)}" stroke-width="3"/>'
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
        if "warm" in moods:
            parts.append(f'<rect width="{self.width:g}" height="{HEIGHT:g}" fill="#ff9d3d" opacity=".14"/>')
        if "spot" in moods:
            middle = self.width / 2
            parts.append(
                f'<path d="M0 0H{self.width:g}V{HEIGHT:g}H0zM{middle - 26:g} 0L{middle - 200:g} '
                f'490q200 40 400 0L{middle + 26:g} 0z" '
                f'fill="#0c0a18" opacity=".5" fill-rule="evenodd"/>'
                f'<path d="M{middle - 26:g} 0L{middle - 200:g} 490q200 40 400 0L{middle + 26:g} 0z" '
                'fill="#fff3c4" opacity=".15"/>'
            )
        return "".join(parts)

    def _glows(self, reading: Reading) -> str:
        """The light of lamps and fires, behind them."""
        moods = set(reading.moods)
        if not (self.air.is_dark or moods & {"warm", "dim"}):
            return ""
        lights = self.lights[:8]
        if not lights and (self.place.inside or "warm" in moods):
            lights = [(self.width / 2, 170.0, 300.0, "#ffb45c")]
        return "".join(self._glow(x, y, radius, colour) for x, y, radius, colour in lights)

    def _veil(self, colour: str, strength: float) -> str:
        return f'<rect width="{self.width:g}" height="{HEIGHT:g}" fill="{colour}" opacity="{strength}"/>'

    def _glow(self, x: float, y: float, radius: float, colour: str) -> str:
        name = f"glow{colour.lstrip('#')}"
        self.defs.setdefault(
            name,
            f'<radialGradient id="{name}"><stop offset="0" stop-color="{colour}" stop-opacity=".5"/>'
            f'<stop offset="1" stop-color="{colour}" stop-opacity="0"/></radialGradient>',
        )
        return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}" fill="url(#{name})"/>'
