"""From options to a pipeline on its device: which files are needed, what is refused, and what is set once."""

from __future__ import annotations

import importlib.util
import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.adapters.hushing import hush
from pipeline.adapters.weights import (
    Weights,
    as_out_of_memory,
    choose_device,
    choose_dtype,
    is_folder,
    locate,
    locate_source,
    refuse_pickles,
)
from pipeline.values.errors import RenderError

if TYPE_CHECKING:
    from pipeline.adapters.renderers.diffusers import DiffusersOptions

INDEX = "model_index.json"
TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Settings and vocabularies of a part; ``.model`` is SentencePiece's, a table without code."""

STEMS = ("model", "diffusion_pytorch_model")
LIBRARIES = ("diffusers", "transformers")


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline on its device, and what it was loaded from.

    Attributes:
        pipe: Of diffusers. Another task over the same weights is ``AutoPipelineForImage2Image.from_pipe(pipe)``.
        dtype: A ``torch.dtype``.
        loras: In the order of the options.
    """

    pipe: Any
    weights: Weights
    device: str
    dtype: Any
    loras: tuple[Weights, ...]


def load_pipeline(options: DiffusersOptions) -> LoadedPipeline:
    """Fetch, check and load.

    Raises:
        ModelFileError: the weights cannot be had.
        RenderError: they are pickles, ask for code of their own, or do not fit the options.
    """
    device = choose_device(options)
    dtype = choose_dtype(options, device)
    with hushed() as heard, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of interfaces of one library that another one uses
        weights = find_weights(options)
        loras = tuple(
            locate_source(lora.model, lora.revision, wanted=(lora.file,), is_offline=options.offline)
            for lora in options.loras
        )
        with as_out_of_memory(f"the weights of {weights.name}"):
            pipe = _read(weights, options, dtype, heard)
            _set_scheduler(pipe, options)
            _merge_loras(pipe, options, loras)
            if options.vae_tiling:
                has_tiles = hasattr(getattr(pipe, "vae", None), "enable_tiling")
                _demand(has_tiles, pipe, "vae_tiling", "its decoder knows no tiles")
                pipe.vae.enable_tiling()
            pipe.set_progress_bar_config(disable=True)
            pipe.to(device)
            if options.compile:
                (getattr(pipe, "transformer", None) or pipe.unet).compile()
    return LoadedPipeline(pipe, weights, device, dtype, loras)


def find_weights(options: DiffusersOptions) -> Weights:
    """Locate the files of the parts that the model's index names, and of the wanted variant where a part has it.

    Raises:
        ModelFileError: the model, the revision or its index cannot be had.
        RenderError: no part has the variant, or a part's weights are pickles or come with code.
    """
    index = locate(options, wanted=(INDEX,))
    pinned = options if is_folder(options.model) else options.model_copy(update={"revision": index.revision})
    parts = read_index(index.folder)
    texts = [INDEX, *(f"{part}/{pattern}" for part in parts for pattern in TEXTS)]
    special = {part: weight_patterns(part, options.variant) for part in parts} if options.variant else {}
    if special and not is_folder(options.model):
        locate(pinned, wanted=[INDEX, *(pattern for patterns in special.values() for pattern in patterns)])
    having = {part: found for part, found in special.items() if any(any(index.folder.glob(name)) for name in found)}
    if options.variant and not having:
        raise RenderError(f"model {index.name} has no files of the variant {options.variant!r}; leave variant out")
    chosen = [pattern for part in parts for pattern in having.get(part, weight_patterns(part, None))]
    weights = locate(pinned, wanted=[*texts, *chosen])
    for part in parts:
        folder = weights.folder / part
        if folder.is_dir():
            refuse_pickles(folder)
            _refuse_code(folder, index.name)
    return weights


def read_index(folder: Path) -> list[str]:
    """Return the names of a pipeline's parts.

    Raises:
        RenderError: the index is not one of diffusers, or names code of the model's own.
    """
    from diffusers import pipelines

    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise RenderError(f"{path}: cannot be read: {exc}; the model is no whole pipeline of diffusers") from exc
    if not isinstance(index, Mapping) or not isinstance(index.get("_class_name"), str):
        raise RenderError(f"{path}: names no pipeline of diffusers; a model that needs code of its own is not loaded")
    parts = {name: value for name, value in index.items() if not name.startswith("_") and _is_part(value)}
    for name, value in parts.items():
        library = str(value[0])
        # Beside the two libraries there are folders of diffusers itself, such as stable_diffusion for its checker.
        if not name.isidentifier() or not (library in LIBRARIES or hasattr(pipelines, library)):
            known = " and ".join(LIBRARIES)
            raise RenderError(f"{path}: part {name!r} comes from {library!r}; only parts of {known} are loaded")
    return list(parts)


def weight_patterns(part: str, variant: str | None) -> list[str]:
    """Return the patterns of a part's files of safetensors, whole and in pieces."""
    kind = f".{variant}" if variant else ""
    pieces = "-?????-of-?????"
    names = [f"{stem}{kind}{piece}.safetensors" for stem in STEMS for piece in ("", pieces)]
    if variant:  # the way in which diffusers once named pieces
        names += [f"{stem}{pieces}{kind}.safetensors" for stem in STEMS]
    return [f"{part}/{name}" for name in names]


def hushed() -> AbstractContextManager[list[str]]:
    """Collect what diffusers and transformers would print.

    Both talk of what is handled here (a text that is cut, a picture that is withheld), at every batch.
    """
    return hush(*LIBRARIES)


def _read(weights: Weights, options: DiffusersOptions, dtype: Any, heard: list[str]) -> Any:
    from diffusers import AutoPipelineForText2Image
    from safetensors import SafetensorError

    try:
        pipe = AutoPipelineForText2Image.from_pretrained(
            str(weights.folder),
            dtype=dtype,
            variant=options.variant,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as exc:
        raise RenderError(
            f"model {weights.name} cannot be loaded: {first_line(exc)}; it must be a text-to-image pipeline of "
            "diffusers whose weights are .safetensors"
        ) from exc
    lacking = [text for text in heard if "newly initialized" in text or "MISSING" in text]
    if lacking:
        # The library would go on with noise in the place of these weights.
        raise RenderError(f"model {weights.name}: weights are missing from its files: {lacking[0][:500]}")
    return pipe


def first_line(exc: Exception) -> str:
    """Return what an error of a library says, without the pages that some add."""
    return str(exc).splitlines()[0][:300] if str(exc) else type(exc).__name__


def _set_scheduler(pipe: Any, options: DiffusersOptions) -> None:
    if options.scheduler is None:
        return
    import diffusers

    kind, present = getattr(diffusers, options.scheduler), pipe.scheduler
    if "use_flow_sigmas" in present.config and present.config.use_flow_sigmas:
        fits = "use_flow_sigmas" in inspect.signature(kind.__init__).parameters
    elif "beta_start" in present.config:
        fits = "beta_start" in inspect.signature(kind.__init__).parameters
    else:
        fits = isinstance(present, kind)
    reason = f"{options.scheduler} does not fit its weights, which were made for {type(present).__name__}"
    _demand(fits, pipe, "scheduler", f"{reason}; leave it out")
    pipe.scheduler = kind.from_config(present.config)


def _merge_loras(pipe: Any, options: DiffusersOptions, found: Sequence[Weights]) -> None:
    """Merge into the weights, so that a picture costs what it costs without."""
    if not found:
        return
    _demand(hasattr(pipe, "load_lora_weights"), pipe, "loras", "it takes none")
    if importlib.util.find_spec("peft") is None:
        raise RenderError("loras need the package peft: pip install peft")
    from safetensors import SafetensorError

    names = [f"lora_{place}" for place in range(len(found))]
    for name, lora, weights in zip(names, options.loras, found, strict=True):
        try:
            pipe.load_lora_weights(str(weights.folder), weight_name=lora.file, adapter_name=name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as exc:
            raise RenderError(f"LoRA {weights.name}/{lora.file} does not fit the model: {first_line(exc)}") from exc
    pipe.set_adapters(names, [lora.weight for lora in options.loras])
    pipe.fuse_lora(adapter_names=names)
    pipe.unload_lora_weights()


def _refuse_code(folder: Path, model: str) -> None:
    """Refuse a part that comes with a program; diffusers would not run it either, but would not say so as plainly."""
    programs = sorted(path.name for path in folder.glob("*.py"))
    if programs:
        raise RenderError(
            f"model {model}: {folder.name}/{programs[0]} is code of the model's own, which is never run; choose a "
            "model that diffusers knows"
        )


def _demand(holds: bool, pipe: Any, option: str, reason: str) -> None:
    if not holds:
        raise RenderError(f"option {option}: {type(pipe).__name__}: {reason}")


def _is_part(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] is not None
