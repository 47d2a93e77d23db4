"""Addresses of corpora in object stores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.values.errors import CorpusError

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):/")
_S3 = re.compile(r"^s3:/{1,2}([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/+(.+)$")
"""A ``Path`` has folded the two slashes of an address into one."""

_NAME = re.compile(r"^[A-Za-z0-9_+=@,-][A-Za-z0-9._+=@,-]{0,199}$")
"""One name in an address or in a corpus: nothing that a file system or a terminal could take for more than a name."""


@dataclass(frozen=True)
class ObjectAddress:
    """``s3://bucket/prefix``; the prefix is the corpus's root and has neither a first nor a last slash."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def name(self) -> str:
        """The last name of the prefix, as a corpus's folder has one."""
        return self.prefix.rpartition("/")[2]


def is_address(path: Path) -> bool:
    """Tell whether a path from the command line is an address and no path."""
    return _SCHEME.match(str(path)) is not None


def parse_address(path: Path) -> ObjectAddress:
    """Read an address.

    Raises:
        CorpusError: it is of another kind, or lacks bucket or prefix.
    """
    match = _S3.match(str(path))
    if match is None:
        raise CorpusError(
            f"{str(path)[:200]!r}: is no address of a corpus; write s3://BUCKET/NAME, e.g. s3://data/demo"
        )
    prefix = match[2].strip("/")
    if not is_plain(prefix):
        raise CorpusError(
            f"s3://{match[1]}/{prefix[:200]!r}: names between slashes are made of letters, digits and . _ + = @ , - "
            "and begin with no dot"
        )
    return ObjectAddress(match[1], prefix)


def is_plain(relative: str) -> bool:
    """Tell whether an object's name can be a path below a folder, and only that."""
    return len(relative) <= 1000 and all(_NAME.match(name) for name in relative.split("/"))
