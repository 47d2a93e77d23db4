"""``vq-image``: pictures through a ``VQModel`` of diffusers, one code for each cell of a square grid, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.adapters.audits.plain import find_missing
from pipeline.adapters.decoding import decode_picture
from pipeline.adapters.hushing import hush
from pipeline.adapters.images import encode_picture
from pipeline.adapters.tokenizers.batches import apply_by_shape
from pipeline.adapters.weights import WeightOptions, as_out_of_memory, choose_device, locate, refuse_pickles
from pipeline.contracts.tokenizer import TokenizerFacts
from pipeline.values.errors import RenderError
from pipeline.values.token_strings import Codes

if TYPE_CHECKING:
    import numpy.typing as npt

BATCH = 8


class VqOptions(WeightOptions):
    """Options of ``vq-image``.

    Attributes:
        subfolder: Of a pipeline, where the model lies: ``movq``, ``vqvae``.
        side: Pixels of the square that every picture is brought to.
        is_signed: Whether the model was trained on pixels in [-1, 1], as most were, or in [0, 1].
    """

    subfolder: str = Field(default="", pattern=r"^[\w-]*$")
    side: int = Field(default=256, ge=8, le=1024)
    is_signed: bool = True


class VqTokenizer:
    """Implements :class:`~pipeline.contracts.tokenizer.Tokenizer`."""

    def __init__(self, options: VqOptions) -> None:
        below = f"{options.subfolder}/" if options.subfolder else ""
        weights = locate(options, wanted=(f"{below}*.json", f"{below}*.safetensors"))
        self._model = _load(weights.folder / options.subfolder, weights.name)
        factor = 2 ** (len(self._model.config.block_out_channels) - 1)
        if options.side % factor:
            raise RenderError(f"model {weights.name}: side {options.side} is no multiple of {factor}; choose another")
        self._device = choose_device(options)
        self._model.to(self._device)
        self._options = options
        self._grid = options.side // factor
        self.facts = TokenizerFacts(
            model=weights.name,
            fingerprint=weights.revision,
            licence=options.effective_licence,
            num_codes=self._model.config.num_vq_embeddings,
            num_codebooks=1,
            frames=self._grid**2,
        )

    def prepare(self, data: bytes) -> npt.NDArray[np.float32]:
        """Decode a picture to (3, side, side) in the range of the model; its proportions are not kept."""
        from PIL import Image

        size = (self._options.side, self._options.side)
        picture = decode_picture(data).resize(size, Image.Resampling.LANCZOS)
        pixels = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
        return np.asarray(pixels * 2 - 1 if self._options.is_signed else pixels, dtype=np.float32)

    def encode(self, media: Sequence[npt.NDArray[np.float32]]) -> list[Codes]:
        """Return codes of shape (1, num_cells)."""
        return apply_by_shape(media, BATCH, self._encode)

    def decode(self, codes: Sequence[Codes]) -> list[bytes]:
        """Return PNG of ``side`` pixels."""
        return [encode_picture(pixels, "png", 100) for pixels in apply_by_shape(codes, BATCH, self._decode)]

    def _encode(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        import torch

        with torch.inference_mode(), as_out_of_memory(f"{len(batch)} pictures"):
            latents = self._model.encode(torch.from_numpy(batch).to(self._device)).latents
            indices = self._model.quantize(latents)[2][2]
            return np.asarray(indices.reshape(len(batch), 1, -1).cpu().numpy(), dtype=np.int32)

    def _decode(self, batch: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
        import torch

        config = self._model.config
        shape = (len(batch), self._grid, self._grid, config.vq_embed_dim or config.latent_channels)
        with torch.inference_mode(), as_out_of_memory(f"{len(batch)} pictures"):
            indices = torch.from_numpy(batch.astype(np.int64)).to(self._device).reshape(-1)
            if config.lookup_from_codebook:
                pixels = self._model.decode(indices, force_not_quantize=True, shape=shape).sample
            else:
                entries = self._model.quantize.get_codebook_entry(indices, shape)
                pixels = self._model.decode(entries, force_not_quantize=True).sample
        floats = pixels.cpu().numpy().transpose(0, 2, 3, 1)
        if self._options.is_signed:
            floats = (floats + 1) / 2
        return np.asarray(np.clip(np.rint(floats * 255), 0, 255), dtype=np.uint8)


def _load(folder: Path, name: str) -> Any:
    import torch
    from diffusers import VQModel
    from safetensors import SafetensorError

    if not folder.is_dir():
        raise RenderError(f"model {name}: has no folder {folder.name}; correct subfolder")
    refuse_pickles(folder)
    try:
        with hush("diffusers"):
            model, report = VQModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32, output_loading_info=True
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as exc:
        # diffusers raises many kinds over a folder that is not whole; the first line says which file or key.
        reason = str(exc).strip().partition("\n")[0][:300]
        raise RenderError(f"model {name}: cannot be loaded: {reason}") from exc
    if lacking := sorted(map(str, report["missing_keys"])):
        raise RenderError(f"model {name}: its files lack {len(lacking)} tensors ({', '.join(lacking[:3])}, …)")
    return model.eval()


class VqPlugin:
    """Implements :class:`~pipeline.contracts.tokenizer.TokenizerPlugin`."""

    name = "vq-image"
    version = "1"
    kinds: Sequence[str] = ("image",)
    options = VqOptions

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        return find_missing(("torch", "diffusers", "safetensors"), "models")

    def open(self, options: VqOptions) -> VqTokenizer:
        """Find and load the weights."""
        return VqTokenizer(options)


PLUGIN = VqPlugin()
