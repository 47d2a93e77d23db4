"""What renderers state of the software behind their media."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def describe_software(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages, and the processor's kind, since kernels round by it.

    Args:
        packages: Distribution names; one that is not installed is left out.
    """
    found = {package: _find_version(package) for package in packages}
    return {"machine": platform.machine(), **{name: stated for name, stated in found.items() if stated is not None}}


@cache
def _find_version(package: str) -> str | None:
    # Milliseconds each, and asked for with every shard; what a process has imported stays as it is.
    try:
        return version(package)
    except PackageNotFoundError:
        return None
