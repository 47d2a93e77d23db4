"""Random CLIP, SigLIP, CLAP and image classifier of a few hundred kilobytes, as folders of the hub have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from tests.support.tiny_musicgen import PIECES, make_tokenizer

Kind = Literal["clip", "siglip", "clap", "classifier"]
SIDE = 32
LONGEST = 16
"""Tokens of a text, one a letter."""

_TEXT: dict[str, Any] = {
    "vocab_size": len(PIECES),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "pad_token_id": 0,
}
_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}


def save_tiny_towers(folder: Path, kind: Kind, seed: int = 0) -> Path:
    """Write weights, configuration and what prepares the input; returns the folder."""
    # The global generator is put back: transformers initialises weights from no other.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make(kind)
    model.save_pretrained(folder)
    if kind == "clap":
        reader = transformers.ClapFeatureExtractor(
            feature_size=16, sampling_rate=8_000, frequency_max=4_000, truncation="rand_trunc"
        )
        reader.save_pretrained(folder)
    else:
        size = {"height": SIDE, "width": SIDE}
        transformers.ViTImageProcessor(size=size).save_pretrained(folder)
    if kind != "classifier":
        tokenizer = make_tokenizer()
        tokenizer.model_max_length = LONGEST
        tokenizer.save_pretrained(folder)
    return folder


def _make(kind: Kind) -> Any:
    if kind == "classifier":
        labels = {0: "normal", 1: "NSFW", 2: "gore"}
        config = transformers.ViTConfig(**_VISION, id2label=labels, label2id={label: i for i, label in labels.items()})
        return transformers.ViTForImageClassification(config).eval()
    if kind == "clip":
        text = {**_TEXT, "max_position_embeddings": LONGEST}
        return transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=12)
        ).eval()
    if kind == "siglip":
        text = {**_TEXT, "max_position_embeddings": LONGEST}
        return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=_VISION)).eval()
    audio = {
        "num_mel_bins": 16,
        "spec_size": 64,
        "window_size": 4,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 16,
        "num_classes": 4,
    }
    text = {**_TEXT, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    return transformers.ClapModel(config).eval()
