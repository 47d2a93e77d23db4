"""From options to the settings of a pipeline's calls."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pipeline.values.errors import RenderError

if TYPE_CHECKING:
    from pipeline.adapters.renderers.diffusers import DiffusersOptions


def fit_settings(pipe: Any, options: DiffusersOptions) -> dict[str, Any]:
    """Return what is passed to a pipeline's every call.

    Raises:
        RenderError: an option was stated that the pipeline does not take.
    """
    taken = inspect.signature(pipe.__call__).parameters
    known = options.known
    stated: dict[str, tuple[str, Any]] = {
        "steps": ("num_inference_steps", options.steps),
        "guidance": ("guidance_scale", options.guidance),
        "true_guidance": ("true_cfg_scale", options.true_guidance),
        "negative_prompt": ("negative_prompt", options.negative_prompt),
        "max_sequence_length": ("max_sequence_length", options.max_sequence_length),
    }
    for option, (name, value) in stated.items():
        if value is not None and name not in taken:
            raise RenderError(f"option {option}: {type(pipe).__name__} takes none; leave it out")
    settings: dict[str, Any] = {}
    if known is not None:
        settings = {"num_inference_steps": known.steps}
        settings |= {"guidance_scale": known.guidance} if known.guidance is not None else {}
        settings |= {"max_sequence_length": known.sequence} if known.sequence is not None else {}
    settings |= {name: value for name, value in stated.values() if value is not None}
    if "clean_caption" in taken:
        settings["clean_caption"] = False  # it would be done or not by whether two further packages are installed
    # Pixels are taken off the device as bytes. Where a pipeline has no such processor, "pt" can mean another range.
    processor = getattr(pipe, "image_processor", None)
    return {**settings, "output_type": "np" if processor is None else "pt"}
