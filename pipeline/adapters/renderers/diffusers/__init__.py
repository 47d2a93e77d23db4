"""Pictures by any text-to-image pipeline of the diffusers library that its AutoPipelineForText2Image loads.

Importing this package imports neither torch nor the library of the same name; :meth:`load` does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.adapters.images import ImageExtension
from pipeline.adapters.renderers.diffusers.known import MODELS, TYPICAL, Known, look_up
from pipeline.adapters.weights import WeightOptions, allows_commercial_use, check_source, is_folder, name_source
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions
from pipeline.values.records import Modality
from pipeline.values.render_sections import ImageSection, RendererChoice
from pipeline.values.units import Pixels, Seconds

PACKAGES = {"torch": "torch", "diffusers": "diffusers", "transformers": "transformers", "accelerate": "accelerate"}

GRID: Pixels = 8
"""The least by which a latent model's sides go up: a latent pixel stands for 8 x 8."""

ACHIEVED_TERAFLOPS = 300.0
"""Assumed speed of one H100 in bfloat16: 30 % of its dense peak of 989 TFLOP/s."""

DECODER_TERAFLOPS = 10.0
"""One megapixel through the decoder of Stable Diffusion, counted as in :class:`Known`."""

SchedulerName = Literal[
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
]
"""Schedulers that need no further package and draw from the generators that they are given, if they draw at all.
Models of flow matching (SD3, Flux, Qwen-Image) have one alone; whether another fits is known once the weights are."""


class LoraChoice(BaseModel):
    """A LoRA that is merged into the weights.

    Attributes:
        model: A hub id, or a folder, as for the model.
        file: Its file there, always safetensors.
        weight: How strongly it counts; 1.0 is as it was trained.
        licence: SPDX id, as its card has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    file: str = Field(
        pattern=r"^[^/*?\[\]]+\.safetensors$", description="the name of a .safetensors file, without a folder"
    )
    revision: str | None = Field(default=None, min_length=1)
    weight: float = Field(default=1.0, ge=-4.0, le=4.0)
    licence: str = Field(min_length=1)

    @field_validator("model")
    @classmethod
    def _names_weights(cls, model: str) -> str:
        return check_source(model)

    @model_validator(mode="after")
    def _revision_is_of_the_hub(self) -> LoraChoice:
        if self.revision is not None and is_folder(self.model):
            raise ValueError(f"revision {self.revision!r} is of the hub, and {self.model} is a folder; leave it out")
        return self


class DiffusersOptions(WeightOptions):
    """What a manifest can set, besides width and height, which stand beside the renderer there.

    What is not stated is as the model's card has it for a known model, else as its pipeline has it.

    Attributes:
        variant: Which kind of the weights' files, e.g. ``fp16``: half the download. A part of the pipeline that has no
            file of the kind uses its plain one.
        dtype: The decoder of SDXL makes NaN in float16 unless its configuration says that it is to run in float32;
            such pictures fail as ``nan``. bfloat16, the default on CUDA, has no such fault.
        guidance: How closely the text is followed; 0 for models that were distilled without.
        true_guidance: The same for models that run a second pass for it only where a negative prompt is stated, be it
            a space (FLUX.1, Qwen-Image).
        negative_prompt: What should not be seen.
        loras: Merged in this order.
        vae_tiling: Decode large pictures in tiles: less memory, and faint differences where tiles meet. So it counts as
            changing output.
        compile: ``torch.compile`` the denoiser: minutes at the start and at new batch sizes, then faster. Fused kernels
            round otherwise, so it counts as changing output.
        max_sequence_length: Tokens that a T5, Gemma or Qwen encoder reads; CLIP always reads 77.
        on_long_prompt: A text beyond what any encoder reads is cut by the model. ``say`` keeps the picture and notes
            the words that were dropped; ``fail`` fails the brief as ``long_prompt``.
        edit_strength: How much of its noise a picture that changes another begins with: 1 keeps nothing of the other,
            0.3 little more than its details change. Of the steps only this share is run. It changes those pictures
            alone. Models without image-to-image make them from their words, and say so in the notes.
        extension: ``png`` is exact and the largest.
        quality: Of WebP and JPEG.
    """

    known_licences: ClassVar[Mapping[str, Licence]] = {name: known.licence for name, known in MODELS.items()}

    variant: str | None = Field(default=None, pattern=r"^\w+$", description="one word such as fp16")
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0.0, le=50.0)
    true_guidance: float | None = Field(default=None, ge=0.0, le=50.0)
    negative_prompt: str | None = None
    scheduler: SchedulerName | None = None
    loras: tuple[LoraChoice, ...] = ()
    vae_tiling: bool = False
    compile: bool = False
    max_sequence_length: int | None = Field(default=None, ge=8, le=4096)
    on_long_prompt: Literal["say", "fail"] = "say"
    edit_strength: float = Field(default=0.6, gt=0.0, le=1.0, json_schema_extra={"changes_output": False})
    extension: ImageExtension = "webp"
    quality: int = Field(default=90, ge=1, le=100)

    @property
    def known(self) -> Known | None:
        """What was looked up of the model."""
        return look_up(self.model)


class DiffusersPlugin:
    """Pictures by a diffusion model.

    The same batch gives the same bits on the same machine; in another batch a value may differ by one in 255, since
    kernels round by the shape of what they are given. Every item has a generator of its own, and it is the
    processor's, so that another kind of GPU starts from the same noise.

    Estimates are for one NVIDIA H100 at a third of its peak and are arithmetic, not measured: operations of the passes
    that a picture takes, and of the decoder, over :data:`ACHIEVED_TERAFLOPS`. A processor of two cores takes
    thousands of times as long.
    """

    name = "diffusers"
    version = "1"
    modality = Modality.IMAGE
    is_draft = False
    options: type[RendererOptions] = DiffusersOptions

    def models(self, options: DiffusersOptions) -> Sequence[str]:
        """None of the lock: the hub, or a folder, has them."""
        return ()

    def licences(self, options: DiffusersOptions) -> Mapping[str, Licence]:
        """Of the model and of each LoRA."""
        loras = {f"{name_source(lora.model)}/{lora.file}": lora.licence for lora in options.loras}
        return {name_source(options.model): options.effective_licence, **loras}

    def is_commercial_use_allowed(self, options: DiffusersOptions) -> bool:
        """Only where the licences of the model and of every LoRA are reviewed ones that allow it."""
        return all(map(allows_commercial_use, self.licences(options).values()))

    def missing(self) -> str | None:
        """Name the first Python package that is not installed, or None."""
        for module, package in PACKAGES.items():
            if importlib.util.find_spec(module) is None:
                return f"the diffusers renderer needs the package {package}: pip install 'anyinstruct[models]'"
        return None

    def estimate(self, options: DiffusersOptions, brief: Brief) -> Seconds:
        """Arithmetic for one H100, e.g. SDXL: (50 steps x 2 passes x 6.76 + 10) TFLOP / 300 TFLOP/s = 2.3 s.

        Cost is taken to grow with the pixels; a model that is not known is taken for SDXL.
        """
        known = options.known or TYPICAL
        pixels = (brief.width or known.side) * (brief.height or known.side)
        guidance = options.guidance if options.guidance is not None else known.guidance
        passes = 1 if guidance is not None and guidance <= 1.0 else known.passes
        if options.negative_prompt is not None and (options.true_guidance or 0.0) > 1.0:
            passes = 2
        denoiser = (options.steps or known.steps) * passes * known.teraflops * pixels / known.side**2
        return (denoiser + DECODER_TERAFLOPS * pixels / 1e6) / ACHIEVED_TERAFLOPS

    def describe_edits(self, options: DiffusersOptions) -> Mapping[str, Any]:
        """How far a changed picture may leave the one that it starts from."""
        return {"edit_strength": options.edit_strength}

    def refuse_section(self, options: DiffusersOptions, section: RendererChoice) -> Mapping[str, str]:
        """Name a side that no model's grid of latents comes to; some want multiples of 16 or 32, and say so later."""
        if not isinstance(section, ImageSection):
            return {}
        sides = {"width": section.width, "height": section.height}
        return {
            key: f"{side} is no multiple of {GRID}; state {side // GRID * GRID} or {side // GRID * GRID + GRID}"
            for key, side in sides.items()
            if side % GRID
        }

    def load(self, options: DiffusersOptions, models: ModelFiles) -> Renderer:
        """Fetch what the hub's cache lacks, load the weights and put them on the device.

        Raises:
            ModelFileError: the weights cannot be had.
            RenderError: they are pickles, ask for code of their own, or do not fit the options.
        """
        from pipeline.adapters.renderers.diffusers.loading import load_pipeline
        from pipeline.adapters.renderers.diffusers.renderer import DiffusersRenderer

        return DiffusersRenderer(load_pipeline(options), options)


PLUGIN = DiffusersPlugin()
