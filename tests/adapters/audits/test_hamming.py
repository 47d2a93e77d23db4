from __future__ import annotations

from random import Random

import numpy as np

from pipeline.adapters.audits.hamming import MAX_DISTANCE, NUM_SAME, near_pairs


def flip(value: int, bits: list[int]) -> int:
    for bit in bits:
        value ^= 1 << bit
    return value


def test_all_near_pairs_are_found_and_no_others() -> None:
    rng = Random(7)
    values = [rng.getrandbits(64) for _ in range(400)]
    values += [flip(value, rng.sample(range(64), rng.randint(0, 12))) for value in values]
    bits = np.array(values, np.uint64)
    found = {(left, right): distance for left, right, distance in near_pairs(bits)}
    counts = np.bitwise_count(bits[:, None] ^ bits[None, :])
    wanted = {
        (i, j): int(counts[i, j])
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if counts[i, j] <= MAX_DISTANCE
    }
    assert found == wanted
    assert len(wanted) > 150


def test_equal_hashes_do_not_take_quadratic_work() -> None:
    pairs = list(near_pairs(np.full(3_000, 5, np.uint64)))
    assert len(pairs) < 3_000 * NUM_SAME
    assert {later for _, later, _ in pairs} == set(range(1, 3_000))


def test_nothing_and_one_have_no_pairs() -> None:
    assert list(near_pairs(np.array([], np.uint64))) == []
    assert list(near_pairs(np.array([9], np.uint64))) == []
