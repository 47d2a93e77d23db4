from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.adapters.hub_weights import WeightsFound
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.model_lock import ModelLock
from pipeline.adapters.renderers import minimal
from pipeline.adapters.renderers.musicgen import MusicgenOptions
from pipeline.cli.doctor import examine, fetch_each
from pipeline.execution import diagnosis, diagnosis_files
from pipeline.execution.diagnosis_files import look_at_weights
from pipeline.values.errors import ManifestError
from pipeline.values.writer import Writer

KEY = "sk-secret-0123456789"
MANIFEST = """
schema_version: 1
name: little
topics: {{list: [kites]}}
mix: [{{name: draw, gives: [text], answers: [text, image], rounds: [1, 1]}}]
writer: {writer}
render:
  image: {{renderer: minimal-image, num_gpus: {gpus}}}
"""


class Handler(BaseHTTPRequestHandler):
    """Answers as the class attributes say, to whatever path."""

    status = 200
    body = b""
    delay = 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay)
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # the client may have had enough of waiting
            self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(status: int, body: bytes, delay: float = 0.0) -> Iterator[str]:
    handler = type("Told", (Handler,), {"status": status, "body": body, "delay": delay})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def models_named(*names: str) -> bytes:
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "us"} for name in names]
    return json.dumps({"object": "list", "data": listed}).encode()


def write(folder: Path, writer: str, gpus: float = 0) -> Path:
    path = folder / "little.yaml"
    path.write_text(MANIFEST.format(writer=writer, gpus=gpus), encoding="utf-8")
    return path


def remote(url: str, model: str = "writer-1") -> str:
    return (
        f"{{engine: openai, model: {model}, base_url: {url!r}, api_key_env: TEST_KEY, price: {{input: 1, output: 1}}}}"
    )


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no key, no GPU, and a screen wide enough for a fact a line."""
    monkeypatch.setenv("ANYINSTRUCT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("ANYINSTRUCT_MODELS", "OPENAI_API_KEY", "OPENAI_BASE_URL", "TEST_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_manifest_everything_is_told_and_nothing_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert examine(None, fetch=False) == 0
    out = capsys.readouterr().out
    for words in ("minimal-image", "kokoro", "smollm2-135m-instruct-q4_1", "54 voices", "$OPENAI_API_KEY", "/dev/shm"):
        assert words in out
    assert "DRAFT" in out
    assert "anyinstruct doctor --fetch" in out


def test_neither_ray_nor_torch_is_imported() -> None:
    code = (
        "import sys; from pipeline.cli.doctor import examine; examine(None, False); "
        "sys.exit(bool({'ray', 'torch', 'onnxruntime', 'cyllama'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_with_a_manifest_only_what_it_needs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with serving(200, models_named("writer-1", "other")) as url:
        assert examine(write(tmp_path, remote(url)), fetch=False) == 0
    out = capsys.readouterr().out
    assert f"{url}" in out
    assert "lists writer-1" in out
    assert "All that it needs is here." in out
    assert KEY not in out
    assert "kokoro" not in out
    assert "smollm2" not in out


@pytest.mark.parametrize(
    ("status", "body", "words", "code"),
    [
        (401, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), "refuses the key (401)", 1),
        (404, b"{}", "gives no list of models (404)", 0),
        (200, models_named("another"), "does not list writer-1 among 1 model", 0),
        (200, b"<html>hello</html>", "is no such endpoint", 1),
    ],
)
def test_what_an_endpoint_says_is_told_and_never_the_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: bytes,
    words: str,
    code: int,
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with serving(status, body) as url:
        assert examine(write(tmp_path, remote(url)), fetch=False) == code
    out = capsys.readouterr().out
    assert words in out
    assert KEY not in out


def test_an_endpoint_that_is_not_there_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine(write(tmp_path, remote("http://127.0.0.1:9/v1")), fetch=False) == 1
    out = capsys.readouterr().out
    assert "cannot be reached" in out
    assert "problem: http://127.0.0.1:9/v1: start the server, or correct writer.base_url" in out
    assert "$TEST_KEY" in out


@pytest.mark.parametrize(
    ("stated", "variable", "advice"),
    [
        (None, None, "check the network, a proxy (HTTPS_PROXY) or firewall on the way to it"),
        (None, "http://localhost:8000/v1", "start the server, or correct $OPENAI_BASE_URL"),
        ("http://models.example/v1", None, "check writer.base_url, the network, and whether the server is up"),
        ("http://[::1]:8000/v1", "http://x/v1", "start the server, or correct writer.base_url"),
    ],
)
def test_nobody_is_told_to_start_a_server_that_is_not_theirs(
    stated: str | None, variable: str | None, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", variable)
    assert diagnosis.advise_on(Writer(engine="openai", model="m", base_url=stated)) == advice


def test_weights_that_are_not_here_are_told_with_size_room_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = WeightsFound(False, tmp_path / "hub", 2_400_000_000, "hf download facebook/musicgen-small")
    monkeypatch.setattr(diagnosis_files, "find_weights", lambda options: found)
    fact = look_at_weights(MusicgenOptions(model="facebook/musicgen-small"))
    assert fact is not None
    assert (fact.state, fact.text) == ("note", "facebook/musicgen-small is not here, about 2.4 GB")
    assert fact.advice.startswith("the first render fetches it, or do it now: hf download facebook/musicgen-small; ")
    assert fact.advice.endswith(f"GB are free at {tmp_path / 'hub'}")
    fact = look_at_weights(MusicgenOptions(model="facebook/musicgen-small", offline=True))
    assert fact is not None
    assert fact.state == "problem"
    found = found._replace(num_bytes=10**18)
    fact = look_at_weights(MusicgenOptions(model="facebook/musicgen-small"))
    assert fact is not None
    assert fact.state == "problem"
    assert fact.advice.startswith(f"make room at {tmp_path / 'hub'}: 1000000000.0 GB are to be fetched, ")
    found = found._replace(is_here=True)
    assert look_at_weights(MusicgenOptions(model="facebook/musicgen-small")) is None


def test_room_is_held_against_what_is_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "{engine: embedded, model: smollm2-135m-instruct-q4_1}")
    examine(path, fetch=False)
    assert "0.1 GB are to be fetched and 0.2 GB wanted meanwhile, " in capsys.readouterr().out
    usage = shutil.disk_usage(tmp_path)._replace(free=10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert examine(path, fetch=False) == 1
    assert "problem: room: make room, or set $ANYINSTRUCT_CACHE" in capsys.readouterr().out


def test_every_renderer_is_told_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    examine(None, fetch=False)
    out = capsys.readouterr().out
    purpose = "For dry runs and tests: the smallest valid "
    told = {line.split()[0] for line in out.splitlines() if purpose in line}
    assert {"minimal-image", "minimal-speech"} <= told
    (line,) = [line for line in out.splitlines() if line.split()[:1] == ["diffusers"] and "needs options" in line]
    assert "Pictures by a diffusion model; image; needs options: model" in line


def test_an_endpoint_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnosis, "ENDPOINT_PATIENCE", 0.1)
    with serving(200, models_named("writer-1"), delay=0.5) as url:
        assert examine(write(tmp_path, remote(url)), fetch=False) == 1
    assert "did not answer within 0.1 s" in capsys.readouterr().out


def test_a_password_in_an_address_stays_off_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ManifestError, match="holds a user name or password") as caught:
        examine(write(tmp_path, remote("http://me:hush@127.0.0.1:9/v1?token=hush")), fetch=False)
    assert "hush" not in str(caught.value) + capsys.readouterr().out


def test_the_official_endpoint_needs_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert examine(write(tmp_path, "{engine: openai, model: gpt-4.1-mini}"), fetch=False) == 1
    assert "problem: $OPENAI_API_KEY" in capsys.readouterr().out


def test_a_model_that_is_not_in_the_cache_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "{engine: embedded, model: smollm2-135m-instruct-q4_1}")
    assert examine(path, fetch=False) == 1
    out = capsys.readouterr().out
    assert "98 MB, Apache-2.0; not here" in out
    assert "problem: smollm2-135m-instruct-q4_1: anyinstruct doctor --fetch" in out
    assert "1 of the things that it needs" in out


def test_a_renderer_that_lacks_its_package_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(minimal.IMAGE, "missing", lambda: "the package painter is not installed: pip install painter")
    with serving(200, models_named("writer-1")) as url:
        assert examine(write(tmp_path, remote(url)), fetch=False) == 1
    assert "problem: minimal-image: the package painter is not installed" in capsys.readouterr().out


def test_gpus_are_listed_and_counted_against_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Painter 9000, 24576 MiB, 24000 MiB, 590.1'\n")
    program.chmod(0o755)
    with serving(200, models_named("writer-1")) as url:
        assert examine(write(tmp_path, remote(url), gpus=1), fetch=False) == 0
        assert "Painter 9000, 24576 MiB, 24000 MiB free, driver 590.1" in capsys.readouterr().out
        assert examine(write(tmp_path, remote(url), gpus=1.5), fetch=False) == 1
    assert "reserve 1.5 GPUs, of which there are 1 here" in capsys.readouterr().out


def test_fetching_goes_on_past_a_model_that_cannot_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = b"weights"

    def locked(digest: str) -> dict[str, object]:
        source = {"hub": "here", "repo": "us/it", "revision": "1", "file": "model.bin"}
        file = {"name": "model.bin", "bytes": len(data), "sha256": digest, "sources": [source]}
        return {"licence": "MIT", "origin": "us", "files": [file]}

    with serving(200, data) as url:
        models = {"bad": locked("0" * 64), "good": locked(sha256(data).hexdigest())}
        lock = ModelLock.model_validate({"hubs": {"here": url + "/{repo}/{revision}/{file}"}, "models": models})
        cache = ModelCache(tmp_path / "cache", lock)
        assert not fetch_each(cache, ["bad", "good"], Console(highlight=False))
        assert cache.check("good") is None
        assert fetch_each(cache, ["good"], Console(highlight=False))
    assert "the model lock says 0000" in capsys.readouterr().out


def test_a_wrong_manifest_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("schema_version: 2\n")
    with pytest.raises(ManifestError, match=r"wrong\.yaml:1"):
        examine(path, fetch=False)
