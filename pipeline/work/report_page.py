"""The report as one HTML page that needs nothing but itself: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pipeline import __version__
from pipeline.values.words import say_share
from pipeline.work.audit_summary import Summary
from pipeline.work.pages import render_page, say_short
from pipeline.work.report_figures import CellFigures, Figures, ShownDialogue

WIDTH = 300.0
TOP, FLOOR = 6.0, 78.0
"""Where a plot's highest bar ends and all bars stand, in units of its view box."""

HOTTEST = 42.0
"""Percent of the accent in the darkest cell: text on it keeps a contrast of 4.5 in light and dark."""

PLURALS = {"image": "pictures", "music": "pieces of music", "speech": "spoken clips"}

SECTIONS = (
    ("counts", "Counts"),
    ("matrix", "Matrix"),
    ("quality", "Quality"),
    ("samples", "Samples"),
    ("topics", "Topics"),
    ("made", "Models and voices"),
    ("losses", "Losses"),
    ("cost", "Cost"),
    ("origin", "Reproducibility"),
)


def write_report(figures: Figures, worst: Sequence[ShownDialogue], random: Sequence[ShownDialogue]) -> str:
    """Return the page."""
    return render_page(
        "report.html.j2",
        figures=figures,
        worst=worst,
        random=random,
        sections=SECTIONS,
        plural=PLURALS,
        version=__version__,
        is_sum_right=counts_add_up(figures),
        drafts=[asset.kind for asset in figures.assets if asset.num_drafts],
        grid=lay_out_matrix(figures.cells),
        plots=[
            (about, [draw_plot(summary, f"{about}-{place}") for place, summary in enumerate(some) if summary.bins])
            for about, some in groupby(sorted(figures.summaries, key=lambda s: s.about), key=lambda s: s.about)
        ],
        most_topics=max([1, *(row.num_topics for row in figures.meta_topics)]),
    )


def counts_add_up(figures: Figures) -> bool:
    """Whether every planned dialogue is accounted for, and the ledger says what the files hold."""
    fates = [figures.fate, *(row.fate for row in figures.modalities), *(row.fate for row in figures.cells)]
    fates += [row.fate for row in figures.meta_topics]
    return all(fate.adds_up for fate in fates) and all(check.agrees for check in figures.checks)


def lay_out_matrix(cells: Sequence[CellFigures]) -> dict[str, Any]:
    """Return the cells as rows by what goes in and columns by what comes out; cells of one shape are added up."""
    sums: dict[tuple[str, str], list[CellFigures]] = {}
    for cell in cells:
        if cell.gives or cell.answers:
            sums.setdefault((" + ".join(cell.gives), " + ".join(cell.answers)), []).append(cell)
    columns = list(dict.fromkeys(answers for _, answers in sums))
    reached = {place: sum(cell.reached for cell in some) for place, some in sums.items()}
    most = max([*reached.values(), 1e-9])
    rows = []
    for gives in dict.fromkeys(gives for gives, _ in sums):
        line: list[dict[str, Any] | None] = []
        for answers in columns:
            some = sums.get((gives, answers))
            if some is None:
                line.append(None)
                continue
            wanted = [cell.wanted for cell in some if cell.wanted is not None]
            share = reached[gives, answers]
            heat = round(HOTTEST * share / most, 1)
            line.append({"reached": share, "wanted": sum(wanted) if wanted else None, "heat": heat})
        rows.append((gives, line))
    return {"columns": columns, "rows": rows}


def draw_plot(summary: Summary, key: str) -> dict[str, Any]:
    """Return a histogram's shapes and words."""
    measure, limit = summary.measure, summary.limit
    first, last = summary.bins[0], summary.bins[-1]
    most = max(summary.bin_counts) or 1
    step = WIDTH / len(summary.bin_counts)
    bars = []
    for place, count in enumerate(summary.bin_counts):
        # A bar counts as short where its better edge is.
        edge = summary.bins[place + 1] if measure.better == "higher" else summary.bins[place]
        height = (FLOOR - TOP) * count / most
        bars.append(
            {
                "x": round(place * step + 0.5, 2),
                "y": round(FLOOR - height, 2),
                "width": round(step - 1, 2),
                "height": round(height, 2),
                "is_short": limit is not None and not measure.passes(edge, limit),
            }
        )
    low, middle, high = (say_short(summary.quantiles[place]) for place in (0, 3, 6))
    unit = f" {measure.unit}" if measure.unit else ""
    bound = "" if limit is None else f"; limit {'≥' if measure.better == 'higher' else '≤'} {say_short(limit)}"
    caption = f"Median {middle}{unit} of {summary.num_measured:,} {summary.about} records{bound}."
    return {
        "key": key,
        "name": measure.name,
        "bars": bars,
        "limit_x": _limit_x(limit, first, last),
        "low": low,
        "high": f"{high}{unit}",
        "verdict": _say_verdict(summary),
        "is_good": not summary.num_short,
        "caption": caption,
        "summary": measure.summary,
        "alt": f"Histogram of {measure.name} from {low} to {high}{unit}. {caption} {_say_verdict(summary)}",
    }


def _limit_x(limit: float | None, first: float, last: float) -> float | None:
    """Place the limit's line; None where it lies beyond the plot."""
    if limit is None or not first <= limit <= last or first == last:
        return None
    return round(WIDTH * (limit - first) / (last - first), 2)


def _say_verdict(summary: Summary) -> str:
    if summary.pass_share is None or summary.pass_low is None or summary.pass_high is None:
        return ""
    mark = "✗" if summary.num_short else "✓"
    text = f"{mark} {say_share(summary.pass_share)} pass"
    if summary.pass_low < summary.pass_high:
        text += f" ({say_share(summary.pass_low)} to {say_share(summary.pass_high)} by the sample)"
    return text
