"""The emoji art: vector icons by name, their true extents, in other colours, ready to stand in a picture."""

from __future__ import annotations

import colorsys
import io
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.renderers.storyboard.sprites import Sprite, tint_markup
from pipeline.values.errors import ModelFileError

if TYPE_CHECKING:
    from PIL import Image

PROBE_SIDE = 64
SIZE = 128
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
# Icons that give light, with its colour.
GLOWING = {
    "candle": "#ffcf7a", "diya-lamp": "#ffcf7a", "red-paper-lantern": "#ff9a5a", "light-bulb": "#ffe9a8",
    "fire": "#ff9a3d", "lighthouse": "#fff0b0", "jack-o-lantern": "#ffae4a", "birthday-cake": "#ffd98a",
    "flashlight": "#fff0b0", "sparkles": "#ffe08a", "crystal-ball": "#c9a0ff",
}  # fmt: skip
# Where things rest on an icon or appear in it, as a share of its height from the top.
SEATS = {"chair": 0.55, "bed": 0.55, "horse": 0.3, "donkey": 0.42, "cow": 0.3, "elephant": 0.2, "camel": 0.35,
         "two-hump-camel": 0.35, "couch-and-lamp": 0.66, "manual-wheelchair": 0.6, "bicycle": 0.3, "motorcycle": 0.35,
         "motor-scooter": 0.4, "water-buffalo": 0.3, "ox": 0.3, "zebra": 0.3, "carousel-horse": 0.45, "llama": 0.45,
         "deciduous-tree": 0.45, "tractor": 0.35, "seat": 0.55, "sled": 0.4}  # fmt: skip
RIMS = {"basket": 0.45, "bathtub": 0.45, "bucket": 0.2, "canoe": 0.4, "treasure-chest": 0.35, "bed": 0.5,
        "sailboat": 0.75, "shopping-cart": 0.35, "pickup-truck": 0.4, "hot-beverage": 0.4, "automobile": 0.35,
        "nest-with-eggs": 0.4, "empty-nest": 0.45, "package": 0.15, "potted-plant": 0.6, "speedboat": 0.5}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Probe:
    """What a small rendering tells: the box that is not empty (in icon units), and the main colour."""

    left: float
    top: float
    right: float
    bottom: float
    hue: float | None
    light: float
    low: str  # the colour at the middle of the lower edge: a bust's clothes
    spills: bool  # whether the art goes beyond the icon's square, where it must be cut off


class IconSet:
    """All icons of a Noto Emoji collection in Iconify's JSON form; renderings that measure them are cached."""

    def __init__(self, path: Path) -> None:
        """Read the collection; raises ModelFileError where the file is not one."""
        try:
            data = json.loads((path / "icons.json" if path.is_dir() else path).read_text(encoding="utf-8"))
            self._bodies: dict[str, str] = {name: icon["body"] for name, icon in data["icons"].items()}
            self._aliases: dict[str, str] = {name: alias["parent"] for name, alias in data["aliases"].items()}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ModelFileError(f"{path}: no Iconify collection ({exc!r}); fetch the model noto-emoji again") from exc
        # One per set: icons are the same for its whole life.
        self._probe = lru_cache(maxsize=4096)(self._measure)

    def __contains__(self, name: str) -> bool:
        return name in self._bodies or name in self._aliases

    def body(self, name: str) -> str:
        """Return an icon's markup, 128 units square."""
        return self._bodies[self._aliases.get(name, name)]

    def with_tone(self, name: str, tone: int) -> str:
        """Return the icon's name in one of the five skin tones (0 to 4), or the name itself where it has none."""
        toned = f"{name}-{TONES[tone]}-skin-tone"
        if toned in self:
            return toned
        first, _, rest = name.partition("-")
        toned = f"{first}-{TONES[tone]}-skin-tone-{rest}"
        return toned if rest and toned in self else name

    def sprite(self, name: str, colour: str | None = None) -> Sprite:
        """Return an icon cut to its extents, in its own or another colour."""
        probe = self._probe(name)
        body = self.body(name)
        if colour is not None:
            body = tint_markup(body, colour, probe.hue, probe.light)
        if probe.spills:
            body = f'<svg width="{SIZE}" height="{SIZE}" viewBox="0 0 {SIZE} {SIZE}">{body}</svg>'
        return Sprite(
            svg=f'<g transform="translate({-probe.left:g},{-probe.top:g})">{body}</g>',
            width=probe.right - probe.left,
            height=probe.bottom - probe.top,
            seat=SEATS.get(name, 0.05),
            rim=RIMS.get(name, 0.3),
            glow=GLOWING.get(name),
        )

    def clothes(self, name: str) -> str:
        """Return the colour at the lower edge of a bust."""
        return self._probe(name).low

    def _measure(self, name: str) -> _Probe:
        image = _rasterise(self.body(name))
        box = image.getchannel("A").point([0] * 40 + [255] * 216).getbbox() or (0, 0, PROBE_SIDE, PROBE_SIDE)
        unit = SIZE / PROBE_SIDE
        hue, light = _main_colour(image)
        middle, last = (box[0] + box[2]) // 2, box[3] - 3
        red, green, blue = image.getpixel((middle, max(last, 0)))[:3]  # type: ignore[index]
        return _Probe(
            spills=_spills(self.body(name)),
            left=box[0] * unit, top=box[1] * unit, right=box[2] * unit, bottom=box[3] * unit,
            hue=hue, light=light, low=f"#{red:02x}{green:02x}{blue:02x}",
        )  # fmt: skip


def _spills(body: str) -> bool:
    """Whether something shows in the ring around the icon's square, a few units left out for soft edges."""
    image = _rasterise(body, margin=SIZE // 2).getchannel("A")
    edge = PROBE_SIDE // 4 - 3
    image.paste(0, (edge, edge, PROBE_SIDE - edge, PROBE_SIDE - edge))
    return image.getbbox() is not None


def _rasterise(body: str, margin: int = 0) -> Image.Image:
    import resvg_py
    from PIL import Image

    box = f"{-margin} {-margin} {SIZE + 2 * margin} {SIZE + 2 * margin}"
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    svg = f'<svg {spaces} viewBox="{box}">{body}</svg>'
    data = resvg_py.svg_to_bytes(svg_string=svg, width=PROBE_SIDE, height=PROBE_SIDE, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(data))).convert("RGBA")


def _main_colour(image: Image.Image) -> tuple[float | None, float]:
    """Return hue (None where less than a tenth is coloured) and lightness of the largest surface."""
    hues: dict[int, float] = defaultdict(float)
    coloured = 0
    lights: dict[int, float] = {}
    plain: list[float] = []
    colours = image.getcolors(PROBE_SIDE * PROBE_SIDE) or []
    total = 0
    for count, value in colours:
        red, green, blue, alpha = value  # type: ignore[misc]
        if alpha < 128:
            continue
        total += count
        hue, light, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
        if saturation > 0.15 and 0.1 < light < 0.93:
            # Window glass is large but pale; the paint is what a colour word means.
            weight = count * saturation * (1.0 - abs(2.0 * light - 1.0) * 0.8)
            slot = int(hue * 24) % 24
            hues[slot] += weight
            lights[slot] = lights.get(slot, 0.0) + light * weight
            coloured += count
        elif 0.1 < light < 0.93:
            plain.extend([light] * count)
    if not hues or coloured < 0.1 * total:
        return None, (sum(plain) / len(plain) if plain else 0.5)
    slot, weight = max(hues.items(), key=lambda item: (item[1], -item[0]))
    return (slot + 0.5) / 24, lights[slot] / weight


def rename_ids(svg: str, prefix: str) -> str:
    """Prefix the ids of gradients and clips, so that two drawings with equal ids can stand in one picture."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
    return re.sub(r'(?<=href=")#([^"]+)"', rf'#{prefix}\1"', svg)
