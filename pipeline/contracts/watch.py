"""What a stage tells while it works, and how it is told to stop."""

from __future__ import annotations

from typing import Any, Protocol


class Drained(Exception):
    """The run is ending: the stage has stopped before its next call, and its journal holds what is done."""


class Watch(Protocol):
    """A stage's line to the run that it is part of."""

    def note(self, event: str, **facts: Any) -> None:
        """Tell that something happened: ``call``, ``answer``, ``record``, ``render``; cheap, never raises."""
        ...

    def check(self) -> None:
        """Raise :class:`Drained` if no further work may begin."""
        ...
