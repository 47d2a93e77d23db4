"""``anyinstruct plan``: what a run would do, and why."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.execution.forecast import Forecast, StageForecast, forecast
from pipeline.execution.project import Project, load_project


def print_plan(manifest: Path, corpus: Path | None, limit: int | None) -> None:
    """Print the forecast of a manifest."""
    project = load_project(manifest, corpus)
    result = forecast(project, limit)
    console = Console(highlight=False)
    console.print(_title(project, result), markup=False, soft_wrap=True)
    console.print(_table(project, result))
    console.print(_draw_mix(project, result))
    for line in _reasons(result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_total(project, result), markup=False, soft_wrap=True)


def _title(project: Project, result: Forecast) -> str:
    lines = [
        f"{project.manifest.name}: {result.num_topics:,} topics, {result.num_planned:,} dialogues "
        f"({result.num_new:,} not planned before), corpus {project.corpus}"
    ]
    if not result.are_topics_there:
        lines.append("Topics are still to be written, so all that follows from them is an estimate.")
    return "\n".join(lines)


def _table(project: Project, result: Forecast) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for name in ("there", "stale", "missing", "LLM calls", "tokens in", "tokens out", "USD", "render time"):
        table.add_column(name, justify="right")
    for name, stage in result.stages.items():
        have = stage.inventory
        table.add_row(
            name,
            f"{have.current:,}",
            f"{have.stale:,}",
            f"{have.missing:,}",
            f"{stage.calls:,}" if stage.calls else "",
            _say_tokens(stage.prompt_tokens) if stage.calls else "",
            _say_tokens(stage.completion_tokens) if stage.calls else "",
            _money(project, stage),
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


def _say_tokens(number: int) -> str:
    """Return e.g. ``364,200``, or ``68.9 M``: a terminal of 80 columns has no room for more."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.1f} M"


def _money(project: Project, stage: StageForecast) -> str:
    if not stage.calls:
        return ""
    return f"{stage.usd:,.2f}" if not project.unpriced else "no price"


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
    if not to_do:
        return "Nothing is to do."
    calls = sum(stage.calls for stage in stages)
    tokens = sum(stage.prompt_tokens + stage.completion_tokens for stage in stages)
    gpu_hours = sum(stage.gpu_seconds for stage in stages) / 3600
    on_gpu = f" ({gpu_hours:,.1f} GPU hours)" if gpu_hours else ""
    seconds = sum(stage.render_seconds for stage in stages)
    money = f"{sum(stage.usd for stage in stages):,.2f} USD" if not project.unpriced else "an unknown price"
    budget = project.manifest.budget
    bound = "" if budget is None else f" The budget of all runs together is {budget:,.2f} USD."
    return (
        f"In all about {calls:,} LLM calls, {tokens:,} tokens, {money}, "
        f"and {say_duration(seconds)} of rendering{on_gpu}; retries come on top, cached prompt tokens come off.{bound}"
    )


def say_duration(seconds: float) -> str:
    """Return e.g. ``45 s``, ``3.5 min``, ``12.3 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
