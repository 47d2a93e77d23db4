"""Rooms: walls, floors, windows and what hangs at the back, painted from a place's entry."""

from __future__ import annotations

from random import Random

from pipeline.adapters.renderers.storyboard.sky import HEIGHT, Air, draw_cloud, gradient, paint_weather, strokes
from pipeline.adapters.renderers.storyboard.sprites import mix, shade
from pipeline.adapters.renderers.storyboard.vocabulary import Place

EDGE = 352.0  # where wall and floor meet


def paint_room(place: Place, air: Air, random: Random) -> tuple[str, float]:
    """Paint a room; return its markup and the height of the edge between wall and floor."""
    width = air.width
    edge = {"seamless": 370.0, "sill": 372.0}.get(place.flooring, EDGE)
    parts = [f'<rect width="{width}" height="{HEIGHT}" fill="{place.wall}"/>']
    painter = WALLS.get(place.pattern)
    if painter is not None:
        parts.append(painter(place.wall, width, edge, random))
    if place.pattern == "train":
        parts.append(_train_windows(air, width, random))
    elif place.windows == "big":
        parts.append(_window(air, width * 0.14, 26, width * 0.72, edge - 36, random))
    elif place.windows == "porthole":
        parts.append(_portholes(width))
    elif isinstance(place.windows, int):
        spots = {1: (0.5,), 2: (0.3, 0.7)}.get(place.windows, ())
        parts.extend(_window(air, width * x - 62, 74, 124, 140, random) for x in spots)
    parts.append(_floor(place, width, edge, random))
    if place.dark:
        parts.append(f'<rect width="{width}" height="{HEIGHT}" fill="#0a0a14" opacity="{place.dark}"/>')
    return "".join(parts), edge


def _window(air: Air, left: float, top: float, wide: float, high: float, random: Random) -> str:
    colours = air.sky_colours()
    inside = [
        f"<defs>{gradient('pane', colours)}"
        f'<clipPath id="pane-{left:.0f}"><rect x="{left:.0f}" y="{top:.0f}" width="{wide:.0f}" height="{high:.0f}"/>'
        f"</clipPath></defs>",
        f'<g clip-path="url(#pane-{left:.0f})">',
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{wide:.0f}" height="{high:.0f}" fill="url(#pane)"/>',
    ]
    x, y = left + wide * 0.7, top + high * 0.3
    if air.time == "night":
        inside.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="13" fill="#fdf3cd"/>')
        inside.extend(
            f'<circle cx="{left + random.uniform(0, wide):.0f}" cy="{top + random.uniform(0, high * 0.7):.0f}" r="1.6" '
            f'fill="#fff"/>'
            for _ in range(10)
        )
    elif air.weather in ("", "clear"):
        low = air.time in ("dawn", "golden", "dusk")
        inside.append(
            f'<circle cx="{x:.0f}" cy="{top + high * (0.66 if low else 0.28):.0f}" r="{20 if low else 15}" '
            f'fill="{"#ffb066" if low else "#ffe27a"}"/>'
        )
        inside.append(draw_cloud(left + wide * 0.3, top + high * 0.35, wide * 0.35, "#ffffff", 0.85))
    else:
        inside.append(draw_cloud(left + wide * 0.4, top + high * 0.3, wide * 0.6, "#9aa5b0", 0.9))
    hill = "#5d8a4f" if air.weather != "snow" else "#f2f6f9"
    hill = mix(hill, "#1a2748", 0.6) if air.time == "night" else hill
    inside.append(
        f'<path d="M{left:.0f} {top + high:.0f}v{-high * 0.2:.0f}q{wide * 0.3:.0f}-{high * 0.2:.0f} {wide * 0.55:.0f} 0'
        f't{wide * 0.45:.0f}-8v{high * 0.2 + 8:.0f}z" fill="{hill}"/>'
    )
    if air.weather in ("rain", "storm", "snow", "fog"):
        inside.append(paint_weather(air, random, inside=False))
    inside.append("</g>")
    frame = (
        f'<rect x="{left - 5:.0f}" y="{top - 5:.0f}" width="{wide + 10:.0f}" height="{high + 10:.0f}" fill="none" '
        f'stroke="#fbf7ee" stroke-width="11"/>'
        f'<path d="M{left + wide / 2:.0f} {top:.0f}v{high:.0f}M{left:.0f} {top + high / 2:.0f}h{wide:.0f}" '
        f'stroke="#fbf7ee" stroke-width="6"/>'
        f'<rect x="{left - 16:.0f}" y="{top + high + 4:.0f}" width="{wide + 32:.0f}" height="11" fill="#e9e0cf"/>'
    )
    return "".join(inside) + frame


def _train_windows(air: Air, width: float, random: Random) -> str:
    panes = "".join(_window(air, width * at - 92, 60, 184, 150, random) for at in (0.26, 0.74))
    seats = "".join(
        f'<rect x="{width * at - 88:.0f}" y="268" width="176" height="130" rx="20" fill="#8c3f3f"/>'
        f'<rect x="{width * at - 78:.0f}" y="278" width="156" height="60" rx="14" fill="#a85252"/>'
        for at in (0.14, 0.86)
    )
    rack = f'<rect y="26" width="{width}" height="9" fill="#c9b58a"/>'
    return panes + rack + seats


def _portholes(width: float) -> str:
    holes = []
    for at in (0.2, 0.5, 0.8):
        x = width * at
        stars = "".join(
            f'<circle cx="{x + dx}" cy="{140 + dy}" r="2" fill="#fff"/>'
            for dx, dy in ((-20, -14), (14, 10), (-4, 24), (18, -24))
        )
        holes.append(
            f'<circle cx="{x:.0f}" cy="140" r="58" fill="#aab4bf"/><circle cx="{x:.0f}" cy="140" '
            f'r="46" fill="#0c1434"/>{stars}'
        )
    return "".join(holes)


def _stripes(wall: str, width: float, edge: float, random: Random) -> str:
    bars = "".join(f"M{x} 0V{edge}" for x in range(20, int(width), 46))
    skirting = f'<rect y="{edge - 14}" width="{width}" height="14" fill="{shade(wall, 0.55)}"/>'
    return strokes(bars, shade(wall, 0.22), 20, 0.6) + skirting


def _tiles(wall: str, width: float, edge: float, random: Random) -> str:
    top = edge - 150
    grid = "".join(f"M{x} {top}V{edge}" for x in range(0, int(width), 37))
    grid += "".join(f"M0 {top + y}H{width}" for y in range(0, 151, 37))
    return (
        f'<rect y="{top}" width="{width}" height="150" fill="{shade(wall, 0.45)}"/>'
        + strokes(grid, shade(wall, -0.12), 2.5)
        + f'<rect y="{top - 8}" width="{width}" height="9" fill="{shade(wall, -0.25)}"/>'
    )


def _planks(wall: str, width: float, edge: float, random: Random) -> str:
    gaps = "".join(f"M{x} 0V{edge}" for x in range(0, int(width), 44))
    knots = "".join(
        f'<ellipse cx="{random.uniform(0, width):.0f}" cy="{random.uniform(20, edge - 20):.0f}" rx="3" ry="7" '
        f'fill="{shade(wall, -0.3)}"/>'
        for _ in range(14)
    )
    return strokes(gaps, shade(wall, -0.22), 4) + knots


def _bricks(wall: str, width: float, edge: float, random: Random) -> str:
    rows = "".join(f"M0 {y}H{width}" for y in range(0, int(edge), 26))
    joints = "".join(
        f"M{x + (26 if (y // 26) % 2 else 0)} {y}v26" for y in range(0, int(edge), 26) for x in range(0, int(width), 52)
    )
    return strokes(rows + joints, shade(wall, -0.13), 2.5)


def _board(wall: str, width: float, edge: float, random: Random) -> str:
    left, wide = width * 0.2, width * 0.6
    return (
        f'<rect x="{left - 9:.0f}" y="52" width="{wide + 18:.0f}" height="168" fill="#9a6b3e"/>'
        f'<rect x="{left:.0f}" y="61" width="{wide:.0f}" height="150" fill="#2f5d4a"/>'
        + strokes(
            f"M{left + 24:.0f} 96q40-26 80 0t80 0M{left + 30:.0f} 150h120M{left + 30:.0f} 172h80"
            f"M{left + wide - 70:.0f} 120l30 50h-60z",
            "#e9f2ea", 4, 0.75,
        )
        + f'<rect x="{left:.0f}" y="216" width="{wide:.0f}" height="9" fill="#c39a6b"/>'
    )  # fmt: skip


def _shelves(wall: str, width: float, edge: float, random: Random) -> str:
    colours = ("#c8493f", "#3f7fb0", "#e0b04a", "#5c9a5a", "#8e5aa8", "#d98a4a", "#7a8fa0")
    parts = [f'<rect width="{width}" height="{edge}" fill="{shade(wall, -0.18)}"/>']
    for shelf in range(4):
        low = 84 + shelf * 88
        x = 8.0
        while x < width - 12:
            wide, high = random.uniform(10, 22), random.uniform(44, 68)
            parts.append(
                f'<rect x="{x:.0f}" y="{low - high:.0f}" width="{wide:.0f}" height="{high:.0f}" '
                f'fill="{random.choice(colours)}" opacity=".85"/>'
            )
            x += wide + random.choice((2, 2, 3, 18))
        parts.append(f'<rect y="{low}" width="{width}" height="11" fill="{shade(wall, 0.15)}"/>')
    return "".join(parts)


def _curtains(wall: str, width: float, edge: float, random: Random) -> str:
    folds = "".join(f"M{x} 0q10 {edge / 2:.0f} 0 {edge}" for x in range(14, int(width), 30))
    side = "".join(
        (
            f'<path d="M{x:.0f} 0h{w:.0f}q{-w * 0.5:.0f} 200 {-w * 0.2:.0f} '
            f'{edge + 30:.0f}H{x:.0f}z" fill="{shade(wall, -0.1)}"/>'
        )
        for x, w in ((0.0, 110.0), (width, -110.0))
    )
    swags = "".join(
        f'<path d="M{x} 0h128q-10 62-64 62T{x} 0z" fill="{shade(wall, 0.16)}"/>' for x in range(0, int(width), 128)
    )
    spots = "".join(
        f'<path d="M{x:.0f} 0l-70 {edge + 90:.0f}h150z" fill="#fff3c4" opacity=".16"/>'
        for x in (width * 0.32, width * 0.68)
    )
    return strokes(folds, shade(wall, -0.3), 9, 0.7) + side + swags + spots


def _panels(wall: str, width: float, edge: float, random: Random) -> str:
    low = edge - 96
    boxes = "".join(f"M{x} {low + 16}h70v{64}h-70z" for x in range(14, int(width), 96))
    return f'<rect y="{low}" width="{width}" height="96" fill="{shade(wall, -0.1)}"/>' + strokes(
        boxes, shade(wall, -0.22), 3.5
    )


def _mirror(wall: str, width: float, edge: float, random: Random) -> str:
    panes = "".join(
        f'<rect x="{width * x:.0f}" y="70" width="{width * 0.2:.0f}" height="220" fill="#cfe3ea"/>'
        for x in (0.05, 0.27, 0.53, 0.75)
    )
    return panes + f'<rect y="196" width="{width}" height="8" fill="#9a6b3e"/>'


def _arches(wall: str, width: float, edge: float, random: Random) -> str:
    parts = []
    for at in (0.16, 0.84):
        x = width * at
        parts.append(
            f'<path d="M{x - 58:.0f} {edge}V170q58-130 116 0v{edge - 170:.0f}z" fill="{shade(wall, -0.2)}"/>'
            f'<rect x="{x - 78:.0f}" y="120" width="22" height="{edge - 120:.0f}" fill="{shade(wall, 0.3)}"/>'
            f'<rect x="{x + 56:.0f}" y="120" width="22" height="{edge - 120:.0f}" fill="{shade(wall, 0.3)}"/>'
        )
    return "".join(parts)


def _attic(wall: str, width: float, edge: float, random: Random) -> str:
    roof = (
        f'<path d="M0 0H{width}V{edge * 0.72:.0f}L{width * 0.72:.0f} 0H{width * 0.28:.0f}L0 '
        f'{edge * 0.72:.0f}z" fill="{shade(wall, -0.28)}"/>'
    )
    beams = strokes(
        f"M{width * 0.28:.0f} 0L0 {edge * 0.72:.0f}M{width * 0.72:.0f} 0L{width} {edge * 0.72:.0f}",
        shade(wall, -0.5),
        14,
    )
    return _planks(wall, width, edge, random) + roof + beams


def _canvas(wall: str, width: float, edge: float, random: Random) -> str:
    middle = width / 2
    folds = "".join(f"M{middle:.0f} -60L{x} {edge}" for x in range(-200, int(width) + 260, 70))
    band = f'<rect y="{edge - 120}" width="{width}" height="22" fill="#b5443c"/>'
    dots = "".join(f'<path d="M{x} {edge - 118}l12 9-12 9-12-9z" fill="#f2d38a"/>' for x in range(20, int(width), 48))
    return strokes(folds, shade(wall, -0.18), 6) + band + dots


def _corridor(wall: str, width: float, edge: float, random: Random) -> str:
    doors = "".join(
        f'<rect x="{width * x:.0f}" y="130" width="{width * 0.15:.0f}" '
        f'height="{edge - 130:.0f}" fill="{shade(wall, -0.3)}"/>'
        f'<circle cx="{width * x + width * 0.13:.0f}" cy="250" r="5" fill="#e8d28a"/>'
        for x in (0.08, 0.425, 0.77)
    )
    lamps = "".join(
        f'<rect x="{width * x:.0f}" y="26" width="90" height="16" rx="8" fill="#fffbe8"/>' for x in (0.16, 0.66)
    )
    return doors + lamps


def _metal(wall: str, width: float, edge: float, random: Random) -> str:
    seams = "".join(f"M{x} 0V{edge}" for x in range(0, int(width), 128)) + f"M0 {edge * 0.6:.0f}H{width}"
    pipes = (
        f'<rect y="30" width="{width}" height="16" fill="{shade(wall, 0.35)}"/><rect y="56" '
        f'width="{width}" height="10" fill="#c9843f"/>'
    )
    rivets = "".join(
        f'<circle cx="{x}" cy="{y}" r="3.5" fill="{shade(wall, -0.3)}"/>'
        for x in range(12, int(width), 128)
        for y in range(90, int(edge), 50)
    )
    return strokes(seams, shade(wall, -0.25), 4) + pipes + rivets


def _rock(wall: str, width: float, edge: float, random: Random) -> str:
    arch = (
        f'<path d="M0 0H{width}V{HEIGHT}H{width * 0.9:.0f}Q{width * 0.96:.0f} 90 '
        f'{width * 0.5:.0f} 70T{width * 0.1:.0f} {HEIGHT}H0z" '
        f'fill="{shade(wall, -0.35)}"/>'
    )
    spikes = "".join(
        f'<path d="M{x:.0f} 40l16 0l-8 {random.uniform(40, 96):.0f}z" fill="{shade(wall, -0.45)}"/>'
        for x in (width * at for at in (0.24, 0.33, 0.46, 0.58, 0.7, 0.78))
    )
    return arch + spikes


def _stands(wall: str, width: float, edge: float, random: Random) -> str:
    rows = "".join(
        f'<rect y="{y}" width="{width}" height="20" fill="{shade(wall, -0.2 if (y // 30) % 2 else -0.05)}"/>'
        for y in range(60, 260, 30)
    )
    boards = (
        f'<rect y="272" width="{width}" height="80" fill="#f4f8fa"/><rect y="272" '
        f'width="{width}" height="8" fill="#d23b34"/>'
    )
    return rows + boards


def _glass(wall: str, width: float, edge: float, random: Random) -> str:
    bars = "".join(f"M{x} 0V{edge}" for x in range(0, int(width), 86)) + f"M0 110H{width}M0 {edge - 60}H{width}"
    leaves = "".join(
        f'<circle cx="{random.uniform(0, width):.0f}" cy="{edge - random.uniform(0, 46):.0f}" '
        f'r="{random.uniform(20, 40):.0f}" '
        f'fill="{random.choice(("#4f9a4a", "#6ab05a", "#3f8a4f"))}"/>'
        for _ in range(22)
    )
    return f'<rect width="{width}" height="{edge}" fill="#cfeefa"/>' + leaves + strokes(bars, "#ffffff", 7)


WALLS = {
    "stripes": _stripes, "tiles": _tiles, "planks": _planks, "bricks": _bricks, "board": _board, "shelves": _shelves,
    "curtains": _curtains, "panels": _panels, "mirror": _mirror, "arches": _arches, "attic": _attic,
    "canvas": _canvas, "corridor": _corridor, "metal": _metal, "rock": _rock, "stands": _stands, "glass": _glass,
}  # fmt: skip


def _floor(place: Place, width: float, edge: float, random: Random) -> str:
    colour, middle = place.floor, width / 2
    base = f'<rect y="{edge}" width="{width}" height="{HEIGHT - edge}" fill="{colour}"/>'
    fan = "".join(
        f"M{middle + (x - middle) * 0.55:.0f} {edge}L{middle + (x - middle) * 1.5:.0f} {HEIGHT}"
        for x in range(-260, int(width) + 300, 60)
    )
    rows = "".join(f"M0 {edge + (HEIGHT - edge) * share:.0f}H{width}" for share in (0.16, 0.38, 0.68))
    dark = shade(colour, -0.14)
    if place.flooring in ("planks", "pool"):
        line = "#bfeaf5" if place.flooring == "pool" else dark
        return base + (strokes(fan, dark, 3) if line == dark else _waves(width, edge, line))
    if place.flooring in ("tiles", "stone"):
        return base + strokes(fan + rows, dark, 2.5)
    if place.flooring == "carpet":
        return base + (
            f'<ellipse cx="{middle:.0f}" cy="{edge + 96:.0f}" rx="{width * 0.42:.0f}" ry="52" '
            f'fill="{shade(colour, 0.2)}"/>'
        )
    if place.flooring == "ice":
        return (
            base
            + strokes(f"M20 {edge + 60}q120-30 260 0M{middle:.0f} {edge + 110}q120 24 240-16", "#ffffff", 4)
            + (f'<path d="M0 {edge + 26}H{width}" stroke="#d2404a" stroke-width="5" opacity=".6"/>')
        )
    if place.flooring == "straw":
        bits = "".join(
            f"M{random.uniform(0, width):.0f} {random.uniform(edge + 8, HEIGHT):.0f}l{random.uniform(-16, 16):.0f} 7"
            for _ in range(90)
        )
        return base + strokes(bits, shade(colour, 0.4), 3)
    if place.flooring == "sill":
        return base + f'<rect y="{edge}" width="{width}" height="16" fill="{shade(colour, 0.4)}"/>'
    if place.flooring == "earth":
        spots = "".join(
            (
                f'<ellipse cx="{random.uniform(0, width):.0f}" '
                f'cy="{random.uniform(edge + 10, HEIGHT):.0f}" rx="14" ry="4" fill="{dark}"/>'
            )
            for _ in range(24)
        )
        return base + spots
    return (
        base
        if place.flooring != "seamless"
        else f'<ellipse cx="{middle:.0f}" cy="{HEIGHT}" rx="{width * 0.8:.0f}" ry="150" fill="{colour}"/>'
    )


def _waves(width: float, edge: float, colour: str) -> str:
    rows = "".join(f"M-20 {edge + y}" + "q18-10 36 0t36 0" * (int(width) // 72 + 2) for y in range(22, 160, 32))
    return f'<rect y="{edge}" width="{width}" height="12" fill="#e9f2ea"/>' + strokes(rows, colour, 4, 0.7)
