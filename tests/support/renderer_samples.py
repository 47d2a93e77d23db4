"""What the contract tests give each renderer of the registry: its smallest options, and briefs that suit it.

A renderer that is not named here is tried with its default options and briefs of its modality. One that needs more
comes with a module of its own that has a ``SAMPLES`` like the one below: ``pytest --renderer-samples its.module``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial as bind
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import Voice
from pipeline.values.records import Modality

TEXTS = {
    Modality.IMAGE: ("a red fox", "an old harbour at night, in the rain", "three kites over a beach", "bread"),
    Modality.MUSIC: ("a slow sad cello", "fast samba with brass", "a string quartet", "old brass band"),
    Modality.SPEECH: ("Good morning.", "The old lighthouse stood above the bay.", "Yes, I do.", "It is late."),
}

ROUNDING = 1e-3
"""Of full scale. Samples in float32 differ by 1e-5 between batches, which levelling raises and 16 bits round."""

ONE_STEP = 1.01 / 255
"""Of full scale: a value may fall on the other side of a rounding to 8 bits."""


@dataclass(frozen=True)
class Sample:
    """A renderer's part in its contract tests.

    Attributes:
        options: As a manifest states them.
        brief: What all its briefs have: width and height, duration, or voice.
        texts: Two or more that it renders.
        has_chance: False where the seed changes nothing.
        tolerance: How far any value may be, of full scale, from what another batch makes of the brief; 0 asks for
            the same bytes.
        is_batched: Whether it runs on torch and a batch takes memory with each brief.
    """

    options: Mapping[str, Any]
    brief: Mapping[str, Any]
    texts: tuple[str, ...]
    has_chance: bool = True
    tolerance: float = 0.0
    is_batched: bool = False


MakeSample = Callable[[Path, ExitStack], Sample]
"""Given an empty folder for weights, and what ends a server once the renderer is done with."""


def plain(name: str, modality: Modality, folder: Path, ending: ExitStack) -> Sample:
    """Return what is tried of a renderer that nothing is known of."""
    voice = Voice(name=name, renderer=name, speaker=name, languages=("en-US",), licence="CC0-1.0")
    facts: dict[Modality, dict[str, Any]] = {
        Modality.IMAGE: {"width": 64, "height": 64},
        Modality.MUSIC: {"duration": 1.0},
        Modality.SPEECH: {"voice": voice},
    }
    return Sample({}, facts[modality], TEXTS[modality])


def _storyboard(folder: Path, ending: ExitStack) -> Sample:
    return Sample({}, {"width": 128, "height": 128}, TEXTS[Modality.IMAGE])


def _embedded_voice(name: str, has_chance: bool, folder: Path, ending: ExitStack) -> Sample:
    """Little text, since a second of speech takes a neural voice a second of two cores."""
    voices = load_voices(shipped("manifests", "voices.yaml"))
    voice = next(voice for voice in voices.values() if voice.renderer == name and voice.languages[0].startswith("en"))
    return Sample({}, {"voice": voice}, ("Yes.", "Good day."), has_chance)


def _diffusers(folder: Path, ending: ExitStack) -> Sample:
    from tests.support.tiny_diffusers import save_pipeline

    save_pipeline("sd", folder / "sd")
    options = {"model": str(folder / "sd"), "licence": "MIT", "device": "cpu", "steps": 2, "extension": "png"}
    side = {"width": 32, "height": 32}
    return Sample(options, side, TEXTS[Modality.IMAGE], tolerance=ONE_STEP, is_batched=True)


def _musicgen(folder: Path, ending: ExitStack) -> Sample:
    from tests.support.tiny_musicgen import save_tiny_musicgen

    save_tiny_musicgen(folder)
    return _of_music({"model": str(folder), "licence": "MIT", "device": "cpu"})


def _audiocraft(folder: Path, ending: ExitStack) -> Sample:
    from tests.support.tiny_audiocraft import save_tiny_audiocraft

    save_tiny_audiocraft(folder)
    parts = {"text_encoder": str(folder / "t5"), "codec": str(folder / "codec")}
    return _of_music({"model": str(folder), "licence": "MIT", "device": "cpu", **parts})


def _endpoint(name: str, ending: ExitStack) -> Mapping[str, Any]:
    """Options of a renderer that calls an endpoint, which is served until then."""
    from tests.support.media_server import running_media

    os.environ.setdefault("NO_KEY", "none")
    media = ending.enter_context(running_media())
    return {"model": name, "base_url": media.url, "api_key_env": "NO_KEY"}


def _openai_images(folder: Path, ending: ExitStack) -> Sample:
    options = {**_endpoint("painter", ending), "send_seed": True, "extension": "png"}
    return Sample(options, {"width": 64, "height": 64}, TEXTS[Modality.IMAGE])


def _openai_speech(folder: Path, ending: ExitStack) -> Sample:
    from tests.support.media_server import NOVA

    return Sample(_endpoint("speaker", ending), {"voice": NOVA}, TEXTS[Modality.SPEECH], has_chance=False)


def _of_music(options: Mapping[str, Any]) -> Sample:
    return Sample(options, {"duration": 0.6}, TEXTS[Modality.MUSIC], tolerance=ROUNDING, is_batched=True)


def _vits(folder: Path, ending: ExitStack) -> Sample:
    from tests.support.tiny_coqui import SPEAKERS, write_tiny_vits

    write_tiny_vits(folder / "vits")
    return _of_coqui(folder / "vits", SPEAKERS[1], TEXTS[Modality.SPEECH], is_batched=True)


def _xtts(folder: Path, ending: ExitStack) -> Sample:
    from tests.support.tiny_coqui import READY_MADE, write_tiny_xtts

    write_tiny_xtts(folder / "xtts")
    # It speaks half a second, whatever it is asked.
    return _of_coqui(folder / "xtts", READY_MADE, ("Good day.", "Yes, I do."), is_batched=False)


def _of_coqui(folder: Path, speaker: str, texts: tuple[str, ...], *, is_batched: bool) -> Sample:
    voice = Voice(name="a", renderer="coqui", speaker=speaker, languages=("en-GB",), licence="MIT")
    options = {"model": str(folder), "licence": "MIT", "device": "cpu"}
    return Sample(options, {"voice": voice}, texts, tolerance=ROUNDING, is_batched=is_batched)


SAMPLES: Mapping[str, MakeSample] = MappingProxyType(
    {
        "audiocraft": _audiocraft,
        "coqui": _vits,
        "coqui/xtts": _xtts,
        "diffusers": _diffusers,
        "kokoro": bind(_embedded_voice, "kokoro", False),
        "musicgen": _musicgen,
        "openai-images": _openai_images,
        "openai-speech": _openai_speech,
        "piper": bind(_embedded_voice, "piper", True),
        "storyboard": _storyboard,
    }
)
"""By the renderer's name; what follows a slash tells samples of one renderer apart."""
