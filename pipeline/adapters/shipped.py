"""Finds the prompts and manifests that ship with the program."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(*parts: str) -> Path:
    """Return a path inside ``prompts/`` or ``manifests/``: beside the package in a checkout, inside it in a wheel."""
    root = _PACKAGE / "shipped"
    return (root if root.is_dir() else _PACKAGE.parent).joinpath(*parts)
