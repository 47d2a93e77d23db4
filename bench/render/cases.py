"""What is rendered: small random models on a processor, full-size ones on a GPU."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.render import weights
from bench.render.bare import BareImages, BareLoop, BareMusic, BareSpeech
from pipeline.adapters.hushing import hush
from pipeline.adapters.music import MusicRenderer
from pipeline.adapters.renderers.coqui.languages import find_language
from pipeline.adapters.renderers.coqui.loading import load_engine
from pipeline.adapters.renderers.coqui.options import CoquiOptions
from pipeline.adapters.renderers.coqui.vits import VitsEngine
from pipeline.adapters.renderers.diffusers import DiffusersOptions
from pipeline.adapters.renderers.diffusers.loading import LoadedPipeline, load_pipeline
from pipeline.adapters.renderers.diffusers.renderer import DiffusersRenderer
from pipeline.adapters.renderers.musicgen import MusicgenOptions
from pipeline.adapters.renderers.musicgen.model import MusicgenEngine
from pipeline.adapters.speech_batches import BatchSpeechRenderer
from pipeline.adapters.weights import Weights
from pipeline.contracts.render import Renderer, Voice
from pipeline.values.records import Modality
from tests.support.tiny_coqui import SPEAKERS, write_tiny_vits
from tests.support.tiny_diffusers import save_pipeline
from tests.support.tiny_musicgen import save_tiny_musicgen

VOICE = Voice(name="a", renderer="coqui", speaker=SPEAKERS[1], languages=("en-GB",), licence="MIT")


@dataclass(frozen=True)
class Loaded:
    """A model with both ways to render with it.

    Attributes:
        brief: Fields of every brief beside its text.
    """

    modality: Modality
    renderer: Renderer
    bare: BareLoop
    brief: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model and how much is asked of it.

    Attributes:
        key: What ``--case`` calls it.
        load: Makes random weights, in a folder where they are loaded from one, and both ways to render with them.
        batches: Sizes of which the bare loop's fastest is taken, for both.
        count: Items a run; a multiple of each size.
        singles: Items of which one prompt a call is timed; it is so slow that a few tell its pace.
    """

    key: str
    name: str
    load: Callable[[Path], Loaded]
    batches: tuple[int, ...]
    count: int
    singles: int = 4

    @contextmanager
    def loaded(self) -> Iterator[Loaded]:
        """Load the model; its folder is gone afterwards, and what the libraries say of each other with it."""
        with tempfile.TemporaryDirectory() as folder, hush("diffusers", "transformers"):
            yield self.load(Path(folder) / "weights")


def small_cases(share: int = 1) -> list[Case]:
    """One a modality, of a megabyte each.

    Args:
        share: Divisor of the counts, the batches, the length of the music and, from 8 on, the size of pictures.
    """
    count = max(2, 32 // share)
    sizes = tuple(sorted({max(2, 8 // share), max(2, 16 // share)})) if share == 1 else (max(2, 16 // share),)
    seconds = max(0.5, 4.0 / share)
    side = 64 // max(1, share // 8)
    much = sizes, count
    return [
        Case("tiny-sd", f"tiny SD, {side} px", lambda f: load_images(save_pipeline("sd", f), side, 4), *much),
        Case("tiny-musicgen", "tiny MusicGen", lambda f: load_music(save_tiny_musicgen(f), seconds, "cpu"), *much),
        Case("tiny-vits", "tiny VITS", lambda f: load_speech(write_tiny_vits(f), "cpu"), *much),
    ]


def cpu_cases() -> list[Case]:
    """What two cores measure in minutes.

    The tiny VITS speaks 80 s a second there, beside which levelling and encoding weigh a tenth; the published one one
    second. With a decoder a quarter as wide it is as fast as what people use on a CPU, and a clip weighs as usual.
    """
    vits = Case(
        "vits-cpu", "VITS, a quarter as wide", lambda f: load_speech(weights.save_narrow_vits(f), "cpu"), (1, 4), 16
    )
    return [case for case in small_cases() if case.key != "tiny-vits"] + [vits]


def full_cases() -> list[Case]:
    """Published models' sizes, in bfloat16, on the GPU; each within ten minutes of an H100, its weights made on it."""

    def images(make: Callable[[], Any], side: int, steps: int) -> Callable[[Path], Loaded]:
        return lambda folder: hold_images(make, side, steps)

    def music(size: str) -> Callable[[Path], Loaded]:
        return lambda folder: load_music(weights.save_musicgen(size, folder), 10.0)

    # Several batches a run: the last one is encoded with nothing beside it, in ours and in the bare loop.
    return [
        Case("sd15", "SD 1.5, 512 px, 30 steps", images(weights.make_sd15, 512, 30), (8, 16, 32), 64),
        Case("sdxl", "SDXL, 1024 px, 30 steps", images(weights.make_sdxl, 1024, 30), (4, 8), 24),
        Case("flux", "Flux, 1024 px, 4 steps", images(weights.make_flux, 1024, 4), (2, 4, 8), 24),
        Case("musicgen-small", "MusicGen small, 10 s", music("small"), (32, 64), 192, 2),
        Case("musicgen-medium", "MusicGen medium, 10 s", music("medium"), (32, 64), 192, 2),
        Case("musicgen-large", "MusicGen large, 10 s", music("large"), (32, 64), 192, 2),
        Case("vits", "VITS", lambda folder: load_speech(weights.save_vits(folder)), (16, 32, 64), 512),
    ]


# The bare loops take the very objects that the renderers hold, so that nothing differs but what is around them.


def load_images(folder: Path, side: int, steps: int) -> Loaded:
    """Load a diffusers pipeline from a folder onto the processor."""
    options = DiffusersOptions(model=str(folder), licence="MIT", steps=steps, device="cpu")
    return _with_images(load_pipeline(options), options, side, steps)


def hold_images(make: Callable[[], Any], side: int, steps: int, device: str = "cuda") -> Loaded:
    """Make a diffusers pipeline in bfloat16 on its device, without a folder: Flux takes 34 GB."""
    pipe = weights.make_on(device, torch.bfloat16, make)
    pipe.set_progress_bar_config(disable=True)
    options = DiffusersOptions(model="bench/random", licence="MIT", steps=steps, device=device)
    about = Weights("bench/random", Path(), "seed 0")
    return _with_images(LoadedPipeline(pipe, about, device, torch.bfloat16, ()), options, side, steps)


def _with_images(loaded: LoadedPipeline, options: DiffusersOptions, side: int, steps: int) -> Loaded:
    bare = BareImages(loaded.pipe, side, steps, options.quality)
    return Loaded(Modality.IMAGE, DiffusersRenderer(loaded, options), bare, {"width": side, "height": side})


def load_music(folder: Path, seconds: float, device: str = "auto") -> Loaded:
    """Load MusicGen from a folder."""
    options = MusicgenOptions(model=str(folder), licence="MIT", device=device)
    engine = MusicgenEngine(options)
    bare = BareMusic(engine._tokenizer, engine._model, seconds)
    return Loaded(Modality.MUSIC, MusicRenderer(engine, options), bare, {"duration": seconds})


def load_speech(folder: Path, device: str = "auto") -> Loaded:
    """Load VITS from a folder."""
    options = CoquiOptions(model=str(folder), licence="MIT", device=device, threads=min(64, os.cpu_count() or 1))
    engine = load_engine(options)
    if not isinstance(engine, VitsEngine):
        raise TypeError(f"{folder} holds a {type(engine).__name__}, must be VITS")
    # Without chance in the lengths of sounds both ways speak equally long, and with this scale as fast as people.
    engine._model.inference_noise_scale_dp, engine._model.length_scale = 0.0, 3.0
    bare = BareSpeech(engine._model, VOICE.speaker, find_language(VOICE, engine._languages))
    return Loaded(Modality.SPEECH, BatchSpeechRenderer(engine, options), bare, {"voice": VOICE})
