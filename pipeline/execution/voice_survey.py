"""Which voices can be used on this machine, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.render import KnowsItsVoices, ReadsLanguages, RendererOptions, RendererPlugin, Voice
from pipeline.execution.project import Project, find_renderer
from pipeline.values.errors import ManifestError, ModelFileError
from pipeline.values.records import Modality
from pipeline.values.voice_sets import base_language


@dataclass(frozen=True)
class SurveyedVoice:
    """A voice.

    Attributes:
        problem: Why it cannot be used here, and what to do; empty where it can.
    """

    voice: Voice
    problem: str


def survey_voices(voices: Sequence[Voice], project: Project | None, cache: ModelCache) -> Iterator[SurveyedVoice]:
    """Look at voices in their order; each renderer is looked at once.

    Args:
        project: Its speech section says with which options its renderer runs; others run with their defaults.
    """
    speakers: dict[str, _Speaker] = {}
    for voice in voices:
        if voice.renderer not in speakers:
            speakers[voice.renderer] = _look_at_renderer(voice.renderer, project, cache)
        speaker = speakers[voice.renderer]
        problem = _refuse_voice(speaker.plugin, speaker.options, voice) if speaker.plugin and speaker.options else None
        yield SurveyedVoice(voice, problem or speaker.problem)


def group_by_renderer(voices: Sequence[Voice]) -> Mapping[str, Sequence[Voice]]:
    """Return voices by what speaks them, in the order of both."""
    groups: dict[str, list[Voice]] = {}
    for voice in voices:
        groups.setdefault(voice.renderer, []).append(voice)
    return groups


@dataclass(frozen=True)
class _Speaker:
    """A renderer with its options, as far as both are there, and why it cannot speak."""

    plugin: RendererPlugin | None
    options: RendererOptions | None
    problem: str


def _refuse_voice(plugin: RendererPlugin, options: RendererOptions, voice: Voice) -> str | None:
    problem = None
    if isinstance(plugin, ReadsLanguages):
        problem = plugin.missing_for(options, base_language(voice.languages[0]))
    if isinstance(plugin, KnowsItsVoices):
        problem = plugin.refuse_voice(options, voice) or problem
    return problem


def _look_at_renderer(name: str, project: Project | None, cache: ModelCache) -> _Speaker:
    try:
        plugin = find_renderer(name, Modality.SPEECH)
    except ManifestError as exc:
        return _Speaker(None, None, str(exc))
    if (missing := plugin.missing()) is not None:
        return _Speaker(plugin, None, missing)
    speech = project.manifest.render.speech if project is not None else None
    try:
        is_own = project is not None and speech is not None and speech.renderer == name
        options = project.options(Modality.SPEECH) if is_own and project is not None else plugin.options()
    except ValidationError as exc:
        keys = ", ".join(".".join(map(str, error["loc"])) for error in exc.errors(include_url=False))
        return _Speaker(plugin, None, f"{name} needs options: {keys}; state them, or a manifest that does")
    try:
        absent = [model for model in plugin.models(options) if cache.check(model) is not None]
    except ModelFileError as exc:
        return _Speaker(plugin, options, str(exc))
    problem = f"{', '.join(absent)} not fetched: anyinstruct doctor --fetch" if absent else ""
    return _Speaker(plugin, options, problem)
