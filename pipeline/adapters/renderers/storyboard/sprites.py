"""Sprites: drawings with known extents, and the colour arithmetic that tints them."""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass

from pipeline.adapters.renderers.storyboard.vocabulary import Shape

HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawing in its own units.

    Attributes:
        svg: Markup that fills the box from (0, 0) to (width, height); it stands on the lower edge.
        seat: Where things on it rest, as a share of the height from the top.
        rim: Where things in it appear, as a share of the height from the top.
        hips: Seated figures: where they touch the seat, as a share of the height from the top.
        hand: Figures: where they hold things, as shares of width and height.
        glow: Colour of the light that it gives, or None.
    """

    svg: str
    width: float
    height: float
    seat: float = 0.0
    rim: float = 0.25
    hips: float | None = None
    hand: tuple[float, float] = (0.8, 0.6)
    glow: str | None = None


def parse_hex(colour: str) -> tuple[float, float, float]:
    """Return red, green and blue in [0, 1] of ``#rgb`` or ``#rrggbb``."""
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    return int(digits[0:2], 16) / 255, int(digits[2:4], 16) / 255, int(digits[4:6], 16) / 255


def format_hex(red: float, green: float, blue: float) -> str:
    """Write red, green and blue in [0, 1] as ``#rrggbb``."""
    return "#" + "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02x}" for part in (red, green, blue))


def shade(colour: str, amount: float) -> str:
    """Darken (amount below 0) or lighten (above 0) towards black or white by a share of the way."""
    goal = 0.0 if amount < 0 else 1.0
    return format_hex(*(part + (goal - part) * abs(amount) for part in parse_hex(colour)))


def mix(one: str, other: str, share: float) -> str:
    """Blend two colours; share 0 gives the first, 1 the second."""
    pairs = zip(parse_hex(one), parse_hex(other), strict=True)
    return format_hex(*(a + (b - a) * share for a, b in pairs))


def luminance(colour: str) -> float:
    """Rec. 709 luma of gamma-coded values, in [0, 1]."""
    red, green, blue = parse_hex(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def tint_markup(svg: str, goal: str, main_hue: float | None, mean_light: float) -> str:
    """Give a drawing another colour.

    Args:
        svg: Markup with hexadecimal colours.
        goal: The colour that its main surface gets.
        main_hue: Hue of that surface in [0, 1); None for a drawing without colour, all of whose greys are tinted.
        mean_light: HLS lightness of that surface; darker and lighter parts keep their distance to it.
    """
    hue, light, saturation = colorsys.rgb_to_hls(*parse_hex(goal))

    def replace(match: re.Match[str]) -> str:
        own_hue, own_light, own_saturation = colorsys.rgb_to_hls(*parse_hex(match[0]))
        if main_hue is None:
            if own_light > 0.93 or own_light < 0.08:
                return match[0]
        else:
            away = abs(own_hue - main_hue)
            if own_saturation < 0.12 or min(away, 1 - away) > 0.1 or own_light > 0.96:
                return match[0]
        new_light = min(max(light + (own_light - mean_light) * 0.75, 0.06), 0.97)
        return format_hex(*colorsys.hls_to_rgb(hue, new_light, saturation))

    return HEX.sub(replace, svg)


def tint_clothes(svg: str, own: str, goal: str) -> str:
    """Give the parts of a drawing whose colour is like ``own`` another colour."""
    hue, light, _ = colorsys.rgb_to_hls(*parse_hex(own))
    return tint_markup(svg, goal, hue, light)


GLOWING = {
    "lantern": "#ffc766", "lamp": "#ffd98a", "campfire": "#ff9a3d", "fireplace": "#ff9a3d", "stove": "#ff9a3d",
    "kiln": "#ff8a3d", "street-lamp": "#ffdf9a", "string-lights": "#ffd98a", "firefly": "#fff08a",
    "menorah": "#ffc766", "sparkler": "#ffe08a", "fireworks": "#ffcf8a",
}  # fmt: skip


def draw_shape(name: str, shape: Shape, colour: str | None) -> Sprite:
    """Draw one of our own shapes in its own or another colour."""
    main = colour or shape.colour
    svg = shape.art.replace("$c", main).replace("$d", shade(main, -0.25)).replace("$l", shade(main, 0.3))
    return Sprite(
        svg=svg,
        width=shape.box[0],
        height=shape.box[1],
        seat=0.03 if shape.seat is None else shape.seat,
        rim=0.25 if shape.rim is None else shape.rim,
        glow=GLOWING.get(name),
    )
