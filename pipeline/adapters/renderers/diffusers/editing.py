"""Image-to-image over the weights that make new pictures: nothing is loaded a second time."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from pipeline.adapters.decoding import decode_picture
from pipeline.adapters.renderers.diffusers.loading import first_line, hushed
from pipeline.adapters.renderers.diffusers.settings import fit_settings
from pipeline.contracts.render import Brief, Source
from pipeline.values.errors import RenderError

if TYPE_CHECKING:
    from PIL.Image import Image

    from pipeline.adapters.renderers.diffusers import DiffusersOptions


@dataclass(frozen=True)
class Editor:
    """A pipeline that starts from pictures.

    Attributes:
        settings: Passed to its every call.
        takes_size: Whether it is told a size, or makes pictures of the size that it is given.
    """

    pipe: Any
    settings: Mapping[str, Any]
    takes_size: bool

    def notes(self) -> dict[str, Any]:
        """What is worth keeping of it, for ``Render.notes``."""
        return {"edit_pipeline": type(self.pipe).__name__, "edit_strength": self.settings["strength"]}


def make_editor(pipe: Any, options: DiffusersOptions) -> Editor | str:
    """Return what changes pictures with the weights of a pipeline, or say why there is none."""
    from diffusers import AutoPipelineForImage2Image

    try:
        with hushed():
            editing = AutoPipelineForImage2Image.from_pipe(pipe)
            editing.set_progress_bar_config(disable=True)
        taken = inspect.signature(editing.__call__).parameters
        if not {"image", "strength"} <= set(taken):
            return f"{type(editing).__name__} starts from no picture at a strength"
        settings = fit_settings(editing, options)
    except (ValueError, RenderError) as exc:
        return f"{type(pipe).__name__} has no image-to-image with these options: {first_line(exc)}"
    # Of the steps only their share by the strength is run, and that must be one at least.
    steps = settings.get("num_inference_steps", taken["num_inference_steps"].default)
    settings |= {"strength": options.edit_strength, "num_inference_steps": max(steps, ceil(1 / options.edit_strength))}
    return Editor(editing, settings, {"width", "height"} <= set(taken))


def open_source(brief: Brief, source: Source) -> Image:
    """Return the picture that a brief starts from, in the brief's size.

    Raises:
        ValueError: its bytes are no picture.
    """
    from PIL.Image import Resampling

    picture = decode_picture(source.load())
    size = (brief.width or picture.width, brief.height or picture.height)
    return picture if picture.size == size else picture.resize(size, Resampling.LANCZOS)
