"""Words of `merge` that its command line and its work share."""

from __future__ import annotations

from enum import StrEnum


class OnConflict(StrEnum):
    """What becomes of a dialogue whose id another corpus has with other content."""

    ERROR = "error"
    KEEP_FIRST = "keep-first"
    RENAME = "rename"
