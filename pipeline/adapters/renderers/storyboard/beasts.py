"""Animals of which the emoji art has only the face: the face on a sitting body drawn here."""

from __future__ import annotations

from pipeline.adapters.renderers.storyboard.icons import IconSet
from pipeline.adapters.renderers.storyboard.sprites import Sprite, mix, shade

# Fur of the body, of the belly, and the kind of tail.
FACES: dict[str, tuple[str, str, str]] = {
    "wolf": ("#8c9aa3", "#dfe6ea", "bushy"),
    "fox": ("#f4722b", "#fbe9dc", "bushy"),
    "bear": ("#a5673f", "#d9a878", "none"),
    "polar-bear": ("#eef3f6", "#ffffff", "none"),
    "panda": ("#2f3338", "#f4f4f4", "none"),
    "koala": ("#8f9aa5", "#dde3e8", "none"),
    "lion": ("#f0b04a", "#f9dfae", "tuft"),
    "moose": ("#8a5a3c", "#b98a66", "none"),
    "hamster": ("#f0b070", "#fdf0e0", "none"),
    "frog": ("#7fb83f", "#dff0b8", "none"),
    "unicorn": ("#f4f0f8", "#ffffff", "mane"),
    "robot": ("#9fb0bd", "#dfe8ee", "none"),
    "alien": ("#8f9a9f", "#b8c4c9", "none"),
    "ogre": ("#c8352c", "#8a5a38", "none"),
    "chicken": ("#f4f1ec", "#ffffff", "none"),
}
WIDTH, HEIGHT = 120.0, 190.0


def draw_beast(name: str, icons: IconSet, colour: str | None) -> Sprite:
    """Draw a sitting animal from the front, in its own or another colour."""
    fur, belly, tail = FACES[name]
    if colour is not None:
        fur, belly = colour, mix(colour, "#ffffff", 0.45)
    dark = shade(fur, -0.16)
    head = icons.sprite(name, colour)
    scale = 104.0 / max(head.width, head.height)
    left, top = 60.0 - head.width * scale / 2, 4.0
    svg = (
        _tail(tail, fur, belly)
        + f'<path d="M60 84q40 0 42 60t-12 44H30q-14 16-12-44T60 84" fill="{fur}"/>'
        + f'<ellipse cx="60" cy="146" rx="24" ry="34" fill="{belly}"/>'
        + (
            '<path d="M40 122q-4 40-2 64h-14q-8 0-6-8q6-30 8-56zM80 122q4 40 2 64h14q8 0 '
            f'6-8q-6-30-8-56z" fill="{dark}"/>'
        )
        + (
            f'<ellipse cx="34" cy="184" rx="16" ry="7" fill="{dark}"/><ellipse cx="86" cy="184" '
            f'rx="16" ry="7" fill="{dark}"/>'
        )
        + f'<g transform="translate({left:.1f},{top:.1f}) scale({scale:.4f})">{head.svg}</g>'
    )
    return Sprite(svg=svg, width=WIDTH, height=HEIGHT, seat=0.3)


def _tail(kind: str, fur: str, belly: str) -> str:
    if kind == "bushy":
        return (
            f'<path d="M92 178q34-6 24-60q-26 10-36 44z" fill="{fur}"/><path d="M119 '
            f'140q2-12-3-22q-10 4-16 12z" fill="{belly}"/>'
        )
    if kind == "tuft":
        return (
            f'<path d="M94 176q28-8 20-50" stroke="{fur}" stroke-width="8" fill="none"/>'
            f'<circle cx="112" cy="120" r="9" fill="{shade(fur, -0.4)}"/>'
        )
    if kind == "mane":
        return '<path d="M94 178q30-10 20-56q-20 14-30 44z" fill="#f58cc0"/>'
    return ""
