"""Weights that a person chooses: a model of the hub or of a folder, for every renderer that runs on torch.

Nothing here unpickles: safetensors and plain text are all that is asked of a hub, and no code of a model runs. torch
and the hub's library are imported inside the functions: this module is imported to validate manifests.
"""

from __future__ import annotations

import gc
import hashlib
import platform
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.adapters.files import sha256_file
from pipeline.adapters.provenance import describe_software
from pipeline.contracts.render import Licence, RendererOptions
from pipeline.values.errors import ModelFileError, OutOfMemory, RenderError

FOLDER_STARTS = ("/", "./", "../", "~")
"""How a folder's name begins; anything else is an id of the hub."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Suffixes of weights that are unpickled to be read: whoever wrote them can run code on this machine."""

COMMERCIAL_LICENCES = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC0-1.0",
    "CreativeML-OpenRAIL-M",
    "CreativeML-OpenRAIL++-M",
    "MIT",
    "OpenRAIL-M",
    "OpenRAIL++-M",
)
"""Licences that were read and allow selling what a model makes. The OpenRAIL kinds forbid uses (harassment, medical
advice, …), not selling. A licence that is not listed counts as one that forbids it."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


class WeightOptions(RendererOptions):
    """Base of the options of a renderer that runs on torch.

    A subclass sets ``known_licences``; a model that is not among them needs its licence stated.

    Attributes:
        model: A hub id ``owner/name``, or a folder, which begins with ``/``, ``./``, ``../`` or ``~``. A relative
            folder counts from where the command runs.
        revision: Of the hub: a branch, a tag or a commit. Only a commit names the same weights for ever; which one was
            used stands in the ledger either way.
        dtype: ``auto`` is bfloat16 on CUDA and float32 elsewhere.
        device: ``auto`` is the GPU where there is one, else the processor; or ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        offline: Never ask the hub; what is not in its cache is missing.
        licence: SPDX id of a model that the renderer's own list lacks. It says whether the output may be sold.
    """

    known_licences: ClassVar[Mapping[str, Licence]] = {}

    model: str
    revision: str | None = Field(default=None, min_length=1)
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, mps, cuda, or a GPU by its number such as cuda:1",
        json_schema_extra={"changes_output": False},
    )
    offline: bool = Field(default=False, json_schema_extra={"changes_output": False})
    licence: str | None = Field(default=None, min_length=1, json_schema_extra={"changes_output": False})

    @field_validator("model")
    @classmethod
    def _names_weights(cls, model: str) -> str:
        return check_source(model)

    @model_validator(mode="after")
    def _revision_is_of_the_hub(self) -> WeightOptions:
        if self.revision is not None and is_folder(self.model):
            raise ValueError(f"revision {self.revision!r} is of the hub, and {self.model} is a folder; leave it out")
        return self

    @model_validator(mode="after")
    def _has_a_licence(self) -> WeightOptions:
        known = self._known_licence()
        if known is None and self.licence is None:
            raise ValueError(
                f"the licence of {self.model} is not known here; state it as licence: <SPDX id>, as its card has it"
            )
        if known is not None and self.licence is not None and known.casefold() != self.licence.casefold():
            raise ValueError(f"licence {self.licence}: {self.model} is under {known}; leave licence out")
        return self

    def own_place(self) -> Path | None:
        """Folder of a model that comes neither from the hub nor out of a folder of the user's; None for all others."""
        return None

    @property
    def effective_licence(self) -> Licence:
        """The reviewed licence of a known model, else the one stated."""
        return self._known_licence() or self.licence or "unknown"

    def _known_licence(self) -> Licence | None:
        # The hub answers to an id in any case.
        return {name.casefold(): text for name, text in self.known_licences.items()}.get(self.model.casefold())


@dataclass(frozen=True)
class Weights:
    """Where weights lie, and which they are.

    Attributes:
        name: The hub id, or a folder's own name without the path to it, since it is written into ledgers.
        revision: Commit hash of the hub, or ``sha256:…`` over the names, sizes and contents of a folder's files.
    """

    name: str
    folder: Path
    revision: str


def is_folder(source: str) -> bool:
    """Tell a folder from an id of the hub."""
    return source.startswith(FOLDER_STARTS)


def name_source(source: str) -> str:
    """Return what to call a model in what is written: its hub id, or a folder's own name without the path to it."""
    return Path(source).expanduser().absolute().name if is_folder(source) else source


def check_source(source: str) -> str:
    """Return a model's name as it stands.

    Raises:
        ValueError: it is neither an id of the hub nor a folder.
    """
    if is_folder(source) or _HUB_ID.fullmatch(source):
        return source
    raise ValueError(f"{source!r} is neither a hub id (owner/name) nor a folder (begins with /, ./, ../ or ~)")


def allows_commercial_use(licence: Licence) -> bool:
    """Whether a licence is one of the reviewed ones that allow it; in doubt it does not."""
    return licence.casefold() in {name.casefold() for name in COMMERCIAL_LICENCES}


def locate(options: WeightOptions, *, wanted: Sequence[str]) -> Weights:
    """Return the folder of the weights, fetched from the hub where need be.

    A folder's files are read whole for their hash: about a second a gigabyte.

    Args:
        wanted: Patterns of the files to fetch, or to hash, relative to the model's root; ``*`` crosses slashes.
            Patterns of pickles are the caller's to leave out.

    Raises:
        ModelFileError: there is no such model, revision or file, or it cannot be reached; the text says what to do.
    """
    return locate_source(options.model, options.revision, wanted=wanted, is_offline=options.offline)


def locate_source(source: str, revision: str | None, *, wanted: Sequence[str], is_offline: bool = False) -> Weights:
    """Do what :func:`locate` does for a source that stands beside the model, such as a LoRA."""
    if not is_folder(source):
        folder = _fetch(source, revision, wanted, is_offline)
        return Weights(source, folder, folder.name)
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise ModelFileError(f"model {source}: {folder} is no folder; correct it, or name a hub id as owner/name")
    digest = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = [name for name in names if any(fnmatch(name, pattern) for pattern in wanted)]
    if not chosen:
        raise ModelFileError(f"model {source}: {folder} holds none of the files wanted: {', '.join(wanted)}")
    for name in chosen:
        path = folder / name
        digest.update(f"{name}\0{path.stat().st_size}\0{sha256_file(path)}\n".encode())
    return Weights(name_source(source), folder, f"sha256:{digest.hexdigest()}")


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder whose weights are pickles with no safetensors beside them. Folders within it are not looked at.

    Raises:
        RenderError: names the file, the reason and what to do.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    pickles = [path.name for path in files if path.suffix in PICKLES]
    if pickles and not any(path.suffix == ".safetensors" for path in files):
        raise RenderError(
            f"{folder}: the weights are pickled ({', '.join(pickles[:3])}), and reading a pickle can run whatever code "
            "its maker put in; choose a revision or model with .safetensors files, or convert them where you trust them"
        )


def choose_device(options: WeightOptions) -> str:
    """Return torch's name of the device to use.

    Raises:
        RenderError: the device asked for is not there.
    """
    import torch

    wanted = options.device
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise RenderError("device mps: this machine has no such accelerator; state device: auto")
    if wanted.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(wanted.partition(":")[2] or 0) >= count:
            raise RenderError(f"device {wanted}: torch sees {count} CUDA devices; state device: auto, or num_gpus")
    return wanted


def choose_dtype(options: WeightOptions, device: str) -> Any:
    """Return the ``torch.dtype`` to load weights in."""
    import torch

    if options.dtype == "auto":
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    return getattr(torch, options.dtype)


def item_generator(device: str, seed: int) -> Any:
    """Return a ``torch.Generator`` for one item, so that its chance depends on nothing but its seed.

    A generator of the processor keeps only 32 bits of the seed: two of 100,000 items can start alike, which matters
    only where their texts are the same too.
    """
    import torch

    return torch.Generator(device).manual_seed(seed)


@contextmanager
def as_out_of_memory(what: str) -> Iterator[None]:
    """Turn a device's or the processor's failed allocation into :class:`OutOfMemory`, with what was held let go.

    The processor's memory fails so only where the system refuses it; Linux mostly grants it and ends the process later.

    Args:
        what: What was being made, e.g. ``8 images of 1024 x 1024``, for the text.
    """
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        is_torch = isinstance(exc, torch.OutOfMemoryError)
        if not (is_torch or isinstance(exc, MemoryError) or any(sign in str(exc) for sign in _OUT_OF_MEMORY)):
            raise
        # The frames that failed hold the batch's tensors for as long as the error lives, and a smaller batch needs
        # their room.
        traceback.clear_frames(exc.__traceback__)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{what} do not fit into memory: {str(exc).splitlines()[0][:200] if str(exc) else 'refused'}"
        ) from None


def describe(weights: Weights, device: str, dtype: Any, *packages: str) -> dict[str, str]:
    """State what makes the media, for ``Renderer.provenance``.

    Args:
        packages: Distributions whose versions count; torch is always among them.
    """
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    return {
        "model": weights.name,
        "revision": weights.revision,
        "device": name if device.startswith("cuda") else f"{device} {name}".strip(),
        "dtype": str(dtype).removeprefix("torch."),
        **describe_software("torch", *packages),
    }


def _fetch(source: str, revision: str | None, wanted: Sequence[str], is_offline: bool) -> Path:
    """Return the hub's snapshot folder, which is named by its commit.

    Errors are told in words of our own: the hub's carry addresses and request ids.
    """
    from httpx2 import HTTPError
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    label = f"model {source}" + (f", revision {revision}" if revision else "")
    try:
        with disable_progress_bars():
            folder = snapshot_download(
                source,
                revision=revision,
                allow_patterns=list(wanted),
                local_files_only=is_offline,
            )
    except errors.GatedRepoError as exc:
        advice = "accept its terms on its page, and put a token of your account into the environment as HF_TOKEN"
        raise ModelFileError(f"{label}: the hub gives it only to those who asked; {advice}") from exc
    except errors.RevisionNotFoundError as exc:
        raise ModelFileError(f"{label}: the hub has no such revision; name a branch, tag or commit of it") from exc
    except errors.RepositoryNotFoundError as exc:
        advice = "correct it; one that is private needs a token in HF_TOKEN"
        raise ModelFileError(f"{label}: the hub has no such model that it would show; {advice}") from exc
    except errors.LocalEntryNotFoundError as exc:  # a snapshot that is not whole is of this kind too
        if is_offline:
            advice = "run once with offline: false, or name a folder that holds it"
            raise ModelFileError(f"{label}: not whole in the hub's cache, and offline is stated; {advice}") from exc
        advice = "check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or name a folder that holds it"
        raise ModelFileError(f"{label}: not in the hub's cache, and the hub cannot be reached; {advice}") from exc
    except (errors.EntryNotFoundError, HTTPError, OSError) as exc:
        raise ModelFileError(f"{label}: cannot be fetched from the hub ({type(exc).__name__}); run again") from exc
    return Path(folder)
