"""Pictures on a terminal: by a graphics protocol where the terminal has one, else in coloured half blocks."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from pipeline.adapters.decoding import decode_picture

if TYPE_CHECKING:
    from PIL.Image import Image

Graphics = Literal["kitty", "iterm", "blocks", "none"]

COLUMNS = 32
ROWS = 16
"""Room of a thumbnail in character cells, which are about twice as high as wide."""

PIXELS_A_COLUMN = 10
"""Resolution of a thumbnail that a graphics protocol shows."""

KITTY_CHUNK = 4096
"""Characters of base64 in one escape sequence, the most that the kitty graphics protocol allows."""


def detect_graphics(environment: Mapping[str, str], is_terminal: bool, has_colour: bool) -> Graphics:
    """Say how pictures can be shown: never when piped, and by no protocol inside a multiplexer, which swallows it."""
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if not is_terminal or terminal == "dumb":
        return "none"
    if "TMUX" not in environment and not terminal.startswith(("screen", "tmux")):
        if terminal in ("xterm-kitty", "xterm-ghostty") or program == "ghostty" or "KITTY_WINDOW_ID" in environment:
            return "kitty"
        if program in ("iTerm.app", "WezTerm"):
            return "iterm"
    return "blocks" if has_colour else "none"


def show_thumbnail(data: bytes, graphics: Graphics, console: Console, indent: int = 2) -> None:
    """Print a picture, or nothing where it cannot be decoded or the terminal shows none."""
    factor = 1 if graphics == "blocks" else PIXELS_A_COLUMN
    image = None if graphics == "none" else shrink(data, COLUMNS * factor, ROWS * 2 * factor)
    if image is None:
        return
    if graphics == "blocks":
        for line in half_blocks(image):
            console.print(Text.assemble(" " * indent, line), soft_wrap=True)
        return
    # The terminal scales the picture to cells, which are half as wide as high.
    scale = min(COLUMNS / image.width, 2 * ROWS / image.height)
    columns, rows = max(1, round(image.width * scale)), max(1, round(image.height * scale / 2))
    protocol = kitty_sequence if graphics == "kitty" else iterm_sequence
    console.file.write(" " * indent + protocol(encode_png(image), columns, rows) + "\n")


def shrink(data: bytes, width: int, height: int) -> Image | None:
    """Decode a picture and shrink it into a box, keeping its shape; None where it cannot or should not be decoded."""
    try:
        small = decode_picture(data)
    except ValueError:
        return None
    small.thumbnail((width, height))
    return small


def half_blocks(image: Image) -> Iterator[Text]:
    """Yield lines in which each character shows two pixels, one above the other."""
    pixels = image.load()
    if pixels is None:
        return
    for top in range(0, image.height, 2):
        line = Text()
        for x in range(image.width):
            upper = Color.from_rgb(*_rgb(pixels[x, top]))
            lower = Color.from_rgb(*_rgb(pixels[x, top + 1])) if top + 1 < image.height else None
            line.append("▀", Style(color=upper, bgcolor=lower))
        yield line


def kitty_sequence(png: bytes, columns: int, rows: int) -> str:
    """Return the escape sequences that transmit and show a PNG by the kitty graphics protocol."""
    text = base64.b64encode(png).decode()
    chunks = [text[start : start + KITTY_CHUNK] for start in range(0, len(text), KITTY_CHUNK)]
    control = f"a=T,f=100,q=2,c={columns},r={rows},"
    sent = []
    for number, chunk in enumerate(chunks, 1):
        sent.append(f"\x1b_G{control}m={int(number < len(chunks))};{chunk}\x1b\\")
        control = ""
    return "".join(sent)


def iterm_sequence(png: bytes, columns: int, rows: int) -> str:
    """Return the escape sequence that shows a PNG inline by iTerm2's protocol."""
    text = base64.b64encode(png).decode()
    return f"\x1b]1337;File=inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=1:{text}\x07"


def encode_png(image: Image) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _rgb(pixel: float | tuple[int, ...]) -> tuple[int, int, int]:
    red, green, blue = pixel if isinstance(pixel, tuple) else (int(pixel),) * 3
    return red, green, blue
