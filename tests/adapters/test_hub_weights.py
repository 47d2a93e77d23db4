"""Weights of the hub: whether they are here, and which files would be fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters import hub_weights
from pipeline.adapters.hub_weights import choose_files, find_weights
from pipeline.adapters.renderers.coqui.options import CoquiOptions
from pipeline.adapters.renderers.musicgen import MusicgenOptions

MODEL = "facebook/musicgen-small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's library, and a hub that nobody reaches."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put(hub: Path, name: str, reference: str = "main") -> Path:
    repository = hub / "models--facebook--musicgen-small"
    for path, text in ((f"snapshots/{COMMIT}/{name}", "x"), (f"refs/{reference}", COMMIT), ("blobs/1", "x")):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    return repository


def test_weights_are_here_once_their_snapshot_holds_some(hub: Path) -> None:
    found = find_weights(MusicgenOptions(model=MODEL))
    assert found is not None
    assert (found.is_here, found.place, found.num_bytes) == (False, hub, None)
    assert found.command == f"hf download {MODEL}"
    put(hub, "config.json")
    assert not _is_here(MusicgenOptions(model=MODEL))
    repository = put(hub, "model.safetensors")
    assert _is_here(MusicgenOptions(model=MODEL))
    assert _is_here(MusicgenOptions(model=MODEL, revision=COMMIT))
    assert not _is_here(MusicgenOptions(model=MODEL, revision="v2"))
    (repository / "blobs" / "2.incomplete").write_text("")
    assert not _is_here(MusicgenOptions(model=MODEL))


def _is_here(options: MusicgenOptions) -> bool:
    found = find_weights(options)
    return found is not None and found.is_here


def test_the_hub_is_asked_for_the_size_of_what_is_missing(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_weights, "_ask_for_size", lambda options: 2_400_000_000)
    found = find_weights(MusicgenOptions(model=MODEL, revision="v2"))
    assert found is not None
    assert found.num_bytes == 2_400_000_000
    assert found.command == f"hf download {MODEL} --revision v2"
    found = find_weights(MusicgenOptions(model=MODEL, offline=True))
    assert found is not None
    assert found.num_bytes is None


def test_a_folder_and_a_model_of_coquis_list_are_looked_for_where_they_lie(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = find_weights(MusicgenOptions(model=str(tmp_path / "mine"), licence="MIT"))
    assert folder == (False, tmp_path / "mine", None, "")
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    options = CoquiOptions(model="tts_models/en/vctk/vits")
    place = tmp_path / "tts" / "tts_models--en--vctk--vits"
    assert find_weights(options) == (False, place, None, "")
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    assert find_weights(options) == (True, place, None, "")


@pytest.mark.parametrize(
    ("names", "variant", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin", "config.json"], None, ["model.safetensors"]),
        (["pytorch_model.bin", "config.json"], None, ["pytorch_model.bin"]),
        (["model_index.json", "all.safetensors", "unet/a.safetensors"], None, ["unet/a.safetensors"]),
        (
            ["model_index.json", "unet/a.safetensors", "unet/a.fp16.safetensors", "vae/a.safetensors"],
            "fp16",
            ["unet/a.fp16.safetensors", "vae/a.safetensors"],
        ),
        (["model_index.json", "unet/a.safetensors", "unet/a.fp16.safetensors"], None, ["unet/a.safetensors"]),
    ],
)
def test_files_are_chosen_as_renderers_choose_them(names: list[str], variant: str | None, expected: list[str]) -> None:
    assert choose_files(names, variant) == expected
