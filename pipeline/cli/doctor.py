"""``anyinstruct doctor``: what works here, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.model_files import ModelCache
from pipeline.cli.fetching import fetch_models
from pipeline.cli.plain import plain
from pipeline.execution.diagnosis import diagnose, models_of
from pipeline.execution.fact import Fact
from pipeline.execution.project import load_project
from pipeline.values.errors import ModelFileError


def examine(manifest: Path | None, fetch: bool) -> int:
    """Print what can be used here, and with ``fetch`` get missing models first.

    Returns:
        1 where a model could not be fetched, or where something that the manifest needs cannot be used.

    Raises:
        ManifestError: the manifest itself is wrong.
    """
    console = Console(highlight=False)
    project = load_project(manifest) if manifest is not None else None
    cache = ModelCache()
    is_fetched = not fetch or fetch_each(cache, models_of(project), console)
    facts = list(diagnose(project, cache))
    console.print(_table(facts))
    _advise(facts, manifest, console)
    is_fit = manifest is None or all(fact.state != "problem" for fact in facts)
    return 0 if is_fetched and is_fit else 1


def fetch_each(cache: ModelCache, names: Sequence[str], console: Console) -> bool:
    """Fetch one model after the other; one that cannot be had does not keep the others away."""
    is_whole = True
    for name in names:
        try:
            fetch_models(cache, [name], console)
        except ModelFileError as exc:
            is_whole = False
            for line in str(exc).splitlines():
                console.print(plain(line, 2000), soft_wrap=True)
    return is_whole


def _table(facts: Sequence[Fact]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("area")
    table.add_column("name", overflow="fold")
    table.add_column("state")
    table.add_column("text", overflow="fold")
    area = ""
    for fact in facts:
        table.add_row(fact.area if fact.area != area else "", plain(fact.name), fact.state, plain(fact.text, 600))
        area = fact.area
    return table


def _advise(facts: Sequence[Fact], manifest: Path | None, console: Console) -> None:
    """Name everything that is not ok, with what to do; problems first."""
    console.print()
    wrong = sorted((fact for fact in facts if fact.advice), key=lambda fact: fact.state != "problem")
    for fact in wrong:
        console.print(plain(f"{fact.state}: {fact.name}: {fact.advice}", 2000), soft_wrap=True)
    problems = sum(fact.state == "problem" for fact in facts)
    if manifest is not None:
        verdict = "All that it needs is here." if not problems else f"{problems} of the things that it needs are amiss."
        console.print(plain(f"{manifest}: {verdict}"), soft_wrap=True)
    elif not wrong:
        console.print("Everything is usable.")
