"""The licences of models that were looked up, over all renderers that are installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from pipeline.adapters.weights import WeightOptions
from pipeline.contracts.render import Licence
from pipeline.execution.project import ENTRY_POINTS, find_renderer
from pipeline.values.errors import ManifestError


@dataclass(frozen=True)
class LicensedModels:
    """The models of a renderer that stand under one licence.

    Attributes:
        is_commercial_use_allowed: As the renderer judges it; a manifest with ``intended_use: commercial`` is refused
            where it is False.
    """

    renderer: str
    licence: Licence
    is_commercial_use_allowed: bool
    models: Sequence[str]


def list_known_models() -> Iterator[LicensedModels]:
    """Group the known models by renderer and licence; renderers whose weights nobody chooses have none."""
    for name in sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)}):
        try:
            plugin = find_renderer(name)
        except ManifestError:
            continue  # a stranger's that cannot be loaded, which `doctor` says by itself
        if not issubclass(plugin.options, WeightOptions):
            continue
        groups: dict[tuple[Licence, bool], list[str]] = {}
        for model, licence in plugin.options.known_licences.items():
            is_allowed = plugin.is_commercial_use_allowed(plugin.options(model=model))
            groups.setdefault((licence, is_allowed), []).append(model)
        for (licence, is_allowed), models in groups.items():
            yield LicensedModels(name, licence, is_allowed, models)
