"""The batch size: doubled while that pays, halved where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.work.batching import BatchSize


def try_out(size: BatchSize, seconds_of: Callable[[int], float], batches: int) -> list[int]:
    """Let a size learn from batches of a renderer whose time by batch is known; return the sizes that it chose."""
    sizes = []
    for _ in range(batches):
        sizes.append(size.value)
        size.learn(float(size.value), size.value, seconds_of(size.value))
    return sizes


def test_a_batch_is_doubled_until_that_no_longer_pays() -> None:
    # A batch costs its launch, and beyond eight items each item its own time: 8 and 16 take the same time an item.
    sizes = try_out(BatchSize("auto"), lambda count: max(1.0, count / 8), 14)
    assert sizes == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 8, 8, 8, 8]


def test_a_renderer_that_gains_nothing_stays_at_one_brief() -> None:
    assert try_out(BatchSize("auto"), lambda count: 0.5 * count, 6) == [1, 1, 2, 2, 1, 1]


def test_batches_that_take_no_time_grow_whatever_that_brings() -> None:
    sizes = try_out(BatchSize("auto"), lambda count: 0.001 * count, 16)
    assert sizes == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 32, 32]


def test_the_slow_first_batch_of_a_size_does_not_count() -> None:
    first = {1, 2, 4, 8}

    def seconds(count: int) -> float:
        is_first = count in first
        first.discard(count)
        return (50.0 if is_first else 0.0) + max(1.0, count / 4)

    assert try_out(BatchSize("auto"), seconds, 9)[-1] == 4


def test_a_batch_that_was_not_full_teaches_nothing() -> None:
    size = BatchSize("auto")
    try_out(size, lambda count: 1.0, 4)
    assert size.value == 4
    for _ in range(5):
        size.learn(3.0, 3, 100.0)
    assert size.value == 4


def test_a_size_never_grows_again_after_memory_ran_out() -> None:
    size = BatchSize("auto")
    try_out(size, lambda count: 1.0, 6)
    assert size.value == 8
    assert size.halve()
    assert try_out(size, lambda count: 1.0, 5) == [4] * 5


def test_a_size_that_was_asked_for_stays_and_yet_is_halved() -> None:
    size = BatchSize(6)
    assert try_out(size, lambda count: 9.0, 3) == [6, 6, 6]
    assert [size.halve(), size.value, size.halve(), size.value, size.halve()] == [True, 3, True, 1, False]


def test_no_batch_grows_beyond_the_largest() -> None:
    assert max(try_out(BatchSize("auto"), lambda count: 1.0, 40)) == 256
