"""Pictures and music with known faults, at graded severity, among clean ones and ones that are easily mistaken.

All are rendered by the embedded renderers from descriptions put together by a seed; the faults are put in afterwards.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers.soundfont import SoundfontOptions
from pipeline.adapters.renderers.soundfont.renderer import SoundfontRenderer
from pipeline.adapters.renderers.soundfont.theory import NOTE_NAMES
from pipeline.adapters.renderers.storyboard import StoryboardOptions
from pipeline.adapters.renderers.storyboard.renderer import StoryboardRenderer
from pipeline.contracts.audit import AuditItem
from pipeline.contracts.render import Brief, Render
from pipeline.values.records import Modality

Samples = npt.NDArray[np.float32]

SIDE = 384
SECONDS = 12.0

SUBJECTS = ("fox", "red bicycle", "lighthouse", "sailing boat", "market stall", "kite", "owl", "bowl of oranges")
PLACES = ("by the sea", "in a forest", "in a city street", "on a snowy hill", "in a kitchen", "in a desert")
NIGHTS = (
    "at night",
    "in a garden at dusk",
    "under a starry night sky",
    "in the fog",
    "on a plain white background",
)
OTHERS = ("steam train", "mountain hut", "cat on a sofa", "violin", "cactus", "whale")

PLAYERS = ("piano", "acoustic guitar", "string quartet", "flute and harp", "brass band", "jazz trio", "cello")
MOODS = ("calm", "cheerful", "sad", "solemn", "playful", "dreamy")


@dataclass(frozen=True)
class Planted:
    """A record with the fault put in.

    Attributes:
        fault: Its name; empty for a record that is sound.
        kind: How it was made, for people who look at what was missed.
    """

    fault: str
    kind: str
    item: AuditItem


def plant_pictures(seed: int, count: int) -> Iterator[Planted]:
    """Yield pictures, sound ones first: ``count`` rendered ones, ones easily mistaken, and every fault in several."""
    rng = Random(seed)
    clean = [_as_picture(f"{seed}-a{index:03d}", render) for index, render in enumerate(_render_pictures(rng, count))]
    clean += [_as_picture(f"{seed}-h{index:03d}", picture) for index, picture in enumerate(_mistakable(rng))]
    for item in clean:
        yield Planted("", "clean" if "-a" in item.id else "mistakable", item)
    for fault, spoil in PICTURE_FAULTS.items():
        for grade in range(3):
            for item in rng.sample(clean[:count], max(2, count // 4)):
                spoilt = spoil(item.media, grade, rng)
                name = f"{seed}-z{item.id}-{fault}-{grade}"
                yield Planted(fault, f"{fault} {grade}", _as_picture(name, spoilt, item.row["width"]))


def _render_pictures(rng: Random, count: int) -> Iterator[Image.Image]:
    renderer = StoryboardRenderer(StoryboardOptions(), ModelCache())
    pairs = rng.sample([(subject, place) for subject in SUBJECTS + OTHERS for place in PLACES + NIGHTS], count)
    for subject, place in pairs:
        text = f"a {subject} {place}"
        brief = Brief(id="p", modality=Modality.IMAGE, text=text, seed=rng.getrandbits(62), width=SIDE, height=SIDE)
        (outcome,) = renderer.render([brief])
        assert isinstance(outcome, Render), outcome
        yield decode_picture(outcome.data)


def _mistakable(rng: Random) -> Iterator[Image.Image]:
    """Night with a lamp, a dot on white, soft focus around a sharp thing, shading with a shape, paper with grain."""
    axis = np.linspace(0, 1, SIDE)
    for _ in range(3):
        x, y = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)
        radius = np.hypot(axis[None, :] - x, axis[:, None] - y)
        ink = np.array([rng.uniform(0.1, 0.9) for _ in range(3)])
        night = np.where(radius < rng.uniform(0.07, 0.12), 0.9, 0.03 + 0.05 * axis[:, None])
        yield _as_image(night[..., None] * np.array([1, 0.95, 0.8]))
        dot = (radius < rng.uniform(0.1, 0.2))[..., None]
        yield _as_image(np.where(dot, 0.6 * ink, 1.0))
        turn = rng.uniform(0, 1)
        shading = turn * axis[None, :] + (1 - turn) * axis[:, None]
        yield _as_image(np.where(dot, 1.0 - ink, (0.2 + 0.7 * shading)[..., None] * ink + 0.1))
        waves = 0.5 + 0.3 * np.sin(2 * np.pi * (axis[None, :] * rng.randint(2, 4) + axis[:, None] * rng.randint(1, 3)))
        yield _as_image(np.where(dot, ink, waves[..., None] * np.array([0.8, 0.9, 0.7])))
        paper = np.random.default_rng(rng.getrandbits(32)).normal(0.85, 0.008, (SIDE, SIDE))
        yield _as_image(np.where(dot, 0.6 * ink, paper[..., None]))


def _as_image(values: npt.NDArray[np.floating[Any]]) -> Image.Image:
    return Image.fromarray((np.clip(np.broadcast_to(values, (SIDE, SIDE, 3)), 0, 1) * 255).astype(np.uint8))


def _as_picture(name: str, picture: Image.Image, stated: int = SIDE) -> AuditItem:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    row = {"width": stated, "height": stated, "edited_from": None}
    return AuditItem(name, name, row, buffer.getvalue(), decode_picture)


def _scale(picture: Image.Image, gain: float, lift: float) -> Image.Image:
    return _as_image(np.asarray(picture, np.float64) / 255 * gain + lift)


def _add_noise(picture: Image.Image, level: float, rng: Random) -> Image.Image:
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, level, (SIDE, SIDE, 3))
    return _as_image(np.asarray(picture, np.float64) / 255 + noise)


def _save(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return decode_picture(buffer.getvalue())


def _copy(picture: Image.Image, grade: int) -> Image.Image:
    """Save again, change size and back, or brighten a little."""
    if grade == 0:
        return _save(picture, 80)
    if grade == 1:
        return picture.resize((SIDE // 2, SIDE // 2), 1).resize((SIDE, SIDE), 3)
    return _scale(picture, 0.95, 0.01)


Spoil = Callable[[Image.Image, int, Random], Image.Image]

PICTURE_FAULTS: dict[str, Spoil] = {
    "blank": lambda p, grade, rng: Image.new("RGB", p.size, (80 * grade, 60, 200 - 40 * grade)),
    "blurred": lambda p, grade, rng: p.filter(ImageFilter.GaussianBlur((2.0, 3.5, 6.0)[grade])),
    "blocky": lambda p, grade, rng: _save(p, (12, 8, 4)[grade]),
    "dark": lambda p, grade, rng: _scale(p, (0.18, 0.1, 0.04)[grade], 0),
    "washed_out": lambda p, grade, rng: _scale(p, (0.15, 0.1, 0.05)[grade], (0.84, 0.9, 0.95)[grade]),
    "noisy": lambda p, grade, rng: _add_noise(p, (0.06, 0.1, 0.16)[grade], rng),
    "wrong_size": lambda p, grade, rng: p.resize((SIDE - 64, SIDE - 64 * grade)),
    "copied": lambda p, grade, rng: _copy(p, grade),
}

PICTURE_MEASURES = {
    "blank": ("image.contrast", "image.detail"),
    "blurred": ("image.blur",),
    "blocky": ("image.blockiness",),
    "dark": ("image.brightest",),
    "washed_out": ("image.darkest",),
    "noisy": ("image.noise",),
    "wrong_size": ("image.size_error",),
    "copied": ("image.twin_distance",),
}
"""Which measures are to fall short of their limits for a fault."""


def plant_music(seed: int, count: int) -> Iterator[Planted]:
    """Yield pieces, sound ones first: ``count`` rendered ones, ones easily mistaken, and every fault in several."""
    rng = Random(seed)
    clean = [_render_piece(rng, f"{seed}-a{index:03d}") for index in range(count)]
    for item in clean:
        yield Planted("", "clean", item)
    for index, (kind, item) in enumerate(_mistakable_music(clean, rng)):
        yield Planted("", kind, replace(item, id=f"{seed}-h{index:03d}"))
    for fault, spoil in MUSIC_FAULTS.items():
        for grade in range(3):
            for item in rng.sample(clean, max(2, count // 6)):
                spoilt = replace(spoil(item, grade, rng), id=f"{seed}-z{item.id}-{fault}-{grade}")
                yield Planted(fault, f"{fault} {grade}", spoilt)


@cache
def _player() -> SoundfontRenderer:
    return SoundfontRenderer(SoundfontOptions())


def _play(text: str, rng: Random) -> bytes:
    brief = Brief(id="m", modality=Modality.MUSIC, text=text, seed=rng.getrandbits(62), duration=SECONDS)
    (outcome,) = _player().render([brief])
    assert isinstance(outcome, Render), outcome
    return outcome.data


def _render_piece(rng: Random, name: str) -> AuditItem:
    bpm, tonic, mode = rng.randint(60, 150), rng.randrange(12), rng.choice(("major", "minor"))
    text = f"{rng.choice(MOODS)} music for {rng.choice(PLAYERS)} in {NOTE_NAMES[tonic]} {mode}, at {bpm} BPM"
    row = {"description": text, "duration": SECONDS, "bpm": bpm, "tonic": tonic, "mode": mode}
    return AuditItem(name, name, row, _play(text, rng), decode_sound)


def _with_sound(item: AuditItem, samples: Samples) -> AuditItem:
    row = {**item.row, "duration": len(samples) / item.media[1]}
    return AuditItem(item.id, item.id, row, encode_audio(samples, item.media[1]), decode_sound)


def _with_text(item: AuditItem, text: str) -> AuditItem:
    return AuditItem(item.id, item.id, {**item.row, "description": text}, item.data, decode_sound)


def _mistakable_music(clean: list[AuditItem], rng: Random) -> Iterator[tuple[str, AuditItem]]:
    """Other pieces to the same words, fade-outs, a rest before the first note, soft pieces; slow and sparse ones."""
    for item in rng.sample(clean, 3):
        yield "same words", replace(item, data=_play(item.row["description"], rng))
        fading = _play_softly(rng)
        ramp = np.linspace(1, 0, len(fading.media[0]), dtype=np.float32)[:, None] ** 2
        yield "fade-out", _with_sound(fading, fading.media[0] * ramp)
        late = _play_softly(rng)
        rest = np.zeros((2 * late.media[1], late.media[0].shape[1]), np.float32)
        yield "rest first", _with_sound(late, np.concatenate([rest, late.media[0]]))
        soft = _play_softly(rng)
        yield "soft", _with_sound(soft, soft.media[0] * np.float32(0.08))


def _play_softly(rng: Random) -> AuditItem:
    text = f"{rng.choice(('adagio', 'sparse ambient drone', 'slow lullaby'))} for {rng.choice(PLAYERS)}"
    return AuditItem("h", "h", {"description": text, "duration": SECONDS}, _play(text, rng), decode_sound)


def _silence_gap(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    samples, rate = item.media
    samples = samples.copy()
    length = round((3.5, 6.0, 12.0)[grade] * rate)
    start = rng.randrange(max(1, len(samples) - length))
    samples[start : start + length] = 0
    return _with_sound(item, samples)


def _clip(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    samples, _ = item.media
    peak = float(np.abs(samples).max())
    return _with_sound(item, np.clip(samples * np.float32((2.0, 3.0, 6.0)[grade] / peak), -1, 1))


def _cut_short(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    samples, rate = item.media
    spoilt = _with_sound(item, samples[: len(samples) - round((0.2, 1.0, 5.0)[grade] * rate)])
    return replace(spoilt, row=item.row)


def _wrong_tempo(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    bpm = item.row["bpm"]
    wrong = round(bpm * rng.choice(((0.88, 1.13), (0.84, 1.18), (0.8, 1.22))[grade]))
    return _with_text(item, item.row["description"].replace(f"{bpm} BPM", f"{wrong} BPM"))


def _wrong_key(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    """Three fifths away, five, or half an octave: nearer keys share six of seven notes or more."""
    shift = rng.choice(((3, 9), (1, 11), (6,))[grade])
    named, wrong = (f"in {NOTE_NAMES[tonic % 12]} " for tonic in (item.row["tonic"], item.row["tonic"] + shift))
    return _with_text(item, item.row["description"].replace(named, wrong))


def _save_as_mp3(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    samples, rate = item.media
    data = encode_audio(samples, rate, "mp3", (80, 50, 30)[grade])
    return AuditItem(item.id, item.id, item.row, data, decode_sound)


def _copy_sound(item: AuditItem, grade: int, rng: Random) -> AuditItem:
    """Make it lower, cut it at the beginning too, or add soft noise."""
    samples, rate = item.media
    if grade == 0:
        return _with_sound(item, samples * np.float32(0.5))
    if grade == 1:
        return _with_sound(item, samples[round(0.73 * rate) :] * np.float32(0.6))
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 0.004, samples.shape)
    return _with_sound(item, np.clip(samples + noise.astype(np.float32), -1, 1))


SpoilSound = Callable[[AuditItem, int, Random], AuditItem]

MUSIC_FAULTS: dict[str, SpoilSound] = {
    "faint": lambda item, grade, rng: _with_sound(item, item.media[0] * np.float32((0.01, 0.003, 0.0)[grade])),
    "gap": _silence_gap,
    "clipped": _clip,
    "cut_short": _cut_short,
    "wrong_tempo": _wrong_tempo,
    "wrong_key": _wrong_key,
    "copied": _copy_sound,
    "copied_as_mp3": _save_as_mp3,
}

MUSIC_MEASURES = {
    "faint": ("music.loudness",),
    "gap": ("music.longest_silence", "music.silent_share"),
    "clipped": ("music.clipped_share",),
    "cut_short": ("music.duration_error",),
    "wrong_tempo": ("music.tempo_support",),
    "wrong_key": ("music.key_margin",),
    "copied": ("music.twin_share",),
    "copied_as_mp3": ("music.twin_share",),
}
