"""Batches without padding: arrays of one shape go together, so that none changes by what it is batched with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def apply_by_shape(arrays: Sequence[Array], at_a_time: int, apply: Callable[[Array], Array]) -> list[Array]:
    """Apply a function of a batch to all arrays.

    Args:
        apply: Takes (batch, …) and returns (batch, …).

    Returns:
        Its results in the order of the arrays.
    """
    import numpy as np

    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, array in enumerate(arrays):
        by_shape.setdefault(array.shape, []).append(index)
    found: dict[int, Array] = {}
    for indices in by_shape.values():
        for first in range(0, len(indices), at_a_time):
            some = indices[first : first + at_a_time]
            found.update(zip(some, apply(np.stack([arrays[index] for index in some])), strict=True))
    return [found[index] for index in range(len(arrays))]
