"""What all tests share: a quiet Ray, and the folder in which `make test` puts the small models."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

# Set before any test imports ray, and inherited by every process that a test starts.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def cache_root() -> Path:
    """Folder of downloaded models; ``make test`` has filled it with those of ``manifests/smoke.yaml``."""
    return Path(os.environ.get("ANYINSTRUCT_CACHE") or platformdirs.user_cache_dir("anyinstruct"))
