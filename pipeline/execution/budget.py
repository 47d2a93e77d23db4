"""The budget of a corpus, dealt to the processes that spend it. No call per request crosses processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.store import ShardFolder
from pipeline.contracts.watch import Drained
from pipeline.values.records import MEDIA
from pipeline.values.units import USD
from pipeline.work import describing, dialogues, scenarios, topics
from pipeline.work.asking import read_account
from pipeline.work.media_calls import calls_journal
from pipeline.work.purse import PurseReport


class BudgetReached(Drained):
    """The run ended because no further call fits into the budget. With more of it, it goes on."""


@dataclass
class Budget:
    """Deals what is left to spenders: each may spend its allowance, and all allowances fit into the total.

    Spenders are composers, and the processes of renderers that call endpoints. Between two deals they go on spending.
    So what one may spend counts as gone until it has reported a lower allowance: what is taken from it is dealt to
    another in the round after.

    A spender that was lost and restarted reports a fresh purse; what its predecessor spent or held stays spent.

    Args:
        total: US dollars for all runs of the corpus together.
        before: What earlier runs have spent of them.
    """

    total: USD
    before: USD
    _last: dict[int, PurseReport] = field(default_factory=dict)

    @property
    def spent(self) -> USD:
        """Of all runs, what is in flight not included."""
        return self.before + sum(report.spent for report in self._last.values())

    def take(self, reports: Sequence[PurseReport]) -> None:
        """Take note of where each spender's purse stands."""
        for index, report in enumerate(reports):
            last = self._last.get(index)
            if last is not None and report.owner != last.owner:
                self.before += last.spent + last.held
            self._last[index] = report

    def deal(self, num_spenders: int) -> list[USD]:
        """Return new allowances: what nobody may spend yet goes to those that wait, else to all alike.

        Where the parts would be too small for anybody's next call, the one that waits for least gets all.
        """
        left = max(0.0, self.total - self.before - sum(map(_committed, self._last.values())))
        if len(self._last) < num_spenders:
            return [left / num_spenders] * num_spenders
        reports = [self._last[index] for index in range(num_spenders)]
        waiting = {index: report.wanted for index, report in enumerate(reports) if report.wanted is not None}
        chosen = list(waiting) or list(range(num_spenders))
        if waiting and all(_room(reports[index]) + left / len(waiting) < wanted for index, wanted in waiting.items()):
            chosen = [min(waiting, key=lambda index: (waiting[index], index))]
        return [
            _committed(report) + left / len(chosen) if index in chosen else report.spent + report.held
            for index, report in enumerate(reports)
        ]

    def is_reached(self) -> bool:
        """True once somebody waits, nothing is in flight that could leave something over, and nobody's call fits."""
        reports = self._last.values()
        wanted = [report.wanted for report in reports if report.wanted is not None]
        if not wanted or any(report.held for report in reports):
            return False
        return min(wanted) > self.total - self.spent

    def describe(self) -> str:
        """Say what was spent and what the next call would need."""
        wanted = min((report.wanted or 0.0 for report in self._last.values() if report.wanted), default=0.0)
        return (
            f"the budget of {self.total:.4f} USD is reached: {self.spent:.4f} USD are spent, "
            f"and the next call may cost up to {wanted:.4f} USD"
        )


def _committed(report: PurseReport) -> USD:
    """What a spender has spent and may still spend before it hears of another allowance."""
    return max(report.allowance, report.spent + report.held)


def _room(report: PurseReport) -> USD:
    """What a spender may still spend on its next call."""
    return _committed(report) - report.spent - report.held


def count_spent(folder: CorpusFolder) -> USD:
    """Return what all runs of a corpus have spent on calls, lost ones included.

    A stage's receipt says it where the journal is as long as it was then; only the other journals are read.
    """
    stores: list[tuple[ShardFolder, str]] = [(folder.topics(), topics.STAGE)]
    for index in folder.shard_indices():
        stores += [(folder.shard(index), s) for s in (scenarios.STAGE, dialogues.STAGE, describing.STAGE)]
    written = sum(count_spent_on(store, stage, stage) for store, stage in stores)
    media = [(folder.shard(index), str(modality)) for index in folder.shard_indices() for modality in MEDIA]
    return written + sum(count_spent_on(store, stage, calls_journal(stage)) for store, stage in media)


def count_spent_on(store: ShardFolder, stage: str, name: str) -> USD:
    """Return what a stage has spent by the journal of a name."""
    journal, receipt = store.journal(name), store.receipt(stage)
    paid = receipt.facts.get("paid") if receipt else None
    if paid is not None and paid["journal_bytes"] == journal.num_bytes():
        return float(paid["usd"])
    return read_account(journal).paid
