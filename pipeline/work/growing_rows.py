"""Matrices that grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class GrowingRows:
    """A matrix that grows by rows, in place and by doubling."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._room = np.zeros((0, 0), dtype=dtype)
        self._count = 0

    @property
    def rows(self) -> npt.NDArray[Any]:
        """What was added; a view, which holds until more is added."""
        return self._room[: self._count]

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Append rows."""
        need = self._count + len(rows)
        if need > len(self._room):
            larger = np.zeros((max(need, 2 * len(self._room)), rows.shape[1]), dtype=self._room.dtype)
            if self._count:
                larger[: self._count] = self.rows
            self._room = larger
        self._room[self._count : need] = rows
        self._count = need
