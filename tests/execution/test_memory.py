"""Peak memory of processes."""

from __future__ import annotations

import subprocess
import sys

TELL = "from pipeline.execution.memory import peak_memory_of_process; print(peak_memory_of_process())"


def test_a_small_child_of_a_large_parent_is_small() -> None:
    large = bytearray(400_000_000)
    large[::4096] = b"x" * len(large[::4096])
    told = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    assert 5e6 < int(told.stdout) < 300e6
    assert len(large) == 400_000_000
