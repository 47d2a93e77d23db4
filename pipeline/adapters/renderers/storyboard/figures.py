"""People: a head or bust from the emoji art on a body drawn here, so that they can sit, dance, hold and wear things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from pipeline.adapters.renderers.storyboard.icons import IconSet
from pipeline.adapters.renderers.storyboard.sprites import Sprite, luminance, shade, tint_clothes
from pipeline.adapters.renderers.storyboard.subjects import Subject
from pipeline.adapters.renderers.storyboard.vocabulary import Person

SKINS = ("#fadcbc", "#e0bb95", "#bf8f68", "#9b643d", "#594539")
TROUSERS = ("#3f5f8a", "#4a4a55", "#6b5a48", "#2f4f5f", "#7a6a58")
TOPS = ("#d9603f", "#3f8f9f", "#e0a53a", "#7a5fa8", "#5f9a4f", "#c84f7a", "#4f78c0", "#b0703f", "#3fa88a", "#a83f4f")
SKIRTED = 0.55  # share of women and girls drawn in a skirt where nothing is said
WIDTH, HEIGHT = 130.0, 250.0

# Poses that a whole icon shows better than a drawn body. {} is the prefix by sex: woman-, man- or person-.
WHOLE = {"run": "{}-running", "swim": "{}-swimming", "climb": "{}-climbing", "surf": "{}-surfing",
         "meditate": "{}-in-lotus-position", "row": "{}-rowing-boat", "cycle": "{}-biking", "juggle": "{}-juggling",
         "cartwheel": "{}-cartwheeling", "lift": "{}-lifting-weights", "golf": "{}-golfing", "ski": "skier",
         "ride": "horse-racing", "wrestle": "people-wrestling", "hug": "people-hugging",
         "kneel": "{}-kneeling"}  # fmt: skip
PREFIX = {"f": "woman", "m": "man", "": "person"}
HEADS = {("f", "old"): "old-woman", ("m", "old"): "old-man", ("", "old"): "older-person", ("f", "child"): "girl",
         ("m", "child"): "boy", ("", "child"): "child"}  # fmt: skip
# Busts in everyday clothes, which take the colour of the body drawn under them.
PLAIN_BUSTS = ("bald", "with-headscarf", "wearing-turban", "office-worker")
ROBED = ("with-veil", "mage", "princess", "person-with-crown", "with-headscarf", "bald", "baby-angel", "judge")
HATS = ("top-hat", "womans-hat", "billed-cap", "~knit-hat", "rescue-workers-helmet", "military-helmet",
        "graduation-cap", "crown", "~headdress", "rosette")  # fmt: skip
HATS_OVERHANG = {"womans-hat": 1.25, "~headdress": 1.5, "crown": 0.8, "rosette": 0.6}


@dataclass(frozen=True, slots=True)
class Look:
    """How one figure is drawn."""

    head: str
    is_bust: bool
    sex: str
    age: str
    skin: str
    top: str
    bottom: str
    skirt: bool
    pose: str
    recolour: bool = False


def cast(subject: Subject, colour: str | None, sex: str, icons: IconSet, random: Random) -> Look:
    """Decide sex, age, head, skin and clothes of one figure.

    Args:
        subject: Names a person.
        colour: Of the clothes, where the description names one.
        sex: What pronouns elsewhere in the description say, or ``""``.
        random: Private to this figure; decides what the description leaves open.
    """
    person = subject.what
    if not isinstance(person, Person):
        raise TypeError(f"a figure was asked for {subject.word!r}, which is no person")
    own = subject.sex or person.sex or sex or random.choice("fm")
    age = person.age
    if subject.old and age == "adult":
        age = "old"
    if subject.young and age == "adult":
        age = "young"
    tone = random.randrange(5)
    head, is_bust = _head(person, own, age, subject.hair, icons)
    toned = icons.with_tone(head, tone)
    # Green devils, ghosts and clowns have no tones: their hands keep the colour of a glove.
    skin = SKINS[tone] if toned != head else "#f5f0e6" if person.bust else SKINS[tone]
    top = colour or person.clothes or random.choice(TOPS)
    if luminance(top) > 0.97:
        top = shade(top, -0.04)
    skirt = person.bust in ROBED or (own == "f" and not person.bust and random.random() < SKIRTED)
    return Look(
        head=toned, is_bust=is_bust, sex=own, age=age, skin=skin, top=top,
        bottom=random.choice(TROUSERS), skirt=skirt, pose=subject.pose or person.pose,
        recolour=colour is not None or not person.bust or person.bust in PLAIN_BUSTS,
    )  # fmt: skip


def _head(person: Person, sex: str, age: str, hair: str, icons: IconSet) -> tuple[str, bool]:
    """Return an icon and whether it shows shoulders too."""
    prefix = PREFIX[sex]
    if person.bust:
        for name in (f"{prefix}-{person.bust}", person.bust, f"person-{person.bust}"):
            if name in icons:
                return name, person.bust != "clown-face"
    if age == "baby":
        return "baby", False
    if hair == "beard" and age != "old":
        return f"{prefix}-beard" if sex == "m" else "man-beard", False
    if (sex, age) in HEADS:
        return HEADS[(sex, age)], False
    if hair and f"{prefix}-{hair}" in icons:
        return f"{prefix}-{hair}", True
    return prefix, False


def draw_whole(pose: str, sex: str, tone: int, icons: IconSet) -> Sprite | None:
    """Return the whole icon for an action, or None where there is none."""
    pattern = WHOLE.get(pose, pose)
    for name in (pattern.format(PREFIX[sex]), f"{PREFIX[sex]}-{pattern}", f"person-{pattern}", pattern):
        if "{" not in name and name in icons:
            return replace(icons.sprite(icons.with_tone(name, tone)), seat=0.0)
    return None


def draw_figure(look: Look, icons: IconSet, worn: tuple[Sprite, float] | None) -> Sprite:
    """Draw a figure that stands on the lower edge of its box.

    Args:
        look: What it looks like.
        icons: Where heads come from.
        worn: A hat and its width in heads, or None.
    """
    if look.age == "baby":
        return _draw_baby(look, icons, worn)
    child = look.age == "child"
    head = icons.sprite(look.head)
    if look.is_bust and look.recolour:
        head = replace(head, svg=tint_clothes(head.svg, icons.clothes(look.head), look.top))
    scale = (96.0 if not look.is_bust else 116.0) / max(head.width, head.height * 0.9)
    head_height = head.height * scale
    neck = 8.0 + head_height - (4.0 if not look.is_bust else 14.0)
    sitting = look.pose == "sit"
    torso = 62.0 if not child else 46.0
    legs = (72.0 if not child else 50.0) * (0.62 if sitting else 1.0)
    hips = neck + torso
    foot = hips + legs
    wide = head.width * scale / 2 - 4 if look.is_bust else (28.0 if child else 36.0)
    arms = _arms(look, neck, wide)
    pieces = [_legs(look, hips, foot, sitting)]
    if look.pose != "hold":
        pieces.append(arms)
    pieces.append(_torso(look, neck, hips, wide))
    pieces.append(_place(head, 65.0 - head.width * scale / 2, 8.0, scale))
    if worn is not None:
        pieces.append(_hat(worn, head.width * scale, 8.0))
    if look.pose == "hold":
        pieces.append(arms)
    return Sprite(
        svg="".join(pieces), width=WIDTH, height=foot, hips=(hips - 2.0) / foot,
        hand=(0.5, (neck + torso * 0.62) / foot) if look.pose != "raise" else (0.92, neck / foot * 0.6),
    )  # fmt: skip


def _place(sprite: Sprite, left: float, top: float, scale: float) -> str:
    return f'<g transform="translate({left:.1f},{top:.1f}) scale({scale:.4f})">{sprite.svg}</g>'


def _hat(worn: tuple[Sprite, float], head_width: float, top: float) -> str:
    sprite, heads = worn
    scale = head_width * heads / sprite.width
    return _place(sprite, 65.0 - sprite.width * scale / 2, top + 24.0 - sprite.height * scale, scale)


def _torso(look: Look, neck: float, hips: float, wide: float) -> str:
    waist = max(30.0 if look.age != "child" else 27.0, wide * 0.74)
    left, right, low = 65 - wide, 65 + wide, hips + 1
    body = (
        f'<path d="M{left + 12:.1f} {neck:.1f}H{right - 12:.1f}Q{right:.1f} {neck:.1f} {right:.1f} {neck + 14:.1f}'
        f"L{65 + waist:.1f} {low:.1f}H{65 - waist:.1f}L{left:.1f} {neck + 14:.1f}Q{left:.1f} {neck:.1f} "
        f'{left + 12:.1f} {neck:.1f}z" fill="{look.top}"/>'
    )
    belt = (
        f'<path d="M{65 - waist:.1f} {hips - 6:.1f}h{2 * waist:.1f}v7h{-2 * waist:.1f}z" '
        f'fill="{shade(look.top, -0.16)}"/>'
    )
    collar = "" if look.is_bust else f'<path d="M51 {neck - 1:.1f}q14 15 28 0z" fill="{look.skin}"/>'
    return body + belt + collar


def _legs(look: Look, hips: float, foot: float, sitting: bool) -> str:
    shoe = "#3a2f2b"
    if sitting:
        legs = (
            f'<path d="M52 {hips - 6:.1f}q-20 2-22 12v{foot - hips - 14:.1f}M78 {hips - 6:.1f}q20 2 22 12'
            f'v{foot - hips - 14:.1f}" stroke="{look.bottom}" stroke-width="19" fill="none" stroke-linecap="round"/>'
        )
        return legs + _shoes(30.0, 100.0, foot, shoe)
    spread = {"walk": (44.0, 88.0), "dance": (38.0, 96.0)}.get(look.pose, (51.0, 79.0))
    if look.skirt:
        hem = foot - (20.0 if look.age != "child" else 14.0)
        skin = "".join(
            f'<path d="M{x:.1f} {hem - 8:.1f}V{foot - 4:.1f}" stroke="{look.skin}" stroke-width="11"/>'
            for x in (52, 78)
        )
        skirt = f'<path d="M36 {hips - 6:.1f}h58l12 {hem - hips + 4:.1f}q-41 12-82 0z" fill="{shade(look.top, -0.1)}"/>'
        return skin + skirt + _shoes(51.0, 79.0, foot, shoe)
    legs = "".join(
        f'<path d="M{start:.1f} {hips - 6:.1f}L{end:.1f} {foot - 8:.1f}" stroke="{look.bottom}" stroke-width="20" '
        f'stroke-linecap="round"/>'
        for start, end in ((52.0, spread[0]), (78.0, spread[1]))
    )
    return legs + _shoes(spread[0], spread[1], foot, shoe)


def _shoes(left: float, right: float, foot: float, colour: str) -> str:
    return "".join(
        f'<path d="M{x - 12:.1f} {foot:.1f}q0-13 12-13q13 0 14 13z" fill="{colour}"/>' for x in (left, right)
    )


def _arms(look: Look, neck: float, out: float) -> str:
    shoulder = neck + 14.0
    out -= 3.0
    reach = 50.0 if look.age != "child" else 36.0
    left, right = 65.0 - out, 65.0 + out
    poses = {
        "raise": ((left - 22, shoulder - reach * 0.8), (right + 22, shoulder - reach * 0.8)),
        "dance": ((left - 24, shoulder - reach * 0.7), (right + 22, shoulder + reach * 0.35)),
        "hold": ((56.0, shoulder + reach * 0.72), (74.0, shoulder + reach * 0.72)),
        "sit": ((left + 2, shoulder + reach * 0.9), (right - 2, shoulder + reach * 0.9)),
        "walk": ((left - 12, shoulder + reach * 0.85), (right + 10, shoulder + reach * 0.75)),
    }
    ends = poses.get(look.pose, ((left - 6, shoulder + reach), (right + 6, shoulder + reach)))
    sleeve = shade(look.top, -0.1)
    drawn = []
    for start, end in ((left, ends[0]), (right, ends[1])):
        side = -1 if start < 65 else 1
        elbow = ((start + end[0]) / 2 + side * 8, (shoulder + end[1]) / 2 + (6 if look.pose == "hold" else 0))
        drawn.append(
            f'<path d="M{start:.1f} {shoulder:.1f}Q{elbow[0]:.1f} {elbow[1]:.1f} {end[0]:.1f} {end[1]:.1f}" '
            f'stroke="{sleeve}" stroke-width="16" fill="none" stroke-linecap="round"/>'
            f'<circle cx="{end[0]:.1f}" cy="{end[1]:.1f}" r="9" fill="{look.skin}"/>'
        )
    return "".join(drawn)


def _draw_baby(look: Look, icons: IconSet, worn: tuple[Sprite, float] | None) -> Sprite:
    head = icons.sprite(look.head)
    scale = 84.0 / head.width
    body = (
        f'<ellipse cx="65" cy="118" rx="38" ry="34" fill="{look.top}"/>'
        f'<circle cx="28" cy="112" r="9" fill="{look.skin}"/><circle cx="102" cy="112" r="9" fill="{look.skin}"/>'
        f'<path d="M40 140q-14 10-8 14h24v-12zM90 140q14 10 8 14H74v-12z" fill="{shade(look.top, -0.12)}"/>'
    )
    svg = body + _place(head, 65.0 - head.width * scale / 2, 4.0, scale)
    if worn is not None:
        svg += _hat(worn, 84.0, 4.0)
    return Sprite(svg=svg, width=WIDTH, height=156.0, hips=0.85, hand=(0.5, 0.78))


def person_height(look: Look) -> float:
    """Height in metres that a figure is drawn at; the large heads of children would otherwise make them adults."""
    return {"baby": 0.65, "child": 1.25, "young": 1.7, "old": 1.62}.get(look.age, 1.7) * (
        0.82 if look.pose == "sit" else 1
    )
