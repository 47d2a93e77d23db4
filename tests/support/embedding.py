"""Sentence embeddings by MiniLM-L6-v2 (int8, ONNX), for tests that ask whether two texts say the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

MODEL = "minilm-l6-v2-int8"
WINDOW = 254
"""Tokens embedded at once: with the two that mark its ends, the 256 that the model was published for."""


def embed(texts: Sequence[str], folder: Path) -> npt.NDArray[np.float32]:
    """Embed texts of any length: the mean over all tokens of all windows, scaled to length 1.

    Args:
        folder: Holds ``model.onnx`` and ``tokenizer.json``.

    Returns:
        (num_texts, 384); the product of two rows is their cosine.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    start, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    rows = []
    for text in texts:
        tokens = tokenizer.encode(text, add_special_tokens=False).ids
        windows = [tokens[i : i + WINDOW] for i in range(0, len(tokens), WINDOW)]
        states = []
        for window in windows:
            ids = np.array([[start, *window, end]], dtype=np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            states.append(session.run(["last_hidden_state"], feed)[0][0])
        mean = np.concatenate(states).mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.stack(rows).astype(np.float32)
