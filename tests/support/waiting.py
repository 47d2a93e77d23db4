"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds after which something is broken, on however busy a machine."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again.

    Raises:
        AssertionError: it did not come to pass.
    """
    until = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > until:
            raise AssertionError(f"it did not happen within {PATIENCE:g} s")
        time.sleep(0.02)
