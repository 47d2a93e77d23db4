"""Tiny random pipelines of flow matching: SD3, Sana, which reads by Gemma, and Qwen-Image, which reads by Qwen."""

from __future__ import annotations

import string
from typing import Any

from tests.support.tiny_parts import CHARACTERS, WIDTH, clip_encoder, clip_tokenizer, decoder, t5_encoder, t5_tokenizer

BYTE_SIGNS = [*map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0xAD)), *map(chr, range(0xAE, 0x100))]
"""What byte-level vocabularies write for the bytes that can be printed."""

BYTE_SIGNS += [chr(0x100 + number) for number in range(256 - len(BYTE_SIGNS))]
"""And for the others."""


def make_sd3() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * WIDTH,
        out_channels=4,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=decoder(),
        text_encoder=clip_encoder(has_projection=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip_encoder(has_projection=True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5_encoder(),
        tokenizer_3=t5_tokenizer(),
    )


def make_sana() -> Any:
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    transformer = SanaTransformer2DModel(
        sample_size=16,  # 512 pixels are the least for which the pipeline has a list of shapes
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=WIDTH,
    )
    num_scales = 6  # five halvings, as the real one has: 512 pixels are 16 x 16 numbers a channel
    coder: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        coder[f"{side}_block_types"] = ("ResBlock",) * num_scales
        coder[f"{side}_block_out_channels"] = (8,) * num_scales
        coder[f"{side}_layers_per_block"] = (1,) * num_scales
        coder[f"{side}_qkv_multiscales"] = ((),) * num_scales
    vae = AutoencoderDC(
        latent_channels=4, upsample_block_type="interpolate", downsample_block_type="conv", scaling_factor=0.4, **coder
    )
    tokenizer = gemma_tokenizer()
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
    )
    return SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=Gemma2Model(config),
        vae=vae,
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )


def make_qwen() -> Any:
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    tokenizer = qwen_tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 37,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
    return QwenImagePipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)),
        tokenizer=tokenizer,
    )


def gemma_tokenizer() -> Any:
    from transformers import GemmaTokenizer

    signs = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "\n", *CHARACTERS, *string.ascii_uppercase]
    return GemmaTokenizer(vocab={sign: place for place, sign in enumerate(signs)}, merges=[], model_max_length=8192)


def qwen_tokenizer() -> Any:
    from transformers import Qwen2Tokenizer

    signs = ["<|endoftext|>", *BYTE_SIGNS]
    tokenizer = Qwen2Tokenizer(vocab={sign: place for place, sign in enumerate(signs)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.model_max_length = 131_072
    return tokenizer
