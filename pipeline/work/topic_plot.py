"""The plot of a coverage: one bar a meta-topic, as an SVG that any browser shows."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from pipeline.values.units import Pixels
from pipeline.values.words import say_count
from pipeline.work.topic_coverage import Coverage, MetaCoverage

TEMPLATE = "topic_coverage.svg.j2"

BARS_X: Pixels = 230
BARS_WIDTH: Pixels = 420
SPREAD_X: Pixels = 720
SPREAD_WIDTH: Pixels = 140
WIDTH: Pixels = 890
TOP: Pixels = 60
ROW_HEIGHT: Pixels = 18
BOTTOM: Pixels = 16

_NO_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "�")
"""Characters that XML 1.0 allows nowhere, not even escaped."""


def plot_coverage(coverage: Coverage, title: str) -> str:
    """Return an SVG; names in it are escaped, since prompts folders come from strangers too."""
    largest = max([coverage.wanted, *(row.count for row in coverage.rows)], default=0) or 1
    return _template().render(
        title=title.translate(_NO_XML),
        width=WIDTH,
        height=TOP + ROW_HEIGHT * len(coverage.rows) + BOTTOM,
        wanted=coverage.wanted,
        wanted_x=round(BARS_X + BARS_WIDTH * coverage.wanted / largest, 1) if coverage.wanted else None,
        bars_x=BARS_X,
        spread_x=SPREAD_X,
        spread_width=SPREAD_WIDTH,
        has_spread=any(row.spread is not None for row in coverage.rows),
        bars=[_bar(index, row, largest) for index, row in enumerate(coverage.rows)],
    )


def _bar(index: int, row: MetaCoverage, largest: int) -> dict[str, Any]:
    width = BARS_WIDTH * row.count / largest
    spread = "" if row.spread is None else f", spread {row.spread:.2f}"
    topics = say_count(row.count, "topic")
    return {
        "y": TOP + ROW_HEIGHT * index,
        "label": row.id.translate(_NO_XML),
        "hint": f"{row.name or row.id}: {topics}, {row.share_alike:.0%} alike{spread}".translate(_NO_XML),
        "is_empty": row.count == 0,
        "count": row.count,
        "width": round(width, 1),
        "alike_width": round(width * row.share_alike, 1),
        "spread_x": None if row.spread is None else round(SPREAD_X + SPREAD_WIDTH * min(1.0, row.spread), 1),
    }


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(files("pipeline.work").joinpath(TEMPLATE).read_text(encoding="utf-8"))
