"""MusicGen as transformers loads it: text in, codes sampled, samples out.

Text encoder and codec compute in float32 in any case: they take a few percent of the time, T5 overflows in float16,
and bfloat16 adds an audible hiss to what the codec decodes. The dtype chosen is the decoder's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers
from safetensors import SafetensorError

from pipeline.adapters.hushing import hush
from pipeline.adapters.music import Piece
from pipeline.adapters.renderers.musicgen import TRAINED_WINDOW
from pipeline.adapters.renderers.musicgen.grouping import Prompts, describe_pieces, group_prompts, make_in_groups
from pipeline.adapters.renderers.musicgen.sampling import Layout, Noise, Sampling, Step, generate_codes
from pipeline.adapters.weights import (
    Weights,
    as_out_of_memory,
    choose_device,
    choose_dtype,
    describe,
    item_generator,
    locate,
    refuse_pickles,
)
from pipeline.values.errors import RenderError
from pipeline.values.units import Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples
    from pipeline.adapters.renderers.musicgen import MusicgenOptions

WANTED = ("*.safetensors", "*.json", "*.txt", "spiece.model")
"""The hub's folders also hold audiocraft's own checkpoints, which are pickles."""

CLASSES = {
    "musicgen": "MusicgenForConditionalGeneration",
    "musicgen_melody": "MusicgenMelodyForConditionalGeneration",
}
"""Class by ``model_type``. The stereo kinds belong to the first, stereo melody to the second."""


class Condition(NamedTuple):
    """What the decoder is conditioned on; with guidance, all items and then as many rows without a description.

    Attributes:
        states: (rows, num_tokens, width), zero where the mask is.
        mask: (rows, num_tokens), 1 for a token and 0 for padding. None for the melody kinds, which read the states
            once, as what comes before the first code; the others look at them at every step.
    """

    states: torch.Tensor
    mask: torch.Tensor | None


class MusicgenEngine:
    """MusicGen's weights on a device."""

    name = "musicgen"

    def __init__(self, options: MusicgenOptions) -> None:
        """Find and load the weights.

        Raises:
            ModelFileError: they cannot be had.
            RenderError: they are no MusicGen, not whole, or pickles.
        """
        self._weights = locate(options, wanted=WANTED)
        self._device = choose_device(options)
        self._dtype = choose_dtype(options, self._device)
        self._sampling = Sampling(options.guidance, options.temperature, options.top_k, options.top_p)
        with as_out_of_memory(f"the weights of {options.model}"):
            self._tokenizer, self._model = _load(self._weights, self._device, self._dtype)
        self._decoder, codec = self._model.decoder, self._model.audio_encoder.config
        self._is_melody = self._model.config.model_type == "musicgen_melody"
        self._hop: int = codec.hop_length
        self.sample_rate: int = codec.sampling_rate
        config = self._decoder.config
        # A stereo model has its codebooks in pairs, left and right, of one delay.
        delays = [book // config.audio_channels for book in range(config.num_codebooks)]
        self._layout = Layout(delays, config.pad_token_id)
        positions = config.max_position_embeddings - max(delays)
        self.longest: Seconds = min(TRAINED_WINDOW, positions * self._hop / self.sample_rate)

    def provenance(self) -> Mapping[str, str]:
        """The weights, and what computes with them."""
        return describe(self._weights, self._device, self._dtype, "transformers", "safetensors", "tokenizers")

    def make(self, pieces: Sequence[Piece]) -> list[Samples]:
        """Return (num_frames, num_channels) raw samples a piece, a little longer than it asks for.

        Raises:
            OutOfMemory: so many at once do not fit.
        """
        texts = [piece.text for piece in pieces]
        with torch.inference_mode(), as_out_of_memory(describe_pieces(pieces)):
            prompts = group_prompts(self._tokenizer, texts, self._is_melody, self._device)
            return make_in_groups(pieces, prompts, self._sample, self._decode)

    def _condition_on(self, prompts: Prompts) -> Condition:
        model, mask = self._model, prompts.mask
        states = model.text_encoder(input_ids=prompts.ids, attention_mask=mask).last_hidden_state
        if hasattr(model, "enc_to_dec_proj"):
            states = model.enc_to_dec_proj(states)
        states = states * mask[..., None]
        if self._sampling.guidance != 1.0:
            # Attention over zeros is zero whatever it weighs: the rows without a description get the same mask, so
            # that no row is masked altogether.
            states, mask = torch.cat([states, torch.zeros_like(states)]), mask.repeat(2, 1)
        if self._is_melody:
            return Condition(torch.cat([self._hum_nothing(len(states)), states], dim=1).to(self._dtype), None)
        return Condition(states.to(self._dtype), mask)

    def _hum_nothing(self, num_rows: int) -> torch.Tensor:
        """What the melody kinds take for no melody: the first of twelve pitches throughout.

        Returns:
            (num_rows, chroma_length, width).
        """
        config = self._model.config
        chroma = torch.zeros((num_rows, config.chroma_length, config.num_chroma), device=self._device)
        chroma[:, :, 0] = 1.0
        projection = getattr(self._model, "audio_enc_to_dec_proj", None)
        return chroma if projection is None else projection(chroma)

    def _sample(self, pieces: Sequence[Piece], prompts: Prompts) -> list[torch.Tensor]:
        condition = self._condition_on(prompts)
        generators = [item_generator(self._device, piece.seed) for piece in pieces]
        noise = Noise(generators, len(self._layout.delays), self._decoder.config.vocab_size)
        num_frames = [math.ceil(round(piece.duration * self.sample_rate) / self._hop) for piece in pieces]
        return generate_codes(self._start(condition), self._layout, num_frames, noise, self._sampling)

    def _start(self, condition: Condition) -> Step:
        """Return what computes one step of a batch after the other."""
        past: Any = None

        def advance(codes: torch.Tensor) -> torch.Tensor:
            nonlocal past
            made = self._decoder(
                input_ids=codes.reshape(-1, 1),
                encoder_hidden_states=None if self._is_melody and past is not None else condition.states,
                encoder_attention_mask=condition.mask,
                past_key_values=past,
                use_cache=True,
            )
            past = made.past_key_values
            # (rows * num_codebooks, positions, vocabulary): the first step of a melody kind has the prefix in front.
            return made.logits[:, -1].view(*codes.shape, -1)

        return advance

    def _decode(self, codes: torch.Tensor) -> list[Samples]:
        """Turn (num_items, num_codebooks, num_frames) of codes into samples; a stereo model has a codec pass a side."""
        sides = [codes] if self._decoder.config.audio_channels == 1 else [codes[:, 0::2], codes[:, 1::2]]
        waves = [self._model.audio_encoder.decode(side[None], [None]).audio_values for side in sides]
        # (num_items, num_channels, num_samples)
        return [wave.T for wave in torch.cat(waves, dim=1).cpu().numpy()]


def _load(weights: Weights, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return tokenizer and model."""
    folder = weights.folder
    refuse_pickles(folder)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as exc:
        raise RenderError(f"model {weights.name}: config.json cannot be read ({type(exc).__name__})") from exc
    if kind not in CLASSES:
        raise RenderError(
            f"model {weights.name}: its config.json says model_type {kind!r}, must be one of {', '.join(CLASSES)}"
        )
    try:
        with hush("transformers"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, report = getattr(transformers, CLASSES[kind]).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as exc:
        # transformers raises many kinds over a folder that is not whole; the first line says which file or key.
        reason = str(exc).strip().partition("\n")[0][:300]
        raise RenderError(f"model {weights.name}: cannot be loaded: {reason}") from exc
    lacking = sorted(set(report["missing_keys"]) | {str(key) for key in report["mismatched_keys"]})
    if lacking:
        # transformers would go on with random numbers in their place.
        raise RenderError(
            f"model {weights.name}: its files lack {len(lacking)} tensors ({', '.join(lacking[:3])}, …); fetch it again"
        )
    model.eval().to(device)
    model.decoder.to(dtype)
    return tokenizer, model
