"""A model's folder, read without trusting it: where it lies, its config.json, its tensors.

coqui-tts itself loads checkpoints as tensors alone (``weights_only=True``), but three of its habits are kept out: it
unpickles statistics (``audio.stats_path``), it imports whatever class a config names, and it writes into the folder
when it meets an old XTTS checkpoint. So the config is cleaned before coqui sees it, and tensors are read here.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

from pipeline.adapters.renderers.coqui.options import LISTED, CoquiOptions
from pipeline.adapters.weights import Weights, locate, locate_source
from pipeline.values.errors import ModelFileError, RenderError

WANTED = ("*.json", "*.pth", "*.pth.tar", "*.safetensors", "*.txt")
"""Files taken from a hub: weights, settings, vocabulary, speakers."""

ARCHITECTURES = ("vits", "xtts")
"""Models that go from text to sound by themselves. The others make spectrograms and need a second model."""

_FILES = {
    "speakers_file": (
        "use_speaker_embedding",
        ("speaker_ids.json", "speaker_ids.pth", "speakers.pth", "speakers.json"),
    ),
    "speaker_file": ("use_speaker_embedding", ()),
    "d_vector_file": ("use_d_vector_file", ("speakers.json", "speakers.pth")),
    "language_ids_file": ("use_language_embedding", ("language_ids.json",)),
}
"""Keys of a config that name a file: the key that says whether it is used, and the names that files usually have."""

_CHARACTERS = re.compile(r"TTS\.tts\.(utils\.text\.characters|models\.vits)\.[A-Z][A-Za-z]*")
_CLEANERS = re.compile(r"[a-z_]+_cleaners")
_WEIGHTS = (
    "model.safetensors",
    "model_file.pth",
    "model_file.pth.tar",
    "model.pth",
    "checkpoint.pth",
    "best_model.pth",
)
_PASSED_OVER = (
    "TTS.config.shared_configs.BaseDatasetConfig",
    "TTS.tts.configs.xtts_config.XttsArgs",
    "TTS.tts.configs.xtts_config.XttsAudioConfig",
    "TTS.tts.configs.xtts_config.XttsConfig",
    "TTS.tts.models.xtts.XttsArgs",
    "TTS.tts.models.xtts.XttsAudioConfig",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
)
"""Settings and figures (losses) that published checkpoints carry beside their tensors, by the names pickles have."""


class _Inert:
    """Stands in for what is passed over: takes any value and does nothing with it."""

    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def locate_model(options: CoquiOptions) -> Weights:
    """Find a model's folder, fetching it where that is allowed.

    Names that begin with ``tts_models/`` are those of coqui's list. They are kept where coqui-tts keeps them
    (``TTS_HOME``, else ``XDG_DATA_HOME``, else ``~/.local/share``, in ``tts``), or in the hub's cache.

    Raises:
        ModelFileError: there is no such model, or it is not here and cannot be fetched.
    """
    if not options.model.startswith(LISTED):
        return locate(options, wanted=WANTED)
    from TTS.utils.manage import ModelManager

    manager = ModelManager(progress_bar=False)
    kind, _, rest = options.model.partition("/")
    try:
        language, collection, name = rest.split("/")
        item = manager.models_dict[kind][language][collection][name]
    except (KeyError, ValueError) as exc:
        raise ModelFileError(
            f"coqui: its list has no model {options.model!r}; see `tts --list_models`, or name a hub id or a folder"
        ) from exc
    if not manager.tos_agreed(item, manager.output_prefix / options.model.replace("/", "--")):
        raise ModelFileError(
            f"coqui: {options.model} is under the Coqui Public Model License (no commercial use); if you agree to it "
            "(https://coqui.ai/cpml), set COQUI_TOS_AGREED=1 and run again"
        )
    if "repo_id" in item:
        return locate_source(item["repo_id"], options.revision, wanted=WANTED, is_offline=options.offline)
    if options.revision is not None:
        raise ModelFileError(f"coqui: {options.model} comes from a release and has no revisions; leave revision out")
    return locate_source(str(_fetch(options, manager, item)), None, wanted=WANTED)


def _fetch(options: CoquiOptions, manager: Any, item: Any) -> Path:
    """Return the folder of a model that lies in coqui's releases; fetched beside and renamed once whole."""
    place = Path(manager.output_prefix) / options.model.replace("/", "--")
    if (place / "config.json").is_file():
        return place
    if options.offline:
        raise ModelFileError(f"coqui: {options.model} is not at {place}, and options.offline forbids to fetch it")
    if place.exists():
        raise ModelFileError(f"coqui: {place} holds no whole model (a download was cut off); delete it and run again")
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        manager.create_dir_and_download_model(options.model, item, staging)
        staging.rename(place)
    except (OSError, ValueError, BadZipFile) as exc:
        if not (place / "config.json").is_file():  # else another worker was quicker
            raise ModelFileError(
                f"coqui: {options.model} cannot be fetched ({type(exc).__name__}); check the network, or fetch "
                f"{item['github_rls_url']} and unpack it to {place}"
            ) from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return place


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model's config.json, cleaned of what coqui would fetch, import or unpickle at its word.

    Files that it names are looked for in the folder, by their last name only.

    Raises:
        ModelFileError: it is missing, is no config of coqui's, or asks for something that is refused.
    """
    path = folder / "config.json"
    try:
        config = _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise ModelFileError(f"{path}: cannot be read as a coqui model's settings: {exc}") from exc
    if config.get("model") not in ARCHITECTURES:
        raise ModelFileError(
            f"{path}: model is {config.get('model')!r}; the renderer coqui drives {' and '.join(ARCHITECTURES)}"
        )
    inner = config.get("model_args") or {}
    audio = config.get("audio") or {}
    if not isinstance(inner, dict) or not isinstance(audio, dict):
        raise ModelFileError(f"{path}: model_args and audio must be objects")
    if audio.get("stats_path"):
        raise ModelFileError(f"{path}: audio.stats_path names a pickled file, which could run code; it is not read")
    characters = config.get("characters") or {}
    named = characters.get("characters_class") if isinstance(characters, dict) else characters
    if named and not (isinstance(named, str) and _CHARACTERS.fullmatch(named)):
        raise ModelFileError(f"{path}: characters_class is {named!r}, must be one of coqui's own character sets")
    cleaner = config.get("text_cleaner")
    if cleaner and not (isinstance(cleaner, str) and _CLEANERS.fullmatch(cleaner)):
        raise ModelFileError(f"{path}: text_cleaner is {cleaner!r}, must be one of coqui's own cleaners")
    for section in (config, inner):
        for file in _keep_inside(section, folder, {key for key, value in {**config, **inner}.items() if value}):
            if file.suffix == ".pth":
                load_named_values(file)  # coqui reads it again; here it is told what is wrong with it
    config["model_args"] = inner
    return config


def _parse(text: str) -> dict[str, Any]:
    """Parse JSON; the oldest configs have comments in it."""
    try:
        config = json.loads(text)
    except ValueError:
        kept = re.sub(r'("(?:[^"\\]|\\.)*")|/\*.*?\*/|//[^\n]*', lambda m: m.group(1) or "", text, flags=re.DOTALL)
        config = json.loads(kept)
    if not isinstance(config, dict):
        raise ValueError("it is no object")
    return config


def _keep_inside(section: dict[str, Any], folder: Path, stated: set[str]) -> Iterator[Path]:
    """Point a config's files into its folder, and drop what only training and cloning by d-vectors needs.

    Args:
        stated: Keys that have a value anywhere in the config; a file that no key asks for may be missing.

    Yields:
        The files that are asked for.
    """
    for key, (purpose, defaults) in _FILES.items():
        if not section.get(key):
            continue
        if purpose not in stated:
            section[key] = None
            continue
        named = section[key][0] if isinstance(section[key], list) else section[key]
        names = (PurePosixPath(str(named).replace("\\", "/")).name, *defaults)
        found = next((folder / name for name in names if name and (folder / name).is_file()), None)
        if found is None:
            raise ModelFileError(f"{folder}: config.json asks for {names[0]!r} ({key}), which is not there")
        section[key] = [str(found)] if isinstance(section[key], list) else str(found)
        yield found
    for key in ("speaker_encoder_model_path", "speaker_encoder_config_path"):
        if section.get(key):
            section[key] = ""
    for key in ("use_speaker_encoder_as_loss", "init_discriminator"):
        section[key] = False


def find_weights(folder: Path) -> Path:
    """Return the file that holds the model's tensors.

    Raises:
        ModelFileError: there is none, or there are several and none has a usual name.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    patterns = ("*.safetensors", "*model_[0-9]*.pth", "checkpoint_*.pth")
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if len(found) == 1:
        return found[0]
    raise ModelFileError(f"{folder}: weights must be in one file, such as model.safetensors or model.pth")


def load_tensors(path: Path) -> Mapping[str, Any]:
    """Load a model's tensors by name, and nothing else that the file may hold.

    Raises:
        ModelFileError: the file cannot be read, or holds objects besides tensors.
    """
    return {name: value for name, value in _load_plain(path).items() if hasattr(value, "shape")}


def load_named_values(path: Path) -> Mapping[str, Any]:
    """Load a dictionary of tensors or numbers, such as a model's speakers by name.

    Raises:
        ModelFileError: as :func:`load_tensors`.
    """
    return _load_plain(path)


def _load_plain(path: Path) -> dict[str, Any]:
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals([(_Inert, name) for name in _PASSED_OVER]):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        raise ModelFileError(
            f"{path}: holds more than tensors, and unpickling it could run code; it is not loaded. If you trust it, "
            "load it yourself and save its tensors alone (torch.save of the state dict, or safetensors)"
        ) from exc
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, SafetensorError) as exc:
        raise ModelFileError(f"{path}: cannot be read as weights: {exc}") from exc
    inner = data.get("model", data) if isinstance(data, dict) else None
    if not isinstance(inner, dict):
        raise ModelFileError(f"{path}: holds no weights by name")
    return inner


def fill(model: Any, tensors: Mapping[str, Any], source: Path) -> None:
    """Put tensors into a model; each must have its place and each place its tensor.

    Raises:
        RenderError: names or shapes differ: the weights are not those of the config.
    """
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as exc:
        raise RenderError(f"{source}: these weights do not fit their config.json: {str(exc)[:400]}") from exc
