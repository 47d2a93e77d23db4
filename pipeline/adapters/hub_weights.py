"""Which weights that a person chose lie here already, and how much is to be fetched; nothing is loaded or fetched."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.adapters.weights import WeightOptions, is_folder
from pipeline.values.units import Bytes, Seconds

PATIENCE: Seconds = 5.0
"""For the hub's list of a model's files."""

SAFE = ".safetensors"
SUFFIXES = (SAFE, ".pth", ".pth.tar", ".bin", ".pt")
_PIPELINE = "model_index.json"
_PRECISIONS = (".fp16.", ".bf16.", ".non_ema.")
"""In names of files that are taken only where a variant is stated."""


class WeightsFound(NamedTuple):
    """Where weights are.

    Attributes:
        place: Folder that holds them, or that they will be fetched below.
        num_bytes: What is to be fetched, about; None where nobody says.
        command: Fetches them beforehand; empty where there is none.
    """

    is_here: bool
    place: Path
    num_bytes: Bytes | None = None
    command: str = ""


def find_weights(options: WeightOptions) -> WeightsFound | None:
    """Look for the weights that options name; the hub is asked for the size of what is missing.

    Returns:
        None where the hub's library is not installed.
    """
    if is_folder(options.model):
        folder = Path(options.model).expanduser().absolute()
        return WeightsFound(folder.is_dir(), folder)
    own = options.own_place()
    if own is not None:
        return WeightsFound((own / "config.json").is_file(), own)
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(constants.HF_HUB_CACHE)
    repository = cache / repo_folder_name(repo_id=options.model, repo_type="model")
    if _is_whole(repository, options.revision or "main"):
        return WeightsFound(True, repository)
    revision = f" --revision {options.revision}" if options.revision else ""
    size = None if options.offline else _ask_for_size(options)
    return WeightsFound(False, cache, size, f"hf download {options.model}{revision}")


def _is_whole(repository: Path, revision: str) -> bool:
    """Whether the cache has weights of a revision and none that broke off while it was fetched."""
    reference = repository / "refs" / revision
    try:
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    except (OSError, UnicodeDecodeError):
        return False
    snapshot = repository / "snapshots" / os.path.basename(commit)
    if any((repository / "blobs").glob("*.incomplete")):
        return False
    return any(path.name.endswith(SUFFIXES) and path.is_file() for path in snapshot.rglob("*"))


def _ask_for_size(options: WeightOptions) -> Bytes | None:
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(options.model, revision=options.revision, timeout=PATIENCE, files_metadata=True)
    except (HTTPError, OSError, ValueError):
        return None
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    return sum(sizes[name] for name in choose_files(sizes, getattr(options, "variant", None))) or None


def choose_files(names: Iterable[str], variant: str | None) -> list[str]:
    """Return the files of weights that a renderer takes out of a repository, by the habits of those who publish them.

    Safetensors go before pickles, a pipeline's parts before files of all of them in one, and a variant's files before
    plain ones in the parts that have it.
    """
    listed = sorted(names)
    weights = [name for name in listed if name.endswith(SAFE)] or [name for name in listed if name.endswith(SUFFIXES)]
    if _PIPELINE in listed:
        weights = [name for name in weights if "/" in name]
    plain = [name for name in weights if not any(mark in name for mark in _PRECISIONS)]
    special = [name for name in weights if variant is not None and f".{variant}." in name]
    parts = {name.rpartition("/")[0] for name in special}
    return sorted(special + [name for name in plain if name.rpartition("/")[0] not in parts])
