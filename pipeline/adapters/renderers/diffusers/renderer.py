"""The diffusers renderer: briefs in, one call of the pipeline a batch, pictures encoded beside the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from functools import partial as bind
from typing import TYPE_CHECKING, Any

from pipeline.adapters.images import encode_picture, is_blank
from pipeline.adapters.renderers.diffusers.editing import Editor, make_editor, open_source
from pipeline.adapters.renderers.diffusers.loading import LoadedPipeline, first_line, hushed
from pipeline.adapters.renderers.diffusers.prompts import PromptReader, Reading
from pipeline.adapters.renderers.diffusers.settings import fit_settings
from pipeline.adapters.weights import as_out_of_memory, describe, item_generator
from pipeline.contracts.render import Brief, Finish, ImageFacts, Outcome, Render, RenderFailure
from pipeline.values.errors import RenderError
from pipeline.values.records import Modality
from pipeline.values.units import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

    from pipeline.adapters.images import Picture
    from pipeline.adapters.renderers.diffusers import DiffusersOptions

MIN_SIDE: Pixels = 16
MAX_SIDE: Pixels = 4_096

Size = tuple[Pixels | None, Pixels | None]


@dataclass(frozen=True)
class Item:
    """A brief that can be rendered.

    Attributes:
        place: Among the briefs that were given.
        source: The picture to start from; None for a new one.
    """

    place: int
    brief: Brief
    reading: Reading
    source: Image | None

    @property
    def bucket(self) -> tuple[Size, bool]:
        """What shares a call of the pipeline: new pictures of one size, or changed ones."""
        return (self.brief.width, self.brief.height), self.source is not None


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
    """Renders image briefs, those of one size in one call; pictures that start from others in calls of their own."""

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
        buckets: dict[tuple[Size, bool], list[Item]] = {}
        for place, brief in enumerate(briefs):
            item = self._read(place, brief)
            if isinstance(item, RenderFailure):
                outcomes[place] = item
            else:
                buckets.setdefault(item.bucket, []).append(item)
        for items in buckets.values():
            made = self._make(items)
            for number, item in enumerate(items):
                if isinstance(made, str):
                    outcomes[item.place] = _bad_brief(item.brief, made)
                else:
                    outcomes[item.place] = self._finish(item, made, number)
        return [outcomes[place] for place in range(len(briefs))]

    @cached_property
    def _editor(self) -> Editor | str:
        """What changes pictures, or why this model cannot."""
        return make_editor(self._loaded.pipe, self._options)

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

    def _read(self, place: int, brief: Brief) -> Item | RenderFailure:
        """Check a brief, count its words and open its source, or say why it cannot be rendered."""
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
        if brief.source is None or isinstance(self._editor, str):
            return Item(place, brief, reading, None)
        try:
            return Item(place, brief, reading, open_source(brief, brief.source))
        except ValueError as exc:
            return RenderFailure(code="bad_source", message=f"brief {brief.id}: {brief.source.asset}: {exc}")

    def _call(self, items: Sequence[Item]) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline for the items of a bucket, and all that it is called with but texts and generators."""
        (width, height), is_edit = items[0].bucket
        if is_edit and isinstance(self._editor, Editor):
            editor = self._editor
            settings = {**editor.settings, "image": [item.source for item in items]}
            if editor.takes_size:
                settings |= {"width": width, "height": height}
            pipe = editor.pipe
        else:
            pipe, settings = self._loaded.pipe, {**self._settings, "width": width, "height": height}
        if "negative_prompt" in settings:
            settings["negative_prompt"] = [settings["negative_prompt"]] * len(items)
        return pipe, settings

    def _make(self, items: Sequence[Item]) -> Made | str:
        """Render the items of a bucket; where the pipeline refuses what it is asked for, return its reason."""
        device, (size, _) = self._loaded.device, items[0].bucket
        pipe, settings = self._call(items)
        texts = [item.reading.text for item in items]
        # Of the processor, so that the noise does not depend on which device makes the picture.
        generators = [item_generator("cpu", item.brief.seed) for item in items]
        before = _global_state(device)
        what = f"{len(items)} pictures of {size[0] or 'default'} x {size[1] or 'default'} pixels"
        try:
            with hushed(), as_out_of_memory(what):
                made = _collect(pipe(texts, generator=generators, **settings))
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

    def _finish(self, item: Item, made: Made, number: int) -> Outcome | Finish:
        """Judge what is known at once; the rest looks at pixels."""
        brief, notes = item.brief, item.reading.notes()
        if brief.source is not None:
            notes |= self._editor.notes() if isinstance(self._editor, Editor) else {"not_edited": self._editor}
        if made.unsafe[number]:
            return RenderFailure(
                code="unsafe", message=f"brief {brief.id}: the model's own safety checker withheld the picture"
            )
        if not made.finite[number]:
            return RenderFailure(
                code="nan",
                message=f"brief {brief.id}: the picture holds NaN; in float16 state dtype: bfloat16 or float32",
            )
        is_edit = item.source is not None
        return bind(finish_picture, brief, made.pictures[number], self._options, notes, is_edit)


def finish_picture(
    brief: Brief, picture: Picture, options: DiffusersOptions, notes: Mapping[str, Any], is_edit: bool = False
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
    return Render(data=data, extension=options.extension, facts=facts, notes=notes, is_edit=is_edit)


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
