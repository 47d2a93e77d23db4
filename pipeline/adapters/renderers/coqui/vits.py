"""VITS through coqui-tts: several utterances at once, each with noise of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.adapters.renderers.coqui.espeak import choose_phonemizer, register_phonemizer
from pipeline.adapters.renderers.coqui.folder import fill, find_weights, load_tensors
from pipeline.adapters.renderers.coqui.kernels import exact_kernels, fold_weight_norm, watching_device
from pipeline.adapters.renderers.coqui.languages import find_language, refuse_language
from pipeline.adapters.speech_batches import Utterance
from pipeline.adapters.weights import as_out_of_memory, item_generator
from pipeline.contracts.render import RenderFailure, Voice
from pipeline.values.errors import RenderError
from pipeline.values.units import Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

TAIL = 16
"""Frames of silence decoded behind every utterance and cut off again. The decoder hears about 13 frames ahead, so the
end of an utterance sounds the same whether a longer one lies beside it in the batch or not."""

MAX_UTTERANCE: Seconds = 120.0
"""A model that has lost itself can ask for any length; the gates refuse far less than this."""

TEXT_ERRORS = (ValueError, IndexError, KeyError, RuntimeError, RecursionError)
"""What coqui's cleaners and phonemizers raise over one text."""


class _Prepared(NamedTuple):
    """An utterance as the model takes it: token ids, and where it stands among those asked for."""

    place: int
    ids: list[int]
    utterance: Utterance


class VitsEngine:
    """A loaded VITS model, of one or many speakers and languages.

    The model draws noise twice: for the length of each sound, and for the sound. Both are drawn here from one generator
    an utterance, seeded by it, in the utterance's own lengths. So an utterance does not depend on what else is in its
    batch, but for rounding: kernels of another batch size, or of another number of threads, may move a sample by 1e-6,
    or, once in thousands of sounds, a length that lies just at the edge by one frame (12 ms).
    """

    name = "coqui"

    def __init__(self, model: Any, about: Mapping[str, str], device: str, dtype: Any) -> None:
        self._model = model
        self._about = about
        self._device = device
        self._dtype = dtype
        self.sample_rate = int(model.config.audio.sample_rate)
        self._speakers: Sequence[str] = model.speaker_manager.speaker_names if model.speaker_manager else ()
        self._languages: Sequence[str] = list(model.language_manager.name_to_id)

    def refuse(self, voice: Voice) -> RenderFailure | None:
        """Refuse speakers and languages that the model lacks, and recordings: VITS clones no voices."""
        if voice.reference is not None:
            message = f"voice {voice.name!r} has a reference; VITS clones no voices, XTTS does"
            return RenderFailure(code="unknown_voice", message=message)
        if len(self._speakers) > 1 and voice.speaker not in self._speakers:
            known = ", ".join(repr(name) for name in self._speakers[:12])
            message = f"voice {voice.name!r}: the model has no speaker {voice.speaker!r}, only {known}, …"
            return RenderFailure(code="unknown_voice", message=message)
        return refuse_language(voice, self._languages)

    def speak(self, utterances: Sequence[Utterance]) -> list[Samples | RenderFailure]:
        """Speak all at once; a text that cannot be read fails alone."""
        import numpy as np

        spoken: list[Samples | RenderFailure] = [np.zeros(0, dtype=np.float32) for _ in utterances]
        prepared: list[_Prepared] = []
        for place, utterance in enumerate(utterances):
            try:
                ids = self._read(utterance)
            except TEXT_ERRORS as exc:
                message = f"coqui cannot read {utterance.text[:60]!r}: {exc}"
                spoken[place] = RenderFailure(code="engine", message=message)
                continue
            if ids:
                prepared.append(_Prepared(place, ids, utterance))
        for one, made in zip(prepared, self._speak(prepared), strict=True):
            spoken[one.place] = made
        return spoken

    def provenance(self) -> Mapping[str, str]:
        """Weights, device and libraries."""
        return self._about

    def _read(self, utterance: Utterance) -> list[int]:
        """Token ids; none where the text has no sound."""
        tokenizer = self._model.tokenizer
        language = find_language(utterance.voice, self._languages)
        ids: list[int] = tokenizer.text_to_ids(utterance.text, language=language)
        return ids if set(ids) - {tokenizer.pad_id, tokenizer.blank_id} else []

    def _speak(self, batch: Sequence[_Prepared]) -> Sequence[Samples | RenderFailure]:
        """Speak a batch; where that breaks, each alone, so that one text breaks nothing but itself."""
        if not batch:
            return []
        try:
            with watching_device(), as_out_of_memory(f"{len(batch)} utterances by VITS"):
                return self._infer(batch)
        except RuntimeError as exc:
            if len(batch) > 1:
                return [made for one in batch for made in self._speak([one])]
            message = f"coqui cannot speak {batch[0].utterance.text[:60]!r}: {exc}"
            return [RenderFailure(code="engine", message=message)]

    def _infer(self, batch: Sequence[_Prepared]) -> list[Samples]:
        """Run the model's parts as its own ``inference`` does, but for where the noise comes from.

        Shapes: B utterances, T tokens, F frames, C channels.
        """
        import torch
        from TTS.tts.utils.helpers import generate_path, sequence_mask

        model, device = self._model, self._device
        generators = [item_generator(device, one.utterance.seed) for one in batch]
        num_tokens = torch.tensor([len(one.ids) for one in batch], device=device)
        tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(one.ids) for one in batch], batch_first=True).to(device)
        rates = torch.tensor([one.utterance.rate for one in batch], device=device)[:, None, None]
        with torch.inference_mode():
            speaker, language = self._conditions(batch)
            hidden, means, log_scales, token_mask = model.text_encoder(tokens, num_tokens, lang_emb=language)
            log_lengths = self._log_lengths(hidden, token_mask, speaker, language, generators)
            lengths = torch.ceil(torch.exp(log_lengths) * token_mask * model.length_scale / rates)
            limit = MAX_UTTERANCE * self.sample_rate / model.config.audio.hop_length
            num_frames = lengths.sum([1, 2]).nan_to_num(limit).clamp(1, limit).long()
            frame_mask = sequence_mask(num_frames, None).to(token_mask.dtype).unsqueeze(1)
            path = generate_path(lengths.squeeze(1), token_mask.transpose(1, 2) * frame_mask)
            means, log_scales = means @ path, log_scales @ path  # (B, C, T) by (B, T, F)
            noise = _draw(generators, means.shape[1], num_frames.tolist(), device)
            latent = means + noise * torch.exp(log_scales) * model.inference_noise_scale
            with exact_kernels(device, self._dtype):
                latent = model.flow(latent, frame_mask, g=speaker, reverse=True)
                latent, _, _, mask = model.upsampling_z(latent, y_lengths=num_frames, y_mask=frame_mask)
                latent = torch.nn.functional.pad(latent * mask, (0, TAIL))
                waves = model.waveform_decoder(latent, g=speaker)
            samples_a_frame = waves.shape[-1] * mask.shape[-1] // (latent.shape[-1] * frame_mask.shape[-1])
            heard = waves[:, 0].float().cpu().numpy()
        ends = (num_frames * samples_a_frame).tolist()
        return [wave[:end].copy() for wave, end in zip(heard, ends, strict=True)]

    def _conditions(self, batch: Sequence[_Prepared]) -> tuple[Any, Any]:
        """Speakers (B, C, 1) and languages (B, C, 1), each None where the model has but one."""
        import numpy as np
        import torch

        model = self._model
        speaker = language = None
        if self._speakers:
            # A model of one speaker has that one, whatever the voice calls it.
            names = [one.utterance.voice.speaker if len(self._speakers) > 1 else self._speakers[0] for one in batch]
            if hasattr(model, "emb_g"):
                ids = [model.speaker_manager.name_to_id[name] for name in names]
                speaker = model.emb_g(torch.tensor(ids, device=self._device)).unsqueeze(-1)
            else:
                vectors = np.stack([model.speaker_manager.get_mean_embedding(name) for name in names])
                speaker = torch.tensor(vectors, dtype=torch.float32, device=self._device)
                speaker = torch.nn.functional.normalize(speaker).unsqueeze(-1)
        if model.args.use_language_embedding:
            found = [find_language(one.utterance.voice, self._languages) for one in batch]
            ids = [model.language_manager.name_to_id[name] for name in found]
            language = model.emb_l(torch.tensor(ids, device=self._device)).unsqueeze(-1)
        return speaker, language

    def _log_lengths(self, hidden: Any, mask: Any, speaker: Any, language: Any, generators: Sequence[Any]) -> Any:
        """Log of each token's frames, (B, 1, T)."""
        model = self._model
        given = {"g": speaker if model.args.condition_dp_on_speaker else None, "lang_emb": language}
        if not model.args.use_sdp:
            return model.duration_predictor(hidden, mask, **given)
        noise = _draw(generators, 2, mask.sum([1, 2]).long().tolist(), self._device)
        with _handing(noise):
            return model.duration_predictor(
                hidden, mask, reverse=True, noise_scale=model.inference_noise_scale_dp, **given
            )


def _draw(generators: Sequence[Any], channels: int, lengths: Sequence[int], device: str) -> Any:
    """Standard normal noise (B, channels, longest), one generator an item, zero behind each item's own length."""
    import torch

    rows = [
        torch.randn((length, channels), generator=generator, device=device)
        for generator, length in zip(generators, lengths, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).transpose(1, 2)


def _handing(noise: Any) -> Any:
    """Hand noise that was drawn already to code that would draw it from torch's global generator.

    A function mode holds for this thread alone, so that neither the global generator nor other threads are touched.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Handing(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is not torch.randn:
                return func(*args, **(kwargs or {}))
            if tuple(args) != tuple(noise.shape):
                raise RenderError(f"coqui-tts draws noise of shape {args}, expected {tuple(noise.shape)}")
            return noise

    return Handing()


def load_vits(folder: Path, settings: dict[str, Any], about: Mapping[str, str], device: str, dtype: Any) -> VitsEngine:
    """Build the model that a config describes and put the folder's tensors in.

    Args:
        settings: The folder's config, cleaned.

    Raises:
        ModelFileError: something in the folder is missing or refused.
        RenderError: the model cannot be built.
    """
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits

    settings["phonemizer"] = choose_phonemizer(settings)
    config = VitsConfig()
    try:
        register_phonemizer()
        config.from_dict(settings)
        model = Vits(config)
    except (*TEXT_ERRORS, TypeError, AttributeError, AssertionError, OSError, ImportError) as exc:
        raise RenderError(f"coqui: {folder} describes a model that cannot be built: {exc}") from exc
    source = find_weights(folder)
    ours = model.state_dict().keys()
    # Discriminators and speaker encoders serve training only.
    tensors = {name: value for name, value in load_tensors(source).items() if name in ours or not _is_training(name)}
    fill(model, tensors, source)
    fold_weight_norm(model)
    return VitsEngine(model.eval().to(device), about, device, dtype)


def _is_training(name: str) -> bool:
    return name.startswith(("disc.", "audio_transform.")) or "speaker_encoder" in name
