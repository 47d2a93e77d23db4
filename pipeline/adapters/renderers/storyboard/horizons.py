"""What lies along the horizon: hills, mountains, towns, woods, the sea."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pipeline.adapters.renderers.storyboard.sky import gradient, strokes
from pipeline.adapters.renderers.storyboard.sprites import shade


def _ridge(width: float, base: float, heights: list[float], colour: str, *, sharp: bool) -> str:
    step = width / (len(heights) - 1)
    path = f"M-10 {base + 4:.0f}V{base - heights[0]:.0f}"
    for at, height in enumerate(heights[1:], 1):
        x, y = at * step, base - height
        path += f"L{x:.0f} {y:.0f}" if sharp else f"S{x - step / 2:.0f} {y:.0f} {x:.0f} {y:.0f}"
    return f'<path d="{path}V{base + 4:.0f}z" fill="{colour}"/>'


def _hills(width: float, horizon: float, random: Random, snowy: bool) -> str:
    far, near = ("#dfe8ef", "#eaf1f6") if snowy else ("#93b98a", "#79ab66")
    return _ridge(width, horizon, [random.uniform(30, 84) for _ in range(6)], far, sharp=False) + _ridge(
        width, horizon, [random.uniform(8, 44) for _ in range(5)], near, sharp=False
    )


def _mountains(width: float, horizon: float, random: Random, snowy: bool) -> str:
    colour = "#b8c6d6" if snowy else "#8fa3b5"
    return _ridge(width, horizon, [random.uniform(20, 140) for _ in range(9)], colour, sharp=True)


def _peaks(width: float, horizon: float, random: Random, snowy: bool) -> str:
    parts = []
    for at in (0.14, 0.82, 0.48):
        x, high, wide = width * (at + random.uniform(-0.05, 0.05)), random.uniform(150, 225), random.uniform(150, 210)
        top = horizon - high
        parts.append(
            f'<path d="M{x - wide:.0f} {horizon + 2:.0f}L{x:.0f} {top:.0f}L{x + wide:.0f} '
            f'{horizon + 2:.0f}z" fill="#71879d"/>'
            f'<path d="M{x:.0f} {top:.0f}L{x + wide:.0f} '
            f'{horizon + 2:.0f}H{x + wide * 0.15:.0f}L{x - 12:.0f} {top + high * 0.5:.0f}z" '
            'fill="#5c7086"/>'
            f'<path d="M{x:.0f} {top:.0f}L{x - wide * 0.34:.0f} '
            f"{top + high * 0.34:.0f}l{wide * 0.16:.0f}-8 {wide * 0.12:.0f} 16 "
            f"{wide * 0.14:.0f}-18 {wide * 0.12:.0f} 14L{x + wide * 0.34:.0f} {top + high * 0.34:.0f}z"
            f'" fill="#f6fafc"/>'
        )
    return "".join(parts)


def _skyline(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return _blocks(width, horizon, random, (70, 190), ("#8fa2bb", "#9db0c6", "#7f93ad"), 0.4)


def _towers(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return _blocks(width, horizon, random, (40, 120), ("#5f7391", "#6a7f9f", "#546883"), 0.8)


def _blocks(
    width: float, base: float, random: Random, heights: tuple[float, float], colours: tuple[str, ...], lit: float
) -> str:
    parts, x = [], -12.0
    while x < width:
        wide, high = random.uniform(34, 66), random.uniform(*heights)
        parts.append(
            f'<rect x="{x:.0f}" y="{base - high:.0f}" width="{wide:.0f}" height="{high + 4:.0f}" '
            f'fill="{random.choice(colours)}"/>'
        )
        panes = "".join(
            f"M{x + 8 + column * 14:.0f} {base - high + 12 + row * 20:.0f}h7v10h-7z"
            for column in range(int((wide - 10) // 14))
            for row in range(int((high - 14) // 20))
            if random.random() < 0.7
        )
        parts.append(f'<path d="{panes}" fill="#ffeeb0" opacity="{lit}"/>')
        x += wide + random.uniform(0, 5)
    return "".join(parts)


def _houses(width: float, horizon: float, random: Random, snowy: bool) -> str:
    walls = ("#e8b98a", "#d98a6a", "#f0dcb0", "#c9d3c0", "#b9c8d9", "#e3c4a0", "#d9a8a0")
    parts, x = [], -16.0
    while x < width:
        wide, high = random.uniform(72, 104), random.uniform(150, 225)
        top, wall = horizon + 22 - high, random.choice(walls)
        roof = "#f4f8fb" if snowy else random.choice(("#a8503c", "#8c4434", "#6f5a55"))
        parts.append(
            f'<rect x="{x:.0f}" y="{top:.0f}" width="{wide:.0f}" height="{high:.0f}" fill="{wall}"/>'
            f'<path d="M{x - 5:.0f} {top + 2:.0f}L{x + wide / 2:.0f} '
            f'{top - 40:.0f}L{x + wide + 5:.0f} {top + 2:.0f}z" fill="{roof}"/>'
        )
        for row in range(int((high - 70) // 50) + 1):
            for share in (0.18, 0.58):
                parts.append(
                    f'<rect x="{x + wide * share:.0f}" y="{top + 18 + row * 48:.0f}" '
                    f'width="{wide * 0.24:.0f}" height="28" fill="#6f8ba3" '
                    f'stroke="#fbf4e6" stroke-width="3.5"/>'
                )
        parts.append(
            f'<path d="M{x + wide * 0.38:.0f} {horizon + 22:.0f}v-40q{wide * 0.12:.0f}-14 '
            f'{wide * 0.24:.0f} 0v40z" fill="{shade(wall, -0.5)}"/>'
        )
        x += wide
    return "".join(parts) + f'<rect y="{horizon + 14:.0f}" width="{width}" height="9" fill="#a89c8f"/>'


def _cottages(width: float, horizon: float, random: Random, snowy: bool) -> str:
    parts = []
    for at in (0.1, 0.3, 0.72, 0.9):
        x, size = width * at + random.uniform(-12, 12), random.uniform(62, 88)
        top = horizon + 10 - size * 0.6
        roof = "#f4f8fb" if snowy else random.choice(("#a8503c", "#b5763f", "#8c5a44"))
        parts.append(
            f'<rect x="{x - size / 2:.0f}" y="{top:.0f}" width="{size:.0f}" '
            f'height="{size * 0.6:.0f}" '
            f'fill="{random.choice(("#f2e3c6", "#e6cfa8", "#d9c3a8"))}"/>'
            f'<path d="M{x - size * 0.62:.0f} {top + 3:.0f}L{x:.0f} '
            f'{top - size * 0.45:.0f}L{x + size * 0.62:.0f} {top + 3:.0f}z" fill="{roof}"/>'
            f'<rect x="{x - 8:.0f}" y="{top + size * 0.24:.0f}" width="16" height="{size * 0.36:.0f}" fill="#6b4a35"/>'
            f'<rect x="{x + size * 0.2:.0f}" y="{top + size * 0.16:.0f}" width="14" height="14" fill="#7fa3bd"/>'
        )
    return "".join(parts)


def _stalls(width: float, horizon: float, random: Random, snowy: bool) -> str:
    parts = []
    colours = ["#d6473c", "#3f8f6b", "#e0a53a", "#3f7fb0"]
    random.shuffle(colours)
    wide = width / 4.2
    for at in range(4):
        x, colour = at * width / 4 + 6, colours[at]
        top = horizon - 62
        stripes = "".join(
            f'<path d="M{x + stripe * wide / 6:.0f} {top:.0f}h{wide / 6:.0f}v34q-{wide / 12:.0f} 12-{wide / 6:.0f} 0z" '
            f'fill="{colour if stripe % 2 == 0 else "#fdf6e8"}"/>'
            for stripe in range(6)
        )
        goods = "".join(
            f'<circle cx="{x + 16 + good * (wide - 26) / 6:.0f}" cy="{horizon + 16:.0f}" r="9" '
            f'fill="{random.choice(("#e0392f", "#f28c28", "#f2cf3a", "#6aa84f", "#8e4fa0"))}"/>'
            for good in range(7)
        )
        parts.append(
            f'<path d="M{x + 5:.0f} {top + 20:.0f}v100M{x + wide - 5:.0f} {top + 20:.0f}v100" '
            'stroke="#7b5530" stroke-width="6"/>'
            f'{goods}<rect x="{x:.0f}" y="{horizon + 22:.0f}" width="{wide:.0f}" height="38" fill="#a8703f"/>{stripes}'
        )
    return "".join(parts)


def _treeline(width: float, horizon: float, random: Random, snowy: bool) -> str:
    greens = ("#5f9a4f", "#6fab58", "#528a48") if not snowy else ("#cfdde6", "#bdd0dc", "#dbe7ee")
    crowns = "".join(
        (
            f'<circle cx="{x + random.uniform(-8, 8):.0f}" '
            f'cy="{horizon - random.uniform(4, 34):.0f}" r="{random.uniform(26, 44):.0f}" '
            f'fill="{random.choice(greens)}"/>'
        )
        for x in range(-10, int(width) + 40, 34)
    )
    return crowns + f'<rect y="{horizon - 14:.0f}" width="{width}" height="18" fill="{greens[2]}"/>'


def _trees(width: float, horizon: float, random: Random, snowy: bool) -> str:
    crown_colours = ("#e4edf3", "#cfdde6", "#f4f8fb") if snowy else ("#4f8a45", "#5f9f50", "#3f763a")
    back = (
        f'<rect y="60" width="{width}" height="{horizon - 50:.0f}" '
        f'fill="{"#b9ccd6" if snowy else "#7fae72"}" opacity=".75"/>'
    )
    trunks = "".join(
        f'<rect x="{x + random.uniform(-12, 12):.0f}" y="40" '
        f'width="{random.uniform(10, 26):.0f}" height="{horizon - 20:.0f}" '
        f'fill="{random.choice(("#6b4f38", "#7d5f45", "#5a432f"))}"/>'
        for x in range(10, int(width), 56)
    )
    crowns = "".join(
        f'<circle cx="{random.uniform(0, width):.0f}" cy="{random.uniform(-10, 70):.0f}" '
        f'r="{random.uniform(40, 78):.0f}" '
        f'fill="{random.choice(crown_colours)}"/>'
        for _ in range(16)
    )
    return back + trunks + crowns


def _pines(width: float, horizon: float, random: Random, snowy: bool) -> str:
    parts = []
    for x in range(-6, int(width) + 20, 30):
        high = random.uniform(80, 180)
        middle = x + random.uniform(-8, 8)
        colour = random.choice(("#2f6b4a", "#3a7a52", "#275a3f") if not snowy else ("#8fb0b5", "#a9c4c9", "#7d9fa8"))
        parts.append(
            "".join(
                f'<path d="M{middle - 26 + level * 5:.0f} '
                f"{horizon + 6 - level * high / 4:.0f}h{52 - level * 10:.0f}L{middle:.0f} "
                f'{horizon - high * (0.45 + level * 0.2):.0f}z" fill="{colour}"/>'
                for level in range(3)
            )
        )
    return "".join(parts)


def _jungle(width: float, horizon: float, random: Random, snowy: bool) -> str:
    leaves = "".join(
        "<path "
        f'transform="translate({random.uniform(0, width):.0f}'
        f",{random.uniform(30, horizon):.0f}) rotate({random.uniform(0, 360):.0f}) "
        f'scale({random.uniform(0.8, 1.7):.2f})" d="M0 0q30-34 84 0q-54 34-84 0" '
        f'fill="{random.choice(("#2f7a45", "#3f9a55", "#57b060", "#256b3f"))}"/>'
        for _ in range(60)
    )
    vines = "".join(
        f'<path d="M{width * at:.0f} 0q20 80-6 150t8 90" stroke="#3f6b35" stroke-width="6" fill="none"/>'
        for at in (0.2, 0.44, 0.68, 0.86)
    )
    return f'<rect width="{width}" height="{horizon + 6:.0f}" fill="#5aa564" opacity=".85"/>' + leaves + vines


def _sea(width: float, horizon: float, random: Random, snowy: bool) -> str:
    # The strip of water ends behind the ground, which is painted over its lower edge.
    top = horizon - 66
    waves = "".join(
        f"M{random.uniform(0, width):.0f} {top + random.uniform(10, 60):.0f}q14-7 28 0t28 0" for _ in range(16)
    )
    return (
        f"<defs>{gradient('sea', ('#5fb3d3', '#3f93c0'))}</defs>"
        f'<rect y="{top:.0f}" width="{width}" height="80" fill="url(#sea)"/>' + strokes(waves, "#e9f7fc", 3, 0.8)
    )


def _boats(width: float, horizon: float, random: Random, snowy: bool) -> str:
    parts = []
    for at in (0.12, 0.86):
        x, y = width * at, horizon - 40 + random.uniform(-8, 8)
        parts.append(
            f'<path d="M{x - 30:.0f} {y:.0f}h60l-10 16h-40z" fill="#a8503c"/><path d="M{x:.0f} '
            f'{y - 52:.0f}v50M{x + 3:.0f} {y - 50:.0f}q26 20 24 44h-24z" '
            f'fill="#fdf6e8" stroke="#7b5530" stroke-width="2.5"/>'
        )
    return "".join(parts)


def _dunes(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return _ridge(width, horizon, [random.uniform(14, 66) for _ in range(4)], "#e6bd77", sharp=False) + _ridge(
        width, horizon, [random.uniform(4, 30) for _ in range(4)], "#efcb8a", sharp=False
    )


def _stands(width: float, horizon: float, random: Random, snowy: bool) -> str:
    top = horizon - 120
    crowd = "".join(
        f'<circle cx="{x + (8 if row % 2 else 0):.0f}" cy="{top + 20 + row * 19:.0f}" r="7" '
        f'fill="{random.choice(("#d9603f", "#3f8f9f", "#e0a53a", "#f2ead2", "#7a5fa8", "#4f9a5f"))}"/>'
        for row in range(5)
        for x in range(6, int(width), 17)
    )
    roof = f'<rect y="{top - 16:.0f}" width="{width}" height="20" fill="#b9c3cc"/>'
    boards = f'<rect y="{horizon - 20:.0f}" width="{width}" height="24" fill="#f4f4f0"/>'
    return f'<rect y="{top:.0f}" width="{width}" height="122" fill="#6b7683"/>' + crowd + roof + boards


def _wall(width: float, horizon: float, random: Random, snowy: bool) -> str:
    rows = "".join(f"M0 {y:.0f}H{width}" for y in (horizon - 96, horizon - 64, horizon - 32))
    return f'<rect y="{horizon - 124:.0f}" width="{width}" height="128" fill="#cdbfa8"/>' + strokes(rows, "#b5a68d", 3)


def _arcade(width: float, horizon: float, random: Random, snowy: bool) -> str:
    arches = "".join(
        f'<path d="M{x:.0f} {horizon:.0f}v-62q36-52 72 0v62z" fill="#8f7f68"/>' for x in range(12, int(width), 100)
    )
    return (
        f'<rect y="{horizon - 168:.0f}" width="{width}" height="172" fill="#dccdb2"/>'
        + arches
        + (f'<rect y="{horizon - 176:.0f}" width="{width}" height="14" fill="#a8503c"/>')
    )


def _columns(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return "".join(
        f'<rect x="{width * at - 13:.0f}" y="{horizon + 8 - high:.0f}" width="26" height="{high}" fill="#ddd2bb"/>'
        f'<rect x="{width * at - 19:.0f}" y="{horizon + 2 - high:.0f}" width="38" height="12" fill="#c9bca2"/>'
        f'<path d="M{width * at - 5:.0f} '
        f"{horizon + 8 - high + 8:.0f}v{high - 10}M{width * at + 5:.0f} "
        f'{horizon + 8 - high + 8:.0f}v{high - 10}" '
        f'stroke="#c4b79d" stroke-width="3"/>'
        for at, high in ((0.1, 190), (0.24, 120), (0.4, 176), (0.6, 176), (0.78, 90), (0.92, 184))
    )


def _station(width: float, horizon: float, random: Random, snowy: bool) -> str:
    posts = "".join(f"M{width * at:.0f} 120V{horizon + 6:.0f}" for at in (0.08, 0.36, 0.64, 0.92))
    return (
        f'<path d="M-10 96L{width / 2:.0f} 40L{width + 10} 96v22H-10z" fill="#6b5a52"/>'
        + strokes(posts, "#5a6672", 10)
        + f'<rect y="{horizon - 6:.0f}" width="{width}" height="40" fill="#57534e"/>'
        + strokes(f"M0 {horizon + 6:.0f}H{width}M0 {horizon + 22:.0f}H{width}", "#c9cdd1", 4)
    )


def _roofs(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return "".join(
        f'<path d="M{x:.0f} {horizon + 6:.0f}v-34l48-30 48 30v34z" '
        f'fill="{random.choice(("#a8503c", "#b5653f", "#8c4434"))}"/>'
        f'<rect x="{x + 62:.0f}" y="{horizon - 66:.0f}" width="13" height="34" fill="#7d5545"/>'
        for x in range(-20, int(width), 100)
    )


def _terraces(width: float, horizon: float, random: Random, snowy: bool) -> str:
    greens = ("#a8d67f", "#8fc46a", "#7ab25c")
    return "".join(
        f'<path d="M-10 {horizon + 6:.0f}V{horizon - 90 + step * 30:.0f}q{width * 0.3:.0f}-34 '
        f'{width * 0.55:.0f} 0t{width * 0.5:.0f}-10V{horizon + 6:.0f}z" '
        f'fill="{greens[step % 3]}" stroke="#5f8a45" stroke-width="3"/>'
        for step in range(3)
    )


def _falls(width: float, horizon: float, random: Random, snowy: bool) -> str:
    middle = width / 2
    streaks = "".join(f"M{middle - 50 + step * 16} 60V{horizon + 20:.0f}" for step in range(7))
    return (
        f'<path d="M0 40h{middle - 70:.0f}l20 {horizon:.0f}H0zM{width} '
        f'40H{middle + 70:.0f}l-20 {horizon:.0f}H{width}z" fill="#6f7d6a"/>'
        f'<path d="M0 40h{middle - 70:.0f}v26H0zM{width} 40H{middle + 70:.0f}v26H{width}z" fill="#6aa84f"/>'
        f'<rect x="{middle - 70:.0f}" y="46" width="140" height="{horizon - 20:.0f}" fill="#8fd0e8"/>'
        + strokes(streaks, "#ffffff", 6, 0.75)
        + f'<ellipse cx="{middle:.0f}" cy="{horizon + 8:.0f}" rx="130" ry="24" fill="#fff" opacity=".75"/>'
    )


def _fence(width: float, horizon: float, random: Random, snowy: bool) -> str:
    posts = "".join(f"M{x} {horizon + 10:.0f}v-44" for x in range(10, int(width), 40))
    return strokes(f"M0 {horizon - 22:.0f}H{width}M0 {horizon - 4:.0f}H{width}", "#a8804f", 6) + strokes(
        posts, "#8a6640", 8
    )


Layer = Callable[[float, float, Random, bool], str]
FAR: dict[str, Layer] = {
    "hills": _hills, "mountains": _mountains, "peaks": _peaks, "skyline": _skyline, "towers": _towers,
    "houses": _houses, "cottages": _cottages, "stalls": _stalls, "treeline": _treeline, "trees": _trees,
    "pines": _pines, "jungle": _jungle, "sea": _sea, "boats": _boats, "dunes": _dunes, "stands": _stands, "wall": _wall,
    "arcade": _arcade, "columns": _columns, "stationroof": _station, "roofs": _roofs, "terraces": _terraces,
    "falls": _falls, "fence": _fence,
}  # fmt: skip
