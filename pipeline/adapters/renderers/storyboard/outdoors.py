"""Landscapes and streets: what lies along the horizon and the ground before it, painted from a place's entry."""

from __future__ import annotations

from random import Random

from pipeline.adapters.renderers.storyboard.grounds import NEAR, TEXTURES, paint_puddles
from pipeline.adapters.renderers.storyboard.horizons import FAR
from pipeline.adapters.renderers.storyboard.sky import HEIGHT, Air, gradient, paint_sky
from pipeline.adapters.renderers.storyboard.sprites import mix
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
    "blooms": ("#8fbf62", "#5d9a47"), "mars": ("#dd8f5c", "#ae5c38"),
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
    far = "".join(FAR[layer](width, horizon, random, snowy) for layer in place.far if layer in FAR)
    ground = place.ground
    if snowy and ground in (
        "grass",
        "garden",
        "wheat",
        "rows",
        "forest",
        "alpine",
        "earth",
        "savanna",
        "pitch",
        "road",
    ):
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
        near += paint_puddles(width, horizon, random)
    return sky + far + base + detail + near, horizon


def _deep_water(width: float) -> str:
    rays = "".join(
        f'<path d="M{width * at:.0f} 0h40l{60 if at > 0.5 else -60} 420h-90z" fill="#fff" opacity=".09"/>'
        for at in (0.2, 0.45, 0.7)
    )
    bubbles = "".join(
        f'<circle cx="{width * x:.0f}" cy="{y}" r="{r}" fill="none" stroke="#dff6ff" stroke-width="2.5" opacity=".8"/>'
        for x, y, r in ((0.12, 120, 9), (0.15, 84, 6), (0.83, 190, 8), (0.86, 150, 5), (0.5, 60, 7), (0.34, 250, 6))
    )
    return (
        f"<defs>{gradient('deep', ('#4fc0e0', '#2487b8', '#135585'))}</defs>"
        + f'<rect width="{width}" height="{HEIGHT}" fill="url(#deep)"/>'
        + rays
        + bubbles
    )


def _space(width: float, random: Random) -> str:
    stars = "".join(
        f'<circle cx="{random.uniform(0, width):.0f}" cy="{random.uniform(0, HEIGHT):.0f}" '
        f'r="{random.choice((0.9, 1.3, 1.9, 2.6))}" '
        f'fill="{random.choice(("#ffffff", "#fff2c4", "#cfe0ff"))}"/>'
        for _ in range(120)
    )
    haze = (
        f'<ellipse cx="{width * 0.3:.0f}" cy="170" rx="230" ry="80" fill="#8a4fd0" '
        f'opacity=".22" transform="rotate(-18 {width * 0.3:.0f} 170)"/>'
        f'<ellipse cx="{width * 0.72:.0f}" cy="330" rx="220" ry="70" fill="#3f7fe0" '
        f'opacity=".2" transform="rotate(-18 {width * 0.72:.0f} 330)"/>'
    )
    return f'<rect width="{width}" height="{HEIGHT}" fill="#0b0f2b"/>' + haze + stars
