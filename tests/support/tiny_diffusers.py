"""Text-to-image pipelines of seven families with tiny random weights, saved as a hub would hold them: 1 to 3 MB each.

A picture takes a tenth of a second and shows noise. Vocabularies are single characters, so that tokens can be counted
by hand: CLIP's reads up to 77, its two own signs included; T5's as many as the pipeline asks for, its end included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tests.support.tiny_flows import make_qwen, make_sana, make_sd3
from tests.support.tiny_parts import WIDTH, clip_encoder, clip_tokenizer, decoder, t5_encoder, t5_tokenizer

Family = Literal["sd", "sdxl", "flux", "pixart", "sd3", "sana", "qwen"]
FAMILIES: tuple[Family, ...] = ("sd", "sdxl", "flux", "pixart", "sd3", "sana", "qwen")

NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def save_pipeline(family: Family, folder: Path, *, has_checker: bool = False, **saving: Any) -> Path:
    """Make a pipeline out of the seed 0 and save it; the global generator is left as it was.

    Args:
        has_checker: Of ``sd``: give it a safety checker that finds fault with every picture.
        saving: ``variant`` and ``max_shard_size``, as diffusers' ``save_pretrained`` takes them.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = _MAKERS[family]()
        if has_checker:
            pipe.register_modules(safety_checker=_strict_checker(), feature_extractor=_picture_reader())
            pipe.register_to_config(requires_safety_checker=True)
        pipe.save_pretrained(folder, safe_serialization=True, **saving)
    return folder


def save_lora(folder: Path, name: str = "style.safetensors") -> Path:
    """Save a LoRA of rank 2 for one attention layer of the tiny Stable Diffusion, strong enough to be seen."""
    import torch
    from safetensors.torch import save_file

    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    generator = torch.Generator().manual_seed(5)
    down, up = (torch.randn(shape, generator=generator) for shape in ((2, 2 * WIDTH), (2 * WIDTH, 2)))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, folder / name)
    return folder


def _unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(WIDTH, 2 * WIDTH),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        **{"cross_attention_dim": WIDTH, "attention_head_dim": 8, **changes},
    )


def _strict_checker() -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 37,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 30,
        "patch_size": 15,
        "projection_dim": WIDTH,
    }
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=WIDTH))
    checker.concept_embeds_weights.data.fill_(-2.0)  # below any cosine
    return checker


def _picture_reader() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})


def _make_sd() -> Any:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    return StableDiffusionPipeline(
        unet=_unet(),
        scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1),
        vae=decoder(),
        text_encoder=clip_encoder(),
        tokenizer=clip_tokenizer(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _make_sdxl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    unet = _unet(
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        cross_attention_dim=2 * WIDTH,
    )
    return StableDiffusionXLPipeline(
        unet=unet,
        scheduler=EulerDiscreteScheduler(**NOISE),
        vae=decoder(),
        text_encoder=clip_encoder(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip_encoder(has_projection=True),
        tokenizer_2=clip_tokenizer(),
        add_watermarker=False,
    )


def _make_flux() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    return FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=decoder(),
        text_encoder=clip_encoder(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5_encoder(),
        tokenizer_2=t5_tokenizer(),
    )


def _make_pixart() -> Any:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    transformer = PixArtTransformer2DModel(
        sample_size=32,  # 256 pixels are the least for which the pipeline has a list of shapes
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=WIDTH,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        use_additional_conditions=False,
    )
    return PixArtAlphaPipeline(
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(),
        vae=decoder(num_halvings=3),
        text_encoder=t5_encoder(),
        tokenizer=t5_tokenizer(),
    )


_MAKERS = {
    "sd": _make_sd,
    "sdxl": _make_sdxl,
    "flux": _make_flux,
    "pixart": _make_pixart,
    "sd3": make_sd3,
    "sana": make_sana,
    "qwen": make_qwen,
}
