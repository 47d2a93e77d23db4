"""Files that people write, or that what they write names: read whole, where they are files and of a sane size."""

from __future__ import annotations

import stat
from pathlib import Path

from pipeline.values.errors import ManifestError
from pipeline.values.units import Bytes

MAX_BYTES: Bytes = 32 * 2**20
"""About sixty times the longest file that comes with us."""


def read_written(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        ManifestError: it is not there or not to be read, is no file but a device or a pipe, which may never end, or has
            more than :data:`MAX_BYTES`.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ManifestError(f"{path}: cannot be read: it is no file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:  # a path with a NUL or half a surrogate pair is a ValueError
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise ManifestError(f"{path}: cannot be read: {reason}") from exc
    if len(data) > MAX_BYTES:
        raise ManifestError(f"{path}: over {MAX_BYTES // 2**20} MiB, which no file of this kind should be")
    return data
