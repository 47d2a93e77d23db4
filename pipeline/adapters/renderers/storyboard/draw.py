"""From SVG to a picture: rasterising, and the look of the art style."""

from __future__ import annotations

import io
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def rasterise(svg: str, width: int, height: int) -> Image.Image:
    """Render a document; raises ValueError where resvg refuses it."""
    import resvg_py
    from PIL import Image

    # System fonts would be read at each call and are never needed: there is no text in the pictures.
    data = resvg_py.svg_to_bytes(svg_string=svg, width=width, height=height, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(data))) as image:
        flat = Image.new("RGB", image.size, "#ffffff")
        rgba = image.convert("RGBA")
        flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat if flat.size == (width, height) else flat.resize((width, height))


def stylise(image: Image.Image, style: str, random: Random) -> Image.Image:
    """Give a picture the look of an art style; unknown and empty styles leave it alone."""
    from PIL import Image, ImageEnhance, ImageFilter, ImageOps

    if style == "mono":
        return ImageEnhance.Contrast(ImageOps.grayscale(image)).enhance(1.2).convert("RGB")
    if style == "sepia":
        grey = ImageOps.grayscale(image)
        return _vignette(ImageOps.colorize(grey, "#2b1a0e", "#f7e7c6", "#a98259"), 90, "#3a2412")
    if style == "watercolour":
        soft = image.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.SMOOTH_MORE)
        soft = ImageEnhance.Color(ImageEnhance.Brightness(soft).enhance(1.06)).enhance(0.86)
        return _vignette(_paper(soft, random, 0.12), 70, "#fbf7ee")
    if style == "crayon":
        edges = ImageOps.invert(ImageOps.grayscale(image).filter(ImageFilter.FIND_EDGES)).point(
            lambda value: 255 if value > 215 else value
        )
        bright = ImageEnhance.Color(image).enhance(1.25)
        lined = Image.composite(bright, Image.new("RGB", image.size, "#4a3b35"), edges)
        return _vignette(_paper(lined, random, 0.3), 40, "#fffdf6")
    if style == "oil":
        return ImageEnhance.Color(image.filter(ImageFilter.MedianFilter(7))).enhance(1.2)
    if style == "poster":
        return ImageOps.posterize(ImageEnhance.Color(image).enhance(1.35), 3)
    if style == "pixel":
        small = image.resize((max(1, image.width // 7), max(1, image.height // 7)), Image.Resampling.BOX)
        return small.quantize(40).convert("RGB").resize(image.size, Image.Resampling.NEAREST)
    return image


def _paper(image: Image.Image, random: Random, strength: float) -> Image.Image:
    """Lay the grain of paper over a picture."""
    from PIL import Image

    side = (max(1, image.width // 2), max(1, image.height // 2))
    grain = Image.frombytes("L", side, random.randbytes(side[0] * side[1])).resize(image.size).convert("RGB")
    light = Image.blend(Image.new("RGB", image.size, "#ffffff"), grain, strength)
    from PIL import ImageChops

    return ImageChops.multiply(image, light.point(lambda value: min(255, int(value * (1 + strength / 2)))))


def _vignette(image: Image.Image, border: int, colour: str) -> Image.Image:
    """Fade the edges into a colour over ``border`` thousandths of the shorter side."""
    from PIL import Image, ImageDraw, ImageFilter

    edge = min(image.size) * border // 1000
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rectangle((edge, edge, image.width - edge, image.height - edge), fill=255)
    return Image.composite(
        image, Image.new("RGB", image.size, colour), mask.filter(ImageFilter.GaussianBlur(edge * 0.6))
    )
