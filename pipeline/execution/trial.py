"""Renders outside a corpus: the renderer, the loop, the gates and the retries of a run, and files in a folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from time import perf_counter

from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.remote import RemotePlugin, WantsKey
from pipeline.contracts.render import AudioFacts, Brief, ImageFacts, ReadsLanguages, Renderer, RenderFailure, Voice
from pipeline.contracts.storage import Row
from pipeline.execution.driver import Silence
from pipeline.execution.memory import peak_memory_of_process
from pipeline.execution.project import Project
from pipeline.values.errors import AnyInstructError, CorpusError, EndpointError, RenderError
from pipeline.values.records import Modality
from pipeline.values.spoken import spoken_form
from pipeline.values.units import USD, Bytes, Seconds
from pipeline.values.voice_sets import base_language
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import order_renders
from pipeline.work.casting import Casting
from pipeline.work.render_loop import Made, RenderLoop

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


@dataclass(frozen=True)
class Trial:
    """What is to be rendered.

    Attributes:
        briefs: By the name that their files get, without the renderer in front.
        words: What was asked for, as it was written, by the same name.
    """

    project: Project
    modality: Modality
    briefs: Mapping[str, Brief]
    words: Mapping[str, str]


@dataclass(frozen=True)
class Tried:
    """One brief and what came of it.

    Attributes:
        path: The file; None where there is none because of ``failure``.
        num_bytes: Its size.
        seconds: Its share of its batch, and its gates and encoding.
    """

    words: str
    brief: Brief
    path: Path | None
    num_bytes: Bytes
    seconds: Seconds
    facts: ImageFacts | AudioFacts | None
    failure: RenderFailure | None


@dataclass(frozen=True)
class TrialReport:
    """What a trial took.

    Attributes:
        load_seconds: Imports and weights.
        seconds: From the first brief to the last file.
        peak_memory: The most that this process held at any time.
        peak_gpu_memory: The most that tensors held on its GPUs; None where torch used none.
        provenance: As the ledger of a corpus would state it.
        error: Why it ended early, where the renderer could not go on; what was made before is among the items.
    """

    items: Sequence[Tried]
    load_seconds: Seconds
    seconds: Seconds
    peak_memory: Bytes
    peak_gpu_memory: Bytes | None
    provenance: Mapping[str, str]
    was_interrupted: bool
    error: AnyInstructError | None = None

    @property
    def num_failed(self) -> int:
        """Briefs that came to nothing."""
        return sum(item.failure is not None for item in self.items)


def try_texts(project: Project, modality: Modality, texts: Sequence[str], num_each: int) -> Trial:
    """Plan a number of renders of each text, named by the numbers of both, so that their seeds follow from these."""
    named = {f"{place:02d}-{copy:02d}": text for place, text in enumerate(texts, 1) for copy in range(1, num_each + 1)}
    casting = project.casting
    briefs = {name: _brief(project, modality, name, text, casting) for name, text in named.items()}
    return Trial(project, modality, briefs, named)


def try_voices(project: Project, voices: Sequence[Voice], text: str) -> Trial:
    """Plan one line with each voice, named by it."""
    alone = {voice.name: Casting({voice.name: voice}, voice) for voice in voices}
    briefs = {name: _brief(project, Modality.SPEECH, name, text, casting) for name, casting in alone.items()}
    return Trial(project, Modality.SPEECH, briefs, dict.fromkeys(alone, text))


def find_missing(trial: Trial) -> str | None:
    """Say which key, package or system part is not here for a trial, its languages included, or None."""
    plugin, options = trial.project.plugin(trial.modality), trial.project.options(trial.modality)
    if isinstance(plugin, WantsKey) and (problem := plugin.missing_key(options)):
        return problem
    if (problem := plugin.missing()) or not isinstance(plugin, ReadsLanguages):
        return problem
    spoken = {base_language(brief.voice.languages[0]) for brief in trial.briefs.values() if brief.voice}
    return next((found for tag in sorted(spoken) if (found := plugin.missing_for(options, tag))), None)


def expect_cost(trial: Trial) -> USD | None:
    """What the calls of a trial are likely to cost; None where nothing is called, or nobody stated a price."""
    plugin, options = trial.project.plugin(trial.modality), trial.project.options(trial.modality)
    if not isinstance(plugin, RemotePlugin) or plugin.price(options) is None:
        return None
    return sum(plugin.expect_cost(options, brief) for brief in trial.briefs.values())


def run_trial(trial: Trial, folder: Path, on_item: Callable[[Tried, bytes], None]) -> TrialReport:
    """Render all briefs; Ctrl-C ends it after the files of what is made are whole, and so does a renderer's error.

    Args:
        folder: Made where it is not there. Files that are in it stay as they are.
        on_item: Called on another thread, one at a time, as files come.

    Raises:
        RenderError: the renderer cannot be loaded.
        ModelFileError: its weights cannot be had.
        CorpusError: the folder cannot be written.
    """
    plugin = trial.project.plugin(trial.modality)
    names = {brief.id: name for name, brief in trial.briefs.items()}
    items: list[Tried] = []

    def store(made: Made) -> None:
        name = names[made.brief.id]
        item, data = _keep(made, trial.words[name], folder, f"{plugin.name}-{name}")
        items.append(item)
        on_item(item, data)

    _make_folder(folder)
    started = perf_counter()
    renderer = plugin.load(trial.project.options(trial.modality), ModelCache())
    loaded = perf_counter()
    loop = _loop(trial, renderer, store)
    was_interrupted, error = False, None
    try:
        loop.run(list(trial.briefs.values()))
    except KeyboardInterrupt:
        was_interrupted = True
    except (RenderError, EndpointError) as exc:
        error = exc
    return TrialReport(
        items=tuple(sorted(items, key=lambda item: item.brief.id)),
        load_seconds=loaded - started,
        seconds=perf_counter() - loaded,
        peak_memory=peak_memory_of_process(),
        peak_gpu_memory=peak_gpu_memory(),
        provenance=dict(renderer.provenance()),
        was_interrupted=was_interrupted,
        error=error,
    )


def _loop(trial: Trial, renderer: Renderer, store: Callable[[Made], None]) -> RenderLoop:
    """The loop of a run, with what the trial's section says of batches and attempts."""
    project, modality = trial.project, trial.modality
    section, plugin = project.manifest.render.section(modality), project.plugin(modality)
    if section is None:
        raise ValueError(f"no section for {modality}")
    size, attempts = BatchSize(section.batch), section.attempts
    if isinstance(plugin, RemotePlugin):
        # Calls go out together, and none is paid for twice.
        size, attempts = BatchSize(plugin.in_flight(project.options(modality))), 1
    return RenderLoop(renderer, size, project.manifest.seed, attempts, Silence(), store)


def _brief(project: Project, modality: Modality, name: str, text: str, casting: Casting | None) -> Brief:
    """Make the brief of a dialogue that has this one part, as a run would."""
    language = casting.voice_of("user", name).languages[0] if casting else "en"
    part = {"kind": str(modality), "text": text, "spoken": spoken_form(text, language)}
    row: Row = {"record_id": name, "turns": [{"role": "user", "parts": [part]}]}
    [order] = order_renders(modality, [row], project.manifest, project.renderer_key(modality), casting)
    return order.payload.brief


def _keep(made: Made, words: str, folder: Path, stem: str) -> tuple[Tried, bytes]:
    outcome = made.outcome
    item = Tried(words, made.brief, None, 0, made.seconds, None, None)
    if isinstance(outcome, RenderFailure):
        return replace(item, failure=outcome), b""
    if not _EXTENSION.fullmatch(outcome.extension):
        raise RenderError(f"the renderer calls its files .{outcome.extension!r:.40}, which is no extension")
    path = _write_new(folder, stem, outcome.extension, outcome.data)
    return replace(item, path=path, num_bytes=len(outcome.data), facts=outcome.facts), outcome.data


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise CorpusError(f"{folder}: cannot be made: {exc.strerror}; name another folder with --out") from exc


def _write_new(folder: Path, stem: str, extension: str, data: bytes) -> Path:
    """Write a file whose name nothing has yet: where the plain one is taken, a number follows it."""
    for number in count(1):
        path = folder / (f"{stem}.{extension}" if number == 1 else f"{stem}-{number}.{extension}")
        try:
            file = path.open("xb")
        except FileExistsError:
            continue
        except OSError as exc:
            raise CorpusError(f"{path}: cannot be written: {exc.strerror}") from exc
        try:
            with file:
                file.write(data)
        except OSError as exc:
            path.unlink(missing_ok=True)
            raise CorpusError(f"{path}: cannot be written: {exc.strerror}") from exc
        return path
    raise AssertionError("numbers do not end")


def peak_gpu_memory() -> Bytes | None:
    """What tensors held at most on the GPUs that torch knows of; torch is asked only where a renderer imported it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    peaks = [int(torch.cuda.max_memory_allocated(index)) for index in range(torch.cuda.device_count())]
    return sum(peaks)
