"""Keys that a run would call with and the environment lacks."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.execution.forecast import Forecast
from pipeline.execution.project import Project
from pipeline.values.stages import Until


def find_missing_keys(project: Project, look: Callable[[], Forecast], until: str | None = None) -> str | None:
    """Say which keys are missing that a run needs, a line each, or None.

    What is written or rendered already needs none.

    Args:
        look: Makes the forecast; asked for only where a key is missing at all.
        until: Last stage of the run; None for all.
    """
    media = project.missing_media_keys
    if not (project.missing_key or media):
        return None
    result = look()
    told = [project.missing_key] if project.missing_key and result.count_calls(until) else []
    if until in (None, Until.RENDER):
        told += [line for modality, line in media.items() if result.stages[modality].media_calls]
    return project.locate("\n".join(told)) if told else None
