"""``anyinstruct report``: a corpus's figures as a page, or as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from pipeline.adapters.files import replacing
from pipeline.cli.plain import plain
from pipeline.execution.reporting import gather_figures, write_page
from pipeline.execution.token_costs import find_token_costs
from pipeline.work.report_figures import Figures
from pipeline.work.report_page import counts_add_up

PAGE = "report.html"


def report_corpus(
    corpus: Path, out: Path | None, num_samples: int, media_megabytes: float, as_json: bool, copy: Path | None = None
) -> None:
    """Write the page and say in a few lines what is on it; or print the same figures as JSON.

    Args:
        copy: Of the corpus, with its media through tokens and back; what that cost stands in the report.

    Raises:
        CorpusError: it is no corpus, a file of it is damaged, or the page cannot be written.
    """
    figures = gather_figures(corpus, num_samples)
    if copy is not None:
        figures = figures.model_copy(update={"round_trip": find_token_costs(figures, copy)})
    if as_json:
        print(
            json.dumps(
                figures.model_dump(mode="json") | {"adds_up": counts_add_up(figures), "usd": figures.usd}, indent=1
            )
        )
    path = out or corpus / PAGE
    if not as_json or out is not None:
        write_text(path, write_page(corpus, figures, round(media_megabytes * 1e6)))
    if not as_json:
        _print(figures, path)


def write_text(path: Path, page: str) -> None:
    """Write a page whole.

    Raises:
        CorpusError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _print(figures: Figures, path: Path) -> None:
    console = Console(highlight=False)
    fate = figures.fate
    planned = "not known" if fate.planned is None else f"{fate.planned:,}"
    waiting = "not known" if fate.waiting is None else f"{fate.waiting:,}"
    lines = [
        f"{figures.name}: planned {planned} = {fate.kept:,} kept + {fate.rejected:,} rejected + {fate.failed:,} failed "
        f"+ {waiting} waiting; {_say_sum(figures)}",
        f"{figures.num_good:,} of {figures.num_audited:,} audited dialogues have no finding"
        if figures.num_audited
        else "never audited; `anyinstruct audit` does",
        *([figures.repairs.say()] if figures.repairs else []),
        f"{path}: {path.stat().st_size / 1e6:,.1f} MB, needs nothing else; open it in a browser",
    ]
    for line in lines:
        console.print(plain(line, 1000), soft_wrap=True)


def _say_sum(figures: Figures) -> str:
    if not counts_add_up(figures):
        return "COUNTS DO NOT ADD UP"
    return "all counts add up" if figures.checks else "there is no ledger to check this against"
