"""The three placeholder renderers."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.audio import decode_audio, measure_audio
from pipeline.adapters.renderers.minimal import IMAGE, MUSIC, SPEECH, MinimalOptions, MinimalPlugin
from pipeline.contracts.render import AudioFacts, Brief, ImageFacts, Render, Renderer, RenderFailure
from pipeline.values.records import Modality

PLUGINS = [IMAGE, MUSIC, SPEECH]


class NoModels:
    def path(self, name: str) -> Path:
        raise LookupError(f"a minimal renderer asked for {name}")


def load(plugin: MinimalPlugin) -> Renderer:
    return plugin.load(MinimalOptions(), NoModels())


def brief_for(plugin: MinimalPlugin, seed: int, text: str = "anything") -> Brief:
    return Brief(id=f"b{seed}", modality=plugin.modality, text=text, seed=seed)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_the_seed_alone_decides_the_bytes(plugin: MinimalPlugin) -> None:
    made = load(plugin).render([brief_for(plugin, 1), brief_for(plugin, 2), brief_for(plugin, 1, text="")])
    assert all(isinstance(outcome, Render) for outcome in made)
    assert made[0] == made[2]
    assert made[0] != made[1]


def test_the_image_is_a_gradient_of_the_stated_size() -> None:
    [made] = load(IMAGE).render([brief_for(IMAGE, 3)])
    assert isinstance(made, Render)
    assert made.extension == "png"
    with Image.open(io.BytesIO(made.data)) as image:
        pixels = np.asarray(image.convert("RGB"))
        assert image.format == "PNG"
    assert made.facts == ImageFacts(width=64, height=64)
    assert pixels.shape == (64, 64, 3)
    assert (pixels == pixels[0]).all()
    assert (pixels[0, 0] != pixels[0, -1]).any()


@pytest.mark.parametrize("plugin", [MUSIC, SPEECH], ids=lambda plugin: plugin.name)
def test_the_tone_decodes_to_what_its_facts_say(plugin: MinimalPlugin) -> None:
    [made] = load(plugin).render([brief_for(plugin, 3)])
    assert isinstance(made, Render)
    samples, sample_rate = decode_audio(made.data)
    assert isinstance(made.facts, AudioFacts)
    heard = measure_audio(samples, sample_rate)
    assert (made.facts.duration, made.facts.sample_rate, made.facts.channels) == (0.3, 8_000, 1)
    assert heard.duration == pytest.approx(made.facts.duration)
    assert heard.peak == pytest.approx(made.facts.peak, abs=1e-3)
    assert 0.1 < heard.rms < 0.5


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_brief_of_another_modality_fails_in_its_place(plugin: MinimalPlugin) -> None:
    wrong = Brief(id="wrong", modality=Modality.TEXT, text="x", seed=1)
    made = load(plugin).render([brief_for(plugin, 1), wrong, brief_for(plugin, 2)])
    assert isinstance(made[1], RenderFailure)
    assert made[1].code == "bad_brief"
    assert isinstance(made[0], Render)
    assert isinstance(made[2], Render)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_is_a_draft_without_needs(plugin: MinimalPlugin) -> None:
    options = MinimalOptions()
    assert plugin.is_draft
    assert plugin.name == f"minimal-{plugin.modality}"
    assert not plugin.models(options)
    assert plugin.missing() is None
    assert plugin.is_commercial_use_allowed(options)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_thousand_briefs_take_seconds_at_most(plugin: MinimalPlugin) -> None:
    renderer = load(plugin)
    renderer.render([brief_for(plugin, 0)])
    begun = time.process_time()
    renderer.render([brief_for(plugin, seed) for seed in range(1000)])
    assert time.process_time() - begun < 5.0


def test_importing_the_plugins_loads_neither_numpy_nor_pillow() -> None:
    heavy = "{'numpy', 'PIL', 'soundfile'}"
    code = f"import sys, pipeline.adapters.renderers.minimal; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
