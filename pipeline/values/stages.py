"""Stages that a run can be told to stop after."""

from __future__ import annotations

from enum import StrEnum


class Until(StrEnum):
    """The last stage of a run; what follows it is left for another one."""

    TOPICS = "topics"
    SCENARIOS = "scenarios"
    DIALOGUES = "dialogues"
    RENDER = "render"
