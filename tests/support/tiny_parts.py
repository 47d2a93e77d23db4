"""What tiny pipelines are put together from: tokenizers of single characters, encoders, a decoder of pictures."""

from __future__ import annotations

import string
from typing import Any

WIDTH = 32
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    signs = [*CHARACTERS, *(f"{character}</w>" for character in CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={sign: place for place, sign in enumerate(signs)}, merges=[], model_max_length=77)


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    signs = ["<pad>", "</s>", "<unk>", "▁", *CHARACTERS]
    return T5Tokenizer(vocab=[(sign, -1.0) for sign in signs], extra_ids=0, model_max_length=512)


def clip_encoder(has_projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    size = len(clip_tokenizer())
    config = CLIPTextConfig(
        vocab_size=size,
        hidden_size=WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=3,
        projection_dim=WIDTH,
        max_position_embeddings=77,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        pad_token_id=size - 1,
    )
    return CLIPTextModelWithProjection(config) if has_projection else CLIPTextModel(config)


def t5_encoder() -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(t5_tokenizer()), d_model=WIDTH, d_kv=8, d_ff=37, num_layers=2, num_heads=4, pad_token_id=0
    )
    return T5EncoderModel(config)


def decoder(num_halvings: int = 1) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, *(16,) * num_halvings),
        down_block_types=("DownEncoderBlock2D",) * (num_halvings + 1),
        up_block_types=("UpDecoderBlock2D",) * (num_halvings + 1),
        latent_channels=4,
        shift_factor=0.0,
        norm_num_groups=4,
        sample_size=32,
    )
