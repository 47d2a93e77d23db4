"""Trials on the terminal: what was asked for is checked, files are named as they come, and the sums are told."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.adapters.model_files import ModelCache
from pipeline.cli.fetching import fetch_models
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.cli.show_dialogue import say_bytes
from pipeline.cli.thumbnails import Graphics, detect_graphics, show_thumbnail
from pipeline.contracts.plugins import read_options
from pipeline.contracts.render import ImageFacts
from pipeline.execution.project import Project
from pipeline.execution.trial import Trial, TrialReport, Tried, expect_cost, find_missing, run_trial, try_texts
from pipeline.execution.trial_project import Wishes, project_in, project_of
from pipeline.values.errors import ManifestError
from pipeline.values.records import MEDIA, Modality
from pipeline.values.units import Pixels

OF_ONE_MODALITY = {
    "size": Modality.IMAGE,
    "seconds": Modality.MUSIC,
    "voice": Modality.SPEECH,
    "file": Modality.SPEECH,
    "language": Modality.SPEECH,
    "rate": Modality.SPEECH,
    "emotion": Modality.SPEECH,
}

_SIZE = re.compile(r"(\d{1,5})(?:\s*[xX×]\s*(\d{1,5}))?")


@dataclass(frozen=True)
class Asked:
    """A command line, unchecked.

    Attributes:
        choices: By the name of the option; None or empty where it was not given.
    """

    modality: str
    choices: Mapping[str, Any]
    manifest: Path | None
    seed: int | None

    @property
    def stated(self) -> list[str]:
        """Options that were given."""
        return [name for name, value in self.choices.items() if value not in (None, [])]


def try_out(asked: Asked, texts: Sequence[str], num_each: int, out: Path, as_json: bool) -> int:
    """Render texts and tell; return the exit code.

    Raises:
        ManifestError: something that was asked for cannot be.
    """
    modality = _read_modality(asked.modality)
    return show_trials([try_texts(open_project(asked, modality), modality, texts, num_each)], out, as_json)


def open_project(asked: Asked, modality: Modality) -> Project:
    """Check what was asked for.

    Raises:
        ManifestError: names the option and what to do.
    """
    if asked.manifest is not None:
        if asked.stated:
            given = ", ".join(f"--{name}" for name in asked.stated)
            raise ManifestError(f"--manifest takes its section as it stands: leave out {given}, or --manifest")
        return project_in(asked.manifest, modality, asked.seed)
    for name in asked.stated:
        if OF_ONE_MODALITY.get(name, modality) is not modality:
            raise ManifestError(f"--{name} is of {OF_ONE_MODALITY[name]}, and this is about {modality}: leave it out")
    choices = asked.choices
    if choices["voice"] and choices["language"]:
        raise ManifestError("--voice and --language: a voice has its languages; state one of them")
    wishes = Wishes(
        modality=modality,
        renderer=choices["renderer"],
        model=choices["model"],
        options=read_options(choices["option"] or ()),
        size=_read_size(choices["size"]),
        seconds=choices["seconds"],
        voices=choices["voice"] or (),
        voices_file=choices["file"],
        language=choices["language"],
        rate=choices["rate"],
        emotion=choices["emotion"],
    )
    return project_of(wishes, asked.seed or 0)


def show_trials(trials: Sequence[Trial], out: Path, as_json: bool) -> int:
    """Run trials one after the other, of one renderer each; return the exit code.

    Raises:
        ManifestError: a renderer lacks a package.
        AnyInstructError: a renderer cannot work; what the others made is there.
    """
    notes = Console(highlight=False, stderr=as_json)
    is_terminal = sys.stdout.isatty()
    graphics = detect_graphics(os.environ, is_terminal, notes.color_system is not None and not notes.no_color)
    documents, num_failed = [], 0
    was_interrupted, error = False, None
    for trial in trials:
        printer = _Printer(notes, "none" if as_json else graphics)
        try:
            report = _run(trial, out, printer, as_json)
        except KeyboardInterrupt:
            notes.print("Stopped while the renderer was loading.")
            return INTERRUPTED
        documents.append(_document(trial, report))
        num_failed += report.num_failed
        if not as_json:
            printer.sum_up(trial, report)
        was_interrupted, error = report.was_interrupted, report.error
        if was_interrupted or error is not None:
            break
    if as_json:
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=1, ensure_ascii=True))
    if error is not None:
        raise error
    if was_interrupted:
        return INTERRUPTED
    return 1 if num_failed else 0


def _run(trial: Trial, out: Path, printer: _Printer, is_quiet: bool) -> TrialReport:
    project, modality = trial.project, trial.modality
    plugin, options = project.plugin(modality), project.options(modality)
    if problem := find_missing(trial):
        raise ManifestError(f"{plugin.name}: {problem}")
    fetch_models(ModelCache(), plugin.models(options), printer.console)
    if not is_quiet:
        printer.introduce(trial)
    return run_trial(trial, out, (lambda item, data: None) if is_quiet else printer.show)


@dataclass(frozen=True)
class _Printer:
    console: Console
    graphics: Graphics

    def introduce(self, trial: Trial) -> None:
        """Say what renders, and what its output is good for."""
        plugin, options = trial.project.plugin(trial.modality), trial.project.options(trial.modality)
        licences = ", ".join(f"{name} {licence}" for name, licence in plugin.licences(options).items())
        said = [f"{plugin.name} {plugin.version}: {licences or 'no models'}"]
        if not plugin.is_commercial_use_allowed(options):
            said.append("no commercial use")
        if plugin.is_draft:
            said.append("DRAFT, to look at and not to train on")
        if (usd := expect_cost(trial)) is not None:
            said.append(f"its calls cost about {usd:.2f} USD")
        self._say("; ".join(said))

    def show(self, item: Tried, data: bytes) -> None:
        """Print one file, or why there is none."""
        spent = f"seed {item.brief.seed}, {item.seconds:.2f} s to render"
        if item.failure is not None:
            self._say(f"{_label(item)}: failed: {item.failure.code}: {item.failure.message} ({spent})")
            return
        self._say(f"{item.path}: {_say_facts(item)}, {spent}")
        if isinstance(item.facts, ImageFacts):
            show_thumbnail(data, self.graphics, self.console)

    def sum_up(self, trial: Trial, report: TrialReport) -> None:
        """Print what it took."""
        num_made = len(report.items) - report.num_failed
        count = len(report.items)
        said = [f"{num_made} made, {report.num_failed} failed"]
        if report.was_interrupted or report.error is not None:
            said.append(f"stopped before the other {len(trial.briefs) - count}")
        said.append(f"loaded in {report.load_seconds:.1f} s")
        if count:
            said.append(f"{report.seconds / count:.2f} s an item")
        memory = f"peak memory {say_bytes(report.peak_memory)}"
        if report.peak_gpu_memory is not None:
            memory += f", on the GPU {say_bytes(report.peak_gpu_memory)}"
        self._say("; ".join([*said, memory]))

    def _say(self, text: str) -> None:
        self.console.print(plain(text, 2000), soft_wrap=True)


def _label(item: Tried) -> str:
    return f"{item.brief.id} {item.words[:60]!r}"


def _say_facts(item: Tried) -> str:
    facts = item.facts
    if isinstance(facts, ImageFacts):
        said = f"{facts.width}x{facts.height}"
    elif facts is not None:
        said = f"{facts.duration:.1f} s at {facts.sample_rate / 1000:g} kHz"
    else:
        said = "nothing"
    voice = f", voice {item.brief.voice.name}" if item.brief.voice else ""
    return f"{said}, {say_bytes(item.num_bytes)}{voice}"


def _document(trial: Trial, report: TrialReport) -> dict[str, Any]:
    plugin, options = trial.project.plugin(trial.modality), trial.project.options(trial.modality)
    count = len(report.items)
    return {
        "renderer": plugin.name,
        "version": plugin.version,
        "is_draft": plugin.is_draft,
        "options": options.model_dump(mode="json"),
        "licences": dict(plugin.licences(options)),
        "is_commercial_use_allowed": plugin.is_commercial_use_allowed(options),
        "items": [_item(item) for item in report.items],
        "num_failed": report.num_failed,
        "was_interrupted": report.was_interrupted,
        "load_seconds": round(report.load_seconds, 3),
        "render_seconds": round(report.seconds, 3),
        "seconds_an_item": round(report.seconds / count, 4) if count else None,
        "peak_memory_bytes": report.peak_memory,
        "peak_gpu_memory_bytes": report.peak_gpu_memory,
        "provenance": dict(report.provenance),
    }


def _item(item: Tried) -> dict[str, Any]:
    brief = item.brief
    said: dict[str, Any] = {"text": item.words, "seed": brief.seed, "attempt": brief.attempt}
    if brief.voice is not None:
        said |= {"voice": brief.voice.name, "rate": brief.rate, "emotion": brief.emotion, "spoken": brief.text}
    said["render_seconds"] = round(item.seconds, 4)
    if item.failure is not None:
        return {**said, "path": None, "code": item.failure.code, "message": item.failure.message}
    facts = item.facts.model_dump(mode="json") if item.facts else {}
    return {**said, "path": str(item.path), "bytes": item.num_bytes, **facts}


def _read_modality(text: str) -> Modality:
    if text not in MEDIA:
        raise ManifestError(f"{text!r} is nothing that is rendered; name {', '.join(MEDIA)}")
    return Modality(text)


def _read_size(text: str | None) -> tuple[Pixels, Pixels] | None:
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ManifestError(f"--size {text!r}: write pixels, e.g. 512 or 768x512")
    return int(found[1]), int(found[2] or found[1])
