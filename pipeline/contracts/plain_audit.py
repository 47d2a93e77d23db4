"""A plug-in for audits that need neither weights nor licences: what differs is stated, the rest is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from pipeline.contracts.audit import AuditItem, AuditOptions, Comparer, Measure, Readings, Subject
from pipeline.contracts.render import Licence, ModelFiles


@dataclass(frozen=True)
class OneByOne:
    """Implements ``Auditor`` by a function of one record."""

    read: Callable[[AuditItem], Readings]

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each dialogue, in order."""
        return [self.read(item) for item in items]


@dataclass
class PlainAudit:
    """Implements ``AuditPlugin``.

    Attributes:
        taken: The measures, whatever the options.
        open: Makes the auditor or comparer out of the options.
        packages: Modules that it imports, by the name of the distribution that brings each.
    """

    name: str
    version: str
    taken: Sequence[Measure]
    open: Callable[[Any], OneByOne | Comparer]
    options: type[AuditOptions] = AuditOptions
    compares: bool = False
    packages: Mapping[str, str] = field(default_factory=dict)
    about: Subject = "dialogue"
    is_default: bool = True

    def measures(self, options: Any) -> Sequence[Measure]:
        """The same whatever the options."""
        return self.taken

    def models(self, options: Any) -> Sequence[str]:
        """None."""
        return ()

    def licences(self, options: Any) -> Mapping[str, Licence]:
        """None."""
        return {}

    def missing(self) -> str | None:
        """Name the packages that are not installed."""
        absent = [name for name, package in self.packages.items() if find_spec(package) is None]
        return f"the package {absent[0]} is missing; pip install {' '.join(absent)}" if absent else None

    def load(self, options: Any, models: ModelFiles) -> OneByOne | Comparer:
        """There are no weights."""
        return self.open(options)


def count_measure(name: str, summary: str, limit: float | None = 0.0) -> Measure:
    """Return a measure that counts what should not be there."""
    return Measure(name=f"dialogue.{name}", better="lower", limit=limit, summary=summary)
