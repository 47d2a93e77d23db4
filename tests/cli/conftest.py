"""A tiny corpus, made once; every test that asks for it gets a copy of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.corpora import TinyCorpus, copy_corpus, make_corpus


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return make_corpus(tmp_path_factory.mktemp("original"))


@pytest.fixture
def tiny(tiny_original: TinyCorpus, tmp_path: Path) -> TinyCorpus:
    return copy_corpus(tiny_original, tmp_path)
