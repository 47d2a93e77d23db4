"""Pairs of 64-bit hashes that differ in few bits, without comparing every hash with every other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bits = npt.NDArray[np.uint64]
    Places = npt.NDArray[np.int64]

MAX_DISTANCE = 7
"""Of 64 bits. Two hashes that differ in at most 7 differ in at most one within some quarter."""

QUARTERS = 4
WIDTH = 16
NUM_SAME = 8
"""Of pictures with the very same hash, so many are offered as the earlier one of a pair."""


def near_pairs(bits: Bits) -> Iterator[tuple[int, int, int]]:
    """Yield pairs that differ in at most :data:`MAX_DISTANCE` bits: the earlier place, the later one, the distance.

    Each quarter of the hashes is looked up in a sorted table, as it is and with each of its bits flipped (multi-index
    hashing; Norouzi, Punjani and Fleet 2012). A pair may be told several times. Of hashes that many share, only the
    first :data:`NUM_SAME` are told as the earlier one: a corpus of equal pictures takes no quadratic time.

    Args:
        bits: One a picture; at most 2^31.
    """
    import numpy as np

    single, which = np.unique(bits, return_inverse=True)
    order = np.argsort(which, kind="stable")
    starts = np.concatenate([np.searchsorted(which[order], np.arange(len(single))), [len(bits)]])
    yield from _spread(_same(len(single)), order, starts)
    for quarter in range(QUARTERS):
        keys = (single >> np.uint64(quarter * WIDTH)) & np.uint64(0xFFFF)
        table = np.argsort(keys, kind="stable")
        for flip in (0, *(1 << bit for bit in range(WIDTH))):
            for left, right in _join(keys ^ np.uint64(flip), keys[table]):
                other = table[right]
                distance = np.bitwise_count(single[left] ^ single[other])
                is_near = (left != other) & (distance <= MAX_DISTANCE)
                found = zip(left[is_near], other[is_near], distance[is_near], strict=True)
                yield from _spread(found, order, starts)


def _same(count: int) -> Iterator[tuple[int, int, int]]:
    return ((index, index, 0) for index in range(count))


def _spread(found: Iterator[tuple[int, int, int]], order: Places, starts: Places) -> Iterator[tuple[int, int, int]]:
    """From pairs of different hashes to pairs of places that have them."""
    for left, right, distance in found:
        earlier = order[starts[left] : min(starts[left + 1], starts[left] + NUM_SAME)]
        for later in order[starts[right] : starts[right + 1]]:
            for first in earlier:
                if first >= later:
                    break
                yield int(first), int(later), int(distance)


def _join(wanted: Bits, table: Bits) -> Iterator[tuple[Places, Places]]:
    """Yield places in ``wanted`` and in the sorted ``table`` that hold the same key, about a million at a time."""
    import numpy as np

    low, high = np.searchsorted(table, wanted, "left"), np.searchsorted(table, wanted, "right")
    counts = high - low
    ends = np.cumsum(counts)
    first = 0
    while first < len(wanted):
        done = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + 2**20, "right")))
        some = counts[first:last]
        left = np.repeat(np.arange(first, last), some)
        offset = np.arange(int(some.sum())) - np.repeat(np.cumsum(some) - some, some)
        yield left, np.repeat(low[first:last], some) + offset
        first = last
