"""What a set of topics covers, and in what two sets differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.contracts.embedding import Embedder
from pipeline.values.records import MetaTopic, Topic
from pipeline.work.topic_variety import Kind, Likeness, Sieve, Vectors

NO_META_TOPIC = "(none)"
"""Stands for topics that belong to no meta-topic."""


@dataclass(frozen=True)
class MetaCoverage:
    """One meta-topic's topics.

    Attributes:
        id: Of the meta-topic; ``NO_META_TOPIC`` for topics under none, empty for the sum over all.
        count: All topics, those alike included.
        alike: Topics that are like an earlier one of any meta-topic, by kind.
        spread: Mean cosine distance over all pairs, 0 where all say the same; None below two topics, or without a
            sentence model.
        missing: How many fewer than wanted.
    """

    id: str
    name: str
    count: int
    alike: Mapping[Kind, int]
    spread: float | None
    missing: int

    @property
    def share_alike(self) -> float:
        """Share of the topics that are like an earlier one."""
        return sum(self.alike.values()) / self.count if self.count else 0.0


@dataclass(frozen=True)
class Coverage:
    """All meta-topics in the order of the prompts folder, and their sum."""

    rows: tuple[MetaCoverage, ...]
    total: MetaCoverage
    wanted: int


def measure_coverage(
    topics: Sequence[Topic], meta_topics: Iterable[MetaTopic], wanted: int, embedder: Embedder | None
) -> Coverage:
    """Count and measure; topics under no meta-topic get a row of their own where there are any."""
    names = {meta.id: meta.name for meta in meta_topics}
    alike: dict[str, Counter[Kind]] = defaultdict(Counter)
    for topic, hit in zip(topics, Sieve(embedder).sift(topics), strict=True):
        if hit is not None:
            alike[topic.meta_topic][hit.kind] += 1
    groups: dict[str, list[Topic]] = {name: [] for name in names}
    for topic in topics:
        groups.setdefault(topic.meta_topic, []).append(topic)
    rows = tuple(
        MetaCoverage(
            id=name or NO_META_TOPIC,
            name=names.get(name, ""),
            count=len(group),
            alike=dict(alike[name]),
            spread=_spread(group, embedder),
            missing=max(0, wanted - len(group)) if name in names else 0,
        )
        for name, group in groups.items()
    )
    total = MetaCoverage(
        id="",
        name="",
        count=len(topics),
        alike=dict(sum(alike.values(), Counter())),
        spread=_spread(topics, embedder),
        missing=sum(row.missing for row in rows),
    )
    return Coverage(rows, total, wanted)


def mean_distance(vectors: Vectors) -> float | None:
    """Mean of one minus the cosine over all pairs of unit vectors; None where there is no pair.

    The cosines of all pairs sum to (|sum of the vectors|² - n) / 2, so that no pair is looked at.

    Args:
        vectors: (num_texts, num_dimensions), each row of length 1.
    """
    n = len(vectors)
    if n < 2:
        return None
    total = vectors.sum(axis=0, dtype=np.float64)
    # Rounding may leave a hair below nothing where all are the same.
    return max(0.0, 1 - (float(total @ total) - n) / (n * (n - 1)))


def _spread(topics: Sequence[Topic], embedder: Embedder | None) -> float | None:
    return mean_distance(embedder.embed([topic.text for topic in topics])) if embedder and topics else None


@dataclass(frozen=True)
class TopicDiff:
    """In what a set of topics differs from a former one.

    Attributes:
        moved: Topics of both, as they stand in the former and in the new set, under another meta-topic.
        reworded: New topics with the removed one that they are like; each removed one at most once.
    """

    added: list[Topic] = field(default_factory=list)
    removed: list[Topic] = field(default_factory=list)
    moved: list[tuple[Topic, Topic]] = field(default_factory=list)
    reworded: list[Likeness] = field(default_factory=list)


def diff_topics(former: Sequence[Topic], current: Sequence[Topic], embedder: Embedder | None) -> TopicDiff:
    """Compare two sets by id; a topic that stands twice in a set counts where it stands first."""
    old, new = _by_id(former), _by_id(current)
    removed = {name: topic for name, topic in old.items() if name not in new}
    added = {name: topic for name, topic in new.items() if name not in old}
    moved = [(old[n], new[n]) for n in old if n in new and old[n].meta_topic != new[n].meta_topic]
    # Without a removed topic or an added one nothing can have been reworded, and nothing need be embedded.
    hits = _match(list(removed.values()), list(added.values()), embedder) if removed and added else []
    reworded: list[Likeness] = []
    for hit in sorted(hits, key=lambda hit: (-hit.score, hit.topic.id)):
        if hit.of.id in removed:
            reworded.append(hit)
            del removed[hit.of.id], added[hit.topic.id]
    return TopicDiff(list(added.values()), list(removed.values()), moved, reworded)


def _match(removed: Sequence[Topic], added: Sequence[Topic], embedder: Embedder | None) -> list[Likeness]:
    sieve = Sieve(embedder)
    sieve.admit(removed)
    return [hit for hit in sieve.compare(added) if hit is not None]


def _by_id(topics: Sequence[Topic]) -> dict[str, Topic]:
    found: dict[str, Topic] = {}
    for topic in topics:
        found.setdefault(topic.id, topic)
    return found
