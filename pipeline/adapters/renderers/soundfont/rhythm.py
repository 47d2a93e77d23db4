"""Bass lines, drum grooves, fills and hand percussion, and how a pattern of 4/4 is fitted to other metres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from pipeline.adapters.renderers.soundfont.harmony import Span
from pipeline.adapters.renderers.soundfont.metre import Metre
from pipeline.adapters.renderers.soundfont.score import Form, Note
from pipeline.adapters.renderers.soundfont.theory import SCALES, Chord, Key, nearest_pitch

# General MIDI Level 1 percussion keys.
KEYS = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "pedal": 44, "open": 46, "ride": 51, "crash": 49,
    "low": 41, "surdo": 35, "tambourine": 54, "cowbell": 56, "bongo": 60, "conga": 63, "timbale": 65, "agogo": 67,
    "shaker": 70, "guiro": 73, "clave": 75, "triangle": 81,
}  # fmt: skip
LOWER = {"conga": 64, "bongo": 61, "agogo": 68, "timbale": 66}
PITCHED = {"taiko": (116, 45), "gong": (14, 43)}
"""Voices that a kit lacks: General MIDI program and note."""
FORCE = {"X": 0.92, "x": 0.74, "o": 0.46}
FILL = (38, 48, 45, 41)


def fit_pattern(pattern: str, metre: Metre, kind: str) -> str:
    """Fit a one-bar pattern to a metre.

    Args:
        pattern: 16 steps of 4/4, or 12 of a metre of twelve steps.
        kind: ``bass`` or ``comping``.
    """
    if len(pattern) == metre.steps:
        return pattern
    is_running = any(c.isdigit() or c == "w" for c in pattern)
    if metre.name == "2/4":
        return pattern[:8]
    if 6 in metre.groups and 4 not in metre.groups:
        return _compound(metre, kind, is_running)
    if is_running and len(pattern) == 16:
        return (pattern * 2)[: metre.steps]
    if metre.name == "3/4":
        return "r---........" if kind == "bass" else "....x-..x-.."
    cells = _odd_cells(kind)
    return "".join(cells[size] for size in metre.groups)


def _compound(metre: Metre, kind: str, is_running: bool) -> str:
    """Dotted groups: bass on each, chords on its first and last third, or broken chords through it."""
    if kind == "bass":
        return "".join("r---.." if i % 2 == 0 else "f---.." for i in range(len(metre.groups)))
    return ("0-1-2-" if is_running else "x---x-") * len(metre.groups)


def _odd_cells(kind: str) -> dict[int, str]:
    """Cells for metres of unequal groups, such as 7/8 as 2+2+3."""
    return {4: "r---", 6: "f-----"} if kind == "bass" else {4: "..x-", 6: "..x-x-"}


def write_bass(spans: Sequence[Span], pattern: str, metre: Metre, compass: tuple[int, int], key: Key) -> list[Note]:
    """Play a bass pattern under the chords; the last root is held."""
    notes: list[Note] = []
    low, high = compass
    last = None
    for index, span in enumerate(spans):
        root = _root(span.chord, low, high, last)
        if index == len(spans) - 1:
            notes.append(Note(span.start, span.end - span.start, root, 0.8))
            break
        following = _root(spans[index + 1].chord, low, high, root)
        notes += _bass_span(span, root, following, pattern, metre, key)
        last = root
    return [note for note in notes if note.pitch >= 21]


def _root(chord: Chord, low: int, high: int, last: int | None) -> int:
    """The chord's root, low in the compass and near the last one."""
    root = nearest_pitch(chord.root, last if last is not None else low + 7)
    while root < low:
        root += 12
    while root > min(high, low + 16):
        root -= 12
    return root if root >= low else root + 12


def _bass_span(span: Span, root: int, following: int, pattern: str, metre: Metre, key: Key) -> list[Note]:
    """Notes of one chord; walking steps move through the scale towards the next root."""
    fifth = root + (span.chord.fifth - root) % 12
    third = root + (span.chord.third - root) % 12
    tones = {"r": root, "f": fifth if fifth - root <= 7 else fifth - 12, "l": fifth - 12, "t": third, "o": root + 12}
    notes: list[Note] = []
    step = int(span.start)
    walked = 0
    while step < span.end:
        place = step % metre.steps
        sign = pattern[place]
        if sign in ".-":
            step += 1
            continue
        length = 1
        while step + length < span.end and place + length < len(pattern) and pattern[place + length] == "-":
            length += 1
        left = int((span.end - step - 1) // max(1, length))
        # The first stroke under a chord is its root, wherever in the pattern the chord enters.
        is_first = not notes and sign != "w"
        pitch = _walk(walked, left, root, following, span.chord, key) if sign == "w" else tones[sign]
        pitch = root if is_first else pitch
        walked += sign == "w"
        notes.append(Note(step, max(0.8, length - 0.25), pitch, 0.74 + 0.04 * metre.weight(place)))
        step += length
    return notes


def _walk(index: int, left: int, root: int, following: int, chord: Chord, key: Key) -> int:
    """Walking bass: root first, then chord and scale tones, a neighbour of the next root last."""
    if index == 0:
        return root
    if left == 0:
        return following + (2 if (following + 2 - key.tonic) % 12 in SCALES[key.scale] and following < root + 3 else -1)
    upwards = [p for p in range(root + 1, root + 13) if p % 12 in chord.tones]
    return upwards[(index - 1) % len(upwards)] if upwards else root


def write_groove(
    groove: Mapping[str, str], waltz: Mapping[str, str] | None, form: Form, rng: Random, has_fills: bool
) -> dict[int | None, list[Note]]:
    """Play a kit groove through the form, with fills before new phrases and a stroke on the last chord.

    Returns notes by General MIDI program, None for the drum kit.
    """
    if not groove:
        return {}
    voices = _fit_groove(groove, waltz, form.metre)
    played: dict[int | None, list[Note]] = {}
    fill_bars = {unit.bar - 1 for unit in form.units if unit.bar > 1} if has_fills and "snare" in voices else set()
    for bar in range(form.num_bars):
        is_fill = bar in fill_bars and rng.random() < 0.6
        stop = form.metre.steps - 4 if is_fill else form.metre.steps
        for voice, pattern in voices.items():
            for place, sign in enumerate(pattern[:stop]):
                step = bar * form.metre.steps + place
                if sign in FORCE and step < form.end_step:
                    program, key = _key(voice, place)
                    played.setdefault(program, []).append(Note(step, 0.9, key, FORCE[sign]))
        if is_fill:
            start = bar * form.metre.steps + stop
            fill = [Note(start + i, 0.9, key, 0.62 + 0.07 * i) for i, key in enumerate(FILL)]
            played.setdefault(None, []).extend(n for n in fill if n.start < form.end_step)
    played.setdefault(None, []).extend(_last_stroke(voices, form))
    return played


def _last_stroke(voices: Mapping[str, str], form: Form) -> list[Note]:
    """What the drummer plays with the last chord."""
    keys = [KEYS["kick"]] if {"kick", "low", "surdo"} & set(voices) else []
    keys += [KEYS["crash"]] if {"ride", "crash", "hat", "open"} & set(voices) else []
    keys = keys or [_key(next(iter(voices)), 0)[1]] if not any(v in PITCHED for v in voices) else keys
    return [Note(form.end_step, 4, key, 0.7) for key in keys]


def _key(voice: str, place: int) -> tuple[int | None, int]:
    """Program and key of a groove's voice; paired drums alternate low on the beat and high off it."""
    if voice in PITCHED:
        return PITCHED[voice]
    return None, LOWER.get(voice, KEYS[voice]) if place % 8 == 0 else KEYS[voice]


def _fit_groove(groove: Mapping[str, str], waltz: Mapping[str, str] | None, metre: Metre) -> Mapping[str, str]:
    """A 4/4 groove in another metre: its own version for 3/4 if there is one, else strong and weak groups."""
    if metre.name == "4/4":
        return groove
    if metre.name == "2/4":
        return {voice: pattern[:8] for voice, pattern in groove.items()}
    if metre.name == "3/4" and waltz is not None:
        return waltz
    low = next((v for v in ("kick", "low", "surdo", "taiko") if v in groove), "kick")
    high = next((v for v in ("snare", "rim", "clap", "conga") if v in groove), "rim")
    tick = next((v for v in ("hat", "ride", "shaker", "guiro", "triangle") if v in groove), None)
    num = len(metre.groups)
    if metre.name == "3/4":
        is_high = [place > 0 for place in range(num)]
    else:
        is_high = [place % 2 == 1 or (place == num - 1 and num > 2) for place in range(num)]
    voices = {
        low: "".join(("." if h else "X") + "." * (size - 1) for h, size in zip(is_high, metre.groups, strict=True)),
        high: "".join(("x" if h else ".") + "." * (size - 1) for h, size in zip(is_high, metre.groups, strict=True)),
    }
    if tick:
        voices[tick] = "".join("x." + "o." * (size // 2 - 1) for size in metre.groups)
    return voices


def write_hands(
    plays: str, keys: tuple[int, int], form: Form, hands: Mapping[str, Sequence[str]], rng: Random
) -> list[Note]:
    """Play one hand percussion instrument through the form, ending with a low stroke on the last chord."""
    pattern = _hand_pattern(plays, form.metre, hands, rng)
    notes: list[Note] = []
    for step in range(form.end_step):
        place = step % form.metre.steps
        sign = pattern[place]
        if sign == "." or (plays == "shimmer" and (step // form.metre.steps) % 2 == 1):
            continue
        key = keys[0] if sign in "LXxo" else keys[1]
        force = {"L": 0.84, "h": 0.66}.get(sign, FORCE.get(sign, 0.7)) + 0.03 * (form.metre.weight(place) - 1)
        notes.append(Note(step, 0.9, key, min(1.0, force)))
    return [*notes, Note(form.end_step, 2, keys[0], 0.78)]


def _hand_pattern(plays: str, metre: Metre, hands: Mapping[str, Sequence[str]], rng: Random) -> str:
    """A bar's pattern for a way of playing; ``hand`` and ``clave`` have written ones, the rest follow the groups."""
    if plays == "hand":
        written = {"4/4": "hand", "3/4": "hand_3", "6/8": "hand_6"}.get(metre.name)
        if written:
            return rng.choice(list(hands[written]))
    if plays == "clave" and metre.steps <= 20 and metre.name != "6/8":
        return "x..x..x...x.x...x...."[: metre.steps]
    num = len(metre.groups)
    cells: list[str] = []
    for place, size in enumerate(metre.groups):
        is_back = (place % 2 == 1) if num != 3 else place > 0
        cells.append(
            {
                "hand": "L." + "h." * (size // 2 - 1),
                "tick": "X." + "o." * (size // 2 - 1),
                "clap": ("x" if is_back else ".") + "." * (size - 1),
                "boom": ("o" if is_back else "X") + "." * (size - 1),
                "snare": ("x.oo" if place % 2 == 0 else "x.x.") + "o." * (size // 2 - 2),
                "shimmer": ("x" if place == 0 else ".") + "." * (size - 1),
            }.get(plays, "x" + "." * (size - 1))
        )
    return "".join(cells)
