"""The three placeholder renderers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.audio import measure_audio
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.renderers.minimal import IMAGE, MUSIC, SPEECH, MinimalOptions, MinimalPlugin
from pipeline.contracts.render import AudioFacts, Brief, ImageFacts, Render, Renderer

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
    samples, sample_rate = decode_sound(made.data)
    assert isinstance(made.facts, AudioFacts)
    heard = measure_audio(samples, sample_rate)
    assert (made.facts.duration, made.facts.sample_rate, made.facts.channels) == (0.3, 8_000, 1)
    assert heard.duration == pytest.approx(made.facts.duration)
    assert heard.peak == pytest.approx(made.facts.peak, abs=1e-3)
    assert 0.1 < heard.rms < 0.5


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_is_a_draft_without_needs(plugin: MinimalPlugin) -> None:
    options = MinimalOptions()
    assert plugin.is_draft
    assert plugin.name == f"minimal-{plugin.modality}"
    assert not plugin.models(options)
    assert plugin.missing() is None
    assert plugin.is_commercial_use_allowed(options)
