"""The plan of a corpus as a run keeps it: read once, extended as topics come, and written where it has changed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.execution.settled import Settled
from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import PlannedDialogue, Topic
from pipeline.work.planning import extend_plan, select_active
from pipeline.work.taking import plan_texts


class PlanKeeper:
    """Has the plan while a run goes on, which nobody else may change meanwhile.

    Args:
        limit: Of the first dialogues that count; None for all.

    Attributes:
        num_taken_down: Dialogues that would count, had they not been taken down; known once the plan was brought up
            to date.
    """

    num_taken_down = 0

    def __init__(self, folder: CorpusFolder, look: ShardWork, settled: Settled, limit: int | None) -> None:
        self._folder = folder
        self._look = look
        self._settled = settled
        self._limit = limit
        self._plan: list[PlannedDialogue] | None = None
        self._taken_down = read_takedowns(folder.root)

    def read(self) -> list[PlannedDialogue]:
        """Return the plan as it is on disk; it is large."""
        if self._plan is None:
            self._plan = self._folder.read_plan()
        return self._plan

    def bring(self, all_topics: Sequence[Topic], extra: int) -> list[PlannedDialogue]:
        """Bring the plan up to date; return the dialogues that count today.

        Args:
            extra: Dialogues beyond those that the manifest asks for, in place of lost ones.
        """
        project = self._look.project
        manifest, former = project.manifest, self.read()
        is_current = self._settled.is_plan_current()
        if manifest.texts is not None:
            plan = plan_texts(former, self._look.taken, manifest, extra)
        else:
            plan = extend_plan(former, all_topics, manifest, project.book, extra, is_current=is_current)
        if plan != former:
            self._folder.write_plan(plan)
            self._plan = plan
        if plan != former or not is_current:
            self._settled.mark_plan()
        active = select_active(plan, all_topics, manifest, self._taken_down)
        self.num_taken_down = len(select_active(plan, all_topics, manifest)) - len(active)
        return active[: self._limit]
