"""``anyinstruct diff``: two corpora side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.cli.plain import plain
from pipeline.cli.report import write_text
from pipeline.execution.comparing import compare_corpora
from pipeline.values.words import say_share
from pipeline.work.differences import Differences, MeasurePair, NumberPair, write_differences
from pipeline.work.pages import say_short, say_usd


def diff_corpora(first: Path, second: Path, out: Path | None, as_json: bool) -> None:
    """Print in what two corpora differ, and write a page where one is asked for.

    Raises:
        CorpusError: one of them is no corpus, a file is damaged, or the page cannot be written.
    """
    differences = compare_corpora(first, second)
    if out is not None:
        write_text(out, write_differences(differences))
    if as_json:
        print(json.dumps(differences.model_dump(mode="json"), indent=1))
        return
    console = Console(highlight=False)
    console.print(plain(f"A {differences.first}"), plain(f"B {differences.second}"), sep="\n", soft_wrap=True)
    for table in _draw(differences):
        console.print()
        console.print(table)
    _print_samples(differences, console)
    if out is not None:
        console.print(plain(f"{out}: the same as a page", 1000), soft_wrap=True)


def _draw(differences: Differences) -> list[Table]:
    tables = [
        _draw_pairs("count", differences.counts, lambda value: f"{value:,.0f}"),
        _draw_pairs("reached cell", differences.reached, say_share),
        _draw_pairs("wanted cell", differences.wanted, say_share),
    ]
    if differences.measures:
        tables.append(_draw_measures(differences.measures))
    tables.append(_draw_pairs("calls", differences.calls, lambda value: f"{value:,.0f}"))
    tables.append(_draw_pairs("USD", differences.spend, say_usd))
    return tables


def _draw_pairs(name: str, rows: Sequence[NumberPair], say: Callable[[float], str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(name, overflow="fold")
    for side in ("A", "B", "B - A"):
        table.add_column(side, justify="right", no_wrap=True)
    for row in rows:
        sides = ["-" if value is None else say(value) for value in (row.first, row.second)]
        table.add_row(plain(row.name or "(none)", 80), *sides, _say_change(row.change, say))
    return table


def _draw_measures(rows: Sequence[MeasurePair]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("measure", no_wrap=True)
    for name in ("median A", "B", "pass A", "B", "change", "distance"):
        table.add_column(name, justify="right")
    for row in rows:
        medians = ["" if value is None else say_short(value) for value in (row.medians.first, row.medians.second)]
        passes = ["" if value is None else say_share(value) for value in (row.passes.first, row.passes.second)]
        change = _say_change(row.passes.change, lambda value: f"{value:.1%}")
        if row.pass_low is not None and row.pass_high is not None and row.pass_low < row.pass_high:
            change += f" ({row.pass_low:+.1%} to {row.pass_high:+.1%})"
        distance = "" if row.distance is None else f"{row.distance:.2f}"
        table.add_row(plain(row.name, 60), *medians, *passes, change, distance)
    return table


def _say_change(change: float | None, say: Callable[[float], str]) -> str:
    if change is None:
        return ""
    sign = "+" if change > 0 else "-" if change < 0 else ""
    return f"{sign}{say(abs(change))}"


def _print_samples(differences: Differences, console: Console) -> None:
    samples = differences.samples
    lines = [
        f"Dialogues: {samples.num_same:,} are the same, {samples.num_changed:,} have other words or media, "
        f"{samples.num_only_first:,} are in A alone, {samples.num_only_second:,} in B alone."
    ]
    lines += [f"  {row.id} ({', '.join(row.what)}): {row.topic}" for row in samples.changed]
    for name, number, some in (
        ("A", samples.num_topics_only_first, samples.topics_only_first),
        ("B", samples.num_topics_only_second, samples.topics_only_second),
    ):
        more = f", and {number - len(some):,} more" if number > len(some) else ""
        lines.append(f"Topics in {name} alone: {number:,}{': ' if some else ''}{', '.join(some)}{more}")
    console.print()
    for line in lines:
        console.print(plain(line, 2000), soft_wrap=True)
