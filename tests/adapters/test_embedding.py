from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters.embedding import DIMENSIONS, MODEL, SentenceModel
from pipeline.values.errors import ModelFileError


@pytest.fixture(scope="module")
def model(cache_root: Path) -> SentenceModel:
    return SentenceModel(cache_root / "models" / MODEL)


def test_what_says_the_same_is_closer_than_what_does_not(model: SentenceModel) -> None:
    dog, same, other = model.embed(
        ["A dog barks at the postman.", "A dog is barking at the mailman.", "Slow waltz for two fiddles, 84 BPM."]
    )
    assert float(dog @ same) > 0.8
    assert float(dog @ other) < 0.3


def test_rows_have_length_one_whatever_the_text(model: SentenceModel) -> None:
    vectors = model.embed(["", "word", "a harbour at night " * 200, "\u0000\ufffd ☃"])
    assert vectors.shape == (4, DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_no_texts_give_no_rows(model: SentenceModel) -> None:
    assert model.embed([]).shape == (0, DIMENSIONS)


def test_a_vector_depends_on_no_other_text(model: SentenceModel) -> None:
    texts = ["a red kite", "a much longer sentence about the smell of bread in a cold street before sunrise"]
    np.testing.assert_array_equal(model.embed(texts)[:1], model.embed(texts[:1]))


def test_what_stands_behind_the_first_window_counts(model: SentenceModel) -> None:
    start = "the ferry horn wakes the harbour " * 60
    short, long = model.embed([start, start + "a violin string snaps during the solo " * 60])
    assert float(short @ long) < 0.95


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModelFileError, match="the package tokenizers is missing"):
        SentenceModel(tmp_path)
