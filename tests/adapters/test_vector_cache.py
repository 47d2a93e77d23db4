from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters.vector_cache import VectorCache
from tests.support.meanings import WordMeanings


def opened(path: Path) -> tuple[VectorCache, WordMeanings]:
    model = WordMeanings()
    return VectorCache(path, lambda: model), model


def test_a_text_is_embedded_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "vectors.npz"
    cache, model = opened(path)
    done: list[int] = []
    first = cache.embed(["dog", "bell", "dog"], done.append)
    np.testing.assert_array_equal(first, WordMeanings().embed(["dog", "bell", "dog"]))
    assert (model.texts, done) == (["dog", "bell"], [2])
    cache.save()
    again, model = opened(path)
    assert again.count_missing(["dog", "rain", "rain"]) == 1
    np.testing.assert_array_equal(again.embed(["bell", "dog"]), first[[1, 0]])
    assert model.texts == []


def test_what_was_not_asked_for_is_dropped_once_something_is_new(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    cache, _ = opened(path)
    cache.embed(["dog", "bell"])
    cache.save()
    cache, _ = opened(path)
    cache.embed(["dog", "rain"])
    cache.save()
    assert opened(path)[0].count_missing(["dog", "rain", "bell"]) == 1


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    cache, _ = opened(tmp_path / "vectors.npz")
    assert cache.embed([]).shape[0] == 0
    cache.save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 rubbish", b"\x93NUMPY"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "vectors.npz"
    path.write_bytes(damage)
    cache, model = opened(path)
    cache.embed(["dog"])
    assert model.texts == ["dog"]
    cache.save()
    assert opened(path)[0].count_missing(["dog"]) == 0


def test_a_cache_of_another_shape_or_with_objects_in_it_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    for keys, vectors in (
        (np.zeros((2, 16), np.uint8), np.zeros((1, 4), np.float32)),
        (np.zeros((1, 16), np.uint8), np.zeros((1, 4), np.float64)),
        (np.array([object()]), np.zeros((1, 4), np.float32)),
    ):
        np.savez(path, keys=keys, vectors=vectors, allow_pickle=True)
        assert opened(path)[0].count_missing(["dog"]) == 1
