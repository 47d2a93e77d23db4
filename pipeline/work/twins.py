"""Which dialogues say what another one says: word for word, or in nearly the same words.

Of dialogues that are like each other the one with the lowest id stays. They pass in the order of their ids; one that is
like a dialogue that was let through is its twin, and one that is a twin has no twins itself: likeness does not add up
along a chain, so whatever is left out is close to something that stays. A dialogue that could not be rendered is let
through by nobody, so that its twins are not lost with it. What comes out follows from ids, words and failures alone,
whatever the order in which they became known.

Words are compared by sketches that are stored beside them, never by reading them again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.values.records import Record
from pipeline.work.growing_rows import GrowingRows
from pipeline.work.shingles import NUM_HASHES, list_shingles, sketch

SHINGLE = 5
"""Of runs of 3 to 9 characters and 1 to 3 words these part best what ``bench/data/dialogue_pairs.yaml`` wants parted,
in English, Japanese and Chinese: light rewordings have at least 0.72, the same phrases about another topic at most
0.32, and of the pairs among 149 unrelated dialogues 99.9 % at most 0.09."""

SKETCH_VERSION = 1
"""Stands before the hashes of a sketch. To be raised with whatever changes them, a version of rensa included."""

HASHES_PER_BAND = 4
NUM_BANDS = NUM_HASHES // HASHES_PER_BAND
"""Bands of four hashes find a pair of similarity 0.7 with probability 1 - (1 - 0.7^4)^32 = 0.9998, one of 0.6 with
0.988, and make candidates of 3 in 100,000 pairs of unrelated dialogues."""

BATCH = 4096
"""Dialogues that are compared with all others at once."""

LARGEST_LEVEL = 2**18
"""Dialogues that are sorted together: what bounds the room that sorting takes."""

PAIRS = 2**17
"""Pairs that share a band and are compared together, repeats included: about 100 MB."""

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


class Twin(Record):
    """What a dialogue is left out for.

    Attributes:
        of: Id of the dialogue that stays.
        similarity: Share of the shingles of both that both have, estimated by sketches; 1 where all words are equal.
        is_exact: True where all words are equal.
    """

    of: str
    similarity: float
    is_exact: bool

    @property
    def code(self) -> str:
        """Reason of the rejection."""
        return "duplicate" if self.is_exact else "near_duplicate"


@dataclass(frozen=True)
class Sketched:
    """A dialogue as far as twins are concerned.

    Attributes:
        text_key: 16 digits, equal where all words are.
        sketch: See :func:`sketch_texts`.
    """

    id: str
    text_key: str
    sketch: bytes


def sketch_texts(texts: Iterable[str]) -> bytes:
    """Sketch a dialogue's words and descriptions, in order: the version in one byte, then 128 hashes of 16 bits.

    Half of each hash is left out: two different shingles agree in what is left once in 65,536 times, which no threshold
    notices (b-bit minwise hashing, Li and König 2010).
    """
    hashes = np.array(sketch(list_shingles(" ".join(texts), SHINGLE)).digest(), dtype=np.uint32)
    return bytes([SKETCH_VERSION]) + (hashes & 0xFFFF).astype("<u2").tobytes()


def is_current(stored: bytes | None) -> bool:
    """Tell whether a stored sketch can be compared with those made today."""
    return stored is not None and len(stored) == 1 + 2 * NUM_HASHES and stored[0] == SKETCH_VERSION


class TwinIndex:
    """Finds twins among dialogues that become known bit by bit.

    Memory grows by 1.3 kB a dialogue. Time grows with their number, and with the square of the largest group that
    is alike and not equal.

    Args:
        threshold: Similarity from which on two dialogues are alike; None where only equal words count.
    """

    def __init__(self, threshold: float | None) -> None:
        self._threshold = math.inf if threshold is None else threshold
        self._names = GrowingRows(np.uint64)  # columns: id, text key
        self._sketches = GrowingRows(np.uint16)
        self._groups = _Groups()
        self._levels: list[_Level] = []
        self._lost: frozenset[int] = frozenset()
        self._twins: dict[str, Twin] = {}

    def add(self, dialogues: Sequence[Sketched]) -> None:
        """Make dialogues known; each id once."""
        for start in range(0, len(dialogues), BATCH):
            self._add(dialogues[start : start + BATCH])

    def members(self) -> set[str]:
        """Ids of all dialogues that are like another one, twins or not."""
        return {self._name(place) for places in self._groups.groups.values() for place in places}

    def find(self, failed: Collection[str] = ()) -> dict[str, Twin]:
        """Return the twins among the dialogues that are known.

        Args:
            failed: Ids of dialogues that could not be rendered.
        """
        lost = frozenset(int(name, 16) for name in failed)
        changed = self._groups.take_changed()
        if lost != self._lost:
            changed, self._lost = set(self._groups.groups), lost
        for label in changed:
            places = np.array(self._groups.groups[label])
            places = places[np.argsort(self._names.rows[places, 0])]
            for place in places.tolist():
                self._twins.pop(self._name(place), None)
            self._twins.update(self._decide(places))
        return dict(self._twins)

    def _decide(self, places: Ints) -> Iterator[tuple[str, Twin]]:
        """Let the dialogues of one group through in the order of their ids; yield those that stay behind."""
        kept: list[int] = []
        for place in places.tolist():
            shares = self._compare(place, np.array(kept, dtype=np.int64))
            best = int(shares.argmax()) if kept else -1
            if kept and shares[best] >= self._threshold:
                similarity = round(min(float(shares[best]), 1.0), 3)
                of, is_exact = self._name(kept[best]), bool(shares[best] == math.inf)
                yield self._name(place), Twin(of=of, similarity=similarity, is_exact=is_exact)
            elif int(self._names.rows[place, 0]) not in self._lost:
                kept.append(place)

    def _compare(self, places: Ints | int, others: Ints) -> npt.NDArray[np.float64]:
        """Estimate the similarity of dialogues, one or as many as there are others; infinity for equal words."""
        rows = self._sketches.rows
        shares: npt.NDArray[np.float64] = (rows[others] == rows[places]).mean(axis=1)
        shares[self._names.rows[others, 1] == self._names.rows[places, 1]] = math.inf
        return shares

    def _add(self, dialogues: Sequence[Sketched]) -> None:
        first = len(self._names.rows)
        self._names.add(np.array([(int(d.id, 16), int(d.text_key, 16)) for d in dialogues], dtype=np.uint64))
        data = b"".join(d.sketch[1:] for d in dialogues)
        self._sketches.add(np.frombuffer(data, dtype="<u2").reshape(len(dialogues), NUM_HASHES))
        self._groups.make_room(len(dialogues))
        # Equal words are looked up once, so that a model that says one thing over and over costs little.
        _, distinct, same = np.unique(self._names.rows[first:, 1], return_index=True, return_inverse=True)
        for row in np.flatnonzero(distinct[same] != np.arange(len(dialogues))).tolist():
            self._groups.join(np.array([first + distinct[same[row]], first + row]))
        places = first + np.sort(distinct)
        known = {place for level in self._levels for place in self._match(places, level)}
        places = np.setdiff1d(places, np.array(sorted(known), dtype=np.int64))
        if len(places):
            level = _Level.of(self._bands(places), places)
            self._match(places, level)
            self._push(level)

    def _match(self, places: Ints, level: _Level) -> set[int]:
        """Group dialogues with earlier ones of a level that they are like; return those whose very words it has."""
        known: set[int] = set()
        for rows, others in level.find_pairs(self._bands(places), places):
            mine = places[rows]
            shares = self._compare(mine, others)
            known.update(mine[shares == math.inf].tolist())
            for at in _runs(mine, shares >= self._threshold):
                self._groups.join(np.append(others[at], mine[at[0]]))
        return known

    def _push(self, level: _Level) -> None:
        """Keep levels few, each at least twice as large as the next, so that a dialogue is sorted in a few times."""
        while self._levels and len(self._levels[-1]) < min(2 * len(level), LARGEST_LEVEL - len(level)):
            places = np.concatenate([self._levels.pop().members, level.members])
            level = _Level.of(self._bands(places), places)
        self._levels.append(level)

    def _bands(self, places: Ints) -> Keys:
        """One number for each band of each dialogue's hashes: (num_places, NUM_BANDS)."""
        return np.ascontiguousarray(self._sketches.rows[places]).view(np.uint64)

    def _name(self, place: int) -> str:
        return f"{int(self._names.rows[place, 0]):016x}"


@dataclass(frozen=True)
class _Level:
    """Dialogues by their bands, which are sorted.

    Attributes:
        keys: (num_bands, num_dialogues), each band sorted.
        places: The dialogue that each key is of.
    """

    keys: Keys
    places: npt.NDArray[np.int32]

    @classmethod
    def of(cls, bands: Keys, places: Ints) -> _Level:
        """Sort dialogues in."""
        keys = np.empty(bands.shape[::-1], dtype=np.uint64)
        sorted_places = np.empty(bands.shape[::-1], dtype=np.int32)
        for band in range(len(keys)):
            order = np.argsort(bands[:, band])
            keys[band], sorted_places[band] = bands[order, band], places[order]
        return cls(keys, sorted_places)

    def __len__(self) -> int:
        return int(self.keys.shape[1])

    @property
    def members(self) -> Ints:
        """All dialogues."""
        members: Ints = self.places[0].astype(np.int64)
        return members

    def find_pairs(self, bands: Keys, places: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Yield pairs that share a band: rows of ``bands``, in order, and the places of dialogues here.

        Only dialogues that became known before the row's own place count.
        """
        lows = np.empty(bands.shape, dtype=np.int64)
        counts = np.empty(bands.shape, dtype=np.int64)
        for band, keys in enumerate(self.keys):
            lows[:, band] = np.searchsorted(keys, bands[:, band], "left") + band * len(self)
            counts[:, band] = np.searchsorted(keys, bands[:, band], "right") + band * len(self) - lows[:, band]
        ends = counts.sum(axis=1).cumsum()
        start = 0
        while start < len(bands):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS, "right")))
            spans = counts[start:stop].ravel()
            at = np.repeat(lows[start:stop].ravel() - (spans.cumsum() - spans), spans) + np.arange(spans.sum())
            others = self.places.reshape(-1)[at].astype(np.int64)
            rows = np.repeat(np.arange(start, stop), counts[start:stop].sum(axis=1))
            is_earlier = others < places[rows]
            pairs = np.unique((rows[is_earlier] << 32) | others[is_earlier])
            if len(pairs):
                yield pairs >> 32, pairs & 0xFFFFFFFF
            start = stop


def _runs(values: Ints, counts: npt.NDArray[np.bool_]) -> list[Ints]:
    """Split the positions that count into runs of equal values."""
    at: Ints = np.flatnonzero(counts)
    return np.split(at, np.flatnonzero(np.diff(values[at])) + 1) if len(at) else []


class _Groups:
    """Sets of places that hang together."""

    def __init__(self) -> None:
        self.groups: dict[int, list[int]] = defaultdict(list)
        self._labels = GrowingRows(np.int64)
        self._changed: set[int] = set()

    def make_room(self, count: int) -> None:
        """Add places that belong to no group."""
        self._labels.add(np.full((count, 1), -1, dtype=np.int64))

    def join(self, places: Ints) -> None:
        """Put places and the groups that they belong to into one group."""
        labels = self._labels.rows[places, 0]
        found = np.unique(labels[labels >= 0]).tolist()
        target = max(found, key=lambda label: len(self.groups[label])) if found else int(places[0])
        moved = places[labels < 0].tolist()
        for label in found:
            if label != target:
                moved += self.groups.pop(label)
                self._changed.discard(label)
        self.groups[target] += moved
        self._changed.add(target)
        self._labels.rows[moved, 0] = target

    def take_changed(self) -> set[int]:
        """Labels of the groups that places joined since the last call."""
        changed, self._changed = self._changed, set()
        return changed
