"""What workers reserve, and whether there is as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """What a worker reserves of a node.

    Attributes:
        cpus: Cores; fractions are allowed.
        gpus: GPUs; 0.25 puts four workers on one.
    """

    cpus: float = 0.0
    gpus: float = 0.0

    def __add__(self, other: Need) -> Need:
        return Need(self.cpus + other.cpus, self.gpus + other.gpus)

    def __mul__(self, count: int) -> Need:
        return Need(self.cpus * count, self.gpus * count)

    def as_bundle(self) -> dict[str, float]:
        """Return it as Ray's autoscaler is told."""
        return {name: there for name, there in (("CPU", self.cpus), ("GPU", self.gpus)) if there}

    def find_missing(self, have: Mapping[str, float]) -> tuple[str, float, float] | None:
        """Return the first resource that there is too little of, how much is needed, and how much there is.

        Args:
            have: Of a whole Ray, by Ray's names.
        """
        for name, wanted in (("CPU", self.cpus), ("GPU", self.gpus)):
            there = have.get(name, 0.0)
            # Sums of fractions such as 0.1 come out a little too large.
            if wanted > there + 1e-6:
                return name, wanted, there
        return None


def total(needs: Sequence[Need]) -> Need:
    """Add up."""
    return sum(needs, Need())
