"""``encodec``, ``mimi`` and ``dac``: neural codecs of transformers, for music and speech.

All three quantise in residual steps: the first codebooks of a sound are the same however many are asked for, and any
number of the first ones can be decoded. ``mimi``'s first codebook was taught by a speech model to follow meaning, so a
language model can be given that one alone (``layers: 1`` of an export) while the array keeps the others. Sound is mixed
to one channel and brought to the codec's sample rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.audits.plain import find_missing
from pipeline.adapters.audits.weighed import PACKAGES, load_parts
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.resampling import resample
from pipeline.adapters.tokenizers.batches import apply_by_shape
from pipeline.adapters.weights import WeightOptions, as_out_of_memory, choose_device
from pipeline.contracts.render import Licence
from pipeline.contracts.tokenizer import TokenizerFacts
from pipeline.values.errors import RenderError
from pipeline.values.token_strings import Codes

if TYPE_CHECKING:
    import numpy.typing as npt

BATCH = 8
"""Sounds of one length at once."""


class CodecOptions(WeightOptions):
    """Options of a codec.

    Attributes:
        codebooks: How many of the first ones are kept; None for all that the model has.
    """

    known_licences: ClassVar[Mapping[str, Licence]] = MappingProxyType(
        {
            "facebook/encodec_32khz": "CC-BY-NC-4.0",
            "kyutai/mimi": "CC-BY-4.0",
            "descript/dac_16khz": "MIT",
            "descript/dac_24khz": "MIT",
            "descript/dac_44khz": "MIT",
        }
    )

    codebooks: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Family:
    """How one kind of codec is asked.

    Attributes:
        model: Its class in transformers.
        num_codebooks: Of a configuration.
        hop: Frames of sound behind one frame of codes.
        encode: Model, sound of shape (batch, 1, num_samples) and codebooks to (batch, codebooks, num_frames).
        decode: Model and such codes to (batch, num_samples).
    """

    model: str
    num_codebooks: Callable[[Any], int]
    hop: Callable[[Any], int]
    encode: Callable[[Any, Any, int], Any]
    decode: Callable[[Any, Any], Any]


class CodecTokenizer:
    """Implements :class:`~pipeline.contracts.tokenizer.Tokenizer`."""

    def __init__(self, family: Family, options: CodecOptions) -> None:
        weights, model, _ = load_parts(options, family.model)
        self._family = family
        self._device = choose_device(options)
        self._model = model.to(self._device)
        config = model.config
        there = family.num_codebooks(config)
        wanted = options.codebooks or there
        if wanted > there:
            raise RenderError(f"model {weights.name}: has {there} codebooks, {wanted} are asked for; state fewer")
        if getattr(config, "audio_channels", 1) != 1 or getattr(config, "chunk_length_s", None) is not None:
            raise RenderError(
                f"model {weights.name}: is of stereo sound in chunks, whose loudness is no code; choose a mono one, "
                "such as facebook/encodec_32khz"
            )
        self._hop = family.hop(config)
        self.facts = TokenizerFacts(
            model=weights.name,
            fingerprint=weights.revision,
            licence=options.effective_licence,
            num_codes=config.codebook_size,
            num_codebooks=wanted,
            frames_per_second=config.sampling_rate / self._hop,
            sample_rate=config.sampling_rate,
        )

    def prepare(self, data: bytes) -> npt.NDArray[np.float32]:
        """Decode a sound to (num_samples,) at the codec's rate, silence appended up to a whole frame of codes."""
        samples, rate = decode_sound(data)
        if not len(samples):
            raise ValueError("holds no sound")
        wanted = self.facts.sample_rate or rate
        mono = resample(samples.mean(axis=1, keepdims=True), rate, wanted)[:, 0]
        return np.pad(mono, (0, -len(mono) % self._hop)).astype(np.float32)

    def encode(self, media: Sequence[npt.NDArray[np.float32]]) -> list[Codes]:
        """Return codes of shape (num_codebooks, num_frames)."""
        return apply_by_shape(media, BATCH, self._encode)

    def decode(self, codes: Sequence[Codes]) -> list[bytes]:
        """Return FLAC of one channel at the codec's rate."""
        rate = self.facts.sample_rate or 0
        return [encode_audio(samples, rate) for samples in apply_by_shape(codes, BATCH, self._decode)]

    def _encode(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        import torch

        with torch.inference_mode(), as_out_of_memory(f"{len(batch)} sounds"):
            values = torch.from_numpy(batch)[:, None].to(self._device)
            codes = self._family.encode(self._model, values, self.facts.num_codebooks)
            return np.asarray(codes.cpu().numpy(), dtype=np.int32)

    def _decode(self, batch: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode(), as_out_of_memory(f"{len(batch)} sounds"):
            codes = torch.from_numpy(batch.astype(np.int64)).to(self._device)
            sound = self._family.decode(self._model, codes).cpu().numpy()
        return np.asarray(np.clip(sound, -1, 1), dtype=np.float32)


def _encode_encodec(model: Any, values: Any, num_codebooks: int) -> Any:
    """The model takes a bandwidth: the least one that has as many codebooks."""
    enough = [
        bandwidth
        for bandwidth in sorted(model.config.target_bandwidths)
        if model.quantizer.get_num_quantizers_for_bandwidth(bandwidth) >= num_codebooks
    ]
    return model.encode(values, None, enough[0]).audio_codes[0][:, :num_codebooks]


@dataclass(frozen=True)
class CodecPlugin:
    """Implements :class:`~pipeline.contracts.tokenizer.TokenizerPlugin`."""

    name: str
    family: Family
    version: str = "1"
    kinds: Sequence[str] = ("music", "speech")
    options: type[CodecOptions] = CodecOptions

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        return find_missing(PACKAGES, "models")

    def open(self, options: CodecOptions) -> CodecTokenizer:
        """Find and load the weights."""
        return CodecTokenizer(self.family, options)


ENCODEC = CodecPlugin(
    "encodec",
    Family(
        model="EncodecModel",
        num_codebooks=lambda config: int(config.num_quantizers),
        hop=lambda config: int(config.hop_length),
        encode=_encode_encodec,
        decode=lambda model, codes: model.decode(codes[None], [None]).audio_values[:, 0],
    ),
)
MIMI = CodecPlugin(
    "mimi",
    Family(
        model="MimiModel",
        num_codebooks=lambda config: int(config.num_quantizers),
        hop=lambda config: int(config.frame_size),
        encode=lambda model, values, num: model.encode(values, num_quantizers=num).audio_codes,
        decode=lambda model, codes: model.decode(codes).audio_values[:, 0],
    ),
)
DAC = CodecPlugin(
    "dac",
    Family(
        model="DacModel",
        num_codebooks=lambda config: int(config.n_codebooks),
        hop=lambda config: int(config.hop_length),
        encode=lambda model, values, num: model.encode(values, n_quantizers=num).audio_codes,
        decode=lambda model, codes: model.decode(audio_codes=codes).audio_values,
    ),
)
