"""Weights by hub id or folder: what is refused, and in which words. Nothing is fetched: the cache is made here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from pipeline.adapters import weights
from pipeline.adapters.weights import WeightOptions, allows_commercial_use, locate, refuse_pickles
from pipeline.contracts.render import Licence
from pipeline.values.errors import ModelFileError, OutOfMemory, RenderError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Options(WeightOptions):
    known_licences: ClassVar[Mapping[str, Licence]] = {"maker/known": "MIT"}


def options_of(model: Path | str, **changes: Any) -> Options:
    licence = None if model == "maker/known" else "MIT"
    return Options.model_validate({"model": str(model), "licence": licence, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "tiny"
    (root / "unet").mkdir(parents=True)
    (root / "unet" / "model.safetensors").write_bytes(b"weights")
    (root / "config.json").write_text("{}")
    (root / "notes.md").write_text("no part of it")
    return root


@pytest.mark.parametrize("model", ["maker", "a/b/c", "maker/", "http://hub/a", "owner name/x", "-a/b", ""])
def test_a_name_that_is_neither_hub_id_nor_folder_is_refused(model: str) -> None:
    with pytest.raises(ValidationError, match=r"neither a hub id \(owner/name\) nor a folder"):
        options_of(model)


def test_a_revision_belongs_to_the_hub() -> None:
    assert options_of("maker/other", revision="main").revision == "main"
    with pytest.raises(ValidationError, match=r"\./mine is a folder"):
        options_of("./mine", revision="main")


def test_an_unknown_model_must_state_its_licence() -> None:
    with pytest.raises(ValidationError, match=r"the licence of maker/other is not known here; state it as licence"):
        options_of("maker/other", licence=None)
    assert options_of("maker/other", licence="CC-BY-NC-4.0").effective_licence == "CC-BY-NC-4.0"
    assert Options(model="Maker/Known").effective_licence == "MIT"
    with pytest.raises(ValidationError, match=r"maker/known is under MIT"):
        options_of("maker/known", licence="Apache-2.0")


def test_only_reviewed_licences_allow_selling() -> None:
    assert allows_commercial_use("apache-2.0") and allows_commercial_use("CreativeML-OpenRAIL-M")
    assert not any(map(allows_commercial_use, ("CC-BY-NC-4.0", "other", "unknown", "")))


def test_what_only_concerns_the_run_stays_out_of_the_fingerprint() -> None:
    extra = {name: field.json_schema_extra for name, field in WeightOptions.model_fields.items()}
    idle = {name for name, value in extra.items() if value == {"changes_output": False}}
    assert idle == {"device", "offline", "licence"}


def test_a_folder_is_named_by_its_contents_and_not_by_its_path(folder: Path) -> None:
    wanted = ("*.safetensors", "*.json")
    found = locate(options_of(folder), wanted=wanted)
    assert (found.name, found.folder) == ("tiny", folder)
    assert found.revision.startswith("sha256:") and len(found.revision) == 7 + 64
    (folder / "notes.md").write_text("changed")
    moved = folder.rename(folder.parent / "moved")
    assert locate(options_of(moved), wanted=wanted).revision == found.revision
    (moved / "unet" / "model.safetensors").write_bytes(b"Weights")
    assert locate(options_of(moved), wanted=wanted).revision != found.revision


def test_a_folder_that_is_not_there_or_holds_nothing_is_said(folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is no folder; correct it, or name a hub id"):
        locate(options_of(folder / "gone"), wanted=("*.json",))
    with pytest.raises(ModelFileError, match=r"holds none of the files wanted: \*\.gguf"):
        locate(options_of(folder), wanted=("*.gguf",))


def test_pickles_are_refused_unless_safetensors_lie_beside_them(folder: Path) -> None:
    refuse_pickles(folder / "unet")
    (folder / "unet" / "training_args.bin").write_bytes(b"")
    refuse_pickles(folder / "unet")
    (folder / "unet" / "model.safetensors").unlink()
    with pytest.raises(RenderError, match=r"pickled \(training_args\.bin\), .* choose a revision or model with \.safe"):
        refuse_pickles(folder / "unet")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's library, which reads the variable only once, when it is imported."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return tmp_path / "hub"


def put_snapshot(cache: Path) -> Path:
    snapshot = cache / "models--maker--known" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    references = cache / "models--maker--known" / "refs"
    references.mkdir()
    (references / "main").write_text(COMMIT)
    return snapshot


def test_offline_takes_what_the_cache_holds_and_states_the_commit(hub_cache: Path) -> None:
    snapshot = put_snapshot(hub_cache)
    found = locate(options_of("maker/known", offline=True), wanted=("*.json",))
    assert found == weights.Weights("maker/known", snapshot, COMMIT)


@pytest.mark.parametrize(("offline", "advice"), [(True, "offline is stated; run once with"), (False, "check the net")])
def test_what_cannot_be_had_is_said_without_a_key(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool, advice: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelFileError, match=advice) as caught:
        locate(options_of("maker/known", offline=offline, revision="v1"), wanted=("*.json",))
    assert str(caught.value).startswith("model maker/known, revision v1: ")
    assert "hf_secret" not in str(caught.value)


def test_errors_of_the_hub_say_what_to_do(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("huggingface_hub.errors")
    http = pytest.importorskip("httpx2")
    response = http.Response(403, request=http.Request("GET", "https://hub.invalid/?key=hf_secret"))
    said = {
        errors.GatedRepoError: "accept its terms .* HF_TOKEN",
        errors.RepositoryNotFoundError: "no such model that it would show",
        errors.RevisionNotFoundError: "no such revision; name a branch",
        errors.HfHubHTTPError: r"cannot be fetched from the hub \(HfHubHTTPError\)",
    }
    for kind, words in said.items():

        def fail(*args: Any, kind: Any = kind, **more: Any) -> str:
            raise kind("https://hub.invalid/?key=hf_secret", response=response)

        monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
        with pytest.raises(ModelFileError, match=words) as caught:
            locate(options_of("maker/known"), wanted=("*.json",))
        assert "hf_secret" not in str(caught.value)


def test_devices_and_dtypes() -> None:
    torch = pytest.importorskip("torch")
    assert weights.choose_device(options_of("maker/known", device="cpu")) == "cpu"
    assert weights.choose_dtype(options_of("maker/known"), "cuda:0") is torch.bfloat16
    assert weights.choose_dtype(options_of("maker/known"), "cpu") is torch.float32
    assert weights.choose_dtype(options_of("maker/known", dtype="float16"), "cpu") is torch.float16
    with pytest.raises(RenderError, match=r"device cuda:99: torch sees \d+ CUDA devices"):
        weights.choose_device(options_of("maker/known", device="cuda:99"))
    with pytest.raises(ValidationError, match="should match pattern"):
        options_of("maker/known", device="tpu")


def test_a_generator_follows_its_seed_alone() -> None:
    torch = pytest.importorskip("torch")
    before = torch.random.get_rng_state()
    one, same, other = (torch.rand(4, generator=weights.item_generator("cpu", seed)) for seed in (7, 7, 8))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_failed_allocation_is_out_of_memory_and_lets_go_of_what_was_held() -> None:
    torch = pytest.importorskip("torch")
    import weakref

    held = []

    def fill(fail: Any) -> None:
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        fail()

    def refuse() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words")

    for fail in (refuse, lambda: torch.zeros(2**59)):
        with pytest.raises(OutOfMemory, match=r"^4 images do not fit into memory: .") as caught, _running("4 images"):
            fill(fail)
        assert "\n" not in str(caught.value)
        assert held[-1]() is None


def _running(what: str) -> Any:
    return weights.as_out_of_memory(what)


def test_other_errors_pass_as_they_are() -> None:
    pytest.importorskip("torch")
    with pytest.raises(RuntimeError, match="shapes do"), weights.as_out_of_memory("x"):
        raise RuntimeError("shapes do not fit")


def test_what_makes_the_media_is_stated(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    found = locate(options_of(folder), wanted=("*.json",))
    stated = weights.describe(found, "cpu", torch.float32, "pydantic")
    assert stated["model"] == "tiny" and stated["dtype"] == "float32" and stated["revision"] == found.revision
    assert stated["device"].startswith("cpu") and {"torch", "pydantic", "machine"} <= stated.keys()
    assert str(folder) not in str(stated)


def test_importing_it_imports_neither_torch_nor_the_hubs_library() -> None:
    code = "import sys, pipeline.adapters.weights; print([m for m in ('torch', 'huggingface_hub') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
