"""Sky and weather: gradients by time of day, sun, moon, stars, clouds, rain, snow, fog."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pipeline.adapters.renderers.storyboard.sprites import mix

HEIGHT = 512.0

# Colours of the sky from the zenith over the middle to the horizon.
SKIES = {
    "dawn": ("#8fb4e0", "#f6cfc4", "#ffe3b0"),
    "morning": ("#78bcec", "#b7defa", "#fff0cf"),
    "day": ("#4fa8ea", "#93cff6", "#d8f0fb"),
    "golden": ("#7fa6d6", "#f8c98a", "#ffb45c"),
    "dusk": ("#3d3f86", "#b35f95", "#ff9a6a"),
    "night": ("#0b1438", "#182a5e", "#2c4582"),
}
GREY = {"dawn": "#b9b7bd", "morning": "#bcc7cf", "day": "#b3bfc8", "golden": "#c2b6a8", "dusk": "#6d6478",
        "night": "#1c2438"}  # fmt: skip
DULL = {"rain": 0.75, "storm": 0.85, "snow": 0.6, "fog": 0.75, "cloudy": 0.55, "autumn": 0.15, "wind": 0.1}
# Light that lies over everything: colour, strength, and whether it darkens (multiply) or warms (normal).
LIGHTS = {"dawn": ("#ffc9b8", 0.16, False), "morning": ("#fff1c8", 0.08, False), "golden": ("#ff9b3d", 0.22, False),
          "dusk": ("#8a5aa8", 0.42, True), "night": ("#31458f", 0.72, True)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Air:
    """Time of day and weather of a scene."""

    time: str
    weather: str
    width: float

    @property
    def is_dark(self) -> bool:
        """Whether lamps show."""
        return self.time in ("night", "dusk")

    def sky_colours(self) -> tuple[str, str, str]:
        """Return zenith, middle and horizon, greyed by the weather."""
        dull = DULL.get(self.weather, 0.0)
        grey = GREY[self.time]
        if self.weather == "storm":
            grey = mix(grey, "#3a4250", 0.55)
        first, second, third = SKIES[self.time]
        return mix(first, grey, dull), mix(second, grey, dull), mix(third, grey, dull * 0.85)


def gradient(name: str, colours: tuple[str, ...]) -> str:
    """Define a vertical gradient with evenly spread stops."""
    last = len(colours) - 1
    stops = "".join(f'<stop offset="{at / last:.2f}" stop-color="{colour}"/>' for at, colour in enumerate(colours))
    return f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'


def strokes(path: str, colour: str, stroke: float, opacity: float = 1.0) -> str:
    """Stroke a path with round ends."""
    return (
        f'<path d="{path}" stroke="{colour}" stroke-width="{stroke}" fill="none" opacity="{opacity}" '
        f'stroke-linecap="round"/>'
    )


def paint_sky(air: Air, horizon: float, random: Random, *, big_sun: bool = False) -> str:
    """Paint everything above the horizon."""
    parts = [
        f"<defs>{gradient('sky', air.sky_colours())}</defs>",
        f'<rect width="{air.width}" height="{horizon + 40}" fill="url(#sky)"/>',
    ]
    clear = air.weather in ("", "clear", "wind", "autumn")
    left = air.width * random.uniform(0.12, 0.3) if random.random() < 0.5 else air.width * random.uniform(0.7, 0.88)
    if air.time == "night":
        if air.weather not in ("storm", "rain", "fog", "cloudy"):
            parts.append(_stars(air.width, horizon, random, 70))
    elif clear or air.weather in ("cloudy", "snow"):
        parts.append(_sun(air, left, horizon, big_sun))
    if air.time == "dusk" and clear:
        parts.append(_stars(air.width, horizon * 0.5, random, 14))
    parts.append(_clouds(air, horizon, random))
    if air.weather == "storm":
        parts.append(_lightning(air.width * random.uniform(0.25, 0.75), horizon))
    return "".join(parts)


def _stars(width: float, height: float, random: Random, count: int) -> str:
    return "".join(
        f'<circle cx="{random.uniform(0, width):.0f}" cy="{random.uniform(0, height * 0.95):.0f}" '
        f'r="{random.choice((0.8, 1.1, 1.6, 2.2))}" fill="#fff7d8" opacity="{random.uniform(0.5, 1):.2f}"/>'
        for _ in range(count)
    )


def paint_moon(x: float, y: float) -> str:
    """Paint a full moon with its halo."""
    return (
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="62" fill="#fff6cf" opacity=".12"/>'
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="33" fill="#fdf3cd"/>'
        f'<circle cx="{x - 9:.0f}" cy="{y - 8:.0f}" r="7" fill="#e9dcae"/>'
        f'<circle cx="{x + 11:.0f}" cy="{y + 9:.0f}" r="5" fill="#e9dcae"/>'
        f'<circle cx="{x + 8:.0f}" cy="{y - 14:.0f}" r="3.5" fill="#e9dcae"/>'
    )


def _sun(air: Air, x: float, horizon: float, big: bool) -> str:
    radius = 70.0 if big else 30.0
    low = {"dawn": 0.93, "golden": 0.8, "dusk": 0.98, "morning": 0.45}.get(air.time)
    y = horizon * (low if low is not None else 0.24)
    colour = {"dawn": "#fff0b8", "golden": "#ffd25a", "dusk": "#ff7a4a", "morning": "#ffe98f"}.get(air.time, "#ffdf4d")
    if low is not None and air.time != "morning":
        radius *= 1.5
    faint = 0.5 if air.weather in ("cloudy", "snow") else 1.0
    return (
        f'<g opacity="{faint}"><circle cx="{x:.0f}" cy="{y:.0f}" r="{radius * 2.4:.0f}" fill="{colour}" opacity=".16"/>'
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius * 1.55:.0f}" fill="{colour}" opacity=".25"/>'
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}" fill="{colour}"/></g>'
    )


def draw_cloud(x: float, y: float, size: float, colour: str, opacity: float) -> str:
    """Draw a cloud about ``size`` units wide around its lower middle."""
    unit = size / 100
    circles = ((-30, -8, 20), (-8, -20, 26), (20, -14, 22), (38, -4, 14))
    puffs = "".join(
        f'<circle cx="{x + cx * unit:.1f}" cy="{y + cy * unit:.1f}" r="{radius * unit:.1f}"/>'
        for cx, cy, radius in circles
    )
    base = (
        f'<rect x="{x - 50 * unit:.1f}" y="{y - 14 * unit:.1f}" width="{100 * unit:.1f}" height="{24 * unit:.1f}" '
        f'rx="{12 * unit:.1f}"/>'
    )
    return f'<g fill="{colour}" opacity="{opacity}">{puffs}{base}</g>'


def _clouds(air: Air, horizon: float, random: Random) -> str:
    grey = {"rain": "#8a96a3", "storm": "#4c5563", "snow": "#dfe6ec", "cloudy": "#e4e9ee", "fog": "#d8dde0"}
    colour = grey.get(air.weather, "#ffffff")
    if air.time in ("night", "dusk"):
        colour = mix(colour, "#3a4470" if air.time == "night" else "#a8708f", 0.6)
    elif air.time in ("golden", "dawn"):
        colour = mix(colour, "#ffd9b0", 0.5)
    count = {"cloudy": 8, "rain": 9, "storm": 11, "snow": 5, "clear": 0}.get(air.weather, 3)
    opacity = 0.95 if air.weather in ("rain", "storm", "cloudy") else 0.75
    return "".join(
        draw_cloud(
            random.uniform(0, air.width), random.uniform(0.1, 0.55) * horizon, random.uniform(90, 170), colour, opacity
        )
        for _ in range(count)
    )


def _lightning(x: float, horizon: float) -> str:
    unit = horizon / 300
    points = ((0, 40), (-34, 150), (-8, 146), (-40, 262), (36, 120), (8, 124), (34, 40))
    path = " ".join(f"{x + px * unit:.0f},{py * unit:.0f}" for px, py in points)
    return f'<polygon points="{path}" fill="#fff3a6" stroke="#ffd84d" stroke-width="3"/>'


def paint_weather(air: Air, random: Random, *, inside: bool) -> str:
    """Paint what falls or drifts before everything else; nothing indoors."""
    if inside:
        return ""
    width = air.width
    if air.weather in ("rain", "storm"):
        drops = "".join(
            f"M{random.uniform(-40, width):.0f} {random.uniform(-20, HEIGHT):.0f}l-8 26" for _ in range(130)
        )
        return f'<path d="{drops}" stroke="#d8ecfa" stroke-width="2" opacity=".6" stroke-linecap="round"/>'
    if air.weather == "snow":
        return "".join(
            f'<circle cx="{random.uniform(0, width):.0f}" cy="{random.uniform(0, HEIGHT):.0f}" '
            f'r="{random.choice((2, 2.6, 3.4, 4.4))}" fill="#fff" opacity=".9"/>'
            for _ in range(95)
        )
    if air.weather == "fog":
        return "".join(
            f'<rect x="-20" y="{y + random.uniform(-14, 14):.0f}" width="{width + 40}" '
            'height="70" rx="35" fill="#eef1f2" '
            f'opacity="{0.3 if y > 120 else 0.26}"/>'
            for y in range(60, 440, 62)
        )
    if air.weather == "autumn":
        return "".join(
            f'<path transform="translate({random.uniform(0, width):.0f},{random.uniform(40, HEIGHT):.0f}) '
            f'rotate({random.uniform(0, 360):.0f})" d="M0 0q9-12 18 0q-9 12-18 0" '
            f'fill="{random.choice(("#d9682b", "#e8a83a", "#b5442f"))}"/>'
            for _ in range(26)
        )
    if air.weather == "wind":
        return "".join(
            f'<path d="M{random.uniform(0, width * 0.7):.0f} {random.uniform(60, 300):.0f}q40-18 84 0t84-4" '
            f'stroke="#fff" stroke-width="4" fill="none" opacity=".55" stroke-linecap="round"/>'
            for _ in range(6)
        )
    return ""


def paint_light(air: Air, share: float, *, inside: bool) -> str:
    """Tint what is painted so far after the hour; indoors the lamps are lit, so less of it.

    The backdrop gets the larger share, so that in the night its subjects still can be made out.
    """
    light = LIGHTS.get(air.time)
    if light is None:
        if air.weather in ("rain", "storm") and not inside:
            return _veil(air.width, "#5a6a86", (0.3 if air.weather == "rain" else 0.42) * share, True)
        return ""
    colour, strength, darkens = light
    if inside:
        strength *= 0.55
    return _veil(air.width, colour, strength * share, darkens)


def _veil(width: float, colour: str, strength: float, darkens: bool) -> str:
    blend = ' style="mix-blend-mode:multiply"' if darkens else ""
    return f'<rect width="{width}" height="{HEIGHT}" fill="{colour}" opacity="{strength:.2f}"{blend}/>'
