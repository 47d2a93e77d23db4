"""The diffusers renderer on tiny random pipelines of four families, on the processor."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.adapters.images import encode_picture, is_blank
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.probes import probe_image
from pipeline.adapters.renderers.diffusers import PLUGIN, DiffusersOptions
from pipeline.contracts.render import Brief, ImageFacts, Outcome, Render, Renderer, RenderFailure
from pipeline.values.errors import ModelFileError, OutOfMemory, RenderError
from pipeline.values.records import Modality
from tests.support import tiny_diffusers
from tests.support.tiny_diffusers import FAMILIES, Family

# numpy tells diffusers' schedulers of an argument that torch's arrays do not know yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
Load = Callable[..., Any]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Saves a family's pipeline once; needs the extra ``models``."""
    torch = pytest.importorskip("torch", reason="needs the extra `models`")
    for package in ("diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="needs the extra `models`")
    saved: dict[str, Path] = {}

    def save_once(family: Family = "sd", **how: Any) -> Path:
        key = f"{family}{sorted(how.items())}"
        if key not in saved:
            folder = tmp_path_factory.mktemp("pipelines") / family
            saved[key] = tiny_diffusers.save_pipeline(family, folder, **how)
        return saved[key]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one costs these sizes more than it gives
    yield save_once
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def load(save: Callable[..., Path]) -> Load:
    """Loads a family's pipeline, or one in a folder, with two steps and exact pictures."""

    def load_one(source: Family | Path = "sd", **changes: Any) -> Any:
        folder = source if isinstance(source, Path) else save(source)
        stated = {"model": str(folder), "licence": "MIT", "device": "cpu", "steps": 2, "extension": "png", **changes}
        return PLUGIN.load(DiffusersOptions.model_validate(stated), ModelCache())

    return load_one


@pytest.fixture(scope="module")
def renderer(load: Load) -> Renderer:
    """The tiny Stable Diffusion; tests leave it as it was."""
    loaded: Renderer = load()
    return loaded


def brief_for(text: str = "a red fox", seed: int = 7, side: int = 32, **changes: Any) -> Brief:
    values = {"id": f"b{seed}", "modality": "image", "text": text, "seed": seed, "width": side, "height": side}
    return Brief.model_validate({**values, **changes})


def outcomes_of(renderer: Renderer, *briefs: Brief) -> list[Outcome]:
    return [outcome() if callable(outcome) else outcome for outcome in renderer.render(briefs)]


def render(renderer: Renderer, *briefs: Brief) -> list[Render]:
    outcomes = outcomes_of(renderer, *briefs)
    assert all(isinstance(outcome, Render) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Render)]


def failure(renderer: Renderer, brief: Brief) -> RenderFailure:
    [outcome] = outcomes_of(renderer, brief)
    assert isinstance(outcome, RenderFailure), outcome
    return outcome


def pixels(outcome: Render) -> Any:
    return np.asarray(Image.open(io.BytesIO(outcome.data)).convert("RGB")).astype(int)


def options_of(model: str, **changes: Any) -> DiffusersOptions:
    return DiffusersOptions.model_validate({"model": model, **changes})


# What a manifest says, without the libraries


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "x"}, "Extra inputs are not permitted"),
        ({"scheduler": "SuperScheduler"}, "Input should be 'DDIMScheduler'"),
        ({"loras": [{"model": "a/b", "file": "x.bin", "licence": "MIT"}]}, "should match pattern"),
        ({"loras": [{"model": "a/b", "file": "../x.safetensors", "licence": "MIT"}]}, "should match pattern"),
        ({"loras": [{"model": "b", "file": "x.safetensors", "licence": "MIT"}]}, "neither a hub id"),
        ({"loras": [{"model": "a/b", "file": "x.safetensors"}]}, "Field required"),
        ({"extension": "gif"}, "Input should be 'png', 'webp' or 'jpg'"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"licence": "MIT"}, "is under CreativeML"),
    ],
)
def test_options_are_closed_and_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        options_of("stabilityai/stable-diffusion-xl-base-1.0", **changes)


def test_only_where_it_runs_and_what_it_is_called_stay_out_of_the_fingerprint() -> None:
    extra = {name: field.json_schema_extra for name, field in DiffusersOptions.model_fields.items()}
    # The strength of edits is in a fingerprint of its own: it makes no new picture stale.
    assert {name for name, value in extra.items() if value} == {"device", "offline", "licence", "edit_strength"}


def test_licences_say_who_may_sell() -> None:
    may_sell = {
        "stabilityai/stable-diffusion-xl-base-1.0": True,
        "black-forest-labs/FLUX.1-schnell": True,
        "qwen/qwen-image": True,
        "stabilityai/sdxl-turbo": False,
        "black-forest-labs/FLUX.1-dev": False,
        "stabilityai/stable-diffusion-3.5-large": False,
    }
    assert {name: PLUGIN.is_commercial_use_allowed(options_of(name)) for name in may_sell} == may_sell
    lora = {"model": "/somewhere/mine", "file": "x.safetensors", "licence": "CC-BY-NC-4.0"}
    options = options_of("Qwen/Qwen-Image", loras=[lora])
    assert PLUGIN.licences(options) == {"Qwen/Qwen-Image": "Apache-2.0", "mine/x.safetensors": "CC-BY-NC-4.0"}
    assert not PLUGIN.is_commercial_use_allowed(options)


def test_estimates_follow_steps_passes_and_pixels() -> None:
    sdxl = options_of("stabilityai/stable-diffusion-xl-base-1.0")
    large = PLUGIN.estimate(sdxl, brief_for(side=1024))
    assert large == pytest.approx((50 * 2 * 6.76 + 10.49) / 300, rel=1e-3)
    assert PLUGIN.estimate(sdxl, brief_for(side=512)) == pytest.approx(large / 4)
    assert PLUGIN.estimate(options_of("./mine", licence="MIT"), brief_for(side=1024)) == large
    turbo = options_of("stabilityai/sdxl-turbo")
    assert PLUGIN.estimate(turbo, brief_for(side=512)) < 0.02
    flux = options_of("black-forest-labs/FLUX.1-dev", steps=10)
    guided = flux.model_copy(update={"true_guidance": 4.0, "negative_prompt": " "})
    assert PLUGIN.estimate(guided, brief_for()) > 1.9 * PLUGIN.estimate(flux, brief_for())


def test_checking_a_manifest_imports_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys; from pipeline.adapters.renderers.diffusers import PLUGIN, DiffusersOptions as O;"
        "PLUGIN.licences(O(model='Qwen/Qwen-Image')); PLUGIN.missing();"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'PIL', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Pictures


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_makes_pictures_that_follow_text_and_seed(load: Load, family: Family) -> None:
    drawn = load(family)
    one, other_seed, other_text = render(
        drawn, brief_for(), brief_for(seed=8), brief_for("an old harbour at night, in the rain")
    )
    assert one.facts == ImageFacts(width=32, height=32) and pixels(one).shape == (32, 32, 3)
    assert not np.array_equal(pixels(one), pixels(other_seed))
    assert not np.array_equal(pixels(one), pixels(other_text))
    stated = drawn.provenance()
    assert stated["model"] == family and stated["revision"].startswith("sha256:") and stated["dtype"] == "float32"
    assert {"pipeline", "scheduler", "device", "torch", "diffusers", "transformers"} <= stated.keys()


@pytest.mark.parametrize("scheduler", [None, "EulerAncestralDiscreteScheduler", "LCMScheduler"])
def test_the_same_batch_gives_the_same_bytes_and_another_batch_the_same_picture(
    load: Load, scheduler: str | None
) -> None:
    torch = pytest.importorskip("torch")
    before = torch.random.get_rng_state()
    briefs = [brief_for(seed=seed) for seed in (1, 2, 3)]
    first = render(load(scheduler=scheduler), *briefs)
    drawn = load(scheduler=scheduler)
    assert [outcome.data for outcome in render(drawn, *briefs)] == [outcome.data for outcome in first]
    [alone] = render(drawn, briefs[1])
    assert np.abs(pixels(alone) - pixels(first[1])).max() <= 1
    assert torch.equal(torch.random.get_rng_state(), before)


def test_outcomes_keep_order_over_sizes_and_bad_briefs(renderer: Renderer) -> None:
    briefs = [
        brief_for(seed=1),
        brief_for(seed=2, modality="music", duration=3.0),
        brief_for(seed=3, width=64),
        brief_for("  \n", seed=4),
        brief_for(seed=5, width=8),
        brief_for("half a pair: \ud800", seed=6),
        brief_for(seed=7),
    ]
    outcomes = outcomes_of(renderer, *briefs)
    kinds = [outcome.facts if isinstance(outcome, Render) else outcome.code for outcome in outcomes]
    small, wide = ImageFacts(width=32, height=32), ImageFacts(width=64, height=32)
    assert kinds == [small, "bad_brief", wide, "bad_brief", "bad_brief", "bad_brief", small]
    messages = [outcome.message for outcome in outcomes if isinstance(outcome, RenderFailure)]
    assert all(f"brief b{seed}: " in text for seed, text in zip((2, 4, 5, 6), messages, strict=True))
    assert "width is 8 pixels" in messages[2]


def test_nothing_to_render_makes_nothing(renderer: Renderer) -> None:
    assert outcomes_of(renderer) == []


def test_a_size_that_the_model_cannot_make_is_said(load: Load, renderer: Renderer) -> None:
    refused = failure(renderer, brief_for(side=60))
    assert refused.code == "bad_brief" and "divisible by 8 but are 60" in refused.message
    other = failure(load("flux"), brief_for(side=62))
    assert other.code == "wrong_size" and "60 x 60 pixels of 62 x 62" in other.message


@pytest.mark.parametrize(("extension", "form"), [("png", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG")])
def test_every_format_decodes_to_what_was_made(extension: Any, form: str) -> None:
    picture = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    data = encode_picture(picture, extension, 90)
    assert Image.open(io.BytesIO(data)).format == form and probe_image(data).extension == extension
    decoded = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decoded - picture).mean() < (0.1 if extension == "png" else 8)
    assert encode_picture(picture, extension, 90) == data


# Words


def test_words_beyond_what_the_encoder_reads_are_said(renderer: Renderer) -> None:
    # One token a letter here: 75 fit beside the two signs of CLIP.
    [outcome] = render(renderer, brief_for("a" * 70 + " and then more"))
    assert outcome.notes == {
        "tokens": 83,
        "token_limit": 77,
        "dropped_text": "en more",
        "shortened_for": ["tokenizer"],
    }
    [whole] = render(renderer, brief_for("a" * 75))
    assert whole.notes == {"tokens": 77, "token_limit": 77}
    [cut] = render(renderer, brief_for("a" * 70 + " and the"))
    assert cut.data == outcome.data
    [huge] = render(renderer, brief_for("b" * 5_000))
    assert len(huge.notes["dropped_text"]) == 300 and huge.notes["dropped_text"].endswith("b…")


def test_long_prompts_can_fail_instead(load: Load) -> None:
    refused = failure(load(on_long_prompt="fail"), brief_for("a" * 76))
    assert refused.code == "long_prompt" and "78 tokens, the model reads 77; it would drop 'a'" in refused.message


def test_what_one_encoder_cuts_and_another_reads_is_not_lost(load: Load) -> None:
    text = "a long walk " * 10
    [outcome] = render(load("flux", max_sequence_length=128), brief_for(text))
    assert outcome.notes["shortened_for"] == ["tokenizer"]
    assert outcome.notes["token_limit"] == 128 and "dropped_text" not in outcome.notes
    [cut] = render(load("flux", max_sequence_length=64), brief_for(text))
    # CLIP reads further than T5 then, and what lies beyond it is lost.
    assert cut.notes["token_limit"] == 77 and cut.notes["shortened_for"] == ["tokenizer", "tokenizer_2"]


def test_signs_of_the_encoder_in_a_text_are_taken_out(renderer: Renderer) -> None:
    hostile, plain = render(
        renderer, brief_for("a fox <|endoftext|> in a wood"), brief_for("a fox   in a wood", id="other")
    )
    assert hostile.data == plain.data
    assert failure(renderer, brief_for("<|startoftext|>")).code == "bad_brief"


# Options


def test_options_change_what_comes_out(load: Load, renderer: Renderer) -> None:
    [plain] = render(renderer, brief_for())
    changes: list[dict[str, Any]] = [
        {"steps": 3},
        {"guidance": 1.0},
        {"negative_prompt": "snow and ice"},
        {"scheduler": "DDIMScheduler"},
    ]
    changed = [render(load(**change), brief_for())[0].data for change in changes]
    assert len({plain.data, *changed}) == 5
    [tiled] = render(load(vae_tiling=True), brief_for())
    assert tiled.facts == plain.facts


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("sd", {"true_guidance": 4.0}, "option true_guidance: StableDiffusionPipeline takes none; leave it out"),
        ("sd", {"max_sequence_length": 100}, "option max_sequence_length: StableDiffusionPipeline takes none"),
        (
            "flux",
            {"scheduler": "DDIMScheduler"},
            "DDIMScheduler does not fit its weights, which were made for FlowMatchEuler",
        ),
        ("sd", {"variant": "fp16"}, "has no files of the variant 'fp16'; leave variant out"),
    ],
)
def test_options_that_the_pipeline_does_not_take_are_refused(
    load: Load, family: Family, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RenderError, match=words):
        load(family, **changes)


def test_compiling_is_a_choice(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    load()
    assert compiled == []
    load(compile=True)
    load("flux", compile=True)
    assert compiled == ["UNet2DConditionModel", "FluxTransformer2DModel"]


def test_loras_are_merged_by_their_weight(load: Load, renderer: Renderer, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="LoRAs need peft")
    folder = tiny_diffusers.save_lora(tmp_path / "style")
    choice = {"model": str(folder), "file": "style.safetensors", "licence": "MIT"}
    [plain] = render(renderer, brief_for())
    none, full = load(loras=[{**choice, "weight": 0.0}]), load(loras=[choice])
    assert np.abs(pixels(render(none, brief_for())[0]) - pixels(plain)).max() <= 1
    assert np.abs(pixels(render(full, brief_for())[0]) - pixels(plain)).max() > 1
    assert full.provenance()["lora style/style.safetensors"].startswith("sha256:")
    with pytest.raises(ModelFileError, match=r"holds none of the files wanted: other\.safetensors"):
        load(loras=[{**choice, "file": "other.safetensors"}])


def test_no_peft_is_said(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else find(name))
    choice = {"model": str(tiny_diffusers.save_lora(tmp_path)), "file": "style.safetensors", "licence": "MIT"}
    with pytest.raises(RenderError, match="loras need the package peft: pip install peft"):
        load(loras=[choice])


# Gates


def test_pictures_are_gated(load: Load) -> None:
    from pipeline.adapters.renderers.diffusers.renderer import finish_picture

    drawn = load()
    decoder = drawn._loaded.pipe.vae.decoder
    decoder.conv_out.weight.data.zero_()
    blank = failure(drawn, brief_for())
    assert blank.code == "blank"
    decoder.conv_out.bias.data.fill_(float("nan"))
    broken = failure(drawn, brief_for())
    assert broken.code == "nan" and "state dtype: bfloat16 or float32" in broken.message
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    options = options_of("Qwen/Qwen-Image")
    assert isinstance(finish_picture(brief_for(), noise, options, {}), Render)
    assert is_blank(np.full((32, 32, 3), 255, np.uint8)) and not is_blank(noise)


def test_one_bad_picture_does_not_touch_the_others(load: Load) -> None:
    torch = pytest.importorskip("torch")
    drawn = load()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0, 0] = float("nan")
    drawn._loaded = SimpleNamespace(
        device="cpu", pipe=lambda *_, **__: SimpleNamespace(images=images, nsfw_content_detected=[False, True, False])
    )
    codes = [getattr(outcome, "code", "ok") for outcome in outcomes_of(drawn, *[brief_for(seed=s) for s in range(3)])]
    assert codes == ["nan", "unsafe", "ok"]


def test_a_picture_that_the_models_own_checker_withholds_is_a_failure(
    load: Load, save: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    refused = failure(load(save(has_checker=True)), brief_for())
    assert refused.code == "unsafe" and "safety checker" in refused.message


def test_a_batch_that_does_not_fit_is_out_of_memory(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    drawn = load()

    def refuse(*args: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def fail(*args: Any, **more: Any) -> None:
        raise IndexError("x")

    with monkeypatch.context() as patch:
        patch.setattr(drawn._loaded.pipe.unet, "forward", refuse)
        with pytest.raises(OutOfMemory, match="2 pictures of 32 x 32 pixels do not fit into memory"):
            drawn.render([brief_for(seed=1), brief_for(seed=2)])
        patch.setattr(drawn._loaded.pipe.unet, "forward", fail)
        with pytest.raises(RenderError, match=r"StableDiffusionPipeline failed over 1 pictures .*: x"):
            drawn.render([brief_for()])
    assert len(render(drawn, brief_for())) == 1


def test_noise_from_elsewhere_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    drawn = load()
    step = drawn._loaded.pipe.scheduler.step

    def draw(noise: Any, *args: Any, **more: Any) -> Any:
        return step(noise + torch.randn(noise.shape), *args, **more)

    monkeypatch.setattr(drawn._loaded.pipe.scheduler, "step", draw)
    with torch.random.fork_rng(devices=[]), pytest.raises(RenderError, match="draws noise beside the generators"):
        drawn.render([brief_for()])


# Weights


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_a_snapshot_of_the_hub_is_named_by_its_commit(
    load: Load, save: Callable[..., Path], renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    copy_of(save(), tmp_path / "models--maker--tiny" / "snapshots" / COMMIT)
    (tmp_path / "models--maker--tiny" / "refs").mkdir()
    (tmp_path / "models--maker--tiny" / "refs" / "main").write_text(COMMIT)
    drawn = load(model="maker/tiny", offline=True)
    assert drawn.provenance()["revision"] == COMMIT and drawn.provenance()["model"] == "maker/tiny"
    assert render(drawn, brief_for())[0].data == render(renderer, brief_for())[0].data
    with pytest.raises(ModelFileError, match="revision v2: not whole in the hub's cache, and offline is stated"):
        load(model="maker/tiny", offline=True, revision="v2")


def test_a_variant_and_pieces_load_and_a_part_without_the_variant_uses_its_plain_file(
    load: Load, save: Callable[..., Path], renderer: Renderer, tmp_path: Path
) -> None:
    mixed = copy_of(save(variant="fp16"), tmp_path / "mixed")
    (mixed / "vae" / "diffusion_pytorch_model.fp16.safetensors").rename(
        mixed / "vae" / "diffusion_pytorch_model.safetensors"
    )
    pieces = save(max_shard_size="500KB")
    assert list(pieces.glob("unet/*-00001-of-*.safetensors"))
    [plain] = render(renderer, brief_for())
    assert render(load(mixed, variant="fp16"), brief_for())[0].data == plain.data
    assert render(load(pieces), brief_for())[0].data == plain.data


def test_pickles_and_code_are_refused(load: Load, save: Callable[..., Path], tmp_path: Path) -> None:
    pickled = copy_of(save(), tmp_path / "pickled")
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(RenderError, match=r"unet: the weights are pickled \(diffusion_pytorch_model\.bin\)"):
        load(pickled)
    coded = copy_of(save(), tmp_path / "coded")
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')"
    (coded / "unet" / "mine.py").write_text(trap)
    (coded / "None.py").write_text(trap)
    with pytest.raises(RenderError, match=r"unet/mine\.py is code of the model's own, which is never run"):
        load(coded)
    (coded / "unet" / "mine.py").unlink()
    with pytest.raises(RenderError, match=r"None\.py"):
        load(coded)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"_class_name": ["mine", "Mine"]}, "names no pipeline of diffusers"),
        ({"_class_name": "TextToVideoSDPipeline"}, "cannot be loaded: .*text-to-image pipeline"),
        ({"unet": ["os", "System"]}, "part 'unet' comes from 'os'; only parts of diffusers and transformers"),
        ({"../unet": ["diffusers", "UNet2DConditionModel"]}, r"part '\.\./unet' comes from"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(
    load: Load, save: Callable[..., Path], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = copy_of(save(), tmp_path / "odd")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(RenderError, match=words):
        load(folder)


def test_a_folder_without_index_or_with_missing_weights_is_refused(
    load: Load, save: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(ModelFileError, match=r"holds none of the files wanted: model_index\.json"):
        load(tmp_path)
    lacking = copy_of(save(), tmp_path / "lacking")
    path = lacking / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("layers.0.mlp.fc1.weight"))
    save_file({key: value for key, value in tensors.items() if key != name}, path, metadata={"format": "pt"})
    with pytest.raises(RenderError, match="weights are missing from its files"):
        load(lacking)


def test_the_libraries_stay_quiet_and_their_loggers_as_they_were(
    load: Load, save: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    save(has_checker=True)
    capfd.readouterr()
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in map(logging.getLogger, LIBRARIES)]
    drawn = load(save(has_checker=True))
    outcomes_of(drawn, brief_for("a" * 200))
    assert capfd.readouterr() == ("", "")
    after = [(logger.level, list(logger.handlers), logger.propagate) for logger in map(logging.getLogger, LIBRARIES)]
    assert after == before


LIBRARIES = ("diffusers", "transformers")


def test_the_plugin_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert PLUGIN.missing() == "the diffusers renderer needs the package torch: pip install 'anyinstruct[models]'"
    assert PLUGIN.modality is Modality.IMAGE and PLUGIN.models(options_of("Qwen/Qwen-Image")) == ()
