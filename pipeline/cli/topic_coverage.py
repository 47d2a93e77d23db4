"""``anyinstruct topics coverage``: what the topics of a file cover, as a table and as a plot."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.files import replacing
from pipeline.adapters.topic_files import read_topic_file
from pipeline.cli.plain import plain
from pipeline.cli.topic_commands import comparing, open_book
from pipeline.values.errors import ManifestError
from pipeline.values.words import say_count
from pipeline.work.topic_coverage import Coverage, MetaCoverage, measure_coverage
from pipeline.work.topic_plot import plot_coverage
from pipeline.work.topic_variety import Kind


def print_coverage(file: Path, wanted: int, plot: Path | None, words_only: bool, prompts: Path | None) -> None:
    """Print a table a meta-topic a line, then what is missing; write the plot where one is asked for.

    Raises:
        ManifestError: the file or the plot's name is wrong.
    """
    if plot is not None and plot.suffix != ".svg":
        raise ManifestError(f"--plot: {plot}: plots are written as .svg")
    console, book = Console(highlight=False), open_book(prompts)
    topics = read_topic_file(file, book.meta_topics).topics
    with comparing([file], topics, words_only, console) as embedder:
        found = measure_coverage(topics, book.meta_topics.values(), wanted, embedder)
    console.print(_table(found))
    for line in describe_gaps(found):
        console.print(plain(line, 5000), soft_wrap=True)
    if plot is not None:
        title = f"{file.name}: {say_count(found.total.count, 'topic')}, {found.total.share_alike:.1%} alike"
        with replacing(plot) as partial:
            partial.write_text(plot_coverage(found, title), encoding="utf-8")
        console.print(f"Plot: {plot}", markup=False, soft_wrap=True)


def describe_gaps(found: Coverage) -> list[str]:
    """Say which meta-topics have no topic and which fewer than wanted."""
    empty = [row.id for row in found.rows if row.missing and not row.count]
    short = [f"{row.id} ({row.count})" for row in found.rows if row.missing and row.count]
    lines = []
    if empty:
        lines.append(f"No topic yet ({len(empty)}): {', '.join(empty)}")
    if short:
        lines.append(f"Fewer than {found.wanted:,} ({len(short)}): {', '.join(short)}")
    if found.total.missing:
        are = "is" if found.total.missing == 1 else "are"
        lines.append(
            f"{say_count(found.total.missing, 'topic')} {are} missing; `anyinstruct topics expand` writes more."
        )
    return lines or [f"Every meta-topic has its {say_count(found.wanted, 'topic')}."]


def _table(found: Coverage) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("meta-topic", overflow="fold")
    for name in ("topics", "equal", "near", "same meaning", "alike", "spread", "missing"):
        table.add_column(name, justify="right")
    for row in found.rows:
        table.add_row(plain(row.id), *_cells(row))
    table.add_section()
    table.add_row("all", *_cells(found.total))
    return table


def _cells(row: MetaCoverage) -> list[str]:
    by_kind = [f"{row.alike.get(kind, 0):,}" if row.alike.get(kind) else "" for kind in Kind]
    return [
        f"{row.count:,}",
        *by_kind,
        f"{row.share_alike:.1%}" if row.count else "",
        "" if row.spread is None else f"{row.spread:.2f}",
        f"{row.missing:,}" if row.missing else "",
    ]
