"""Plug-ins by their entry points, and their options checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.values.errors import ManifestError


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


def choose_plugin(kind: str, known: Mapping[str, P], name: str, options: Mapping[str, Any]) -> tuple[P, Any]:
    """Return a plug-in with its options checked.

    Args:
        kind: What it is called in an error: ``export``.

    Raises:
        ManifestError: it is not installed, cannot run here, or an option is wrong.
    """
    plugin = known.get(name)
    if plugin is None:
        raise ManifestError(f"{kind} {name!r} is not installed; there are {', '.join(known)}")
    if problem := plugin.missing():
        raise ManifestError(f"{kind} {name}: {problem}")
    try:
        return plugin, plugin.options.model_validate(dict(options))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        allowed = ", ".join(plugin.options.model_fields) or "none"
        raise ManifestError(f"{kind} {name}: option {where}: {first['msg']}; its options are {allowed}") from exc
