"""What a tokenizer costs by measure: the readings of a corpus beside those of its copy that went through tokens."""

from __future__ import annotations

from pathlib import Path

from pipeline.execution.reporting import gather_figures
from pipeline.execution.round_trip import STATE
from pipeline.values.errors import CorpusError
from pipeline.work.audit_summary import Summary
from pipeline.work.differences import compare_measure
from pipeline.work.report_figures import Figures, TokenCost


def find_token_costs(figures: Figures, copy: Path) -> tuple[TokenCost, ...]:
    """Return every measure of media that both were audited by, by its median.

    Args:
        figures: Of the corpus itself.

    Raises:
        CorpusError: the folder is no such copy, or both have no measure in common.
    """
    if not (copy / STATE).is_dir():
        raise CorpusError(
            f"--round-trip {copy}: is no copy that went through tokens; `anyinstruct round-trip` makes one"
        )
    there = {summary.measure.name: summary for summary in gather_figures(copy, 0).summaries}
    both = [(own, there[own.measure.name]) for own in figures.summaries if own.measure.name in there]
    measured = [pair for pair in both if pair[0].about != "dialogue" and pair[0].quantiles and pair[1].quantiles]
    costs = [_compare(own, other) for own, other in measured]
    if not costs:
        raise CorpusError(
            f"--round-trip {copy}: has no reading of media that the corpus has too; "
            "run `anyinstruct audit` on both, with the same audits"
        )
    return tuple(costs)


def _compare(own: Summary, other: Summary) -> TokenCost:
    pair = compare_measure(own, other, None)
    return TokenCost(
        measure=own.measure.name,
        about=own.about,
        unit=own.measure.unit,
        before=pair.medians.first,
        after=pair.medians.second,
        difference=pair.medians.change,
        pass_before=pair.passes.first,
        pass_after=pair.passes.second,
    )
