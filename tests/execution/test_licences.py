"""Licences of models: told, and held against what a corpus is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.execution.diagnosis import diagnose
from pipeline.execution.licences import list_known_models
from pipeline.execution.project import load_project
from pipeline.values.errors import ManifestError
from tests.support.projects import describe, write_manifest

IMAGE = {"renderer": "minimal-image"}
MUSIC = {"renderer": "minimal-music"}
SPEECH = {
    "renderer": "minimal-speech",
    "voices_file": "voices.yaml",
    "voices": {"user": ["anna"], "assistant": "dora"},
}


def coqui(model: str, **options: Any) -> dict[str, Any]:
    return {**SPEECH, "renderer": "coqui", "options": {"model": model, **options}}


def voices(renderer: str, licence: str) -> list[dict[str, Any]]:
    return [{"name": n, "renderer": renderer, "languages": ["en"], "licence": licence} for n in ("anna", "dora")]


def check(folder: Path, use: str, sections: dict[str, Any], voice_licence: str = "CC0-1.0") -> None:
    render = {"image": IMAGE, "music": MUSIC, "speech": SPEECH, **sections}
    manifest = describe("http://localhost:1/v1", render=render, intended_use=use)
    load_project(write_manifest(folder, manifest, voices(render["speech"]["renderer"], voice_licence)), folder / "none")


FORBIDDEN = [
    ("image", {**IMAGE, "renderer": "diffusers", "options": {"model": "stabilityai/sdxl-turbo"}}, "Non-Commercial"),
    ("image", {**IMAGE, "renderer": "diffusers", "options": {"model": "black-forest-labs/FLUX.1-dev"}}, "FLUX.1"),
    ("music", {**MUSIC, "renderer": "musicgen", "options": {"model": "facebook/musicgen-small"}}, "CC-BY-NC-4.0"),
    ("music", {**MUSIC, "renderer": "audiocraft", "options": {"model": "facebook/musicgen-large"}}, "CC-BY-NC-4.0"),
    ("speech", coqui("tts_models/multilingual/multi-dataset/xtts_v2"), "CPML"),
    ("speech", coqui("./of-my-own", licence="CC-BY-NC-4.0"), "CC-BY-NC-4.0"),
]


@pytest.mark.parametrize(("modality", "section", "licence"), FORBIDDEN)
def test_weights_that_forbid_it_are_refused_for_commercial_use(
    modality: str, section: dict[str, Any], licence: str, tmp_path: Path
) -> None:
    check(tmp_path, "research", {modality: section})
    with pytest.raises(ManifestError, match=f"render.{modality}: .*forbid commercial use .*{licence}"):
        check(tmp_path, "commercial", {modality: section})


@pytest.mark.parametrize(
    ("modality", "section"),
    [
        ("image", {**IMAGE, "renderer": "diffusers", "options": {"model": "black-forest-labs/FLUX.1-schnell"}}),
        ("image", {**IMAGE, "renderer": "diffusers", "options": {"model": "./own", "licence": "MIT"}}),
        ("speech", coqui("tts_models/en/vctk/vits")),
    ],
)
def test_weights_that_allow_it_are_taken(modality: str, section: dict[str, Any], tmp_path: Path) -> None:
    check(tmp_path, "commercial", {modality: section})


def test_a_voice_has_a_licence_too(tmp_path: Path) -> None:
    check(tmp_path, "research", {}, voice_licence="CC-BY-NC-4.0")
    with pytest.raises(ManifestError, match=r"voices\.user\.0: voice 'anna' is under CC-BY-NC-4\.0"):
        check(tmp_path, "commercial", {}, voice_licence="CC-BY-NC-4.0")


def test_what_an_endpoint_speaks_is_under_its_providers_terms_which_forbid_no_selling(tmp_path: Path) -> None:
    options = {"model": "own", "base_url": "http://localhost:1/v1"}
    remote = {**SPEECH, "renderer": "openai-speech", "options": options}
    check(tmp_path, "commercial", {"speech": remote}, voice_licence="terms of service")
    own = {**remote, "options": {**options, "licence": "CC-BY-NC-4.0"}}
    with pytest.raises(ManifestError, match=r"render\.speech: .*forbid commercial use .*CC-BY-NC-4\.0"):
        check(tmp_path, "commercial", {"speech": own}, voice_licence="terms of service")


def test_a_renderer_that_cannot_be_told_refuses_emotions(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"render\.speech\.emotions: minimal-speech cannot be told how to speak"):
        check(tmp_path, "research", {"speech": {**SPEECH, "emotions": ["calm"]}})


def test_every_known_model_is_told_with_its_licence() -> None:
    told = {(group.renderer, model): group for group in list_known_models() for model in group.models}
    assert told[("musicgen", "facebook/musicgen-medium")].licence == "CC-BY-NC-4.0"
    assert not told[("musicgen", "facebook/musicgen-medium")].is_commercial_use_allowed
    assert told[("diffusers", "stabilityai/stable-diffusion-xl-base-1.0")].is_commercial_use_allowed
    assert not told[("coqui", "coqui/XTTS-v2")].is_commercial_use_allowed
    assert {renderer for renderer, _ in told} == {"audiocraft", "coqui", "diffusers", "musicgen"}


def test_doctor_tells_them_all(cache_root: Path) -> None:
    from pipeline.adapters.model_files import ModelCache

    lines = [fact.text for fact in diagnose(None, ModelCache()) if fact.area == "licences"]
    for group in list_known_models():
        for model in group.models:
            assert any(group.licence in line and model in line.split(": ")[-1].split(", ") for line in lines), model
    assert all(len(line) <= 600 for line in lines), "the table cuts what is longer"
