"""Random codecs and a picture tokenizer of a few hundred kilobytes, as folders of the hub have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = ("encodec", "mimi", "dac", "vq-image")
NUM_CODES = 32
SIDE = 32
SPREAD = 0.002
"""Of the entries of a codebook: no more than random weights tell noises apart by."""


def save_tiny_tokenizer(folder: Path, name: str, seed: int = 0) -> Path:
    """Write weights and configuration; returns the folder."""
    import torch

    # The global generator is put back: the libraries initialise weights from no other.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make(name)
        for key, weight in model.named_parameters():
            if name == "encodec" and key.endswith("bias"):
                # They outweigh what random weights make of a sound, and all sounds would have the same codes.
                torch.nn.init.zeros_(weight)
        for key, buffer in model.named_buffers():
            # Codebooks that training fills begin as zeros, and every code would be the first one.
            if key.endswith(("codebook.embed", "codebook.embed_sum")):
                buffer.normal_(std=SPREAD)
        model.save_pretrained(folder)
    return folder


def options_for(folder: Path, name: str) -> dict[str, Any]:
    """What an export states for such a tokenizer."""
    own = {"side": SIDE} if name == "vq-image" else {}
    return {"tokenizer": name, "model": str(folder), "licence": "MIT", **own}


def _make(name: str) -> Any:
    import transformers
    from diffusers import VQModel

    if name == "vq-image":
        return VQModel(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            num_vq_embeddings=NUM_CODES,
        )
    if name == "encodec":
        config = transformers.EncodecConfig(
            target_bandwidths=[0.25, 1.0],
            sampling_rate=16_000,
            hidden_size=16,
            num_filters=4,
            upsampling_ratios=[8, 5, 4, 2],
            codebook_size=NUM_CODES,
            num_lstm_layers=1,
        )
        return transformers.EncodecModel(config)
    if name == "mimi":
        return transformers.MimiModel(
            transformers.MimiConfig(
                sampling_rate=8_000,
                hidden_size=16,
                num_filters=4,
                upsampling_ratios=[8, 5, 4, 2],
                codebook_size=NUM_CODES,
                codebook_dim=8,
                vector_quantization_hidden_dimension=8,
                num_quantizers=4,
                num_hidden_layers=1,
                intermediate_size=32,
                num_attention_heads=2,
                num_key_value_heads=2,
                head_dim=8,
                upsample_groups=16,
                sliding_window=16,
                frame_rate=12.5,
            )
        )
    return transformers.DacModel(
        transformers.DacConfig(
            encoder_hidden_size=8,
            downsampling_ratios=[2, 4, 5, 8],
            decoder_hidden_size=32,
            n_codebooks=4,
            codebook_size=NUM_CODES,
            codebook_dim=4,
            sampling_rate=16_000,
        )
    )
