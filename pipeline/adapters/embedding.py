"""Sentence embeddings by all-MiniLM-L6-v2 as an int8 ONNX file, for texts of any length and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.values.errors import ModelFileError

MODEL = "minilm-l6-v2-int8"
"""Its name in the model lock."""

WINDOW = 254
"""Tokens embedded at once: with the two that mark its ends, the 256 that the model was published for."""

DIMENSIONS = 384

Vectors = npt.NDArray[np.float32]


class SentenceModel:
    """Implements :class:`~pipeline.contracts.embedding.Embedder`: the model, loaded once, on one thread.

    The scale of its int8 weights' inputs is taken from all that is computed at once, so every text is computed alone:
    its vector depends on no other text.

    Args:
        folder: Holds ``model.onnx`` and ``tokenizer.json``.

    Raises:
        ModelFileError: the packages that run it are missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as exc:
            raise ModelFileError(
                f"model {MODEL}: the package {exc.name} is missing ({exc}); pip install onnxruntime tokenizers"
            ) from exc
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = str(folder / "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: for each the mean over the tokens of all its windows, scaled to length 1.

        Returns:
            (num_texts, 384); the product of two rows is their cosine.
        """
        if not texts:
            return np.zeros((0, DIMENSIONS), dtype=np.float32)
        return np.stack([self._embed_one(text) for text in texts])

    def _embed_one(self, text: str) -> Vectors:
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        start, end = self._tokenizer.token_to_id("[CLS]"), self._tokenizer.token_to_id("[SEP]")
        states = []
        for first in range(0, max(1, len(tokens)), WINDOW):
            ids = np.array([[start, *tokens[first : first + WINDOW], end]], dtype=np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            states.append(self._session.run(["last_hidden_state"], feed)[0][0])
        mean = np.concatenate(states).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)
