"""The screen as a run goes on: which dialogues need not be rendered, since another one says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.execution.shard_work import ShardWork
from pipeline.values.records import PlannedDialogue
from pipeline.values.rejections import Rejection
from pipeline.work.packing import reject_twins
from pipeline.work.screening import find_unrendered, read_sketched
from pipeline.work.twins import Twin, TwinIndex


class Screening:
    """Decides over all dialogues that are written, and again as more are.

    What it says while shards are under way saves money and decides nothing: a dialogue that is held back then, and is
    no twin once everything is known, is still to be rendered.

    Args:
        look: Work that only looks.
        shards: The dialogues that count today.
    """

    def __init__(self, look: ShardWork, shards: Mapping[int, Sequence[PlannedDialogue]]) -> None:
        self._look = look
        self._shards = shards
        self._index = TwinIndex(look.project.manifest.screen.min_similarity)
        self._taken: set[int] = set()
        self._unrendered: set[str] = set()
        self.twins: dict[str, Twin] = {}

    def take(self, shard: int) -> None:
        """Compare a shard's dialogues, which are committed, with those of all shards taken before. Once a shard."""
        if shard in self._taken:
            return
        self._taken.add(shard)
        wanted = {row.id for row in self._shards[shard]}
        self._index.add(read_sketched(self._look.folder.shard(shard), wanted))
        self.twins = self._index.find(self._unrendered)

    def look_at_renders(self) -> None:
        """Find out which dialogues could not be rendered, so that their twins are not rejected for nothing."""
        members, media = self._index.members(), self._look.project.manifest.media
        self._unrendered = set()
        for shard in sorted(self._taken):
            mine = {row.id for row in self._shards[shard]} & members
            if mine:
                self._unrendered |= mine & find_unrendered(self._look.folder.shard(shard), media)
        self.twins = self._index.find(self._unrendered)

    def recall(self, twins: Mapping[str, Twin]) -> None:
        """Take over what was decided before over the same dialogues and renders, of which none is taken then."""
        self.twins = dict(twins)

    def reject(self) -> dict[str, Rejection]:
        """Return why twins are rejected."""
        return reject_twins(self.twins)

    def select(self, shard: int) -> list[PlannedDialogue]:
        """Return the dialogues of a shard that are no twins."""
        return [row for row in self._shards[shard] if row.id not in self.twins]
