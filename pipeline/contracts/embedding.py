"""The seam to a sentence model: texts in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Embedder(Protocol):
    """Maps texts to vectors whose product says how much two texts mean the same."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (num_texts, num_dimensions), each row of length 1; a row depends on its own text alone."""
        ...
