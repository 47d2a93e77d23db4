"""Why a dialogue that was written is not published, whoever said so: its likeness, a limit, a reviewer."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.values.records import Record


class Rejection(Record):
    """A dialogue judged unfit.

    Attributes:
        stage: Who judged: ``screen`` or ``review``.
        code: Stable, e.g. ``near_duplicate``, ``below_limit``.
        message: For people; it names the record and the value.
        like: The dialogue that it is like, where it is rejected for that.
        score: The value of what was measured, if anything was.
        measure: Name of the measure whose limit it falls short of.
    """

    dialogue_id: str
    stage: str
    code: str
    message: str
    like: str | None = None
    score: float | None = None
    measure: str | None = None


Rejections = Mapping[str, Rejection]
"""By id of the dialogue."""


def merge_rejections(*sources: Rejections) -> dict[str, Rejection]:
    """Lay several sources together. Where more than one rejects a dialogue, the first of them says why."""
    return {name: found for source in reversed(sources) for name, found in source.items()}
