"""The bare loops: a batch after the other through the same model object, four threads that encode and write beside it.

This is what a specialist writes who wants the same files and nothing else, of one size or loudness, speech without
silence at its ends: no seed an item, no gate, no journal, no table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import soundfile
import torch
from PIL import Image

from bench.render.stage import Yield
from pipeline.adapters.audio import fade_ends, trim_silence
from pipeline.adapters.loudness import set_loudness
from pipeline.adapters.music import MusicOptions
from pipeline.adapters.speech import SpeechOptions
from pipeline.values.units import LUFS

ENCODERS = 4
"""Threads; as many as the pipeline has."""

DEFAULTS = SpeechOptions()
"""What the renderers' clips are made to."""

TOP_K = 250
GUIDANCE = 3.0
"""MusicGen's own, and the renderer's."""

Write = Callable[[Path], None]


class BareLoop(Protocol):
    """Makes a batch with a model."""

    extension: str

    def make(self, texts: Sequence[str]) -> tuple[list[Write], float]:
        """Return what encodes and writes each item, and pictures or seconds of sound made."""
        ...


class BareImages:
    """A diffusers pipeline, called with lists of prompts."""

    extension = "webp"

    def __init__(self, pipe: Any, side: int, steps: int, quality: int) -> None:
        self._pipe = pipe
        self._side = side
        self._steps = steps
        self._quality = quality

    def make(self, texts: Sequence[str]) -> tuple[list[Write], float]:
        """Take the pixels off the device as bytes, as the renderer does."""
        made = self._pipe(
            list(texts), width=self._side, height=self._side, num_inference_steps=self._steps, output_type="pt"
        )
        colours = made.images.float().mul(255).round().clamp(0, 255).to(torch.uint8)
        pictures = colours.movedim(1, -1).contiguous().cpu().numpy()
        return [self._writer(picture) for picture in pictures], float(len(pictures))

    def _writer(self, picture: Any) -> Write:
        def write(path: Path) -> None:
            Image.fromarray(picture).save(path, format="WEBP", quality=self._quality, method=4)

        return write


class BareMusic:
    """MusicGen through its own ``generate``."""

    extension = "flac"

    def __init__(self, tokenizer: Any, model: Any, seconds: float) -> None:
        self._tokenizer = tokenizer
        self._model = model
        codec = model.config.audio_encoder
        self._rate: int = codec.sampling_rate
        # The pattern of delays takes a step a codebook.
        self._steps = math.ceil(seconds * codec.sampling_rate / codec.hop_length) + model.config.decoder.num_codebooks
        self._num_samples = round(seconds * self._rate)

    def make(self, texts: Sequence[str]) -> tuple[list[Write], float]:
        """Sample and decode, under autocast where the decoder is of fewer bits than the text encoder."""
        model = self._model
        given = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(model.device)
        with torch.inference_mode(), self._casting():
            waves = model.generate(
                **given, do_sample=True, top_k=TOP_K, guidance_scale=GUIDANCE, max_new_tokens=self._steps
            )
        heard = waves[..., : self._num_samples].float().cpu().numpy()
        writers = [writes_sound(wave.T, self._rate, MusicOptions().loudness) for wave in heard]
        return writers, heard.shape[-1] / self._rate * len(heard)

    def _casting(self) -> AbstractContextManager[Any]:
        dtype = next(self._model.decoder.parameters()).dtype
        if dtype == torch.float32:
            return nullcontext()
        casting: AbstractContextManager[Any] = torch.autocast(self._model.device.type, dtype=dtype)
        return casting


class BareSpeech:
    """A VITS of several speakers through its own ``inference``, which takes batches."""

    extension = "flac"

    def __init__(self, model: Any, speaker: str, language: str | None) -> None:
        self._model = model
        self._speaker: int = model.speaker_manager.name_to_id[speaker]
        self._language = language
        self._rate = int(model.config.audio.sample_rate)
        self._hop = int(model.config.audio.hop_length)

    def make(self, texts: Sequence[str]) -> tuple[list[Write], float]:
        """Read, speak and cut each to its own length."""
        tokenizer, device = self._model.tokenizer, next(self._model.parameters()).device
        ids = [torch.tensor(tokenizer.text_to_ids(text, language=self._language)) for text in texts]
        given = {
            "x_lengths": torch.tensor([len(one) for one in ids], device=device),
            "speaker_ids": torch.full((len(ids),), self._speaker, device=device),
            "d_vectors": None,
            "language_ids": None,
            "durations": None,
        }
        made = self._model.inference(torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(device), given)
        lengths = (made["y_mask"].sum([1, 2]) * self._hop).long().tolist()
        heard = made["model_outputs"][:, 0].float().cpu().numpy()
        waves = [wave[:length] for wave, length in zip(heard, lengths, strict=True)]
        return [self._writer(wave) for wave in waves], sum(map(len, waves)) / self._rate

    def _writer(self, wave: Any) -> Write:
        def write(path: Path) -> None:
            spoken = trim_silence(wave, self._rate, keep=DEFAULTS.edge_silence)
            writes_sound(fade_ends(spoken, self._rate), self._rate, DEFAULTS.loudness)(path)

        return write


def writes_sound(samples: Any, sample_rate: int, loudness: LUFS) -> Write:
    """Return what sets the loudness of samples of (num_frames, num_channels) and writes them as FLAC."""

    def write(path: Path) -> None:
        levelled = set_loudness(samples, sample_rate, loudness).samples
        soundfile.write(path, levelled, sample_rate, format="FLAC", subtype="PCM_16")

    return write


def run_bare(loop: BareLoop, texts: Sequence[str], batch: int, folder: Path) -> Yield:
    """Make all, texts of about one length together; ended once every file is written."""
    folder.mkdir(parents=True)
    waiting = sorted(texts, key=len)
    with ThreadPoolExecutor(ENCODERS) as encoders:
        written = []
        for start in range(0, len(waiting), batch):
            writers = loop.make(waiting[start : start + batch])[0]
            for number, write in enumerate(writers, start):
                written.append(encoders.submit(write, folder / f"{number:05d}.{loop.extension}"))
        for future in written:
            future.result()
    return Yield(len(texts))


def run_single(loop: BareLoop, texts: Sequence[str], folder: Path) -> Yield:
    """One prompt a call, its file written before the next: what peers do."""
    folder.mkdir(parents=True)
    for number, text in enumerate(texts):
        loop.make([text])[0][0](folder / f"{number:05d}.{loop.extension}")
    return Yield(len(texts))
