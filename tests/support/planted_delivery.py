"""Spoken dialogues with known faults of delivery, of voice and of quality, among sound ones that are easily mistaken.

Everything is spoken by Kokoro or Piper, with voices and lines drawn by a seed; the faults are put in afterwards.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.adapters.audio import encode_audio, trim_silence
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers import kokoro, piper
from pipeline.adapters.speech import SpeechOptions
from pipeline.adapters.voices import load_voices
from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Readings, Sketch
from pipeline.contracts.render import Brief, Render, Renderer, RendererPlugin
from pipeline.values.records import Modality
from pipeline.values.spoken import spoken_form
from tests.support.planted_media import Planted

Samples = npt.NDArray[np.float32]

VOICES = load_voices(Path(__file__).parents[2] / "manifests" / "voices.yaml")


@dataclass(frozen=True)
class Material:
    """Whom and what a set of seeds draws from."""

    voices: Sequence[str]
    lines: Sequence[str]


TUNING = Material(
    ("af_heart", "am_adam", "bf_emma", "bm_george", "af_nicole", "am_puck", "af_nova", "bm_fable"),
    (
        "Could you play something calm while I finish my tea?",
        "The ferry leaves from the north pier at half past six tomorrow morning.",
        "Here is a picture of the old lighthouse.",
        "Dr. Novak paid $12.50 for 250 grams of butter.",
        "Hmm, I see. Well... let me think about it for a moment.",
    ),
)
"""Limits were set on these."""

HELD_OUT = Material(
    ("af_sky", "am_onyx", "bf_lily", "bm_lewis", "af_bella", "am_michael", "af_sarah", "am_echo"),
    (
        "What does a quiet forest sound like in early spring?",
        "My grandmother kept bees behind the barn, and we had honey every summer.",
        "I drew the castle with three towers, as you asked.",
        "Flight 417 to Prague boards at 9:45 from gate B12.",
        "Okay. First, breathe in slowly. Then, breathe out.",
        "Is Mrs. O'Brien's parcel still at the post office?",
    ),
)

FEW = Material(("joe", "bm_lewis", "af_sky"), HELD_OUT.lines)
"""For tests: Piper's voice takes a tenth of the time of one of Kokoro."""

SHORT = ("Yes.", "No, thanks.")

MEASURES = {
    "slow": ("speech.pace_error",),
    "fast": ("speech.pace_error",),
    "late": ("speech.lead",),
    "trailing": ("speech.tail",),
    "cut": ("speech.end_level",),
    "no_speech": ("speech.voiced_share",),
    "noisy": ("speech.background_quality",),
    "another_voice": ("speech.voice_likeness",),
    "swapped_voices": ("speech.voice_likeness", "speech.voice_margin"),
}
"""Which measures are to fall short of their limits for a fault."""


@cache
def _renderer(name: str) -> Renderer:
    plugins: dict[str, RendererPlugin] = {"kokoro": kokoro.PLUGIN, "piper": piper.PLUGIN}
    return plugins[name].load(SpeechOptions(threads=1), ModelCache())


@cache
def _speak(voice: str, line: str) -> tuple[Samples, int]:
    brief = Brief(id="b", modality=Modality.SPEECH, text=spoken_form(line), seed=11, voice=VOICES[voice])
    (outcome,) = _renderer(VOICES[voice].renderer).render([brief])
    assert isinstance(outcome, Render), outcome
    return soundfile.read(io.BytesIO(outcome.data), dtype="float32", always_2d=True)  # type: ignore[no-any-return]


def _as_item(name: str, dialogue: str, row: Mapping[str, Any], sound: tuple[Samples, int]) -> AuditItem:
    return AuditItem(name, dialogue, dict(row), encode_audio(*sound), decode_sound)


def _spoil(item: AuditItem, name: str, samples: Samples) -> AuditItem:
    return replace(item, id=name, data=encode_audio(samples, item.media[1]))


def speak_dialogue(rng: Random, name: str, material: Material, num_clips: int = 3) -> list[AuditItem]:
    """A dialogue of two voices, ``num_clips`` clips each and a short one of the first."""
    voices = rng.sample(material.voices, 2)
    items = []
    for role, voice in zip(("user", "assistant"), voices, strict=True):
        lines = [*rng.sample(material.lines, num_clips), *([rng.choice(SHORT)] if role == "user" else [])]
        for number, line in enumerate(lines):
            row = {"transcript": line, "spoken": spoken_form(line), "voice": voice, "role": role, "rate": 1.0}
            items.append(_as_item(f"{name}-{role}-{number}", name, row, _speak(voice, line)))
    return items


def plant_delivery(seed: int, count: int, material: Material, grades: Iterable[int] = range(3)) -> Iterator[Planted]:
    """Yield clips of ``count`` dialogues, sound ones first, then ones easily mistaken, then every fault."""
    rng = Random(seed)
    clips = [item for n in range(count) for item in speak_dialogue(rng, f"{seed}-{n}", material)]
    for item in clips:
        yield Planted("", "clean", item)
    long = [item for item in clips if item.row["transcript"] not in SHORT]
    for kind, samples, item in _mistakable(rng.sample(long, 2 * count), rng):
        yield Planted("", kind, _spoil(item, f"{item.id}-{kind}", samples))
    for fault in ("slow", "fast", "late", "trailing", "cut", "no_speech"):
        for grade in grades:
            for item in rng.sample(long, 2 * count):
                yield Planted(
                    fault,
                    f"{fault} {grade}",
                    _spoil(item, f"{item.id}-{fault}-{grade}", _change(fault, item, grade, rng)),
                )


def _mistakable(items: Sequence[AuditItem], rng: Random) -> Iterator[tuple[str, Samples, AuditItem]]:
    """Quiet, faded out, with a long pause, in a hiss, trimmed closely, and a little slower or faster."""
    for item in items:
        samples, rate = item.media
        yield "quiet", samples * np.float32(0.03), item
        fade = np.ones((len(samples), 1), np.float32)
        num_faded = rate // 2
        fade[-num_faded:, 0] = np.linspace(1, 0, num_faded, dtype=np.float32)
        yield "faded", samples * fade, item
        middle = _find_pause(samples, rate)
        pause = np.zeros((round(1.5 * rate), 1), np.float32)
        yield "paused", np.concatenate([samples[:middle], pause, samples[middle:]]), item
        yield "hissing", _add_noise(samples, 35, rng), item
        yield "trimmed", trim_silence(samples, rate, keep=0.0), item
        yield "lively", _stretch(samples, rng.choice((0.9, 1.1))), item


def _find_pause(samples: Samples, rate: int) -> int:
    """The softest 40 ms of the middle half."""
    size = rate // 25
    quarter = len(samples) // 4
    power = np.convolve(samples[quarter : 3 * quarter, 0] ** 2, np.ones(size), "valid")
    return quarter + int(power.argmin()) + size // 2


def _change(fault: str, item: AuditItem, grade: int, rng: Random) -> Samples:
    samples, rate = item.media
    if fault in ("slow", "fast"):
        factor = (1.8, 2.2, 3.0)[grade]
        return _stretch(samples, factor if fault == "fast" else 1 / factor)
    if fault in ("late", "trailing"):
        length = round({"late": (1.5, 2.5, 5.0), "trailing": (2.0, 3.0, 5.0)}[fault][grade] * rate)
        room = _noise(length, rng) * np.float32((0.0, 0.0005, 0.002)[grade])
        return np.concatenate([room, samples] if fault == "late" else [samples, room])
    if fault == "cut":
        return _cut(samples, rate, (0.01, 0.005, 0.0)[grade], rng)
    beep = np.sin(2 * np.pi * rng.uniform(200, 900) * np.arange(len(samples)) / rate)[:, None]
    return (0.1 * (_noise(len(samples), rng), beep, np.zeros_like(samples))[grade]).astype(np.float32)


def _stretch(samples: Samples, factor: float) -> Samples:
    return np.asarray(librosa.effects.time_stretch(samples[:, 0], rate=factor)[:, None], np.float32)


def _noise(length: int, rng: Random) -> Samples:
    return np.random.default_rng(rng.getrandbits(32)).standard_normal((length, 1)).astype(np.float32)


def _add_noise(samples: Samples, decibels: float, rng: Random) -> Samples:
    level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-decibels / 20)
    return np.clip(samples + level * _noise(len(samples), rng), -1, 1).astype(np.float32)


def _cut(samples: Samples, rate: int, fade: float, rng: Random) -> Samples:
    """Cut in the midst of a sound: where 50 ms are no softer than the clip is on the whole."""
    size = rate // 20
    loud = np.mean(samples[:, 0] ** 2)
    ends = range(round(0.35 * len(samples)), round(0.9 * len(samples)))
    end = next(end for end in iter(lambda: rng.choice(ends), -1) if np.mean(samples[end - size : end, 0] ** 2) >= loud)
    cut = samples[:end].copy()
    if num_faded := round(fade * rate):
        cut[-num_faded:] *= np.linspace(1, 0, num_faded, dtype=np.float32)[:, None]
    return cut


def plant_noise(seed: int, count: int, material: Material) -> Iterator[Planted]:
    """Yield ``count`` sound clips of a dialogue, each made quiet too, and each in noise 8 and 3 dB under it."""
    rng = Random(seed)
    clips = [item for item in speak_dialogue(rng, f"{seed}", material) if item.row["transcript"] not in SHORT][:count]
    for item in clips:
        samples = item.media[0]
        yield Planted("", "clean", item)
        yield Planted("", "quiet", _spoil(item, f"{item.id}-quiet", samples * np.float32(0.1)))
        for decibels in (8, 3):
            yield Planted(
                "noisy", f"noisy {decibels}", _spoil(item, f"{item.id}-{decibels}", _add_noise(samples, decibels, rng))
            )


def plant_voices(seed: int, count: int, material: Material) -> Iterator[Planted]:
    """Yield ``count`` sound dialogues, each again with a third voice in one clip and with two clips swapped."""
    rng = Random(seed)
    for number in range(count):
        clean = speak_dialogue(rng, f"{seed}-{number}", material)
        for item in clean:
            yield Planted("", "clean", item)
        used = {item.row["voice"] for item in clean}
        wrong = rng.randrange(3)
        third = _speak(rng.choice([v for v in material.voices if v not in used]), clean[wrong].row["transcript"])
        yield from _replace_clips(clean, {wrong: third}, "another_voice")
        # The first clip of the user, and that of the assistant, who follows four clips later.
        yield from _replace_clips(clean, {0: clean[4].media, 4: clean[0].media}, "swapped_voices")


def _replace_clips(
    clean: Sequence[AuditItem], others: Mapping[int, tuple[Samples, int]], fault: str
) -> Iterator[Planted]:
    for place, item in enumerate(clean):
        name = f"{item.id}-{fault}"
        sound = others.get(place, item.media)
        made = _as_item(name, f"{item.dialogue_id}-{fault}", item.row, sound)
        yield Planted(fault if place in others else "", f"{fault}, {'wrong' if place in others else 'right'}", made)


def read_short(planted: Sequence[Planted], plugin: Any) -> dict[str, set[str]]:
    """Return by record the measures of an audit that fall short."""
    auditor = plugin.load(plugin.options(), ModelCache())
    items = [one.item for one in planted]
    if plugin.compares:
        sketches = zip(items, auditor.sketch(items), strict=True)
        found = dict(auditor.compare([Sketch(i.id, i.dialogue_id, data) for i, data in sketches if data is not None]))
    else:
        found = {item.id: readings for item, readings in zip(items, auditor.measure(items), strict=True)}
    limits = {measure.name: measure for measure in plugin.measures(AuditOptions())}
    return {item.id: _short(found.get(item.id, {}), limits) for item in items}


def _short(readings: Readings, limits: Mapping[str, Measure]) -> set[str]:
    values = {name: reading.value for name, reading in readings.items()}
    return {name for name, value in values.items() if value is not None and not limits[name].passes(value)}


@dataclass(frozen=True)
class Score:
    """How well a fault is found.

    Attributes:
        missed: Kinds of records at fault that pass, with their counts.
        falsely: Kinds of sound records that do not.
    """

    planted: int
    recall: float
    precision: float
    missed: Mapping[str, int]
    falsely: Mapping[str, int]


def score(
    planted: Sequence[Planted],
    short: Mapping[str, set[str]],
    measures: Mapping[str, Sequence[str]] = MEASURES,
) -> dict[str, Score]:
    """Score every fault that was planted; a sound record for which a fault's measure cries counts against it."""
    scores = {}
    for fault in dict.fromkeys(one.fault for one in planted if one.fault):
        cries = {name for name, some in short.items() if some & set(measures[fault])}
        at_fault = [one for one in planted if one.fault == fault]
        hits = [one for one in at_fault if one.item.id in cries]
        falsely = [one.kind for one in planted if not one.fault and one.item.id in cries]
        missed = Counter(one.kind for one in at_fault if one.item.id not in cries)
        precision = len(hits) / max(1, len(hits) + len(falsely))
        scores[fault] = Score(len(at_fault), len(hits) / len(at_fault), precision, missed, Counter(falsely))
    return scores
