"""What a manifest names, resolved before anything is spent: everything that is wrong is told, and not the first alone.

A line begins with the key that it is about; what is wrong in another file, such as one of topics, begins with that
file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from pipeline.adapters.model_lock import load_lock
from pipeline.adapters.topic_files import find_topic_problem
from pipeline.adapters.weights import allows_commercial_use
from pipeline.contracts.remote import RemotePlugin
from pipeline.contracts.render import (
    KnowsItsLimits,
    KnowsItsVoices,
    RendererOptions,
    RendererPlugin,
    SpeaksWithEmotion,
)
from pipeline.execution.text_sources import find_text_problems
from pipeline.values.addresses import check_address
from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality, Requirement
from pipeline.values.render_sections import SpeechSection
from pipeline.values.words import suggest
from pipeline.work.casting import choose_voices
from pipeline.work.features import COMPARE, EDIT, can_have
from pipeline.work.topics import chosen_meta_topics
from pipeline.work.voice_languages import refuse_language

if TYPE_CHECKING:
    from pipeline.execution.project import Project

ADDRESS_VARIABLE = "OPENAI_BASE_URL"
"""Where the client looks for an address that the manifest does not state."""

PICTURES = {EDIT: "a picture of the assistant's after the one that it changes", COMPARE: "two pictures by the user"}
"""What features need beside modalities and rounds."""

_VOICES = "render.speech.voices"
_WHERE = "a relative path counts from the manifest's folder"


def find_problems(project: Project) -> list[str]:
    """Return a line for everything in a manifest that cannot be resolved; each once."""
    checks: list[Callable[[Project], Iterator[str]]] = [
        _check_topics,
        find_text_problems,
        _check_features,
        _check_writer,
        _check_renderers,
        _check_screen,
        _check_budget,
    ]
    return list(dict.fromkeys(line for check in checks for said in check(project) for line in said.split("\n")))


def _check_topics(project: Project) -> Iterator[str]:
    topics = project.manifest.topics
    for index, text in enumerate(topics.list):
        if problem := find_topic_problem(" ".join(text.split())):
            yield f"topics.list.{index}: {problem}"
    prompts = project.manifest.prompts
    if prompts is not None and not project.beside(prompts).is_dir():
        yield f"prompts: {project.beside(prompts)} is no folder; {_WHERE}"
        return
    if prompts is None and not topics.files and topics.generate is None:
        return  # the shipped prompts are in order, and take a while to read
    try:
        book = project.book
    except ManifestError as exc:
        yield str(exc)
        return
    for index, name in enumerate(topics.files):
        path = project.beside(name)
        if not path.is_file():
            yield f"topics.files.{index}: {path} is no file; {_WHERE}"
            continue
        yield from _told(partial(project.topics_in, name))
    if topics.generate is not None:
        yield from _told(partial(chosen_meta_topics, topics.generate, book))


def _check_features(project: Project) -> Iterator[str]:
    cells = [(index, cell) for index, cell in enumerate(project.manifest.mix) if cell.features]
    if not cells:
        return  # and no prompts are read
    try:
        pool = list(project.book.requirements.values())
    except ManifestError:
        return  # told with the topics
    known = {item.feature for item in pool if item.feature is not None}
    for index, cell in cells:
        for name, share in cell.features.items():
            where = f"mix.{index}.features.{name}"
            if name not in known:
                yield f"{where}: no requirement has such a feature; {suggest(name, known)}"
            elif share and not can_have(cell, name, pool):
                needs = " or ".join(dict.fromkeys(map(_say_needs, (item for item in pool if item.feature == name))))
                yield f"{where}: no dialogue of this cell can have it; it needs {needs}"


def _say_needs(item: Requirement) -> str:
    """Return e.g. ``image answered with 2 rounds``."""
    said = [f"{' and '.join(item.gives)} given"] if item.gives else []
    said += [f"{' and '.join(item.answers)} answered"] if item.answers else []
    if item.feature in PICTURES:
        said.append(PICTURES[item.feature])
    if item.min_rounds > 1:
        said.append(f"{item.min_rounds} rounds")
    return " with ".join(said) or "no more than words"


def _check_writer(project: Project) -> Iterator[str]:
    writer, models = project.manifest.writer, load_lock().language_models
    elsewhere = os.environ.get(ADDRESS_VARIABLE)
    if writer.engine == "openai" and writer.base_url is None and elsewhere:
        try:
            check_address(elsewhere)
        except ValueError as exc:
            yield f"writer: ${ADDRESS_VARIABLE}: {exc}"
    if writer.engine == "embedded" and writer.model not in models:
        yield f"writer.model: no embedded model is called {writer.model!r}; {suggest(str(writer.model), models)}"


def _check_renderers(project: Project) -> Iterator[str]:
    for modality in project.manifest.media:
        try:
            plugin = project.plugin(modality)
        except ManifestError as exc:
            yield str(exc)
            continue
        options = None
        try:
            options = project.options(modality)
        except ManifestError as exc:
            yield str(exc)
        else:
            yield from check_section(project, modality, plugin, options)
        speech = project.manifest.render.speech
        if modality is Modality.SPEECH and speech is not None:
            yield from _check_voices(project, speech, plugin, options)


def check_section(
    project: Project, modality: Modality, plugin: RendererPlugin, options: RendererOptions
) -> Iterator[str]:
    """Name what a renderer cannot do of its section, voices apart, and a licence that forbids the use."""
    choice = project.manifest.render.section(modality)
    if isinstance(plugin, KnowsItsLimits) and choice is not None:
        yield from (f"render.{modality}.{key}: {why}" for key, why in plugin.refuse_section(options, choice).items())
    if project.manifest.intended_use == "commercial" and not plugin.is_commercial_use_allowed(options):
        licences = ", ".join(f"{name}: {licence}" for name, licence in plugin.licences(options).items())
        yield (
            f"render.{modality}: {plugin.name} uses models that forbid commercial use ({licences}); choose another, or "
            "state intended_use: research"
        )
    for emotion in choice.emotions if isinstance(choice, SpeechSection) else ():
        if not isinstance(plugin, SpeaksWithEmotion):
            yield f"render.speech.emotions: {plugin.name} cannot be told how to speak; leave emotions out"
        elif problem := plugin.refuse_emotion(options, emotion):
            yield f"render.speech.emotions: {problem} (is {emotion!r})"


def _check_voices(
    project: Project, speech: SpeechSection, plugin: RendererPlugin, options: RendererOptions | None
) -> Iterator[str]:
    """Name voices that are not there, cannot speak or whose licence forbids the use."""
    if speech.voices_file is not None and not project.beside(speech.voices_file).is_file():
        yield f"render.speech.voices_file: {project.beside(speech.voices_file)} is no file; {_WHERE}"
        return
    try:
        voices = project.voices
    except ManifestError as exc:
        yield str(exc)
        return
    places = {f"{_VOICES}.user.{index}": entry for index, entry in enumerate(speech.voices.user)}
    for place, entry in {**places, f"{_VOICES}.assistant": speech.voices.assistant}.items():
        try:
            chosen = choose_voices([entry], plugin.name, voices, project.manifest.seed)
        except ManifestError as exc:
            yield f"{place}: {str(exc).removeprefix(f'{_VOICES}.user: ')}"
            continue
        for voice in chosen.values():
            if problem := refuse_language(voice, project.manifest.language, voices):
                yield f"{place}: {problem}"
            if isinstance(plugin, KnowsItsVoices) and options is not None:
                refusal = plugin.refuse_voice(options, voice)
                if refusal is not None:
                    yield f"{place}: {refusal}; choose others"
            # What an endpoint speaks is under its provider's terms; these are asked for with the renderer's options.
            is_judged = project.manifest.intended_use == "commercial" and not isinstance(plugin, RemotePlugin)
            if is_judged and not allows_commercial_use(voice.licence):
                yield (
                    f"{place}: voice {voice.name!r} is under {voice.licence}, which is no licence known here to allow "
                    "commercial use; choose another, or state intended_use: research"
                )


def _check_budget(project: Project) -> Iterator[str]:
    yield from _told(partial(project.check_budget, project.manifest.budget))


def _check_screen(project: Project) -> Iterator[str]:
    screen = project.manifest.screen
    if screen.limits or screen.audits:
        # Imported only here: the audits' own module builds on the run, which builds on this check.
        from pipeline.execution.limit_screen import find_limit_problems

        yield from find_limit_problems(screen.limits, screen.audits)


def _told(check: Callable[[], object]) -> Iterator[str]:
    """Yield what a check raises."""
    try:
        check()
    except ManifestError as exc:
        yield str(exc)
