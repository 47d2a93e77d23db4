"""The event loop that Ray gives its actors: uvloop's where that is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")

NAME = "uvloop" if find_spec("uvloop") else "asyncio"


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end."""
    with asyncio.Runner(loop_factory=importlib.import_module(NAME).new_event_loop) as runner:
        return runner.run(main)
