"""MusicGen as audiocraft builds it, from checkpoints opened without unpickling code.

The transformer, the conditioner and a codec of audiocraft's own are audiocraft's; sampling and batching are those of
the ``musicgen`` renderer.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
import transformers
from safetensors import SafetensorError

from pipeline.adapters.hushing import hush
from pipeline.adapters.music import Piece
from pipeline.adapters.renderers.audiocraft.stand_ins import standing_in
from pipeline.adapters.renderers.musicgen.grouping import Prompts, describe_pieces, group_prompts, make_in_groups
from pipeline.adapters.renderers.musicgen.sampling import Layout, Noise, Sampling, generate_codes
from pipeline.adapters.weights import (
    Weights,
    as_out_of_memory,
    choose_device,
    choose_dtype,
    describe,
    item_generator,
    locate,
    locate_source,
)
from pipeline.values.errors import RenderError
from pipeline.values.units import Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples
    from pipeline.adapters.renderers.audiocraft import AudiocraftOptions

LANGUAGE_MODEL, CODEC = "state_dict.bin", "compression_state_dict.bin"
PLAIN = ("*.safetensors", "*.json", "*.txt", "spiece.model")
"""Of the text encoder and of a codec for transformers."""

T5_OWNER = "google-t5"
"""Who keeps on the hub what audiocraft calls ``t5-base``."""


DAMAGE = (
    AssertionError,
    AttributeError,
    ImportError,
    KeyError,
    OSError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What audiocraft, OmegaConf and transformers raise over files that are not what audiocraft trusts them to be."""


class AudiocraftEngine:
    """audiocraft's MusicGen on a device."""

    name = "audiocraft"

    def __init__(self, options: AudiocraftOptions) -> None:
        """Find and load the weights.

        Raises:
            ModelFileError: they cannot be had.
            RenderError: they are no MusicGen that works without a melody, not whole, or hold more than data.
        """
        self._options = options
        self._weights = locate(options, wanted=(LANGUAGE_MODEL, CODEC))
        self._device = choose_device(options)
        self._dtype = choose_dtype(options, self._device)
        self._sampling = Sampling(options.guidance, options.temperature, options.top_k, options.top_p)
        self._parts: dict[str, str] = {}
        loading = f"the weights of {options.model}"
        with standing_in(), hush("transformers"), as_out_of_memory(loading), self._telling_what_fails():
            self._model = self._load_language_model()
            self._codec = self._load_codec(self._model.cfg)
        delays = _delays_of(self._model, self._weights.name)
        self._layout = Layout(delays, self._model.special_token_id)
        self._prompter = self._model.condition_provider.conditioners["description"]
        self.sample_rate: int = self._codec.sample_rate
        self._hop = round(self.sample_rate / self._codec.frame_rate)
        self.longest: Seconds = float(self._model.cfg.dataset.segment_duration)

    def provenance(self) -> Mapping[str, str]:
        """The weights, and what computes with them."""
        facts = describe(self._weights, self._device, self._dtype, "audiocraft", "transformers", "safetensors")
        return {**facts, **self._parts}

    def make(self, pieces: Sequence[Piece]) -> list[Samples]:
        """Return (num_frames, num_channels) raw samples a piece, a little longer than it asks for.

        Raises:
            OutOfMemory: so many at once do not fit.
        """
        texts = [piece.text for piece in pieces]
        with standing_in(), torch.inference_mode(), as_out_of_memory(describe_pieces(pieces)):
            # Cross-attention here is given no mask, so that padding draws weight away from the words.
            prompts = group_prompts(self._prompter.t5_tokenizer, texts, True, self._device)
            return make_in_groups(pieces, prompts, self._sample, self._decode)

    def _decode(self, codes: torch.Tensor) -> list[Samples]:
        # (num_items, num_channels, num_samples)
        return [wave.T for wave in self._codec.decode(codes, None).cpu().numpy()]

    def _sample(self, pieces: Sequence[Piece], prompts: Prompts) -> list[torch.Tensor]:
        states, mask = self._prompter({"input_ids": prompts.ids, "attention_mask": prompts.mask})
        if self._sampling.guidance != 1.0:
            states = torch.cat([states, torch.zeros_like(states)])
            mask = torch.cat([mask, torch.zeros_like(mask)])
        condition = {"description": (states.to(self._dtype), mask)}
        generators = [item_generator(self._device, piece.seed) for piece in pieces]
        noise = Noise(generators, len(self._layout.delays), self._model.card)
        num_frames = [math.ceil(round(piece.duration * self.sample_rate) / self._hop) for piece in pieces]

        def advance(codes: torch.Tensor) -> torch.Tensor:
            # (rows, num_codebooks, 1, vocabulary)
            logits: torch.Tensor = self._model(codes[..., None], conditions=[], condition_tensors=condition)
            return logits[:, :, -1]

        # While streaming, the model keeps what came before.
        with self._model.streaming():
            return generate_codes(advance, self._layout, num_frames, noise, self._sampling)

    def _load_language_model(self) -> Any:
        from audiocraft.models import builders
        from audiocraft.models.loaders import OmegaConf

        packed = _open(self._weights, LANGUAGE_MODEL)
        config = OmegaConf.create(packed["xp.cfg"])
        config.device, config.dtype = self._device, "float32"
        kinds = {name: entry.model for name, entry in config.conditioners.items() if name != "args"}
        if config.lm_model != "transformer_lm" or kinds != {"description": "t5"}:
            raise RenderError(
                f"model {self._weights.name}: it is a {config.lm_model} on {', '.join(sorted(kinds)) or 'nothing'}; "
                "audiocraft is driven here by a description through T5 alone, and musicgen takes the melody kinds too"
            )
        t5 = config.conditioners.description.t5
        # In float32, since T5 overflows in float16.
        t5.autocast_dtype = None
        named = t5.name if "/" in t5.name else f"{T5_OWNER}/{t5.name}"
        folder = self._find_part("text_encoder", self._options.text_encoder or named).folder
        with _t5_from(folder):
            model = builders.get_lm_model(config)
        model.load_state_dict(packed["best_state"])
        model.cfg = config
        model.eval().to(self._dtype)
        model.condition_provider.float()
        return model

    def _load_codec(self, config: Any) -> Any:
        from audiocraft.models import builders
        from audiocraft.models.encodec import HFEncodecCompressionModel
        from audiocraft.models.loaders import OmegaConf

        packed = _open(self._weights, CODEC)
        if "pretrained" in packed:
            folder = self._find_part("codec", self._options.codec or packed["pretrained"]).folder
            codec = HFEncodecCompressionModel(
                transformers.EncodecModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            )
        else:
            own = OmegaConf.create(packed["xp.cfg"])
            own.device = self._device
            codec = builders.get_compression_model(own)
            codec.load_state_dict(packed["best_state"])
        wrapped = builders.get_wrapped_compression_model(codec, config)
        return wrapped.to(self._device).eval()

    def _find_part(self, part: str, source: str) -> Weights:
        found = locate_source(source, None, wanted=PLAIN, is_offline=self._options.offline)
        self._parts[part] = f"{found.name} {found.revision}"
        return found

    @contextmanager
    def _telling_what_fails(self) -> Iterator[None]:
        try:
            yield
        except DAMAGE as exc:
            reason = f"{type(exc).__name__}: {str(exc).strip().partition(chr(10))[0][:300]}"
            raise RenderError(f"model {self._weights.name}: cannot be loaded: {reason}") from exc
        except RuntimeError as exc:
            if not str(exc).startswith("Error(s) in loading state_dict"):
                raise
            reason = " ".join(str(exc).split())[:300]
            raise RenderError(f"model {self._weights.name}: weights and configuration differ: {reason}") from exc


def _open(weights: Weights, name: str) -> Mapping[str, Any]:
    """Open a checkpoint, which may hold tensors, numbers, text and containers of them, and nothing else."""
    path = weights.folder / name
    if not path.is_file():
        raise RenderError(f"model {weights.name}: it has no {name}; audiocraft.utils.export writes both its files")
    try:
        packed = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as exc:
        raise RenderError(
            f"model {weights.name}: {name} is damaged, or holds more than tensors and text, which could run code when "
            "opened; export it again with audiocraft.utils.export where you trust it"
        ) from exc
    if not isinstance(packed, Mapping):
        raise RenderError(f"model {weights.name}: {name} holds no checkpoint of audiocraft")
    return packed


def _delays_of(model: Any, name: str) -> list[int]:
    from audiocraft.modules.codebooks_patterns import DelayedPatternProvider

    pattern = model.pattern_provider
    if not isinstance(pattern, DelayedPatternProvider) or pattern.flatten_first or pattern.empty_initial:
        raise RenderError(f"model {name}: its codebooks are not plainly delayed ({type(pattern).__name__})")
    return list(pattern.delays)


@contextmanager
def _t5_from(folder: Path) -> Iterator[None]:
    """Let audiocraft's conditioner take T5 from a folder; it would ask the hub, and take a pickle too."""
    from audiocraft.modules import conditioners

    former = conditioners.T5Tokenizer, conditioners.T5EncoderModel
    conditioners.T5Tokenizer = SimpleNamespace(
        from_pretrained=lambda name: transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    )
    conditioners.T5EncoderModel = SimpleNamespace(
        from_pretrained=lambda name: transformers.T5EncoderModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    )
    try:
        yield
    finally:
        conditioners.T5Tokenizer, conditioners.T5EncoderModel = former
