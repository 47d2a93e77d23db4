"""Two corpora side by side: their figures, the values of their readings, and their dialogues one by one."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import CorpusReadings
from pipeline.contracts.audit import SUBJECTS
from pipeline.contracts.storage import Row
from pipeline.execution.reporting import gather_figures
from pipeline.values.ids import content_key
from pipeline.work.differences import (
    ChangedSample,
    Differences,
    MeasurePair,
    SampleChanges,
    compare_cells,
    compare_counts,
    compare_measure,
    compare_spend,
    distance_between,
)
from pipeline.work.report_figures import Figures

MAX_NAMED = 20
"""Changed dialogues, and topics of one corpus alone, that are named."""


def compare_corpora(first: Path, second: Path) -> Differences:
    """Compare two corpora. Memory grows by some hundred bytes a dialogue; media are not decoded.

    Raises:
        CorpusError: one of them is no corpus, or a file is damaged.
    """
    figures = gather_figures(first, 0), gather_figures(second, 0)
    wanted, reached = compare_cells(*figures)
    spend, calls = compare_spend(*figures)
    return Differences(
        first=str(first),
        second=str(second),
        counts=compare_counts(*figures),
        wanted=wanted,
        reached=reached,
        measures=tuple(_compare_measures(figures, (first, second))),
        spend=spend,
        calls=calls,
        samples=_compare_samples(PublishedCorpus(first), PublishedCorpus(second)),
    )


def _compare_measures(figures: tuple[Figures, Figures], roots: tuple[Path, Path]) -> Iterator[MeasurePair]:
    sides = [{summary.measure.name: summary for summary in some.summaries} for some in figures]
    values = [read_values(CorpusReadings(root)) for root in roots]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        both = [side.get(name, np.empty(0)) for side in values]
        yield compare_measure(sides[0].get(name), sides[1].get(name), distance_between(both[0], both[1]))


def read_values(readings: CorpusReadings) -> dict[str, npt.NDArray[np.float64]]:
    """Return all finite values by measure."""
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    for audit in readings.audits:
        for some in readings.columns(audit):
            for measure in audit.measures:
                found.setdefault(measure.name, []).append(some.values(measure.name))
    arrays = {name: np.concatenate(values) for name, values in found.items()}
    return {name: values[np.isfinite(values)] for name, values in arrays.items()}


def _compare_samples(first: PublishedCorpus, second: PublishedCorpus) -> SampleChanges:
    prints: list[dict[str, dict[str, str]]] = [{}, {}]
    topics: list[dict[str, str]] = [{}, {}]
    for place, corpus in enumerate((first, second)):
        for name, topic, kinds in _take_prints(corpus):
            prints[place].setdefault(name, {}).update(kinds)
            if topic is not None:
                topics[place][name] = topic
    both = prints[0].keys() & prints[1].keys()
    changed = {name for name in both if prints[0][name] != prints[1][name]}
    only = [set(topics[0].values()) - set(topics[1].values()), set(topics[1].values()) - set(topics[0].values())]
    return SampleChanges(
        num_same=len(both) - len(changed),
        num_changed=len(changed),
        num_only_first=len(prints[0]) - len(both),
        num_only_second=len(prints[1]) - len(both),
        num_topics_only_first=len(only[0]),
        num_topics_only_second=len(only[1]),
        changed=tuple(
            ChangedSample(id=name, topic=topics[1].get(name, ""), what=_what(prints[0][name], prints[1][name]))
            for name in heapq.nsmallest(MAX_NAMED, changed)
        ),
        topics_only_first=tuple(heapq.nsmallest(MAX_NAMED, only[0])),
        topics_only_second=tuple(heapq.nsmallest(MAX_NAMED, only[1])),
    )


def _take_prints(corpus: PublishedCorpus) -> Iterator[tuple[str, str | None, dict[str, str]]]:
    """Yield dialogue, topic and hashes by kind, dialogues of a shard before its media."""
    for shard in corpus.shards:
        there: set[str] = set()
        for row in shard.rows("dialogue", shard.columns_of("dialogue", "id", "topic", "turns")):
            there.add(row["id"])
            yield row["id"], str(row.get("topic") or ""), {"text": content_key(_words(row))}
        for subject in SUBJECTS[1:]:
            media: dict[str, list[tuple[str, str]]] = {}
            for name, dialogue, content in shard.index(subject):
                # The place of the part, without the attempt that made it.
                media.setdefault(dialogue, []).append((name.rpartition("-a")[0] or name, content))
            for dialogue, assets in media.items():
                if dialogue in there:
                    yield dialogue, None, {subject: content_key(sorted(assets))}


def _words(row: Row) -> list[list[object]]:
    """What is said and described in a dialogue, without the names of its assets."""
    return [
        [turn["role"], *([part.get(key) for key in ("kind", "text", "spoken")] for part in turn["parts"])]
        for turn in row.get("turns") or ()
    ]


def _what(first: dict[str, str], second: dict[str, str]) -> tuple[str, ...]:
    return tuple(kind for kind in ("text", *SUBJECTS[1:]) if first.get(kind) != second.get(kind))
