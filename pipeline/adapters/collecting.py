"""The garbage collector in a process with hundreds of calls in flight, or with a large plan.

Left alone it walks everything that was ever imported or read, again and again: a fifth of the CPU at 256 calls in
flight, half of the time in which a plan is read.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 20_000
"""Objects that outlive their call before the young ones are looked through: a few megabytes."""


def spare_collector() -> None:
    """Have the collector pass over what is there now, and look at what comes seldom. For when all is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 10, 10)


@contextmanager
def without_collector() -> Iterator[None]:
    """Collect nothing until the block ends; for work that is short, or makes much that stays."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
