"""How many processes of one kind do a piece of work: a number, or a range that follows what waits."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_serializer, model_validator

from pipeline.values.section import Section


class Workers(Section):
    """``3``, or ``{min: 1, max: 8}``: no fewer once there is work, more while there is more than these can take.

    Attributes:
        min: Processes that a run is not begun without room for.
        max: Processes that shares of what all have together are cut for, such as calls in flight.
    """

    min: int = Field(1, ge=1, le=1024)
    max: int = Field(ge=1, le=1024)

    @model_validator(mode="before")
    @classmethod
    def _takes_a_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        if not isinstance(value, (dict, cls)):
            raise ValueError(f"must be a number, or {{min: 1, max: 8}} (is {value!r:.40})")
        return value

    @model_validator(mode="after")
    def _rises(self) -> Workers:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is over max {self.max}")
        return self

    @model_serializer
    def _as_written(self) -> int | dict[str, int]:
        """Return a number where it is one, so that a manifest with a number is written as it ever was."""
        return {"min": self.min, "max": self.max} if self.is_elastic else self.max

    @property
    def is_elastic(self) -> bool:
        """Whether there may be more of them at one time than at another."""
        return self.min < self.max

    @classmethod
    def exactly(cls, count: int) -> Workers:
        """So many, neither more nor fewer."""
        return cls(min=count, max=count)


ONE = Workers(min=1, max=1)
