"""Vectors of texts, kept between commands: a sentence model manages some 200 short texts a second on one core."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.adapters.files import replacing
from pipeline.contracts.embedding import Embedder

KEY_BYTES = 16
BATCH = 64
"""Texts between two reports of progress."""

Vectors = npt.NDArray[np.float32]


class VectorCache:
    """Implements :class:`~pipeline.contracts.embedding.Embedder` over another one and a file.

    The file is a saving and nothing more: one that is missing, damaged or of other dimensions is made anew.

    Args:
        path: A ``.npz`` file; one cache for one model.
        open_embedder: Loads the model; called when the first vector is missing.
    """

    def __init__(self, path: Path, open_embedder: Callable[[], Embedder]) -> None:
        self._path = path
        self._open = open_embedder
        self._embedder: Embedder | None = None
        self._vectors = _read(path)
        self._used: set[bytes] = set()
        self._is_changed = False

    def count_missing(self, texts: Sequence[str]) -> int:
        """Return how many of the texts are still to be embedded."""
        return len({_key(text) for text in texts} - self._vectors.keys())

    def embed(self, texts: Sequence[str], on_done: Callable[[int], None] = lambda count: None) -> Vectors:
        """Embed texts, each once.

        Args:
            texts: In any number.
            on_done: Called with the number of texts embedded since its last call.

        Raises:
            ModelFileError: the model cannot be loaded.
        """
        keys = [_key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}
        for start in range(0, len(missing), BATCH):
            batch = dict(list(missing.items())[start : start + BATCH])
            self._embedder = self._embedder or self._open()
            self._vectors.update(zip(batch, self._embedder.embed(list(batch.values())), strict=True))
            self._is_changed = True
            on_done(len(batch))
        self._used.update(keys)
        width = len(next(iter(self._vectors.values()), ()))
        return np.stack([self._vectors[key] for key in keys]) if keys else np.zeros((0, width), dtype=np.float32)

    def save(self) -> None:
        """Keep the vectors of all texts that were asked for since the cache was opened, and no others.

        Raises:
            CorpusError: the file cannot be written.
        """
        if not self._is_changed:
            return
        keys = sorted(self._used)
        with replacing(self._path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES),
                vectors=np.stack([self._vectors[key] for key in keys]),
            )
        self._is_changed = False


def _read(path: Path) -> dict[bytes, Vectors]:
    try:
        # Opened here: numpy leaves the file open where it is no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            keys, vectors = file["keys"], file["vectors"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return {}
    if vectors.dtype != np.float32 or vectors.ndim != 2 or keys.shape != (len(vectors), KEY_BYTES):
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _key(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
