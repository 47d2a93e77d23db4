"""Plug-ins by their entry points, and their options checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.values.errors import ManifestError
from pipeline.values.words import suggest


class Plugin(Protocol):
    """What any plug-in with options says of itself."""

    @property
    def name(self) -> str:
        """As manifests and commands name it."""
        ...

    @property
    def options(self) -> type[BaseModel]:
        """What may be chosen."""
        ...

    def missing(self) -> str | None:
        """Say which package or system part is missing, or None."""
        ...


P = TypeVar("P", bound=Plugin)


@cache
def known_plugins(group: str) -> dict[str, Any]:
    """Return all installed plug-ins of a group by name, in order.

    Raises:
        ManifestError: one of them cannot be imported.
    """
    found = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except (ImportError, AttributeError) as exc:
            raise ManifestError(f"{entry.name!r} cannot be loaded ({exc}); install its package again") from exc
    return found


def find_plugin(kind: str, known: Mapping[str, P], name: str) -> P:
    """Return a plug-in by name.

    Raises:
        ManifestError: it is not installed.
    """
    if name not in known:
        raise ManifestError(f"{kind} {name!r} is not installed; {suggest(name, known, lists_all=True)}")
    return known[name]


def choose_plugin(kind: str, known: Mapping[str, P], name: str, options: Mapping[str, Any]) -> tuple[P, Any]:
    """Return a plug-in with its options checked.

    Args:
        kind: What it is called in an error: ``export``.

    Raises:
        ManifestError: it is not installed, cannot run here, or an option is wrong.
    """
    plugin = find_plugin(kind, known, name)
    if problem := plugin.missing():
        raise ManifestError(f"{kind} {name}: {problem}")
    try:
        return plugin, plugin.options.model_validate(dict(options))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = f"option {'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        why = first["msg"].removeprefix("Value error, ")
        allowed = ", ".join(plugin.options.model_fields) or "none"
        raise ManifestError(f"{kind} {name}: {where}{why}; its options are {allowed}") from exc


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` words. Lists, mappings and null are JSON; the plug-in's model makes numbers of texts itself.

    Raises:
        ManifestError: a word has another shape.
    """
    options: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise ManifestError(f"--option {word!r}: write key=value, e.g. steps=20")
        try:
            options[key] = json.loads(value) if value[:1] in ("[", "{") or value == "null" else value
        except ValueError as exc:
            raise ManifestError(f"--option {word!r}: begins as JSON and is none: {exc}") from exc
    return options
