"""XTTS through coqui-tts: voices cloned from recordings, or ready-made ones by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.renderers.coqui.folder import fill, find_weights, load_named_values, load_tensors
from pipeline.adapters.renderers.coqui.kernels import (
    choose_speech_dtype,
    exact_kernels,
    fold_weight_norm,
    watching_device,
)
from pipeline.adapters.renderers.coqui.languages import find_language, refuse_language
from pipeline.adapters.renderers.coqui.options import CoquiOptions
from pipeline.adapters.speech_batches import Utterance
from pipeline.adapters.voices import find_recordings
from pipeline.adapters.weights import as_out_of_memory, item_generator
from pipeline.contracts.render import RenderFailure, Voice
from pipeline.values.errors import ModelFileError, RenderError
from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

SPEAKERS = "speakers_xtts.pth"
TRAINING = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")
TWICE = ("gpt.gpt_inference", "gpt.gpt.wte")
"""How tensors are named that serve training only, and those that version 1 names a second time."""

LISTENING_RATE: Hertz = 22_050
MIN_RECORDING: Seconds = 1.0
"""The model takes a third of a second; a voice needs more, and its makers recommend over three."""

TEXT_ERRORS = (ValueError, IndexError, KeyError, RuntimeError, AssertionError, NotImplementedError, ImportError)
"""What coqui's tokenizer and sampler raise over one text; texts of over 400 tokens are an AssertionError there."""


class XttsEngine:
    """A loaded XTTS model; one utterance at a time, since its sampler and its rate are those of a whole call.

    It draws one sound after another from transformers' sampler, which takes no generator. So transformers is told to
    take the likeliest, and the likelihoods that it gets have been shifted by Gumbel noise from the utterance's own
    generator, which is the same as sampling (the Gumbel-max trick).
    """

    name = "coqui"

    def __init__(
        self, model: Any, about: Mapping[str, str], options: CoquiOptions, device: str, speakers: Mapping[str, Any]
    ) -> None:
        self._model = model
        self._about = about
        self._device = device
        self._dtype = choose_speech_dtype(options.dtype)
        self._speakers = speakers
        self._languages: Sequence[str] = list(model.config.languages)
        self._cloned: dict[str, tuple[Any, Any]] = {}
        self._taste: dict[str, Any] = {
            "temperature": options.temperature or model.config.temperature,
            "top_k": options.top_k or model.config.top_k,
            "top_p": options.top_p or model.config.top_p,
        }
        self._repetition_penalty = float(options.repetition_penalty or model.config.repetition_penalty)
        self.sample_rate: Hertz = int(model.args.output_sample_rate)

    def refuse(self, voice: Voice) -> RenderFailure | None:
        """Refuse a voice that has neither a recording nor a name that the model knows, and languages it lacks."""
        if voice.reference is None and voice.speaker not in self._speakers:
            known = ", ".join(repr(name) for name in list(self._speakers)[:12])
            return RenderFailure(
                code="unknown_voice",
                message=f"voice {voice.name!r}: the model has no speaker {voice.speaker!r} ({known or 'none at all'}, "
                "…); give the voice a reference: a recording beside the voices file",
            )
        if voice.reference is not None:
            try:
                with watching_device(), as_out_of_memory(f"the recordings of voice {voice.name!r}"):
                    self._latents(voice)
            except (OSError, ValueError) as exc:
                message = f"voice {voice.name!r} cannot be cloned from {voice.reference.name}: {exc}"
                return RenderFailure(code="unknown_voice", message=message)
        return refuse_language(voice, self._languages)

    def speak(self, utterances: Sequence[Utterance]) -> list[Samples | RenderFailure]:
        """Speak one after another; a text that cannot be read fails alone."""
        spoken: list[Samples | RenderFailure] = []
        for utterance in utterances:
            try:
                with watching_device(), as_out_of_memory("an utterance by XTTS"):
                    spoken.append(self._infer(utterance))
            except TEXT_ERRORS as exc:
                message = f"coqui cannot speak {utterance.text[:60]!r}: {exc}"
                spoken.append(RenderFailure(code="engine", message=message))
        return spoken

    def provenance(self) -> Mapping[str, str]:
        """Weights, device and libraries."""
        return self._about

    def _infer(self, utterance: Utterance) -> Samples:
        import numpy as np

        latents, embedding = self._latents(utterance.voice)
        drawing = draw_by(item_generator(self._device, utterance.seed), **self._taste)
        with exact_kernels(self._device, self._dtype):
            made = self._model.inference(
                # Square brackets would be read as the tokenizer's own signs.
                utterance.text.replace("[", " ").replace("]", " "),
                find_language(utterance.voice, self._languages),
                latents,
                embedding,
                speed=utterance.rate,
                do_sample=False,
                temperature=1.0,
                top_k=50,
                top_p=1.0,
                repetition_penalty=self._repetition_penalty,
                logits_processor=[drawing],
            )
        return np.asarray(made["wav"], dtype=np.float32).reshape(-1)

    def _latents(self, voice: Voice) -> tuple[Any, Any]:
        """What conditions the model on a voice; kept, since it is the same for all that the voice says.

        Raises:
            ValueError: a recording cannot be read, or they are too short.
            OSError: a recording is gone.
        """
        if voice.reference is None:
            ready = self._speakers[voice.speaker]
            return ready["gpt_cond_latent"], ready["speaker_embedding"]
        key = voice.reference_sha256 or str(voice.reference)
        if key not in self._cloned:
            self._cloned[key] = self._clone(voice.reference)
        return self._cloned[key]

    def _clone(self, reference: Path) -> tuple[Any, Any]:
        import torch

        config = self._model.config
        heard = [self._listen(path) for path in find_recordings(reference)]
        if sum(clip.shape[1] for clip in heard) < MIN_RECORDING * LISTENING_RATE:
            raise ValueError(f"its recordings last under {MIN_RECORDING:g} s; give it 3 to 30 s of clear speech")
        with torch.inference_mode():
            embeddings = [self._model.get_speaker_embedding(clip, LISTENING_RATE) for clip in heard]
            latents = self._model.get_gpt_cond_latents(
                torch.cat(heard, dim=1), LISTENING_RATE, config.gpt_cond_len, config.gpt_cond_chunk_len
            )
        return latents, torch.stack(embeddings).mean(dim=0)

    def _listen(self, path: Path) -> Any:
        """Samples (1, num_frames) at the rate that the model listens at, no longer than it wants."""
        import torch
        from torchaudio.functional import resample

        samples, sample_rate = decode_sound(path.read_bytes())
        if not samples.size:
            raise ValueError(f"{path.name} holds no sound")
        mono = torch.from_numpy(samples.mean(axis=1, keepdims=True).T.copy())
        heard = resample(mono, sample_rate, LISTENING_RATE)[:, : self._model.config.max_ref_len * LISTENING_RATE]
        if self._model.config.sound_norm_refs:
            heard = heard / heard.abs().max().clamp_min(1e-6) * 0.75
        return heard.clamp(-1.0, 1.0).to(self._device)


def draw_by(generator: Any, temperature: float, top_k: int, top_p: float) -> Any:
    """Return a logits processor for one utterance that makes the likeliest token the one that sampling would draw."""
    from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    from pipeline.adapters.renderers.musicgen.sampling import Noise

    warpers = (TemperatureLogitsWarper(float(temperature)), TopKLogitsWarper(top_k), TopPLogitsWarper(float(top_p)))

    class Drawing(LogitsProcessor):  # type: ignore[misc]
        noise: Noise | None = None
        step = 0

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            """Shift (1, num_tokens) logits by the noise of the next step."""
            scores = scores.float()
            for warper in warpers:
                scores = warper(input_ids, scores)
            if self.noise is None:
                self.noise = Noise([generator], 1, scores.shape[-1])
            shifted = scores + self.noise.at(self.step)[:, 0]
            self.step += 1
            return shifted

    return Drawing()


def load_xtts(
    folder: Path, settings: dict[str, Any], about: Mapping[str, str], options: CoquiOptions, device: str
) -> XttsEngine:
    """Build the model that a config describes and put the folder's tensors in.

    Args:
        settings: The folder's config, cleaned.

    Raises:
        ModelFileError: something in the folder is missing or refused.
        RenderError: the model cannot be built.
    """
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    # It warns of token numbers that XTTS never uses.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if not (folder / "vocab.json").is_file():
        raise ModelFileError(f"{folder}: XTTS needs its vocabulary, vocab.json, beside config.json")
    config = XttsConfig()
    try:
        config.from_dict(settings)
        model = Xtts(config)
        model.tokenizer = VoiceBpeTokenizer(vocab_file=folder / "vocab.json")
        model.init_models()
    except (*TEXT_ERRORS, TypeError, AttributeError, OSError) as exc:
        raise RenderError(f"coqui: {folder} describes a model that cannot be built: {exc}") from exc
    source = find_weights(folder)
    named = {name.removeprefix("xtts."): value for name, value in load_tensors(source).items()}
    ours = model.state_dict().keys()
    tensors = {name: value for name, value in named.items() if name in ours or not name.startswith(TRAINING + TWICE)}
    fill(model, tensors, source)
    fold_weight_norm(model)
    model.eval()
    model.to(device)
    speakers = load_named_values(folder / SPEAKERS) if (folder / SPEAKERS).is_file() else {}
    return XttsEngine(model, about, options, device, speakers)
