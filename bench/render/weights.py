"""Folders of random weights in the true sizes of published models: what a render costs does not depend on their values.

Sizes are those of the models' published configurations, named at each. Vocabularies are the tests' single characters,
since a tokeniser's table has no part in the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.support.tiny_coqui import write_tiny_vits
from tests.support.tiny_diffusers import NOISE
from tests.support.tiny_musicgen import PIECES, make_tokenizer, make_waves_audible
from tests.support.tiny_parts import clip_tokenizer, t5_tokenizer

CODEBOOK = 2048
MUSICGEN = {"small": (1024, 24, 16), "medium": (1536, 48, 24), "large": (2048, 48, 32)}
"""Width, layers and heads of facebook/musicgen-*; the feed-forward part is four times as wide."""

VITS_SIZES: dict[str, Any] = {
    "use_speaker_embedding": True,
    "speaker_embedding_channels": 256,
    "init_discriminator": False,
}
"""Of tts_models/en/vctk/vits; all else is coqui's default."""


def make_on(device: str, dtype: torch.dtype, make: Callable[[], Any]) -> Any:
    """Build a model where it is to run and in the dtype that it is to run in, from the seed 0.

    17 billion weights would take minutes on a processor, and 68 GB in float32.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.device(device):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            model = make()
        finally:
            torch.set_default_dtype(torch.float32)
    return model.to(device)


def save_musicgen(size: str, folder: Path) -> Path:
    """Save MusicGen with its tokeniser."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    make_on(device, torch.float32, lambda: make_musicgen(size)).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def save_vits(folder: Path) -> Path:
    """Save VITS in its full size."""
    return write_tiny_vits(folder, sizes=VITS_SIZES)


def save_narrow_vits(folder: Path) -> Path:
    """Save VITS with a decoder of a quarter of its width, which takes nearly all of its time."""
    return write_tiny_vits(folder, sizes={**VITS_SIZES, "upsample_initial_channel_decoder": 512 // 4})


def make_sd15() -> Any:
    """Return stable-diffusion-v1-5: a U-Net of 0.86 billion weights and CLIP ViT-L/14's text encoder."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    return StableDiffusionPipeline(
        unet=make_sd15_unet(),
        scheduler=_schedule(PNDMScheduler, **NOISE, skip_prk_steps=True, steps_offset=1),
        vae=_make_decoder(4, 0.18215),
        text_encoder=_make_clip(768, 12, 12),
        tokenizer=clip_tokenizer(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_sd15_unet() -> Any:
    """Return the U-Net alone."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


def make_sdxl() -> Any:
    """Return stable-diffusion-xl-base-1.0: a U-Net of 2.57 billion weights, CLIP ViT-L and OpenCLIP bigG."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    return StableDiffusionXLPipeline(
        unet=make_sdxl_unet(),
        scheduler=_schedule(EulerDiscreteScheduler, **NOISE),
        vae=_make_decoder(4, 0.13025),
        text_encoder=_make_clip(768, 12, 12),
        tokenizer=clip_tokenizer(),
        text_encoder_2=_make_clip(1280, 32, 20, has_projection=True),
        tokenizer_2=clip_tokenizer(),
        add_watermarker=False,
    )


def make_sdxl_unet() -> Any:
    """Return the U-Net alone."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + 1280,
    )


def make_flux() -> Any:
    """Return FLUX.1-dev: a transformer of 11.9 billion weights, CLIP ViT-L and the encoder of T5 v1.1 XXL."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
    from transformers import T5Config, T5EncoderModel

    language = T5Config(
        vocab_size=len(t5_tokenizer()),
        d_model=4096,
        d_kv=64,
        d_ff=10240,
        num_layers=24,
        num_heads=64,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
    )
    return FluxPipeline(
        transformer=make_flux_transformer(),
        scheduler=_schedule(FlowMatchEulerDiscreteScheduler, use_dynamic_shifting=True, shift=3.0),
        vae=_make_decoder(16, 0.3611, shift_factor=0.1159),
        text_encoder=_make_clip(768, 12, 12),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(language),
        tokenizer_2=t5_tokenizer(),
    )


def make_flux_transformer() -> Any:
    """Return the transformer alone; its sizes are diffusers' defaults."""
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(guidance_embeds=True)


def make_musicgen(size: str) -> Any:
    """Return facebook/musicgen-small, -medium or -large: T5 base, EnCodec at 32 kHz, four delayed codebooks."""
    import transformers

    width, layers, heads = MUSICGEN[size]
    text = transformers.T5Config(vocab_size=len(PIECES), d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
    codec = transformers.EncodecConfig(
        target_bandwidths=[2.2],
        sampling_rate=32_000,
        num_filters=64,
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=CODEBOOK,
        codebook_dim=128,
        use_causal_conv=False,
        use_conv_shortcut=False,
    )
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=CODEBOOK,
        pad_token_id=CODEBOOK,
        bos_token_id=CODEBOOK,
        hidden_size=width,
        ffn_dim=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_codebooks=4,
    )
    config = transformers.MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder)
    model = transformers.MusicgenForConditionalGeneration(config)
    for key in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, key, CODEBOOK)
    if model.device.type != "meta":
        make_waves_audible(model.audio_encoder)
    return model.eval()


def _schedule(kind: Any, **settings: Any) -> Any:
    """Make a scheduler, whose table of noise is made and read on the processor."""
    with torch.device("cpu"):
        return kind(**settings)


def _make_clip(width: int, layers: int, heads: int, *, has_projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    size = len(clip_tokenizer())
    config = CLIPTextConfig(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        projection_dim=width,
        max_position_embeddings=77,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        pad_token_id=size - 1,
    )
    return CLIPTextModelWithProjection(config) if has_projection else CLIPTextModel(config)


def _make_decoder(channels: int, scaling: float, shift_factor: float | None = None) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=channels,
        scaling_factor=scaling,
        shift_factor=shift_factor,
        use_quant_conv=channels == 4,
        use_post_quant_conv=channels == 4,
        force_upcast=False,
    )
