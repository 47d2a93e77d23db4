"""Files that are whole or not there: written beside, flushed, renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.values.errors import CorpusError

PARTIAL = ".partial"

STAGING = "staging-"
"""Begins the names of folders in which a shard is put together; what a kill leaves in one is begun anew."""


@contextmanager
def replacing(path: Path, may_commit: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a path to write to; on leaving, flush it and rename it to ``path``.

    Args:
        path: What the file is called once whole.
        may_commit: Called just before the rename; raises to forbid it.

    Raises:
        CorpusError: the disk is full, the folder cannot be written, …; nothing of the old file is lost.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        may_commit()
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as exc:
        # Where the name is too long, or the folder may not be entered, there is nothing to take away either.
        with suppress(OSError):
            partial.unlink()
        raise CorpusError(f"{path}: cannot be written: {exc.strerror or exc}; nothing that was there is lost") from exc
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any, may_commit: Callable[[], None] = lambda: None) -> None:
    """Write a JSON file whole, in a form that diffs well."""
    with replacing(path, may_commit) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; None where there is none.

    Raises:
        CorpusError: it is there and cannot be understood.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as exc:
        raise CorpusError(f"{path}: cannot be read: {exc}") from exc


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
