"""Renderers that change a picture: what they keep of it, what they say of it, and what they refuse."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers import diffusers as diffusion
from pipeline.adapters.renderers import minimal, storyboard
from pipeline.contracts.render import Brief, EditsPictures, ImageFacts, Outcome, Render, Renderer, RenderFailure, Source
from pipeline.execution.project import Project
from pipeline.values.ids import sha256_hex
from pipeline.values.records import Modality
from tests.support import tiny_diffusers
from tests.support.stages import manifest
from tests.support.tiny_diffusers import Family

# numpy tells diffusers' schedulers of an argument that torch's arrays do not know yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

EDITORS: tuple[Family, ...] = ("sd", "sdxl", "flux", "sd3", "qwen")
"""Families with an image-to-image pipeline; PixArt and Sana have none."""


def brief_for(text: str = "a red fox", seed: int = 7, side: int = 32, **changes: Any) -> Brief:
    values = {"id": f"b{seed}", "modality": "image", "text": text, "seed": seed, "width": side, "height": side}
    return Brief.model_validate({**values, **changes})


def source_of(made: Render, text: str = "a red fox", seed: int = 7) -> Source:
    return Source(asset="d-01-00-a0", sha256=sha256_hex(made.data), text=text, seed=seed, load=lambda: made.data)


def outcomes_of(renderer: Renderer, *briefs: Brief) -> list[Outcome]:
    return [outcome() if callable(outcome) else outcome for outcome in renderer.render(briefs)]


def render(renderer: Renderer, *briefs: Brief) -> list[Render]:
    outcomes = outcomes_of(renderer, *briefs)
    assert all(isinstance(outcome, Render) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Render)]


def pixels(made: Render) -> Any:
    return np.asarray(Image.open(io.BytesIO(made.data)).convert("RGB")).astype(float)


def distance(one: Render, other: Render) -> float:
    return float(np.abs(pixels(one) - pixels(other)).mean())


def picture(side: int = 32) -> Render:
    """A picture with an edge and a colour that no renderer here makes by chance."""
    half = Image.new("RGB", (side, side), "#102040")
    half.paste("#f0d020", (0, 0, side // 2, side))
    buffer = io.BytesIO()
    half.save(buffer, format="PNG")
    return Render(data=buffer.getvalue(), extension="png", facts=ImageFacts(width=side, height=side))


def broken() -> Source:
    return Source(asset="d-01-00-a0", sha256="0" * 64, text="x", seed=1, load=lambda: b"\x89PNG\r\n\x1a\nno picture")


# Minimal


def test_the_minimal_renderer_lays_a_tint_over_the_source() -> None:
    renderer = minimal.IMAGE.load(minimal.MinimalOptions(), ModelCache())
    [first] = render(renderer, brief_for())
    source = source_of(first)
    [one, same, other] = render(renderer, *(brief_for(seed=seed, source=source) for seed in (1, 1, 2)))
    assert one == same != other
    assert (first.is_edit, one.is_edit) == (False, True)
    assert one.facts == first.facts
    # Half of every pixel is the source's: what differs between two pixels differs by half as much.
    before, after = pixels(first)[0], pixels(one)[0]
    assert np.abs((after[40] - after[3]) - (before[40] - before[3]) / 2).max() <= 1
    failure = outcomes_of(renderer, brief_for(source=broken()))[0]
    assert isinstance(failure, RenderFailure)
    assert (failure.code, "d-01-00-a0" in failure.message) == ("bad_source", True)


# Storyboard


@pytest.fixture(scope="module")
def painter(models: ModelCache) -> Renderer:
    return storyboard.PLUGIN.load(storyboard.StoryboardOptions(), models)


def test_the_storyboard_draws_the_same_scene_again(painter: Renderer) -> None:
    text = "an old fisherman on a wooden pier beside a small boat"
    [first] = render(painter, brief_for(text, side=256))
    source = source_of(first, text)
    same, night, alone = render(
        painter,
        brief_for(text, seed=99, side=256, source=source),
        brief_for(f"{text} at night", seed=99, side=256, source=source),
        brief_for(f"{text} at night", seed=99, side=256),
    )
    assert same.data == first.data
    assert same.is_edit
    assert night.notes["time"] == "night"
    assert [night.notes[name] for name in ("place", "pictures")] == [
        first.notes[name] for name in ("place", "pictures")
    ]
    assert pixels(night).mean() < pixels(first).mean()
    assert night.data != alone.data  # its own chances would have moved what was not to change


def test_the_storyboard_keeps_what_a_changed_description_leaves_unsaid(painter: Renderer) -> None:
    text = "a dog with a ball on a snowy beach at dusk, watercolour"
    [first] = render(painter, brief_for(text, side=128))
    changed = brief_for("a dog with a ball and a red kite", seed=3, side=128, source=source_of(first, text))
    [made] = render(painter, changed)
    names = ("place", "time", "weather", "style")
    assert [made.notes[name] for name in names] == [first.notes[name] for name in names]
    assert "kite" in str(made.notes["subjects"])


# Diffusers


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Renderer]]:
    """Loads a family's tiny pipeline with four steps and exact pictures; needs the extra ``models``."""
    torch = pytest.importorskip("torch", reason="needs the extra `models`")
    for package in ("diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="needs the extra `models`")
    saved: dict[str, Path] = {}

    def load_one(family: Family = "sd", **changes: Any) -> Renderer:
        if family not in saved:
            saved[family] = tiny_diffusers.save_pipeline(family, tmp_path_factory.mktemp("pipelines") / family)
        stated = {"model": str(saved[family]), "licence": "MIT", "device": "cpu", "steps": 4, "extension": "png"}
        options = diffusion.DiffusersOptions.model_validate({**stated, **changes})
        return diffusion.PLUGIN.load(options, ModelCache())

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one costs these sizes more than it gives
    yield load_one
    torch.set_num_threads(threads)


@pytest.mark.parametrize("family", EDITORS)
def test_a_diffusion_model_starts_from_the_picture_with_the_weights_that_it_has(
    load: Callable[..., Renderer], family: Family
) -> None:
    renderer: Any = load(family, edit_strength=0.5)
    [before] = render(renderer, brief_for())
    source = source_of(picture())
    one, other = render(renderer, brief_for(seed=1, source=source), brief_for("a blue owl", seed=2, source=source))
    assert one.is_edit
    assert other.is_edit
    assert one.facts == ImageFacts(width=32, height=32)
    assert one.notes["edit_strength"] == 0.5
    assert "Img2Img" in one.notes["edit_pipeline"]
    editor = renderer._editor.pipe
    assert all(editor.components[name] is part for name, part in renderer._loaded.pipe.components.items() if part)
    # One generator an item: alone as in a batch, but for rounding; the same batch to the bit.
    [alone] = render(renderer, brief_for(seed=1, source=source))
    assert np.abs(pixels(alone) - pixels(one)).max() <= 1
    assert render(renderer, brief_for(seed=1, source=source)) == [alone]
    # Another source makes another picture with the same words and seed, and so does another seed.
    [elsewhere] = render(renderer, brief_for(seed=1, source=source_of(before)))
    [reseeded] = render(renderer, brief_for(seed=2, source=source))
    assert len({made.data for made in (alone, elsewhere, reseeded)}) == 3
    # New pictures are what they were before there was an editor.
    assert render(renderer, brief_for()) == [before]


def test_a_low_strength_keeps_more_of_the_picture(load: Callable[..., Renderer]) -> None:
    source = picture()
    brief = brief_for(seed=1, source=source_of(source))
    [low] = render(load(edit_strength=0.25), brief)
    [high] = render(load(edit_strength=1.0), brief)
    assert distance(low, source) < distance(high, source)


def test_steps_are_enough_for_one_to_be_run(load: Callable[..., Renderer]) -> None:
    """Turbo models run one step in all, of which a share would be none."""
    [made] = render(load(steps=1, edit_strength=0.3), brief_for(source=source_of(picture())))
    assert made.is_edit


def test_new_and_changed_pictures_of_a_batch_keep_their_places(load: Callable[..., Renderer]) -> None:
    renderer = load()
    source = source_of(picture(48))  # of another size than the brief's
    briefs = [
        brief_for(seed=1),
        brief_for(seed=2, source=source),
        brief_for(seed=3),
        brief_for(seed=4, source=broken()),
    ]
    outcomes = outcomes_of(renderer, *briefs)
    assert [isinstance(outcome, Render) and outcome.is_edit for outcome in outcomes] == [False, True, False, False]
    assert outcomes[:1] + outcomes[2:3] == outcomes_of(renderer, briefs[0], briefs[2])
    assert isinstance(outcomes[1], Render)
    assert outcomes[1].facts == ImageFacts(width=32, height=32)
    assert isinstance(outcomes[3], RenderFailure)
    assert outcomes[3].code == "bad_source"


@pytest.mark.parametrize("family", ["sana"])
def test_a_model_without_image_to_image_says_that_it_went_by_the_words(
    load: Callable[..., Renderer], family: Family
) -> None:
    renderer = load(family)
    plain = brief_for(seed=1)
    [made], [alone] = render(renderer, brief_for(seed=1, source=source_of(picture()))), render(renderer, plain)
    assert (made.data, made.is_edit) == (alone.data, False)
    assert "has no image-to-image" in made.notes["not_edited"]


@pytest.mark.parametrize("strength", [0.0, 1.1, -1, "much"])
def test_a_strength_that_cannot_be_is_refused(strength: Any) -> None:
    with pytest.raises(ValueError, match="edit_strength"):
        diffusion.DiffusersOptions.model_validate({"model": "a/b", "licence": "MIT", "edit_strength": strength})


def test_the_strength_is_part_of_the_edits_alone() -> None:
    def keys(renderer: str, **options: Any) -> tuple[str, str | None]:
        made = manifest(render={"image": {"renderer": renderer, "options": options}})
        project = Project(Path("m.yaml"), made, Path("corpus"))
        return project.renderer_key(Modality.IMAGE), project.edit_key(Modality.IMAGE)

    model = {"model": "stabilityai/sdxl-turbo"}
    low, high, plain = (
        keys("diffusers", **model, **more) for more in ({"edit_strength": 0.3}, {"edit_strength": 0.9}, {})
    )
    assert low[0] == high[0] == plain[0]
    assert len({low[1], high[1], plain[1]}) == 3
    assert keys("minimal-image")[1] is not None
    assert isinstance(storyboard.PLUGIN, EditsPictures)
    assert not isinstance(minimal.MUSIC, EditsPictures)
