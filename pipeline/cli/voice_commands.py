"""``anyinstruct voices``: a table of voices, and a line spoken by some of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.model_files import ModelCache
from pipeline.cli.plain import plain
from pipeline.cli.show import PIPED_WIDTH
from pipeline.cli.trial import Asked, open_project, show_trials
from pipeline.contracts.render import Voice
from pipeline.execution import trial_project
from pipeline.execution.project import Project, load_project
from pipeline.execution.trial import try_voices
from pipeline.execution.voice_survey import SurveyedVoice, group_by_renderer, survey_voices
from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality
from pipeline.values.voice_sets import VoiceSet, find_problem
from pipeline.values.words import suggest


def list_voices(asked: Mapping[str, str], file: Path | None, manifest: Path | None, as_json: bool) -> None:
    """Print the voices that meet all conditions.

    Args:
        asked: By a key of a voice set, e.g. ``language``.

    Raises:
        ManifestError: a condition is none, or a file is wrong.
    """
    project = load_project(manifest) if manifest is not None else None
    if project is not None and file is not None:
        raise ManifestError("--file and --manifest: a manifest names its voices file; state one of them")
    voices = _chosen_by(project) if project is not None else list(trial_project.list_voices(file).values())
    for key, value in asked.items():
        if problem := find_problem(key, value):
            raise ManifestError(f"--{key}: {problem}")
    wanted = VoiceSet(conditions=tuple(asked.items()))
    kept = [voice for voice in voices if wanted.holds(voice)]
    surveyed = list(survey_voices(kept, project, ModelCache()))
    if as_json:
        print(json.dumps([_row(one) for one in surveyed], indent=1, ensure_ascii=True))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    if surveyed:
        console.print(_table(surveyed))
    usable = sum(not one.problem for one in surveyed)
    console.print(f"{len(surveyed)} of {len(voices)} voices, {usable} usable here", markup=False)


def sample_voices(names: Sequence[str], text: str, asked: Asked, out: Path, as_json: bool) -> int:
    """Have each voice say a line; return the exit code.

    Raises:
        ManifestError: there is no such voice, or its renderer wants other options.
    """
    if asked.manifest is not None:
        project = open_project(asked, Modality.SPEECH)
        voices = _find(names, project.voices)
        speech = project.manifest.render.speech
        others = [voice.name for voice in voices if speech is None or voice.renderer != speech.renderer]
        if others:
            raise ManifestError(f"{asked.manifest}: its section's renderer does not speak {', '.join(others)}")
        return show_trials([try_voices(project, voices, text)], out, as_json)
    groups = group_by_renderer(_find(names, trial_project.list_voices(asked.choices["file"])))
    if len(groups) > 1 and {"model", "option"} & set(asked.stated):
        raise ManifestError(f"--model and --option are of one renderer, and these voices have {', '.join(groups)}")
    trials = []
    for renderer, group in groups.items():
        choices = {**_NO_CHOICES, **asked.choices, "renderer": renderer, "voice": [voice.name for voice in group]}
        trials.append(try_voices(open_project(replace(asked, choices=choices), Modality.SPEECH), group, text))
    return show_trials(trials, out, as_json)


_NO_CHOICES = dict.fromkeys(("size", "seconds", "language", "emotion"))


def _chosen_by(project: Project) -> list[Voice]:
    casting = project.casting
    if casting is None:
        raise ManifestError(f"{project.path}: no cell of the mix uses speech, so it chooses no voices")
    return list({**casting.pool, casting.assistant.name: casting.assistant}.values())


def _find(names: Sequence[str], voices: Mapping[str, Voice]) -> list[Voice]:
    for name in names:
        if name not in voices:
            raise ManifestError(f"no voice is called {name!r}; {suggest(name, voices)}")
    return [voices[name] for name in dict.fromkeys(names)]


def _table(surveyed: Sequence[SurveyedVoice]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("name", "renderer", "language", "gender", "age", "licence"):
        table.add_column(name, no_wrap=True)
    table.add_column("usable here", overflow="fold")
    for one in surveyed:
        voice = one.voice
        cells = (voice.name, voice.renderer, ", ".join(voice.languages), voice.gender, voice.age, voice.licence)
        table.add_row(*(plain(cell or "") for cell in cells), plain(f"no: {one.problem}" if one.problem else "yes"))
    return table


def _row(one: SurveyedVoice) -> dict[str, object]:
    return {**one.voice.model_dump(mode="json"), "is_usable": not one.problem, "problem": one.problem or None}
