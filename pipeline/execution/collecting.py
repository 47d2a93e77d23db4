"""The garbage collector in a process with hundreds of calls in flight.

Left alone it walks everything that was ever imported, again and again: a fifth of the CPU at 256 calls in flight.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 20_000
"""Objects that outlive their call before the young ones are looked through: a few megabytes."""


def spare_collector() -> None:
    """Have the collector pass over what is there now, and look at what comes seldom. For when all is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 10, 10)
