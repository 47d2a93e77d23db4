"""One prefix of a bucket, with errors that a person can act on. Keys come from the environment and go into no text."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.files import replacing
from pipeline.adapters.objects.address import ObjectAddress
from pipeline.values.errors import CorpusError, StaleWriter
from pipeline.values.units import Bytes, Seconds

if TYPE_CHECKING:
    from obstore import PutMode

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
MAX_RETRIES = 8
RETRY_FOR: Seconds = 90.0
"""A store that asks for patience (SlowDown, 503) or fails (500) is asked again for so long."""

PIECES = 4
"""Of 5 MB, of one file, that are in memory while it goes up."""

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status:? (\d{3})")


@dataclass(frozen=True)
class Stored:
    """What a bucket tells of an object; ``e_tag`` changes whenever its bytes do."""

    size: Bytes
    e_tag: str


class ObjectChanged(CorpusError):
    """An object is not, or no longer, the version that was listed."""


class Bucket:
    """Objects below an address. Safe across threads.

    Args:
        patience: How long a failing request is repeated.

    Raises:
        CorpusError: the package that speaks the protocol is not installed.
    """

    def __init__(self, address: ObjectAddress, patience: Seconds = RETRY_FOR) -> None:
        self.address = address
        try:
            from obstore.store import S3Store
        except ImportError as exc:
            raise CorpusError(f"{address}: needs the package obstore: pip install 'anyinstruct[objects]'") from exc
        endpoint = next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), None)
        with self._telling("be opened"):
            self._store = S3Store(
                address.bucket,
                prefix=address.prefix,
                client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "300s"},
                retry_config={"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=patience)},
                config={"endpoint": endpoint} if endpoint else {},
            )

    def list(self) -> dict[str, Stored]:
        """Return all objects by their names below the address."""
        import obstore

        with self._telling("be listed"):
            pages = obstore.list(self._store, chunk_size=1000)
            return {meta["path"]: Stored(meta["size"], meta["e_tag"] or "") for page in pages for meta in page}

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small object and its tag; None where there is none."""
        import obstore

        with self._telling(f"give {name}"):
            try:
                found = obstore.get(self._store, name)
                return bytes(found.bytes()), found.meta["e_tag"] or ""
            except FileNotFoundError as exc:
                if _find_code(exc) == "NoSuchBucket":
                    raise
                return None

    def fetch(self, name: str, path: Path, e_tag: str | None = None) -> Stored:
        """Write an object to a file, which is whole or not there.

        Args:
            e_tag: Of the version that is wanted; None for whichever is there.

        Raises:
            ObjectChanged: that version is there no longer.
        """
        import obstore
        from obstore.exceptions import PreconditionError

        with self._telling(f"give {name}"):
            try:
                found = obstore.get(self._store, name, options={"if_match": e_tag} if e_tag else None)
            except (PreconditionError, FileNotFoundError) as exc:
                raise ObjectChanged(f"{self.address}/{name}: was replaced while it was read; run again") from exc
            stored = Stored(found.meta["size"], found.meta["e_tag"] or "")
            with replacing(path) as partial:
                with partial.open("wb") as file:
                    for piece in found.stream():
                        file.write(piece)
                    num_bytes = file.tell()
                if num_bytes != stored.size:
                    raise CorpusError(f"{self.address}/{name}: {num_bytes:,} of {stored.size:,} bytes came; run again")
        return stored

    def put(self, name: str, path: Path) -> Stored:
        """Put a file up, whatever is there; large ones in pieces that show all at once."""
        import obstore

        with self._telling(f"take {name}"):
            size = path.stat().st_size
            return Stored(size, obstore.put(self._store, name, path, max_concurrency=PIECES)["e_tag"] or "")

    def replace(self, name: str, data: bytes, e_tag: str | None) -> Stored:
        """Put bytes up in place of the version that is known.

        Args:
            e_tag: Of the version that may be replaced; None where none may be there.

        Raises:
            StaleWriter: another version is there.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: PutMode = "create" if e_tag is None else {"e_tag": e_tag}
        with self._telling(f"take {name}"):
            try:
                return Stored(len(data), obstore.put(self._store, name, data, mode=mode)["e_tag"] or "")
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as exc:
                if _find_code(exc) == "NoSuchBucket":
                    raise
                # A request whose answer was lost is repeated, and then meets its own outcome.
                now = self.read(name)
                if now is not None and now[0] == data:
                    return Stored(len(data), now[1])
                raise StaleWriter(
                    f"{self.address}/{name}: was replaced by another run meanwhile, which this one must not undo"
                ) from exc

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        import obstore

        if names:
            with self._telling("remove objects"):
                obstore.delete(self._store, list(names))

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Turn the library's errors into ours. Answers quote keys, so of an answer only its code is repeated."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as exc:
            raise CorpusError(f"{self.address}: cannot {what}: {self._advise(exc)}") from exc
        except OSError as exc:
            raise CorpusError(f"{self.address}: cannot {what}: {exc.strerror or exc}") from exc

    def _advise(self, exc: Exception) -> str:
        from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

        code = _find_code(exc)
        if code == "NoSuchBucket":
            return (
                f"there is no bucket {self.address.bucket!r}; make it, or mend the address or ${ENDPOINT_VARIABLES[1]}"
            )
        if isinstance(exc, FileNotFoundError):
            return "it is not there any more; run again"
        if isinstance(exc, PermissionDeniedError | UnauthenticatedError):
            return (
                f"access was refused ({code}); the key in $AWS_ACCESS_KEY_ID must be allowed to list the bucket and to "
                "get, put and delete objects below the address"
            )
        if isinstance(exc, InvalidPathError):
            return "an object below it has a name that is no path; remove it"
        return (
            f"the store failed ({code}), and did so again when asked anew; nothing that was there is lost, run again "
            "later. Keys are read from $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, an address of your own from "
            f"${ENDPOINT_VARIABLES[1]}"
        )


def hash_as_tag(data: bytes) -> str:
    """Return the tag of bytes that were put up in one piece, to a store that does not encrypt with keys of its own."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _find_code(exc: Exception) -> str:
    """Return the store's own code for an error, e.g. ``SlowDown``, its HTTP status, or else our word for it."""
    text = str(exc)
    if code := _CODE.search(text):
        return code[1]
    status = _STATUS.search(text)
    return f"HTTP {status[1]}" if status else type(exc).__name__
