"""What the screen's limits will measure: of what is rendered, and of what is still to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.execution.driver import Silence
from pipeline.execution.limit_screen import LimitScreen
from pipeline.execution.project import Project
from pipeline.values.errors import StageDamaged
from pipeline.values.records import PlannedDialogue
from pipeline.work.orders import Inventory


def forecast_screen(project: Project, shards: Mapping[int, Sequence[PlannedDialogue]]) -> dict[str, Inventory]:
    """Return by audit how many records it has measured and how many it will.

    Args:
        shards: The dialogues that are to be rendered. A shard whose stages are not all there counts by its slots.
    """
    look = LimitScreen(project, None, Silence())
    found = {audit.name: Inventory() for audit in look.plugins}
    for shard, planned in shards.items():
        totals = _count_by_slots(planned)
        try:
            totals = look.count_records(shard, planned)
            due = look.count_due_by_audit(shard, planned)
        except StageDamaged:  # which here says no more than that the shard is not rendered yet
            due = {audit.name: totals[audit.about] for audit in look.plugins}
        for audit in look.plugins:
            total = max(totals[audit.about], due[audit.name])
            found[audit.name].add(Inventory(current=total - due[audit.name], missing=due[audit.name]))
    return found


def _count_by_slots(planned: Sequence[PlannedDialogue]) -> Mapping[str, int]:
    counts = Counter(str(kind) for row in planned for turn in row.slot.turns for kind in turn.kinds)
    counts["dialogue"] = len(planned)
    return counts
