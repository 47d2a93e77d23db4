"""What became of the rows that dialogues are taken from, as ``plan`` and ``status`` show it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from pipeline.cli.plain import plain
from pipeline.values.texts import RULES
from pipeline.work.taking import KEPT, ROWS, SYSTEM_DROPPED, Counts, add_up, count_rejected, sum_rejected


def draw_sources(counts: Counts) -> Table:
    """Rows by source; those of each line add up."""
    table = Table(box=None, pad_edge=False, title="Rows of texts", title_justify="left")
    table.add_column("source", overflow="fold")
    for name in ("rows", "kept", "rejected", "system message dropped"):
        table.add_column(name, justify="right")
    for name, found in {**counts, "all": add_up(counts)}.items():
        table.add_row(plain(name, 80), *_numbers(found))
    return table


def _numbers(found: Mapping[str, int]) -> list[str]:
    rows, kept = found.get(ROWS, 0), found.get(KEPT, 0)
    return [f"{number:,}" for number in (rows, kept, count_rejected(found), found.get(SYSTEM_DROPPED, 0))]


def draw_rules(counts: Counts) -> Table:
    """Rejected rows by the rule that they break first."""
    table = Table(box=None, pad_edge=False, title="Rows rejected", title_justify="left")
    table.add_column("rule")
    table.add_column("rows", justify="right")
    table.add_column("because")
    meanings = {str(rule): text for rule, text in RULES.items()}
    for rule, number in sum_rejected(counts).items():
        table.add_row(plain(rule, 40), f"{number:,}", meanings.get(rule, ""))
    return table
