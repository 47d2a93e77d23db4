"""Sentence embeddings by all-MiniLM-L6-v2 as an int8 ONNX file, without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.values.errors import ModelFileError

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float32]]

# Dynamic quantisation takes its scale from the whole batch, so a batch of fixed size in a fixed order is part of the
# result.
BATCH = 64


def load_embedder(folder: Path) -> Callable[[list[str]], Matrix]:
    """Load model and tokeniser; the returned function maps n texts to (n, 384) unit vectors.

    Mean of the token vectors under the attention mask, as the model was trained (Reimers and Gurevych 2019).
    """
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as exc:
        raise ModelFileError(f"{folder}: the sentence model cannot be loaded ({exc}); fetch it again") from exc
    wanted = {each.name for each in session.get_inputs()}

    def embed_batch(texts: list[str]) -> Matrix:
        encoded = [tokenizer.encode(text) for text in texts]
        width = max(len(each.ids) for each in encoded)
        ids = np.zeros((len(texts), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(encoded):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = each.attention_mask
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = session.run(None, {name: value for name, value in feeds.items() if name in wanted})[0]
        if hidden.ndim == 3:
            weights = mask[:, :, None].astype(np.float32)
            hidden = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return np.asarray(hidden / np.linalg.norm(hidden, axis=1, keepdims=True), dtype=np.float32)

    def embed(texts: list[str]) -> Matrix:
        return np.concatenate([embed_batch(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])

    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    return embed
