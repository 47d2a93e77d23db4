"""``anyinstruct plan``: what a run would do, and why."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.collecting import without_collector
from pipeline.cli.plain import plain
from pipeline.cli.text_tables import draw_rules, draw_sources
from pipeline.execution.forecast import Forecast, StageForecast, forecast
from pipeline.execution.keys import find_missing_keys
from pipeline.execution.limit_screen import choose_for_limits
from pipeline.execution.project import Project, load_project
from pipeline.values.records import Modality
from pipeline.values.words import say_count


def print_plan(manifest: Path, corpus: Path | None, limit: int | None) -> None:
    """Print the forecast of a manifest."""
    project = load_project(manifest, corpus)
    with without_collector():
        result = forecast(project, limit)
    console = Console(highlight=False)
    console.print(_title(project, result), markup=False, soft_wrap=True)
    if result.texts:
        console.print(draw_sources(result.texts))
        console.print(draw_rules(result.texts))
    console.print(_table(project, result))
    console.print(_draw_mix(project, result))
    if any(cell.features for cell in project.manifest.mix):
        console.print(_draw_features(project, result))
        for line in _say_edits(project):
            console.print(line, markup=False, soft_wrap=True)
    for line in (*_say_screen(project, result), *_reasons(result)):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_total(project, result), markup=False, soft_wrap=True)
    if problem := find_missing_keys(project, lambda: result):
        console.print(f"A run would be refused: {problem}", markup=False, soft_wrap=True)


def _title(project: Project, result: Forecast) -> str:
    about = "text" if result.texts else "topic"
    lines = [
        f"{project.manifest.name}: {say_count(result.num_topics, about)}, "
        f"{say_count(result.num_planned, 'dialogue')} "
        f"({result.num_new:,} not planned before), corpus {project.corpus}"
    ]
    if not result.are_topics_there:
        lines.append("Topics are still to be written, so all that follows from them is an estimate.")
    return "\n".join(lines)


def _table(project: Project, result: Forecast) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for name in ("there", "stale", "missing", "calls", "tokens in", "tokens out", "USD", "render time"):
        table.add_column(name, justify="right")
    for name, stage in result.stages.items():
        have = stage.inventory
        table.add_row(
            name,
            f"{have.current:,}",
            f"{have.stale:,}",
            f"{have.missing:,}",
            f"{calls:,}" if (calls := stage.calls + stage.media_calls) else "",
            _say_tokens(stage.prompt_tokens) if stage.calls else "",
            _say_tokens(stage.completion_tokens) if stage.calls else "",
            _money(stage),
            say_duration(stage.render_seconds) if stage.render_seconds else "",
        )
    return table


def _draw_mix(project: Project, result: Forecast) -> Table:
    """The modality matrix that is wanted; ``status`` shows the one that was reached."""
    table = Table(box=None, pad_edge=False, title="Modality matrix wanted", title_justify="left")
    for name in ("cell", "gives", "answers"):
        table.add_column(name, overflow="fold")
    for name in ("rounds", "share", "dialogues"):
        table.add_column(name, justify="right")
    mix = project.manifest.mix
    total = sum(cell.weight for cell in mix)
    for cell in mix:
        low, high = cell.rounds
        table.add_row(
            cell.name,
            ", ".join(cell.gives),
            ", ".join(cell.answers),
            str(low) if low == high else f"{low} to {high}",
            f"{cell.weight / total:.1%}",
            f"{result.num_planned * cell.weight / total:,.0f}",
        )
    return table


def _draw_features(project: Project, result: Forecast) -> Table:
    """What dialogues are asked to have in them; ``status`` shows what was reached."""
    table = Table(box=None, pad_edge=False, title="Features wanted", title_justify="left")
    for name in ("cell", "feature"):
        table.add_column(name, overflow="fold")
    for name in ("share", "dialogues"):
        table.add_column(name, justify="right")
    total = sum(cell.weight for cell in project.manifest.mix)
    for cell in project.manifest.mix:
        for name, share in cell.features.items():
            count = result.num_planned * cell.weight / total * share
            table.add_row(plain(cell.name), plain(name), f"{share:.1%}", f"{count:,.0f}")
    return table


def _say_edits(project: Project) -> list[str]:
    """Say where pictures that change others are made from their words alone."""
    if project.edits_pictures() and project.edit_key(Modality.IMAGE) is None:
        name = project.plugin(Modality.IMAGE).name
        return [f"{name} cannot change a picture: those that change an earlier one are made from their words alone."]
    return []


def _say_tokens(number: int) -> str:
    """Return e.g. ``364,200``, or ``68.9 M``: a terminal of 80 columns has no room for more."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.1f} M"


def _money(stage: StageForecast) -> str:
    if not stage.calls + stage.media_calls:
        return ""
    return f"{stage.usd:,.2f}" if stage.is_priced else "no price"


def _say_screen(project: Project, result: Forecast) -> list[str]:
    """Say what the screen's limits are, and what is to be measured for them."""
    lines = []
    for audit in choose_for_limits(project.manifest.screen):
        plugin, found = audit.chosen.plugin, result.screen[audit.chosen.plugin.name]
        bounds = ", ".join(
            f"{m.name} {'>=' if m.better == 'higher' else '<='} {m.limit:g}" for m in (x.measure for x in audit.limits)
        )
        records = say_count(found.missing, f"{plugin.about} record")
        lines.append(f"screen: {plugin.name} measures {records} ({found.current:,} are measured), for {bounds}")
    return lines


def _reasons(result: Forecast) -> list[str]:
    lines = []
    for name, stage in result.stages.items():
        if stage.inventory.stale:
            changed = ", ".join(f"{what} ({count:,})" for what, count in stage.inventory.changed.most_common())
            lines.append(f"{name}: stale because of a change in {changed}")
    return lines


def _total(project: Project, result: Forecast) -> str:
    stages = result.stages.values()
    to_do = sum(stage.inventory.stale + stage.inventory.missing for stage in stages)
    to_do += sum(found.missing for found in result.screen.values())
    if not to_do:
        return "Nothing is to do."
    calls = result.count_calls()
    media_calls = sum(stage.media_calls for stage in stages)
    for_media = f" and {media_calls:,} for media" if media_calls else ""
    tokens = sum(stage.prompt_tokens + stage.completion_tokens for stage in stages)
    gpu_hours = sum(stage.gpu_seconds for stage in stages) / 3600
    on_gpu = f" ({gpu_hours:,.1f} GPU hours)" if gpu_hours else ""
    seconds = sum(stage.render_seconds for stage in stages)
    is_priced = all(stage.is_priced for stage in stages)
    money = f"{sum(stage.usd for stage in stages):,.2f} USD" if is_priced else "an unknown price"
    budget = project.manifest.budget
    bound = "" if budget is None else f" The budget of all runs together is {budget:,.2f} USD."
    return (
        f"In all about {say_count(calls, 'LLM call')}{for_media}, {say_count(tokens, 'token')}, {money}, "
        f"and {say_duration(seconds)} of rendering{on_gpu}; retries come on top, cached prompt tokens come off.{bound}"
    )


def say_duration(seconds: float) -> str:
    """Return e.g. ``45 s``, ``3.5 min``, ``12.3 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
