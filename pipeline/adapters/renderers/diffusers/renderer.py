"""The diffusers renderer: briefs in, one call of the pipeline a batch, pictures encoded beside the next one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial as bind
from typing import TYPE_CHECKING, Any

from pipeline.adapters.images import encode_picture, is_blank
from pipeline.adapters.renderers.diffusers.loading import LoadedPipeline, first_line, hushed
from pipeline.adapters.renderers.diffusers.prompts import PromptReader, Reading
from pipeline.adapters.weights import as_out_of_memory, describe, item_generator
from pipeline.contracts.render import Brief, Finish, ImageFacts, Outcome, Render, RenderFailure
from pipeline.values.errors import RenderError
from pipeline.values.records import Modality
from pipeline.values.units import Pixels

if TYPE_CHECKING:
    from pipeline.adapters.images import Picture
    from pipeline.adapters.renderers.diffusers import DiffusersOptions

MIN_SIDE: Pixels = 16
MAX_SIDE: Pixels = 4_096

Size = tuple[Pixels | None, Pixels | None]


@dataclass(frozen=True)
class Made:
    """A batch as it left the device.

    Attributes:
        pictures: (count, height, width, 3).
        finite: Whether each picture is of numbers only.
        unsafe: Whether the model's own checker withheld each, and left black in its place.
    """

    pictures: Sequence[Picture]
    finite: Sequence[bool]
    unsafe: Sequence[bool]


class DiffusersRenderer:
    """Renders image briefs, those of one size in one call."""

    def __init__(self, loaded: LoadedPipeline, options: DiffusersOptions) -> None:
        """Fit the options to the pipeline; raises RenderError where it takes one of them not."""
        self._loaded = loaded
        self._options = options
        known = options.known
        sequence = options.max_sequence_length or (known.sequence if known else None)
        self._settings = fit_settings(loaded.pipe, options)
        self._reader = PromptReader(loaded.pipe, sequence)

    def render(self, briefs: Sequence[Brief]) -> list[Outcome | Finish]:
        """Return one outcome per brief, in order, or what gates and encodes it.

        Raises:
            OutOfMemory: the batch does not fit; nothing of it was made.
            RenderError: the pipeline failed for a reason that lies in no brief.
        """
        outcomes: dict[int, Outcome | Finish] = {}
        by_size: dict[Size, list[tuple[int, Brief, Reading]]] = {}
        for place, brief in enumerate(briefs):
            reading = self._read(brief)
            if isinstance(reading, RenderFailure):
                outcomes[place] = reading
            else:
                by_size.setdefault((brief.width, brief.height), []).append((place, brief, reading))
        for size, group in by_size.items():
            made = self._make([brief for _, brief, _ in group], [reading for _, _, reading in group], size)
            for number, (place, brief, reading) in enumerate(group):
                if isinstance(made, str):
                    outcomes[place] = _bad_brief(brief, made)
                else:
                    outcomes[place] = self._finish(brief, reading, made, number)
        return [outcomes[place] for place in range(len(briefs))]

    def provenance(self) -> Mapping[str, str]:
        """Weights, LoRAs, pipeline and scheduler, libraries, dtype and device."""
        loaded, packages = self._loaded, ["diffusers", "transformers", "accelerate", "pillow"]
        loras = {
            f"lora {weights.name}/{lora.file}": weights.revision
            for weights, lora in zip(loaded.loras, self._options.loras, strict=True)
        }
        return {
            "pipeline": type(loaded.pipe).__name__,
            "scheduler": type(loaded.pipe.scheduler).__name__,
            **describe(loaded.weights, loaded.device, loaded.dtype, *packages, *(["peft"] if loras else [])),
            **loras,
        }

    def _read(self, brief: Brief) -> Reading | RenderFailure:
        """Check a brief and count its words, or say why it cannot be rendered."""
        if brief.modality is not Modality.IMAGE:
            return _bad_brief(brief, f"modality is {brief.modality}, must be {Modality.IMAGE}")
        for name, side in (("width", brief.width), ("height", brief.height)):
            if side is not None and not MIN_SIDE <= side <= MAX_SIDE:
                return _bad_brief(brief, f"{name} is {side} pixels, must be {MIN_SIDE} to {MAX_SIDE}")
        try:
            brief.text.encode()
        except UnicodeEncodeError as exc:
            return _bad_brief(brief, f"its text is no Unicode at character {exc.start}")
        reading = self._reader.read(brief.text)
        if not reading.text.strip():
            return _bad_brief(brief, "its text is empty")
        if reading.dropped and self._options.on_long_prompt == "fail":
            return RenderFailure(
                code="long_prompt",
                message=f"brief {brief.id}: {reading.tokens} tokens, the model reads {reading.limit}; it would drop "
                f"{reading.notes()['dropped_text']!r}",
            )
        return reading

    def _make(self, briefs: Sequence[Brief], readings: Sequence[Reading], size: Size) -> Made | str:
        """Render briefs of one size; where the pipeline refuses what it is asked for, return its reason."""
        pipe, device = self._loaded.pipe, self._loaded.device
        settings = dict(self._settings)
        if "negative_prompt" in settings:
            settings["negative_prompt"] = [settings["negative_prompt"]] * len(briefs)
        texts = [reading.text for reading in readings]
        # Of the processor, so that the noise does not depend on which device makes the picture.
        generators = [item_generator("cpu", brief.seed) for brief in briefs]
        before = _global_state(device)
        what = f"{len(briefs)} pictures of {size[0] or 'default'} x {size[1] or 'default'} pixels"
        try:
            with hushed(), as_out_of_memory(what):
                made = _collect(pipe(texts, width=size[0], height=size[1], generator=generators, **settings))
        except ValueError as exc:
            # A pipeline checks what it is given before it works: the size, since texts and options were checked.
            return f"{type(pipe).__name__} refuses it: {first_line(exc)}"
        except (RuntimeError, TypeError, IndexError, KeyError, AttributeError) as exc:
            raise RenderError(f"{type(pipe).__name__} failed over {what}: {first_line(exc)}") from exc
        if _global_state(device) != before:
            raise RenderError(
                f"{type(pipe).__name__} draws noise beside the generators that it is given, so its pictures would not "
                "follow from their seeds; choose another model or scheduler"
            )
        return made

    def _finish(self, brief: Brief, reading: Reading, made: Made, number: int) -> Outcome | Finish:
        """Judge what is known at once; the rest looks at pixels."""
        if made.unsafe[number]:
            return RenderFailure(
                code="unsafe", message=f"brief {brief.id}: the model's own safety checker withheld the picture"
            )
        if not made.finite[number]:
            return RenderFailure(
                code="nan",
                message=f"brief {brief.id}: the picture holds NaN; in float16 state dtype: bfloat16 or float32",
            )
        return bind(finish_picture, brief, made.pictures[number], self._options, reading.notes())


def finish_picture(
    brief: Brief, picture: Picture, options: DiffusersOptions, notes: Mapping[str, Any]
) -> Render | RenderFailure:
    """Gate and encode a picture of (height, width, 3)."""
    height, width = picture.shape[:2]
    if (brief.width or width, brief.height or height) != (width, height):
        return RenderFailure(
            code="wrong_size",
            message=f"brief {brief.id}: the model makes {width} x {height} pixels of {brief.width} x {brief.height}; "
            "state a width and height that are multiples of 32",
        )
    if is_blank(picture):
        return RenderFailure(code="blank", message=f"brief {brief.id}: the picture has one colour all over")
    data = encode_picture(picture, options.extension, options.quality)
    facts = ImageFacts(width=width, height=height)
    return Render(data=data, extension=options.extension, facts=facts, notes=notes)


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


def _collect(result: Any) -> Made:
    """Turn pictures of numbers in [0, 1] into bytes, on the device that holds them."""
    import numpy as np
    import torch

    images = result.images
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images).movedim(-1, 1)
    elif isinstance(images, list):
        images = torch.stack(images)
    # In float32: bfloat16 has no room for 255 steps.
    numbers = images.detach().float()
    finite = torch.isfinite(numbers).flatten(1).all(dim=1)
    colours = torch.nan_to_num(numbers).mul(255).round().clamp(0, 255).to(torch.uint8)
    pictures = colours.movedim(1, -1).contiguous().cpu().numpy()
    flags = getattr(result, "nsfw_content_detected", None) or [False] * len(pictures)
    return Made(list(pictures), finite.tolist(), [bool(flag) for flag in flags])


def _global_state(device: str) -> bytes:
    """Return the state of the generators that nobody may draw from here; 5 KB, a matter of microseconds."""
    import torch

    states = [torch.random.get_rng_state()]
    if device.startswith("cuda"):
        states.append(torch.cuda.get_rng_state(device))
    return b"".join(state.numpy().tobytes() for state in states)


def _bad_brief(brief: Brief, reason: str) -> RenderFailure:
    return RenderFailure(code="bad_brief", message=f"brief {brief.id}: {reason}")
