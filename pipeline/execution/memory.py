"""The most memory that this process has held."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

from pipeline.values.units import Bytes

STATUS = Path("/proc/self/status")


def peak_memory_of_process() -> Bytes:
    """The largest resident set of this process.

    Linux counts what a parent held when it started a process among the child's ``ru_maxrss``, so that a small child of
    a large parent looks as large as that; the high-water mark in its status is its own.
    """
    if STATUS.exists() and (mark := re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)):
        return int(mark.group(1)) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
