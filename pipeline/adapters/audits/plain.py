"""An audit's plug-in without weights to fetch and without options: what stands in the registry beside what measures."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.contracts.audit import AuditOptions, Auditor, Comparer, Measure, Subject
from pipeline.contracts.render import Licence, ModelFiles


@dataclass
class PlainAudit:
    """Implements ``AuditPlugin``.

    Attributes:
        takes: Its measures.
        make: Makes the auditor, or the comparer where ``compares`` says so; heavy imports belong in there.
        packages: Python packages that it imports beyond those of the core.
        extra: Which of this distribution's extras brings them.
        weights: Licences of weights that lie in these packages, by name.
    """

    name: str
    version: str
    about: Subject
    takes: Sequence[Measure]
    make: Callable[[], Auditor | Comparer]
    compares: bool = False
    is_default: bool = True
    packages: tuple[str, ...] = ()
    extra: str = ""
    options: type[AuditOptions] = AuditOptions
    weights: Mapping[str, Licence] = field(default_factory=dict)

    def measures(self, options: AuditOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return self.takes

    def models(self, options: AuditOptions) -> Sequence[str]:
        """None."""
        return ()

    def licences(self, options: AuditOptions) -> Mapping[str, Licence]:
        """Those of the weights that its packages bring."""
        return self.weights

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        return find_missing(self.packages, self.extra)

    def load(self, options: AuditOptions, models: ModelFiles) -> Auditor | Comparer:
        """Nothing is to be fetched."""
        return self.make()


def find_missing(packages: Sequence[str], extra: str) -> str | None:
    """Say which of some Python packages is not installed and which extra brings it, or None."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"needs the package {package}: pip install 'anyinstruct[{extra}]'"
    return None
