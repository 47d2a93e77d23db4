"""What all tests share: a quiet Ray, and the small models that they run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.adapters.model_files import ModelCache
from tests.support.browser import tab  # noqa: F401  fixtures, for every test
from tests.support.corpora import TinyCorpus, copy_corpus, make_corpus
from tests.support.object_store import machine, object_server, store  # noqa: F401

# Set before any test imports ray, and inherited by every process that a test starts.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

TEST_MODELS = (
    "smollm2-135m-instruct-q4_1",
    "piper-en-us-joe-medium",
    "kokoro-82m-int8",
    "kokoro-voices-v1.0",
    "minilm-l6-v2-int8",
    "whisper-base",
    "dvector-int8",
    "noto-emoji",
    "emojilib",
    "emojibase-data",
)
"""Fetched before the first test, 0.46 GB in all; what is in the cache already is only checked."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renderer-samples",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module with SAMPLES for the contract tests of renderers; see tests/support/renderer_samples.py",
    )


@pytest.fixture(scope="session", autouse=True)
def models() -> ModelCache:
    """The cache of downloaded models, with those that tests run."""
    cache = ModelCache()
    cache.ensure(TEST_MODELS)
    return cache


@pytest.fixture(scope="session")
def cache_root(models: ModelCache) -> Path:
    """Folder of the cache."""
    return models.root


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """A tiny corpus, made once."""
    return make_corpus(tmp_path_factory.mktemp("original"))


@pytest.fixture
def tiny(tiny_original: TinyCorpus, tmp_path: Path) -> TinyCorpus:
    """A copy of the tiny corpus for one test alone."""
    return copy_corpus(tiny_original, tmp_path)
