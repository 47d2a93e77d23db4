"""The folder that an import reads: nothing that its files say leads out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from pipeline.contracts.foreign import Lost, Unreadable
from pipeline.values.errors import ManifestError
from pipeline.values.units import Bytes

MAX_MEDIUM_BYTES: Bytes = 512 * 2**20
"""Largest medium that is read; an hour of stereo FLAC has about 350 MB."""


class SourceFolder:
    """Files below one folder, found by pattern, or by a name that a row gives.

    Raises:
        ManifestError: it is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ManifestError(f"{root}: is no folder; name the one that holds the data set")
        self.root = root
        self._resolved = root.resolve()

    def find(self, *patterns: str) -> Iterator[Path]:
        """Yield the files of some patterns, in order of their names. What has a dot in front is left out.

        Raises:
            ManifestError: one of them is a link out of the folder.
        """
        found = {path for pattern in patterns for path in self.root.glob(pattern)}
        for path in sorted(found):
            if any(part.startswith(".") for part in path.relative_to(self.root).parts) or not path.is_file():
                continue
            if not path.resolve().is_relative_to(self._resolved):
                raise ManifestError(f"{path}: is a link out of {self.root}; put the file itself there")
            yield path

    def name(self, path: Path) -> str:
        """Return a file's path below the folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def read_named(self, folder: Path, name: str) -> bytes:
        """Read a medium that a row names, relative to a folder of this one.

        Raises:
            Unreadable: it lies elsewhere, on a server or outside, is not there, or is too large.
        """
        if "://" in name[:20]:
            raise Unreadable(Lost.ELSEWHERE, f"{name!r:.100} lies on a server; nothing is fetched")
        try:
            path = (folder / name).resolve()
            if not path.is_relative_to(self._resolved):
                raise Unreadable(Lost.OUTSIDE, f"{name!r:.100} lies outside of the source")
            if not path.is_file():
                raise Unreadable(Lost.MISSING, f"{name!r:.100} is not there")
            if path.stat().st_size > MAX_MEDIUM_BYTES:
                raise Unreadable(Lost.UNDECODABLE, f"{name!r:.100} is over {MAX_MEDIUM_BYTES // 2**20} MiB")
            return path.read_bytes()
        except (OSError, RuntimeError, ValueError) as exc:  # too long, a ring of links, a NUL, unreadable
            raise Unreadable(Lost.MISSING, f"{name!r:.100} cannot be read: {type(exc).__name__}") from exc


def fetch_nothing(kind: str, name: str) -> NoReturn:
    """The media of a row all lie in it."""
    raise Unreadable(Lost.MISSING, f"the {kind} {name!r:.100} is not in its row")
