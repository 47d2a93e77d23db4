"""``python -m bench``: every measurement, one after the other; exit code 1 where any misses its goal."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("audit", "chaos", "cluster", "demo", "export", "llm", "music_fit", "planted", "render", "scale", "writing")


def main() -> int:
    """Run each in a process of its own, so that none inherits another's memory."""
    codes = {name: subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode for name in NAMES}
    missed = [name for name, code in codes.items() if code]
    print(f"{len(NAMES) - len(missed)} of {len(NAMES)} goals met; missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
