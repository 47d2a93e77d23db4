"""Which topics say what another one says already: in the same words, in nearly the same words, or in meaning.

Topics pass one after the other. One that is like a topic that was let through before is held back, so the first of a
group stays and what is added later never pushes out what was there. One that was held back holds back no other:
likeness does not add up along a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from rensa import RMinHashLSH

from pipeline.contracts.embedding import Embedder
from pipeline.values.records import Topic
from pipeline.work.growing_rows import GrowingRows
from pipeline.work.shingles import NUM_HASHES, jaccard, shingles, sketch

Vectors = npt.NDArray[np.float32]

MIN_JACCARD = 0.7
"""Share of two topics' character 3-grams from which on they are nearly the same words. Of 27 hand-made pairs that
differ in their subject ("guitar lessons for beginners", "piano lessons for beginners") the closest has 0.62."""

MIN_COSINE = 0.8
"""Cosine of MiniLM embeddings from which on two topics mean the same. Together with the words it finds 22 of 26
hand-made rewordings and none of the 27 pairs above (0.73 at most); the closest two of the hundred topics in
``bench/writing_topics.txt`` have 0.50."""

SHINGLE = 3
NUM_BANDS = 32
"""Bands of four hashes find a pair of Jaccard 0.7 with probability 1 - (1 - 0.7^4)^32 = 0.9998 (Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, 3.4); candidates are then compared exactly."""

CHUNK = 256
"""Topics that are compared at once."""

BLOCK = 4096
"""Known vectors that a chunk is compared with at once: 4 MiB of cosines."""


class Kind(StrEnum):
    """How two topics are alike."""

    EXACT = "exact"
    NEAR = "near"
    MEANING = "meaning"


@dataclass(frozen=True)
class Likeness:
    """A topic that is like an earlier one.

    Attributes:
        of: The earlier one, the closest of those known.
        score: 1 for exact, Jaccard of 3-grams for near, cosine for meaning.
    """

    topic: Topic
    of: Topic
    kind: Kind
    score: float


@dataclass(frozen=True)
class Limits:
    """From where on two topics are alike."""

    jaccard: float = MIN_JACCARD
    cosine: float = MIN_COSINE


class Sieve:
    """Remembers the topics that were let through, and tells which new ones are like one of them.

    Memory grows by about 3 kB a topic (vector, hashes, index); a comparison takes the same room whatever is known.

    Args:
        embedder: None leaves meaning aside.
    """

    def __init__(self, embedder: Embedder | None, limits: Limits | None = None) -> None:
        self._embedder = embedder
        self._limits = limits or Limits()
        self._known: list[Topic] = []
        self._places: dict[str, int] = {}
        self._words = _Words(self._limits.jaccard)
        self._vectors = GrowingRows(np.float32)

    def sift(self, topics: Sequence[Topic]) -> list[Likeness | None]:
        """Let topics through in their order; None for those that are new, and known from then on."""
        return self._pass(topics, admits=True)

    def compare(self, topics: Sequence[Topic]) -> list[Likeness | None]:
        """Compare topics with those known, and let none through."""
        return self._pass(topics, admits=False)

    def admit(self, topics: Sequence[Topic]) -> None:
        """Let topics through as they are, alike or not; those that are known already are passed over."""
        new = list({topic.id: topic for topic in topics if topic.id not in self._places}.values())
        for start in range(0, len(new), CHUNK):
            chunk = new[start : start + CHUNK]
            self._vectors.add(self._embed(chunk))
            for topic in chunk:
                self._keep(topic)

    def _pass(self, topics: Sequence[Topic], admits: bool) -> list[Likeness | None]:
        return [
            hit
            for start in range(0, len(topics), CHUNK)
            for hit in self._pass_chunk(topics[start : start + CHUNK], admits)
        ]

    def _pass_chunk(self, chunk: Sequence[Topic], admits: bool) -> list[Likeness | None]:
        vectors = self._embed(chunk)
        scores, places = closest_rows(vectors, self._vectors.rows)
        among = np.round(vectors @ vectors.T, 4)
        first = len(self._known)
        hits: list[Likeness | None] = []
        kept: list[int] = []
        for row, topic in enumerate(chunk):
            score, place = float(scores[row]), int(places[row])
            if kept and (near := float(among[row, kept].max())) > score:
                score, place = near, first + int(among[row, kept].argmax())
            hit = self._by_words(topic)
            if hit is None and self._embedder is not None and score >= self._limits.cosine:
                hit = Likeness(topic, self._known[place], Kind.MEANING, score)
            hits.append(hit)
            if admits and hit is None:
                kept.append(row)
                self._keep(topic)
        self._vectors.add(vectors[kept])
        return hits

    def _by_words(self, topic: Topic) -> Likeness | None:
        if (place := self._places.get(topic.id)) is not None:
            return Likeness(topic, self._known[place], Kind.EXACT, 1.0)
        score, place = self._words.closest(topic.text)
        return Likeness(topic, self._known[place], Kind.NEAR, score) if score >= self._limits.jaccard else None

    def _keep(self, topic: Topic) -> None:
        self._places[topic.id] = len(self._known)
        self._known.append(topic)
        self._words.add(topic.text)

    def _embed(self, topics: Sequence[Topic]) -> Vectors:
        if self._embedder is None:
            return np.zeros((len(topics), 1), dtype=np.float32)
        return self._embedder.embed([topic.text for topic in topics])


class _Words:
    """Texts by their 3-grams: candidates by hashing, then by all hashes, and the few that are left exactly."""

    def __init__(self, min_jaccard: float) -> None:
        self._index = RMinHashLSH(min_jaccard, NUM_HASHES, NUM_BANDS)
        self._digests = GrowingRows(np.uint32)
        self._texts: list[str] = []
        # The share of equal hashes is off by 4 standard deviations once in 30,000 candidates.
        self._min_share = min_jaccard - 4 * (min_jaccard * (1 - min_jaccard) / NUM_HASHES) ** 0.5

    def add(self, text: str) -> None:
        """Append a text."""
        made = sketch(shingles(text, SHINGLE))
        self._index.insert(len(self._texts), made)
        self._digests.add(np.array([made.digest()], dtype=np.uint32))
        self._texts.append(text)

    def closest(self, text: str) -> tuple[float, int]:
        """Return the highest Jaccard with a text that was added and that text's place; 0 where none comes near."""
        grams = shingles(text, SHINGLE)
        made = sketch(grams)
        places = np.array(self._index.query(made), dtype=np.intp)
        if not len(places):
            return 0.0, 0
        shares = (self._digests.rows[places] == np.array(made.digest(), dtype=np.uint32)).mean(axis=1)
        near = places[shares >= self._min_share].tolist()
        found = [(jaccard(grams, shingles(self._texts[at], SHINGLE)), -at) for at in near]
        score, place = max(found, default=(0.0, 0))
        return score, -place


def closest_rows(rows: Vectors, known: Vectors) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Return each row's highest cosine with a known row, -1 where there is none, and the place of that one.

    Cosines are rounded to four decimals: the order in which a processor sums must not decide what is alike.
    """
    best = np.full(len(rows), -1, dtype=np.float32)
    place = np.zeros(len(rows), dtype=np.intp)
    for start in range(0, len(known), BLOCK):
        cosines = np.round(rows @ known[start : start + BLOCK].T, 4)
        at = cosines.argmax(axis=1)
        score = cosines[np.arange(len(rows)), at]
        better = score > best
        best[better], place[better] = score[better], at[better] + start
    return best, place
