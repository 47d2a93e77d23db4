"""Landscapes and streets: what lies along the horizon and the ground before it, painted from a place's entry."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pipeline.adapters.renderers.storyboard.sky import HEIGHT, Air, draw_cloud, gradient, paint_sky
from pipeline.adapters.renderers.storyboard.sprites import mix, shade
from pipeline.adapters.renderers.storyboard.vocabulary import Place

GROUNDS = {
    "grass": ("#8cc261", "#5d9a47"), "garden": ("#86b85c", "#6a5238"), "wheat": ("#f0cf6a", "#d3a23c"),
    "rows": ("#7fb35a", "#4f8a45"), "forest": ("#6f9a55", "#4a6b3a"), "alpine": ("#9bb07a", "#71805f"),
    "snow": ("#f4f8fb", "#dbe7f0"), "beach": ("#f3dfae", "#e2bd7c"), "sand": ("#eed9a4", "#d9b878"),
    "dunes": ("#efcf8f", "#d9a65f"), "savanna": ("#dcc06a", "#b8964a"), "earth": ("#c9a273", "#a57b4f"),
    "cobbles": ("#b9afa3", "#958a80"), "asphalt": ("#8b8f96", "#6a6e76"), "tiles": ("#d3c4ac", "#b39f84"),
    "roof": ("#b98a6a", "#96674c"), "road": ("#8cc261", "#5d9a47"), "platform": ("#b5b1ab", "#8e8a85"),
    "pitch": ("#6ab04f", "#4a8f3f"), "court": ("#c98a62", "#b0704c"), "pier": ("#b58a5e", "#8a6440"),
    "sea": ("#4fa3c9", "#1f5f94"), "lake": ("#7fc0d6", "#3f86ab"), "river": ("#7fb85f", "#5d9a47"),
    "paddy": ("#9fcf7a", "#6fa857"), "seabed": ("#e0c78f", "#b99a63"), "lava": ("#5a4640", "#3a2c2a"),
    "lunar": ("#b9b9be", "#8b8b93"), "clouds": ("#ffffff", "#dcebf7"), "none": ("#10163a", "#1a1440"),
}  # fmt: skip


def paint_outdoors(place: Place, air: Air, random: Random, *, big_sun: bool) -> tuple[str, float]:
    """Paint a place under the sky; return its markup and the height of the horizon."""
    width = air.width
    horizon = {"sea": 236.0, "none": HEIGHT, "clouds": 330.0, "pier": 262.0, "seabed": 392.0}.get(place.ground, 286.0)
    if place.ground == "seabed":
        sky = _deep_water(width)
    elif place.space:
        sky = _space(width, random)
    else:
        sky = paint_sky(air, horizon, random, big_sun=big_sun)
    snowy = air.weather == "snow"
    far = "".join(
        FAR[layer](width, horizon, random, snowy) for layer in place.far if layer in FAR
    )
    ground = place.ground
    if snowy and ground in ("grass", "garden", "wheat", "rows", "forest", "alpine", "earth", "savanna", "pitch", "road"):
        ground = "snow" if ground != "road" else "road"
    top, low = GROUNDS[ground]
    if air.weather == "autumn" and ground in ("grass", "forest", "road"):
        top, low = mix(top, "#d9a84a", 0.45), mix(low, "#a8743a", 0.45)
    base = (
        f"<defs>{gradient('ground', (top, low))}</defs>"
        f'<rect y="{horizon:.0f}" width="{width}" height="{HEIGHT - horizon:.0f}" fill="url(#ground)"/>'
    )
    if ground == "none":
        base = ""
    texture = TEXTURES.get(ground)
    detail = texture(width, horizon, random) if texture is not None else ""
    near = "".join(NEAR[layer](width, horizon, random) for layer in place.near if layer in NEAR and not snowy)
    if air.weather in ("rain", "storm") and not place.water and ground not in ("none", "seabed"):
        near += _puddles(width, horizon, random)
    return sky + far + base + detail + near, horizon


def _lines(path: str, colour: str, stroke: float, opacity: float = 1.0) -> str:
    return f'<path d="{path}" stroke="{colour}" stroke-width="{stroke}" fill="none" opacity="{opacity}" stroke-linecap="round"/>'


def _deep_water(width: float) -> str:
    rays = "".join(
        f'<path d="M{width * at:.0f} 0h40l{60 if at > 0.5 else -60} 420h-90z" fill="#fff" opacity=".09"/>' for at in (0.2, 0.45, 0.7)
    )
    bubbles = "".join(
        f'<circle cx="{width * x:.0f}" cy="{y}" r="{r}" fill="none" stroke="#dff6ff" stroke-width="2.5" opacity=".8"/>'
        for x, y, r in ((0.12, 120, 9), (0.15, 84, 6), (0.83, 190, 8), (0.86, 150, 5), (0.5, 60, 7), (0.34, 250, 6))
    )
    return f"<defs>{gradient('deep', ('#4fc0e0', '#2487b8', '#135585'))}</defs>" + f'<rect width="{width}" height="{HEIGHT}" fill="url(#deep)"/>' + rays + bubbles


def _space(width: float, random: Random) -> str:
    stars = "".join(
        f'<circle cx="{random.uniform(0, width):.0f}" cy="{random.uniform(0, HEIGHT):.0f}" r="{random.choice((0.9, 1.3, 1.9, 2.6))}" '
        f'fill="{random.choice(("#ffffff", "#fff2c4", "#cfe0ff"))}"/>'
        for _ in range(120)
    )
    haze = (
        f'<ellipse cx="{width * 0.3:.0f}" cy="170" rx="230" ry="80" fill="#8a4fd0" opacity=".22" transform="rotate(-18 {width * 0.3:.0f} 170)"/>'
        f'<ellipse cx="{width * 0.72:.0f}" cy="330" rx="220" ry="70" fill="#3f7fe0" opacity=".2" transform="rotate(-18 {width * 0.72:.0f} 330)"/>'
    )
    return f'<rect width="{width}" height="{HEIGHT}" fill="#0b0f2b"/>' + haze + stars


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
            f'<path d="M{x - wide:.0f} {horizon + 2:.0f}L{x:.0f} {top:.0f}L{x + wide:.0f} {horizon + 2:.0f}z" fill="#71879d"/>'
            f'<path d="M{x:.0f} {top:.0f}L{x + wide:.0f} {horizon + 2:.0f}H{x + wide * 0.15:.0f}L{x - 12:.0f} {top + high * 0.5:.0f}z" fill="#5c7086"/>'
            f'<path d="M{x:.0f} {top:.0f}L{x - wide * 0.34:.0f} {top + high * 0.34:.0f}l{wide * 0.16:.0f}-8 {wide * 0.12:.0f} 16 '
            f"{wide * 0.14:.0f}-18 {wide * 0.12:.0f} 14L{x + wide * 0.34:.0f} {top + high * 0.34:.0f}z"
            f'" fill="#f6fafc"/>'
        )
    return "".join(parts)


def _skyline(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return _blocks(width, horizon, random, (70, 190), ("#8fa2bb", "#9db0c6", "#7f93ad"), 0.4)


def _towers(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return _blocks(width, horizon, random, (40, 120), ("#5f7391", "#6a7f9f", "#546883"), 0.8)


def _blocks(width: float, base: float, random: Random, heights: tuple[float, float], colours: tuple[str, ...], lit: float) -> str:
    parts, x = [], -12.0
    while x < width:
        wide, high = random.uniform(34, 66), random.uniform(*heights)
        parts.append(f'<rect x="{x:.0f}" y="{base - high:.0f}" width="{wide:.0f}" height="{high + 4:.0f}" fill="{random.choice(colours)}"/>')
        panes = "".join(
            f"M{x + 8 + column * 14:.0f} {base - high + 12 + row * 20:.0f}h7v10h-7z"
            for column in range(int((wide - 10) // 14)) for row in range(int((high - 14) // 20)) if random.random() < 0.7
        )  # fmt: skip
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
            f'<path d="M{x - 5:.0f} {top + 2:.0f}L{x + wide / 2:.0f} {top - 40:.0f}L{x + wide + 5:.0f} {top + 2:.0f}z" fill="{roof}"/>'
        )
        for row in range(int((high - 70) // 50) + 1):
            for share in (0.18, 0.58):
                parts.append(
                    f'<rect x="{x + wide * share:.0f}" y="{top + 18 + row * 48:.0f}" width="{wide * 0.24:.0f}" height="28" fill="#6f8ba3" '
                    f'stroke="#fbf4e6" stroke-width="3.5"/>'
                )
        parts.append(
            f'<path d="M{x + wide * 0.38:.0f} {horizon + 22:.0f}v-40q{wide * 0.12:.0f}-14 {wide * 0.24:.0f} 0v40z" fill="{shade(wall, -0.5)}"/>'
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
            f'<rect x="{x - size / 2:.0f}" y="{top:.0f}" width="{size:.0f}" height="{size * 0.6:.0f}" fill="{random.choice(("#f2e3c6", "#e6cfa8", "#d9c3a8"))}"/>'
            f'<path d="M{x - size * 0.62:.0f} {top + 3:.0f}L{x:.0f} {top - size * 0.45:.0f}L{x + size * 0.62:.0f} {top + 3:.0f}z" fill="{roof}"/>'
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
            f'<path d="M{x + 5:.0f} {top + 20:.0f}v100M{x + wide - 5:.0f} {top + 20:.0f}v100" stroke="#7b5530" stroke-width="6"/>'
            f'{goods}<rect x="{x:.0f}" y="{horizon + 22:.0f}" width="{wide:.0f}" height="38" fill="#a8703f"/>{stripes}'
        )
    return "".join(parts)


def _treeline(width: float, horizon: float, random: Random, snowy: bool) -> str:
    greens = ("#5f9a4f", "#6fab58", "#528a48") if not snowy else ("#cfdde6", "#bdd0dc", "#dbe7ee")
    crowns = "".join(
        f'<circle cx="{x + random.uniform(-8, 8):.0f}" cy="{horizon - random.uniform(4, 34):.0f}" r="{random.uniform(26, 44):.0f}" fill="{random.choice(greens)}"/>'
        for x in range(-10, int(width) + 40, 34)
    )
    return crowns + f'<rect y="{horizon - 14:.0f}" width="{width}" height="18" fill="{greens[2]}"/>'


def _trees(width: float, horizon: float, random: Random, snowy: bool) -> str:
    back = f'<rect y="60" width="{width}" height="{horizon - 50:.0f}" fill="{"#b9ccd6" if snowy else "#7fae72"}" opacity=".75"/>'
    trunks = "".join(
        f'<rect x="{x + random.uniform(-12, 12):.0f}" y="40" width="{random.uniform(10, 26):.0f}" height="{horizon - 20:.0f}" '
        f'fill="{random.choice(("#6b4f38", "#7d5f45", "#5a432f"))}"/>'
        for x in range(10, int(width), 56)
    )
    crowns = "".join(
        f'<circle cx="{random.uniform(0, width):.0f}" cy="{random.uniform(-10, 70):.0f}" r="{random.uniform(40, 78):.0f}" '
        f'fill="{random.choice(("#4f8a45", "#5f9f50", "#3f763a") if not snowy else ("#e4edf3", "#cfdde6", "#f4f8fb"))}"/>'
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
                f'<path d="M{middle - 26 + level * 5:.0f} {horizon + 6 - level * high / 4:.0f}h{52 - level * 10:.0f}L{middle:.0f} '
                f'{horizon - high * (0.45 + level * 0.2):.0f}z" fill="{colour}"/>'
                for level in range(3)
            )
        )
    return "".join(parts)


def _jungle(width: float, horizon: float, random: Random, snowy: bool) -> str:
    leaves = "".join(
        f'<path transform="translate({random.uniform(0, width):.0f},{random.uniform(30, horizon):.0f}) rotate({random.uniform(0, 360):.0f}) '
        f'scale({random.uniform(0.8, 1.7):.2f})" d="M0 0q30-34 84 0q-54 34-84 0" fill="{random.choice(("#2f7a45", "#3f9a55", "#57b060", "#256b3f"))}"/>'
        for _ in range(60)
    )
    vines = "".join(
        f'<path d="M{width * at:.0f} 0q20 80-6 150t8 90" stroke="#3f6b35" stroke-width="6" fill="none"/>' for at in (0.2, 0.44, 0.68, 0.86)
    )
    return f'<rect width="{width}" height="{horizon + 6:.0f}" fill="#5aa564" opacity=".85"/>' + leaves + vines


def _sea(width: float, horizon: float, random: Random, snowy: bool) -> str:
    # The strip of water ends behind the ground, which is painted over its lower edge.
    top = horizon - 66
    waves = "".join(f"M{random.uniform(0, width):.0f} {top + random.uniform(10, 60):.0f}q14-7 28 0t28 0" for _ in range(16))
    return (
        f"<defs>{gradient('sea', ('#5fb3d3', '#3f93c0'))}</defs>"
        f'<rect y="{top:.0f}" width="{width}" height="80" fill="url(#sea)"/>' + _lines(waves, "#e9f7fc", 3, 0.8)
    )


def _boats(width: float, horizon: float, random: Random, snowy: bool) -> str:
    parts = []
    for at in (0.12, 0.86):
        x, y = width * at, horizon - 40 + random.uniform(-8, 8)
        parts.append(
            f'<path d="M{x - 30:.0f} {y:.0f}h60l-10 16h-40z" fill="#a8503c"/><path d="M{x:.0f} {y - 52:.0f}v50M{x + 3:.0f} {y - 50:.0f}q26 20 24 44h-24z" '
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
        for row in range(5) for x in range(6, int(width), 17)
    )  # fmt: skip
    roof = f'<rect y="{top - 16:.0f}" width="{width}" height="20" fill="#b9c3cc"/>'
    boards = f'<rect y="{horizon - 20:.0f}" width="{width}" height="24" fill="#f4f4f0"/>'
    return f'<rect y="{top:.0f}" width="{width}" height="122" fill="#6b7683"/>' + crowd + roof + boards


def _wall(width: float, horizon: float, random: Random, snowy: bool) -> str:
    rows = "".join(f"M0 {y:.0f}H{width}" for y in (horizon - 96, horizon - 64, horizon - 32))
    return f'<rect y="{horizon - 124:.0f}" width="{width}" height="128" fill="#cdbfa8"/>' + _lines(rows, "#b5a68d", 3)


def _arcade(width: float, horizon: float, random: Random, snowy: bool) -> str:
    arches = "".join(
        f'<path d="M{x:.0f} {horizon:.0f}v-62q36-52 72 0v62z" fill="#8f7f68"/>' for x in range(12, int(width), 100)
    )
    return f'<rect y="{horizon - 168:.0f}" width="{width}" height="172" fill="#dccdb2"/>' + arches + (
        f'<rect y="{horizon - 176:.0f}" width="{width}" height="14" fill="#a8503c"/>'
    )


def _columns(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return "".join(
        f'<rect x="{width * at - 13:.0f}" y="{horizon + 8 - high:.0f}" width="26" height="{high}" fill="#ddd2bb"/>'
        f'<rect x="{width * at - 19:.0f}" y="{horizon + 2 - high:.0f}" width="38" height="12" fill="#c9bca2"/>'
        f'<path d="M{width * at - 5:.0f} {horizon + 8 - high + 8:.0f}v{high - 10}M{width * at + 5:.0f} {horizon + 8 - high + 8:.0f}v{high - 10}" '
        f'stroke="#c4b79d" stroke-width="3"/>'
        for at, high in ((0.1, 190), (0.24, 120), (0.4, 176), (0.6, 176), (0.78, 90), (0.92, 184))
    )


def _station(width: float, horizon: float, random: Random, snowy: bool) -> str:
    posts = "".join(f"M{width * at:.0f} 120V{horizon + 6:.0f}" for at in (0.08, 0.36, 0.64, 0.92))
    return (
        f'<path d="M-10 96L{width / 2:.0f} 40L{width + 10} 96v22H-10z" fill="#6b5a52"/>' + _lines(posts, "#5a6672", 10)
        + f'<rect y="{horizon - 6:.0f}" width="{width}" height="40" fill="#57534e"/>'
        + _lines(f"M0 {horizon + 6:.0f}H{width}M0 {horizon + 22:.0f}H{width}", "#c9cdd1", 4)
    )  # fmt: skip


def _roofs(width: float, horizon: float, random: Random, snowy: bool) -> str:
    return "".join(
        f'<path d="M{x:.0f} {horizon + 6:.0f}v-34l48-30 48 30v34z" fill="{random.choice(("#a8503c", "#b5653f", "#8c4434"))}"/>'
        f'<rect x="{x + 62:.0f}" y="{horizon - 66:.0f}" width="13" height="34" fill="#7d5545"/>'
        for x in range(-20, int(width), 100)
    )


def _terraces(width: float, horizon: float, random: Random, snowy: bool) -> str:
    greens = ("#a8d67f", "#8fc46a", "#7ab25c")
    return "".join(
        f'<path d="M-10 {horizon + 6:.0f}V{horizon - 90 + step * 30:.0f}q{width * 0.3:.0f}-34 {width * 0.55:.0f} 0t{width * 0.5:.0f}-10V{horizon + 6:.0f}z" '
        f'fill="{greens[step % 3]}" stroke="#5f8a45" stroke-width="3"/>'
        for step in range(3)
    )


def _falls(width: float, horizon: float, random: Random, snowy: bool) -> str:
    middle = width / 2
    streaks = "".join(f"M{middle - 50 + step * 16} 60V{horizon + 20:.0f}" for step in range(7))
    return (
        f'<path d="M0 40h{middle - 70:.0f}l20 {horizon:.0f}H0zM{width} 40H{middle + 70:.0f}l-20 {horizon:.0f}H{width}z" fill="#6f7d6a"/>'
        f'<path d="M0 40h{middle - 70:.0f}v26H0zM{width} 40H{middle + 70:.0f}v26H{width}z" fill="#6aa84f"/>'
        f'<rect x="{middle - 70:.0f}" y="46" width="140" height="{horizon - 20:.0f}" fill="#8fd0e8"/>'
        + _lines(streaks, "#ffffff", 6, 0.75)
        + f'<ellipse cx="{middle:.0f}" cy="{horizon + 8:.0f}" rx="130" ry="24" fill="#fff" opacity=".75"/>'
    )  # fmt: skip


def _fence(width: float, horizon: float, random: Random, snowy: bool) -> str:
    posts = "".join(f"M{x} {horizon + 10:.0f}v-44" for x in range(10, int(width), 40))
    return _lines(f"M0 {horizon - 22:.0f}H{width}M0 {horizon - 4:.0f}H{width}", "#a8804f", 6) + _lines(posts, "#8a6640", 8)


Layer = Callable[[float, float, Random, bool], str]
FAR: dict[str, Layer] = {
    "hills": _hills, "mountains": _mountains, "peaks": _peaks, "skyline": _skyline, "towers": _towers,
    "houses": _houses, "cottages": _cottages, "stalls": _stalls, "treeline": _treeline, "trees": _trees,
    "pines": _pines, "jungle": _jungle, "sea": _sea, "boats": _boats, "dunes": _dunes, "stands": _stands, "wall": _wall,
    "arcade": _arcade, "columns": _columns, "stationroof": _station, "roofs": _roofs, "terraces": _terraces,
    "falls": _falls, "fence": _fence,
}  # fmt: skip


def _scatter(width: float, horizon: float, random: Random, count: int, draw: Callable[[float, float, float], str]) -> str:
    """Draw small things over the ground, smaller towards the horizon."""
    parts = []
    for _ in range(count):
        depth = random.random()
        parts.append(draw(random.uniform(0, width), horizon + 12 + depth * (HEIGHT - horizon - 16), 0.5 + depth * 0.8))
    return "".join(parts)


def _tufts(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width, horizon, random, 34,
        lambda x, y, size: _lines(f"M{x:.0f} {y:.0f}l{-4 * size:.1f} {-9 * size:.1f}m{4 * size:.1f} {9 * size:.1f}l0 {-12 * size:.1f}m0 {12 * size:.1f}l{5 * size:.1f} {-9 * size:.1f}", "#4a7f3a", 2.2, 0.55),
    )  # fmt: skip


def _flowers(width: float, horizon: float, random: Random) -> str:
    def flower(x: float, y: float, size: float) -> str:
        colour = random.choice(("#f28cab", "#ffffff", "#f5cf4a", "#c58ae0", "#ef6b5a"))
        return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{4.2 * size:.1f}" fill="{colour}"/><circle cx="{x:.0f}" cy="{y:.0f}" r="{1.6 * size:.1f}" fill="#f2b52a"/>'

    return _scatter(width, horizon, random, 34, flower)


def _rocks(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width, horizon, random, 12,
        lambda x, y, size: f'<path d="M{x:.0f} {y:.0f}q{4 * size:.0f}-{22 * size:.0f} {20 * size:.0f}-{20 * size:.0f}t{22 * size:.0f} {20 * size:.0f}z" fill="#8d939a"/>',
    )  # fmt: skip


def _ferns(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width, horizon, random, 22,
        lambda x, y, size: f'<path d="M{x:.0f} {y:.0f}q-{16 * size:.0f}-{4 * size:.0f}-{22 * size:.0f}-{20 * size:.0f}q{14 * size:.0f} 2 {22 * size:.0f} {20 * size:.0f}q-2-{18 * size:.0f} 0-{28 * size:.0f}q{6 * size:.0f} {12 * size:.0f} 0 {28 * size:.0f}q{6 * size:.0f}-{16 * size:.0f} {22 * size:.0f}-{20 * size:.0f}q-{4 * size:.0f} {16 * size:.0f}-{22 * size:.0f} {20 * size:.0f}" fill="#3f7a3a"/>',
    )  # fmt: skip


def _reeds(width: float, horizon: float, random: Random) -> str:
    parts = []
    for side in (0.0, 1.0):
        for _ in range(9):
            x = width * side + (random.uniform(4, 74) if side == 0 else -random.uniform(4, 74))
            low = HEIGHT - random.uniform(0, 60)
            high = random.uniform(70, 120)
            parts.append(_lines(f"M{x:.0f} {low:.0f}q4-{high / 2:.0f} 0-{high:.0f}", "#5d8a45", 4))
            parts.append(f'<rect x="{x - 4:.0f}" y="{low - high - 6:.0f}" width="8" height="26" rx="4" fill="#7b5530"/>')
    return "".join(parts)


def _shells(width: float, horizon: float, random: Random) -> str:
    foam = _lines(f"M-10 {horizon + 8:.0f}" + "q26-14 52 0t52 0" * (int(width) // 104 + 2), "#ffffff", 7, 0.9)
    return foam + _scatter(width, horizon + 60, random, 9, lambda x, y, size: f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{4 * size:.1f}" fill="{random.choice(("#fff", "#f2b8a0", "#d9c3a0"))}"/>')


def _railing(width: float, horizon: float, random: Random) -> str:
    bars = "".join(f"M{x} {horizon - 34:.0f}v86" for x in range(8, int(width), 26))
    return _lines(bars, "#4d545b", 4) + _lines(f"M0 {horizon - 36:.0f}H{width}M0 {horizon + 50:.0f}H{width}", "#3d444c", 8)


def _bollards(width: float, horizon: float, random: Random) -> str:
    return "".join(
        f'<path d="M{width * at - 12:.0f} {horizon + 40:.0f}v-38q12-12 24 0v38z" fill="#3d444c"/>' for at in (0.05, 0.34, 0.66, 0.95)
    )


def _craters(width: float, horizon: float, random: Random) -> str:
    return _scatter(width, horizon, random, 12, lambda x, y, size: f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{30 * size:.0f}" ry="{8 * size:.0f}" fill="#7b7b84"/>')


def _path(width: float, horizon: float, random: Random) -> str:
    middle = width / 2
    return f'<path d="M{middle - 14:.0f} {horizon:.0f}h28q10 80 150 {HEIGHT - horizon:.0f}H{middle - 150:.0f}Q{middle - 20:.0f} {horizon + 100:.0f} {middle - 14:.0f} {horizon:.0f}" fill="#e3cf9f"/>'


def _corals(width: float, horizon: float, random: Random) -> str:
    weed = "".join(
        _lines(f"M{width * at:.0f} {HEIGHT}q-18-40 0-80t-4-{random.uniform(40, 90):.0f}", "#2f9a6b", 9) for at in (0.04, 0.2, 0.78, 0.96)
    )
    return weed


def _puddles(width: float, horizon: float, random: Random) -> str:
    return "".join(
        f'<ellipse cx="{width * at:.0f}" cy="{y:.0f}" rx="{random.uniform(40, 70):.0f}" ry="8" fill="#bfd4e2" opacity=".65"/>'
        for at, y in ((0.2, 470), (0.66, 440), (0.85, 494))
    )


Detail = Callable[[float, float, Random], str]
NEAR: dict[str, Detail] = {
    "flowers": _flowers, "rocks": _rocks, "ferns": _ferns, "reeds": _reeds, "shells": _shells, "railing": _railing,
    "bollards": _bollards, "craters": _craters, "path": _path, "corals": _corals, "tufts": _tufts,
}  # fmt: skip


def _fan(width: float, horizon: float, spread: float, step: int) -> str:
    middle = width / 2
    return "".join(
        f"M{middle + (x - middle) * 0.3:.0f} {horizon:.0f}L{middle + (x - middle) * spread:.0f} {HEIGHT}" for x in range(-400, int(width) + 440, step)
    )


def _cobbles(width: float, horizon: float, random: Random) -> str:
    parts, y, high = [], horizon + 4, 8.0
    while y < HEIGHT:
        wide = high * 2.6
        offset = random.uniform(0, wide)
        parts.append("".join(f"M{x:.0f} {y:.0f}q{wide / 2:.0f}-{high * 0.7:.0f} {wide - 3:.0f} 0" for x in _steps(-offset, width, wide)))
        y += high
        high *= 1.16
    return _lines("".join(parts), "#857a70", 2, 0.6)


def _steps(start: float, stop: float, step: float) -> list[float]:
    return [start + at * step for at in range(int((stop - start) / step) + 1)]


def _road(width: float, horizon: float, random: Random) -> str:
    middle = width / 2
    return (
        f'<path d="M{middle - 26:.0f} {horizon:.0f}h52L{middle + 270:.0f} {HEIGHT}H{middle - 270:.0f}z" fill="#7d8087"/>'
        f'<path d="M{middle - 3:.0f} {horizon + 8:.0f}h6l2 30h-10zM{middle - 6:.0f} {horizon + 60:.0f}h12l4 46h-20zM{middle - 11:.0f} {horizon + 140:.0f}h22l8 70h-38z" fill="#f4efdf"/>'
    )


def _asphalt(width: float, horizon: float, random: Random) -> str:
    stripes = "".join(f'<path d="M{x:.0f} {horizon + 84:.0f}h34l-14 60h-40z" fill="#eef0f0" opacity=".8"/>' for x in _steps(30, width, 78))
    return f'<rect y="{horizon:.0f}" width="{width}" height="26" fill="#b9bcc2"/>' + stripes


def _furrows(width: float, horizon: float, random: Random) -> str:
    rows = _fan(width, horizon, 1.9, 90)
    plants = "".join(
        f'<circle cx="{width / 2 + (x - width / 2) * (0.3 + share * 1.5):.0f}" cy="{horizon + share * (HEIGHT - horizon):.0f}" r="{5 + share * 15:.0f}" fill="{random.choice(("#5a9a45", "#6fae55", "#4f8a3f"))}"/>'
        for share in (0.12, 0.3, 0.52, 0.78) for x in range(-355, int(width) + 400, 90)
    )  # fmt: skip
    return _lines(rows, "#8a6a45", 16, 0.55) + plants


def _wheat(width: float, horizon: float, random: Random) -> str:
    stalks = "".join(f"M{random.uniform(0, width):.0f} {horizon + 10 + random.random() * (HEIGHT - horizon):.0f}q2-16 6-26" for _ in range(170))
    return _lines(stalks, "#b8862f", 3, 0.65)


def _water(width: float, horizon: float, random: Random) -> str:
    waves = "".join(
        f"M{random.uniform(-20, width):.0f} {horizon + 14 + (row * row) * 2.6:.0f}q{14 + row * 3}-{5 + row} {28 + row * 6} 0t{28 + row * 6} 0"
        for row in range(9) for _ in range(5)
    )  # fmt: skip
    return _lines(waves, "#e9f7fc", 3, 0.6)


def _river(width: float, horizon: float, random: Random) -> str:
    middle = width / 2
    bed = (
        f'<path d="M{middle - 30:.0f} {horizon:.0f}h60q10 60 90 90t{middle - 40:.0f} 70V{HEIGHT}H0V{horizon + 150:.0f}q{middle - 90:.0f}-40 {middle - 60:.0f}-80t30-{70}z" '
        f'fill="#5fb0d0"/>'
    )
    waves = "".join(f"M{random.uniform(40, width - 80):.0f} {random.uniform(horizon + 100, HEIGHT - 20):.0f}q14-7 28 0t28 0" for _ in range(14))
    return bed + _lines(waves, "#e9f7fc", 3, 0.7)


def _pitch(width: float, horizon: float, random: Random) -> str:
    stripes = "".join(
        f'<rect y="{y:.0f}" width="{width}" height="30" fill="#5aa045" opacity=".7"/>' for y in (horizon + 20, horizon + 84, horizon + 156)
    )
    return stripes + _lines(f"M0 {horizon + 16:.0f}H{width}", "#f4f8f0", 5) + (
        f'<ellipse cx="{width / 2:.0f}" cy="{HEIGHT - 30}" rx="170" ry="60" fill="none" stroke="#f4f8f0" stroke-width="5"/>'
    )


def _court(width: float, horizon: float, random: Random) -> str:
    return _lines(f"M{width * 0.12:.0f} {horizon + 30:.0f}H{width * 0.88:.0f}L{width * 1.05:.0f} {HEIGHT - 20}H{-width * 0.05:.0f}zM{width / 2:.0f} {horizon + 30:.0f}V{HEIGHT - 20}", "#ffffff", 5, 0.85)


def _paving(width: float, horizon: float, random: Random) -> str:
    rows = "".join(f"M0 {horizon + (HEIGHT - horizon) * share:.0f}H{width}" for share in (0.1, 0.26, 0.5, 0.8))
    return _lines(_fan(width, horizon, 1.7, 110) + rows, "#a08d74", 2.5, 0.6)


def _boards(width: float, horizon: float, random: Random) -> str:
    return _lines(_fan(width, horizon, 1.6, 70), "#6f4f32", 3.5, 0.8)


def _paddy(width: float, horizon: float, random: Random) -> str:
    strips = "".join(
        f'<path d="M0 {y:.0f}q{width / 2:.0f}-30 {width} 0v{high}q-{width / 2:.0f}-26-{width} 0z" fill="#a5d5e0" opacity=".75"/>'
        for y, high in ((horizon + 40, 18), (horizon + 96, 26), (horizon + 170, 36))
    )
    shoots = _scatter(width, horizon, random, 60, lambda x, y, size: _lines(f"M{x:.0f} {y:.0f}l-2-{9 * size:.0f}m2 {9 * size:.0f}l4-{8 * size:.0f}", "#4f8f3f", 2.4))
    return strips + shoots


def _sandripples(width: float, horizon: float, random: Random) -> str:
    return _lines("".join(f"M{random.uniform(0, width):.0f} {random.uniform(horizon + 20, HEIGHT):.0f}q30-10 70 0" for _ in range(16)), "#b98a4a", 3, 0.4)


def _cloudfloor(width: float, horizon: float, random: Random) -> str:
    return "".join(
        draw_cloud(random.uniform(-20, width + 20), horizon + 6 + row * 46, random.uniform(150, 230), shade("#e4f0fa", 0.2 * row), 1.0)
        for row in range(5) for _ in range(5)
    )  # fmt: skip


def _lava(width: float, horizon: float, random: Random) -> str:
    return f'<path d="M{width * 0.6:.0f} {horizon:.0f}q-40 60 20 100t-90 140h90q60-90 40-140t-20-100z" fill="#ff7a2a"/>' + _rocks(width, horizon, random)


def _leaves(width: float, horizon: float, random: Random) -> str:
    return _scatter(width, horizon, random, 40, lambda x, y, size: f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{6 * size:.0f}" ry="{2.4 * size:.1f}" fill="{random.choice(("#a8743a", "#8a9a45", "#5f7a3a"))}"/>')


TEXTURES: dict[str, Detail] = {
    "grass": _tufts, "garden": _furrows, "wheat": _wheat, "rows": _furrows, "forest": _leaves, "beach": _sandripples,
    "sand": _sandripples, "dunes": _sandripples, "cobbles": _cobbles, "asphalt": _asphalt, "tiles": _paving, "road": _road,
    "platform": _paving, "pitch": _pitch, "court": _court, "pier": _boards, "sea": _water, "lake": _water, "river": _river,
    "paddy": _paddy, "clouds": _cloudfloor, "lava": _lava, "roof": _paving, "seabed": _sandripples,
}  # fmt: skip
