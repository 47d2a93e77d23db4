"""A project in place of a manifest: what a person says on the command line, checked as a manifest's section is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.adapters.complaints import word_errors
from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import RendererOptions, RendererPlugin, Voice
from pipeline.execution.checking import check_section
from pipeline.execution.project import Project, find_renderer, load_project
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality
from pipeline.values.units import Pixels, Seconds
from pipeline.values.voice_sets import speaks
from pipeline.work.casting import choose_voices

NAME = "try"

EMBEDDED: Mapping[Modality, Sequence[str]] = {
    Modality.IMAGE: ("storyboard",),
    Modality.MUSIC: ("soundfont",),
    Modality.SPEECH: ("kokoro", "piper"),
}
"""Renderers that run on any machine; the first that is installed is taken where none is named."""

FOR_MODELS: Mapping[Modality, str] = {
    Modality.IMAGE: "diffusers",
    Modality.MUSIC: "musicgen",
    Modality.SPEECH: "coqui",
}
"""Taken where a model is named and no renderer."""


@dataclass(frozen=True)
class Wishes:
    """What is asked for beside the words; None and empty leave it to the renderer's defaults.

    Attributes:
        options: The renderer's own.
        size: Width and height.
        voices: Names or sets, as in a manifest.
        voices_file: None takes the shipped one.
        language: The first voice that speaks it is taken; without voices and language, the first English one.
    """

    modality: Modality
    renderer: str | None = None
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[Pixels, Pixels] | None = None
    seconds: Seconds | None = None
    voices: Sequence[str] = ()
    voices_file: Path | None = None
    language: str | None = None
    rate: float | None = None
    emotion: str | None = None


def project_of(wishes: Wishes, seed: int) -> Project:
    """Return a project with one section, which names no corpus that is ever written.

    Raises:
        ManifestError: a wish cannot be met; the text names it, what is allowed, and what to do.
    """
    modality = wishes.modality
    plugin = find_renderer(wishes.renderer or _default_renderer(wishes), modality)
    section: dict[str, Any] = {"renderer": plugin.name, "options": _options(wishes, plugin)}
    if wishes.size is not None:
        section |= {"width": wishes.size[0], "height": wishes.size[1]}
    if wishes.seconds is not None:
        section["seconds"] = [wishes.seconds, wishes.seconds]
    if modality is Modality.SPEECH:
        section |= _speech(wishes, plugin, seed)
    data = {
        "schema_version": 1,
        "name": NAME,
        "seed": seed,
        "topics": {"list": [NAME]},
        "mix": [{"name": NAME, "gives": ["text"], "answers": [modality]}],
        "writer": {"engine": "openai", "model": NAME},
        "render": {modality: section},
    }
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as exc:
        raise ManifestError("\n".join(map(str, word_errors(Manifest, data, exc)))) from exc
    project = Project(Path(NAME), manifest, Path(NAME))
    # Voices are not held against a language here, as a manifest's are: one that cannot speak fails its item.
    if problems := list(check_section(project, modality, plugin, project.options(modality))):
        raise ManifestError("\n".join(problems))
    return project


def project_in(manifest: Path, modality: Modality, seed: int | None) -> Project:
    """Return a manifest's project, to try its section of a modality as it stands.

    Raises:
        ManifestError: the manifest is wrong, or has no such section.
    """
    project = load_project(manifest)
    if modality not in project.manifest.media:
        raise ManifestError(f"{manifest}: render.{modality}: no cell of the mix uses {modality}; there is none to try")
    if seed is None:
        return project
    return replace(project, manifest=project.manifest.model_copy(update={"seed": seed}))


def list_voices(file: Path | None) -> Mapping[str, Voice]:
    """Return the voices of a file, or of the shipped one."""
    return load_voices(file or shipped("manifests", "voices.yaml"))


def _default_renderer(wishes: Wishes) -> str:
    if wishes.model is not None:
        return FOR_MODELS[wishes.modality]
    problems = []
    for name in EMBEDDED[wishes.modality]:
        problem = find_renderer(name).missing()
        if problem is None:
            return name
        problems.append(problem)
    raise ManifestError(f"no renderer of {wishes.modality} is usable here: {'; '.join(problems)}; or name --renderer")


def _options(wishes: Wishes, plugin: RendererPlugin) -> dict[str, Any]:
    options = dict(wishes.options)
    if wishes.model is None:
        return options
    if "model" not in plugin.options.model_fields:
        raise ManifestError(f"--model: {plugin.name} takes none; {_say_options(plugin.options)}")
    if "model" in options:
        raise ManifestError("--model and --option model=…: state one of them")
    return {**options, "model": wishes.model}


def _say_options(options: type[RendererOptions]) -> str:
    return f"its options are {', '.join(options.model_fields)}" if options.model_fields else "it has no options"


def _speech(wishes: Wishes, plugin: RendererPlugin, seed: int) -> dict[str, Any]:
    voices = list_voices(wishes.voices_file)
    if wishes.voices:
        names: Sequence[str] = list(choose_voices(wishes.voices, plugin.name, voices, seed))
    else:
        names = [_first_voice(wishes.language or "en", plugin, voices)]
    section: dict[str, Any] = {"voices": {"user": names, "assistant": names[0]}}
    if wishes.voices_file is not None:
        section["voices_file"] = str(wishes.voices_file)
    rate = 1.0 if wishes.rate is None else wishes.rate
    section["rate"] = [rate, rate]
    if wishes.emotion is not None:
        section["emotions"] = [wishes.emotion]
    return section


def _first_voice(language: str, plugin: RendererPlugin, voices: Mapping[str, Voice]) -> str:
    own = [voice for voice in voices.values() if voice.renderer == plugin.name]
    for voice in own:
        if speaks(voice.languages, language):
            return voice.name
    known = ", ".join(sorted({tag for voice in own for tag in voice.languages})) or "no language"
    raise ManifestError(
        f"{plugin.name} has no voice for the language {language!r}, it speaks {known}; name another, or a --voice"
    )
