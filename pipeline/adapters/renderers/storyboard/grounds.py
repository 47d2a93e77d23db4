"""The ground before the horizon: its texture, and the small things that grow or lie on it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pipeline.adapters.renderers.storyboard.sky import HEIGHT, draw_cloud, strokes
from pipeline.adapters.renderers.storyboard.sprites import shade


def _scatter(
    width: float, horizon: float, random: Random, count: int, draw: Callable[[float, float, float], str]
) -> str:
    """Draw small things over the ground, smaller towards the horizon."""
    parts = []
    for _ in range(count):
        depth = random.random()
        parts.append(draw(random.uniform(0, width), horizon + 12 + depth * (HEIGHT - horizon - 16), 0.5 + depth * 0.8))
    return "".join(parts)


def _tufts(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width,
        horizon,
        random,
        34,
        lambda x, y, size: strokes(
            (
                f"M{x:.0f} {y:.0f}l{-4 * size:.1f} {-9 * size:.1f}m{4 * size:.1f} {9 * size:.1f}l0 "
                f"{-12 * size:.1f}m0 {12 * size:.1f}l{5 * size:.1f} {-9 * size:.1f}"
            ),
            "#4a7f3a",
            2.2,
            0.55,
        ),
    )


def _flowers(width: float, horizon: float, random: Random) -> str:
    def flower(x: float, y: float, size: float) -> str:
        colour = random.choice(("#f28cab", "#ffffff", "#f5cf4a", "#c58ae0", "#ef6b5a"))
        return (
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{4.2 * size:.1f}" fill="{colour}"/><circle '
            f'cx="{x:.0f}" cy="{y:.0f}" r="{1.6 * size:.1f}" fill="#f2b52a"/>'
        )

    return _scatter(width, horizon, random, 34, flower)


def _rocks(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width,
        horizon,
        random,
        12,
        lambda x, y, size: (
            f'<path d="M{x:.0f} {y:.0f}q{4 * size:.0f}-{22 * size:.0f} '
            f'{20 * size:.0f}-{20 * size:.0f}t{22 * size:.0f} {20 * size:.0f}z" fill="#8d939a"/>'
        ),
    )


def _ferns(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width,
        horizon,
        random,
        22,
        lambda x, y, size: (
            f'<path d="M{x:.0f} '
            f"{y:.0f}q-{16 * size:.0f}-{4 * size:.0f}-{22 * size:.0f}-{20 * size:.0f}"
            f"q{14 * size:.0f} 2 {22 * size:.0f} {20 * size:.0f}q-2-{18 * size:.0f} "
            f"0-{28 * size:.0f}q{6 * size:.0f} {12 * size:.0f} 0 "
            f"{28 * size:.0f}q{6 * size:.0f}-{16 * size:.0f} "
            f"{22 * size:.0f}-{20 * size:.0f}q-{4 * size:.0f} {16 * size:.0f}-{22 * size:.0f} "
            f'{20 * size:.0f}" fill="#3f7a3a"/>'
        ),
    )


def _reeds(width: float, horizon: float, random: Random) -> str:
    parts = []
    for side in (0.0, 1.0):
        for _ in range(9):
            x = width * side + (random.uniform(4, 74) if side == 0 else -random.uniform(4, 74))
            low = HEIGHT - random.uniform(0, 60)
            high = random.uniform(70, 120)
            parts.append(strokes(f"M{x:.0f} {low:.0f}q4-{high / 2:.0f} 0-{high:.0f}", "#5d8a45", 4))
            parts.append(
                f'<rect x="{x - 4:.0f}" y="{low - high - 6:.0f}" width="8" height="26" rx="4" fill="#7b5530"/>'
            )
    return "".join(parts)


def _shells(width: float, horizon: float, random: Random) -> str:
    foam = strokes(f"M-10 {horizon + 8:.0f}" + "q26-14 52 0t52 0" * (int(width) // 104 + 2), "#ffffff", 7, 0.9)
    return foam + _scatter(
        width,
        horizon + 60,
        random,
        9,
        lambda x, y, size: (
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{4 * size:.1f}" '
            f'fill="{random.choice(("#fff", "#f2b8a0", "#d9c3a0"))}"/>'
        ),
    )


def _railing(width: float, horizon: float, random: Random) -> str:
    bars = "".join(f"M{x} {horizon - 34:.0f}v86" for x in range(8, int(width), 26))
    return strokes(bars, "#4d545b", 4) + strokes(
        f"M0 {horizon - 36:.0f}H{width}M0 {horizon + 50:.0f}H{width}", "#3d444c", 8
    )


def _bollards(width: float, horizon: float, random: Random) -> str:
    return "".join(
        f'<path d="M{width * at - 12:.0f} {horizon + 40:.0f}v-38q12-12 24 0v38z" fill="#3d444c"/>'
        for at in (0.05, 0.34, 0.66, 0.95)
    )


def _craters(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width,
        horizon,
        random,
        12,
        lambda x, y, size: (
            f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{30 * size:.0f}" ry="{8 * size:.0f}" fill="#7b7b84"/>'
        ),
    )


def _path(width: float, horizon: float, random: Random) -> str:
    middle = width / 2
    return (
        f'<path d="M{middle - 14:.0f} {horizon:.0f}h28q10 80 150 '
        f"{HEIGHT - horizon:.0f}H{middle - 150:.0f}Q{middle - 20:.0f} {horizon + 100:.0f} "
        f'{middle - 14:.0f} {horizon:.0f}" fill="#e3cf9f"/>'
    )


def _corals(width: float, horizon: float, random: Random) -> str:
    weed = "".join(
        strokes(f"M{width * at:.0f} {HEIGHT}q-18-40 0-80t-4-{random.uniform(40, 90):.0f}", "#2f9a6b", 9)
        for at in (0.04, 0.2, 0.78, 0.96)
    )
    return weed


def paint_puddles(width: float, horizon: float, random: Random) -> str:
    """Lay puddles on the ground."""
    return "".join(
        (
            f'<ellipse cx="{width * at:.0f}" cy="{y:.0f}" rx="{random.uniform(40, 70):.0f}" '
            'ry="8" fill="#bfd4e2" opacity=".65"/>'
        )
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
        f"M{middle + (x - middle) * 0.3:.0f} {horizon:.0f}L{middle + (x - middle) * spread:.0f} {HEIGHT}"
        for x in range(-400, int(width) + 440, step)
    )


def _cobbles(width: float, horizon: float, random: Random) -> str:
    parts, y, high = [], horizon + 4, 8.0
    while y < HEIGHT:
        wide = high * 2.6
        offset = random.uniform(0, wide)
        parts.append(
            "".join(
                f"M{x:.0f} {y:.0f}q{wide / 2:.0f}-{high * 0.7:.0f} {wide - 3:.0f} 0"
                for x in _steps(-offset, width, wide)
            )
        )
        y += high
        high *= 1.16
    return strokes("".join(parts), "#857a70", 2, 0.6)


def _steps(start: float, stop: float, step: float) -> list[float]:
    return [start + at * step for at in range(int((stop - start) / step) + 1)]


def _road(width: float, horizon: float, random: Random) -> str:
    middle = width / 2
    return (
        f'<path d="M{middle - 26:.0f} {horizon:.0f}h52L{middle + 270:.0f} '
        f'{HEIGHT}H{middle - 270:.0f}z" fill="#7d8087"/>'
        f'<path d="M{middle - 3:.0f} {horizon + 8:.0f}h6l2 30h-10zM{middle - 6:.0f} '
        f'{horizon + 60:.0f}h12l4 46h-20zM{middle - 11:.0f} {horizon + 140:.0f}h22l8 70h-38z" '
        'fill="#f4efdf"/>'
    )


def _asphalt(width: float, horizon: float, random: Random) -> str:
    stripes = "".join(
        f'<path d="M{x:.0f} {horizon + 84:.0f}h34l-14 60h-40z" fill="#eef0f0" opacity=".8"/>'
        for x in _steps(30, width, 78)
    )
    return f'<rect y="{horizon:.0f}" width="{width}" height="26" fill="#b9bcc2"/>' + stripes


def _furrows(width: float, horizon: float, random: Random) -> str:
    rows = _fan(width, horizon, 1.9, 90)
    plants = "".join(
        (
            f'<circle cx="{width / 2 + (x - width / 2) * (0.3 + share * 1.5):.0f}" '
            f'cy="{horizon + share * (HEIGHT - horizon):.0f}" r="{5 + share * 15:.0f}" '
            f'fill="{random.choice(("#5a9a45", "#6fae55", "#4f8a3f"))}"/>'
        )
        for share in (0.12, 0.3, 0.52, 0.78)
        for x in range(-355, int(width) + 400, 90)
    )
    return strokes(rows, "#8a6a45", 16, 0.55) + plants


def _blooms(width: float, horizon: float, random: Random) -> str:
    """Rows of flowers, each row of one colour."""
    parts: list[str] = []
    colours = ("#e0393f", "#f5cf4a", "#f28cab", "#8f5fc0", "#f28c28")
    for row, share in enumerate((0.04, 0.14, 0.28, 0.46, 0.68, 0.92)):
        radius, y = 5 + share * 15, horizon + share * (HEIGHT - horizon)
        parts.extend(
            f'<circle cx="{x:.0f}" cy="{y + random.uniform(-3, 3):.0f}" r="{radius:.0f}" fill="{colours[row % 5]}"/>'
            for x in _steps(random.uniform(-20, 0), width, radius * 1.9)
        )
    return "".join(parts)


def _wheat(width: float, horizon: float, random: Random) -> str:
    stalks = "".join(
        f"M{random.uniform(0, width):.0f} {horizon + 10 + random.random() * (HEIGHT - horizon):.0f}q2-16 6-26"
        for _ in range(170)
    )
    return strokes(stalks, "#b8862f", 3, 0.65)


def _water(width: float, horizon: float, random: Random) -> str:
    waves = "".join(
        (
            f"M{random.uniform(-20, width):.0f} "
            f"{horizon + 14 + (row * row) * 2.6:.0f}q{14 + row * 3}-{5 + row} {28 + row * 6} "
            f"0t{28 + row * 6} 0"
        )
        for row in range(9)
        for _ in range(5)
    )
    return strokes(waves, "#e9f7fc", 3, 0.6)


def _river(width: float, horizon: float, random: Random) -> str:
    middle = width / 2
    bed = (
        f'<path d="M{middle - 30:.0f} {horizon:.0f}h60q10 60 90 90t{middle - 40:.0f} '
        f"70V{HEIGHT}H0V{horizon + 150:.0f}q{middle - 90:.0f}-40 "
        f'{middle - 60:.0f}-80t30-{70}z" '
        f'fill="#5fb0d0"/>'
    )
    waves = "".join(
        f"M{random.uniform(40, width - 80):.0f} {random.uniform(horizon + 100, HEIGHT - 20):.0f}q14-7 28 0t28 0"
        for _ in range(14)
    )
    return bed + strokes(waves, "#e9f7fc", 3, 0.7)


def _pitch(width: float, horizon: float, random: Random) -> str:
    stripes = "".join(
        f'<rect y="{y:.0f}" width="{width}" height="30" fill="#5aa045" opacity=".7"/>'
        for y in (horizon + 20, horizon + 84, horizon + 156)
    )
    return (
        stripes
        + strokes(f"M0 {horizon + 16:.0f}H{width}", "#f4f8f0", 5)
        + (
            f'<ellipse cx="{width / 2:.0f}" cy="{HEIGHT - 30}" rx="170" ry="60" fill="none" '
            'stroke="#f4f8f0" stroke-width="5"/>'
        )
    )


def _court(width: float, horizon: float, random: Random) -> str:
    return strokes(
        (
            f"M{width * 0.12:.0f} {horizon + 30:.0f}H{width * 0.88:.0f}L{width * 1.05:.0f} "
            f"{HEIGHT - 20}H{-width * 0.05:.0f}zM{width / 2:.0f} {horizon + 30:.0f}V{HEIGHT - 20}"
        ),
        "#ffffff",
        5,
        0.85,
    )


def _paving(width: float, horizon: float, random: Random) -> str:
    rows = "".join(f"M0 {horizon + (HEIGHT - horizon) * share:.0f}H{width}" for share in (0.1, 0.26, 0.5, 0.8))
    return strokes(_fan(width, horizon, 1.7, 110) + rows, "#a08d74", 2.5, 0.6)


def _boards(width: float, horizon: float, random: Random) -> str:
    return strokes(_fan(width, horizon, 1.6, 70), "#6f4f32", 3.5, 0.8)


def _paddy(width: float, horizon: float, random: Random) -> str:
    strips = "".join(
        (
            f'<path d="M0 {y:.0f}q{width / 2:.0f}-30 {width} 0v{high}q-{width / 2:.0f}-26-{width} '
            '0z" fill="#a5d5e0" opacity=".75"/>'
        )
        for y, high in ((horizon + 40, 18), (horizon + 96, 26), (horizon + 170, 36))
    )
    shoots = _scatter(
        width,
        horizon,
        random,
        60,
        lambda x, y, size: strokes(
            f"M{x:.0f} {y:.0f}l-2-{9 * size:.0f}m2 {9 * size:.0f}l4-{8 * size:.0f}", "#4f8f3f", 2.4
        ),
    )
    return strips + shoots


def _sandripples(width: float, horizon: float, random: Random) -> str:
    return strokes(
        "".join(
            f"M{random.uniform(0, width):.0f} {random.uniform(horizon + 20, HEIGHT):.0f}q30-10 70 0" for _ in range(16)
        ),
        "#b98a4a",
        3,
        0.4,
    )


def _cloudfloor(width: float, horizon: float, random: Random) -> str:
    return "".join(
        draw_cloud(
            random.uniform(-20, width + 20),
            horizon + 6 + row * 46,
            random.uniform(150, 230),
            shade("#e4f0fa", 0.2 * row),
            1.0,
        )
        for row in range(5)
        for _ in range(5)
    )


def _lava(width: float, horizon: float, random: Random) -> str:
    return (
        f'<path d="M{width * 0.6:.0f} {horizon:.0f}q-40 60 20 100t-90 140h90q60-90 40-140t-20-100z" fill="#ff7a2a"/>'
        + _rocks(width, horizon, random)
    )


def _leaves(width: float, horizon: float, random: Random) -> str:
    return _scatter(
        width,
        horizon,
        random,
        40,
        lambda x, y, size: (
            f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{6 * size:.0f}" ry="{2.4 * size:.1f}" '
            f'fill="{random.choice(("#a8743a", "#8a9a45", "#5f7a3a"))}"/>'
        ),
    )


TEXTURES: dict[str, Detail] = {
    "grass": _tufts, "garden": _furrows, "wheat": _wheat, "rows": _furrows, "forest": _leaves, "beach": _sandripples,
    "sand": _sandripples, "dunes": _sandripples, "cobbles": _cobbles, "asphalt": _asphalt, "tiles": _paving,
    "road": _road, "platform": _paving, "pitch": _pitch, "court": _court, "pier": _boards, "sea": _water,
    "lake": _water, "river": _river, "paddy": _paddy, "clouds": _cloudfloor, "lava": _lava, "roof": _paving,
    "seabed": _sandripples, "blooms": _blooms,
}  # fmt: skip
