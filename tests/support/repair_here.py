"""A repair with the workers' part done in its own process; as a module it is one to be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.lock import CorpusLock
from pipeline.execution.driver import Run
from pipeline.execution.project import load_project
from pipeline.execution.repairing import Repairing, RepairReport
from pipeline.values.screen import RepairPlan
from tests.support.here import Here


class Stopped(Exception):
    """In place of a kill, between the order and its rendering."""


def repair_here(
    manifest: Path, corpus: Path, plan: RepairPlan, num_renders: list[int], max_rounds: int = 99
) -> RepairReport:
    """Repair a corpus.

    Args:
        num_renders: Takes what each round rendered, but for the last, which replaces what is lost.
        max_rounds: Of a run each; the one after them is not begun.

    Raises:
        Stopped: there would have been more rounds.
    """
    project = load_project(manifest, corpus)
    lock = CorpusLock.acquire(corpus / "work")

    def bring_up_to_date(describes: bool, replaces: bool) -> None:
        if len(num_renders) == max_rounds:
            raise Stopped
        run = Run(project, lock, describes=describes, replaces=replaces)
        here: Any = Here(project, lock.epoch)
        run._cluster = here
        asyncio.run(run.execute())
        if not replaces:
            num_renders.append(run.tally.num_renders)

    try:
        return Repairing(project, lock, plan).execute(bring_up_to_date)
    finally:
        lock.release()


def main(arguments: Sequence[str]) -> None:
    """Repair with one attempt and rewritten descriptions, by manifest and corpus."""
    manifest, corpus = map(Path, arguments)
    repair_here(manifest, corpus, RepairPlan(attempts=1), [])


if __name__ == "__main__":
    main(sys.argv[1:])
