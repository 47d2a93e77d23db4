"""What renderers state of the software behind their media."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def describe_software(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages, and the processor's kind, since kernels round by it.

    Args:
        packages: Distribution names; one that is not installed is left out.
    """
    facts = {"machine": platform.machine()}
    for package in packages:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts
