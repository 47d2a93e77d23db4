"""Tars as a source: nothing is unpacked, a member is a run of bytes in a file that its name finds."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.foreign.folder import MAX_MEDIUM_BYTES
from pipeline.contracts.foreign import Lost, Unreadable
from pipeline.values.errors import ManifestError


@dataclass(frozen=True)
class Member:
    """A file in a tar: where its bytes lie."""

    tar: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            Unreadable: it is larger than any medium, or the tar is cut off.
        """
        if self.size > MAX_MEDIUM_BYTES:
            raise Unreadable(Lost.UNDECODABLE, f"a file of the tar is over {MAX_MEDIUM_BYTES // 2**20} MiB")
        with self.tar.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise Unreadable(Lost.MISSING, f"{self.tar.name} is cut off")
        return data


def scan_tar(path: Path) -> Iterator[tuple[str, Member]]:
    """Yield names and places of the plain files of a tar, reading headers alone. Links and devices are passed over.

    Raises:
        ManifestError: it is no tar, or a compressed one, in which nothing can be found without unpacking it.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep every header
                if member.isreg() and not member.issparse():
                    yield member.name.removeprefix("./"), Member(path, member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError, ValueError) as exc:
        raise ManifestError(f"{path}: cannot be read as a tar: {exc}; unpack it where it is compressed") from exc


class TarIndex:
    """All members of some tars by name; of a name that stands twice the first counts."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._members: dict[str, Member] = {}
        for path in paths:
            for name, member in scan_tar(path):
                self._members.setdefault(name, member)

    def find(self, name: str) -> Member | None:
        """Return a member by the whole name that a row gives it."""
        return self._members.get(name.removeprefix("./"))
