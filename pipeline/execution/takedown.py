"""`take-down`: dialogues and their media out of a corpus for good, with a reason that stays.

What is to go is written down first, and from then on no run, import or merge brings it back. The rest can be done over
and over: stage files and plan, readings, tables and ledgers, journals. Whoever is killed in between and gives the
command again goes on; until then the file says that it is not done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import ValidationError

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.takedown_book import read_takedowns, write_takedowns
from pipeline.contracts.ledger import Ledger
from pipeline.execution.beside import TokenFiles
from pipeline.execution.erasing import Eraser, find_pages
from pipeline.execution.garbage import Collector, remove_files
from pipeline.execution.withdrawal import Claims, Withdrawal, count_rows, list_published
from pipeline.values.errors import CorpusError
from pipeline.values.records import PlannedDialogue, Record
from pipeline.values.takedowns import Takedown
from pipeline.values.words import suggest

UNDER_WAY = "takedown.json"
"""Under ``work/``, from the first change to the last: what was true before the first."""

TIME = "%Y-%m-%dT%H:%M:%SZ"


class UnderWay(Record):
    """A takedown that was begun.

    Attributes:
        epoch: Of whoever works on it. Another one in between may have changed what is claimed here.
        packed, scored: As in :class:`pipeline.execution.withdrawal.Claims`.
    """

    epoch: int
    packed: tuple[int, ...]
    scored: tuple[int, ...]


@dataclass
class TakedownReport:
    """What a takedown came to.

    Attributes:
        dialogues: Those that were asked for and their rejected twins, by id.
        already: Of those asked for, the ones that were gone before.
        topics: Topics that nothing else was about; their words are gone, too.
        listed: Of these, topics that the manifest lists, and so the ledger.
        pages: Names of pages that showed one of the dialogues and were removed.
    """

    dialogues: Mapping[str, Takedown] = field(default_factory=dict)
    already: tuple[str, ...] = ()
    topics: set[str] = field(default_factory=set)
    listed: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()


class TakeDown:
    """Takes dialogues down; the caller holds the locks on the corpus and on its readings.

    Args:
        readings_lock: None where the corpus has no readings.
        now: Tells the time, in UTC.
    """

    def __init__(
        self,
        folder: CorpusFolder,
        lock: CorpusLock,
        readings_lock: CorpusLock | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._readings_lock = readings_lock
        self._now = now
        self._path = folder.work / UNDER_WAY
        self._plan: list[PlannedDialogue] = folder.read_plan()

    def execute(self, ids: Sequence[str], reason: str) -> TakedownReport:
        """Take down what is asked for, and whatever an earlier call was stopped in the middle of.

        Raises:
            CorpusError: the corpus has no such dialogue, and then nothing is changed; or a file of it is damaged or
                cannot be written, and then the same command goes on once that is mended.
        """
        ledger = self._folder.read_ledger()
        published, likes = list_published(self._folder, ledger) if ledger else ({}, {})
        known = read_takedowns(self._folder.root)
        places = {row.id: row.shard for row in self._plan} | published
        _check_known(ids, {*places, *known})
        asked = dict.fromkeys(ids, "") | _find_twins(ids, likes)
        due = {one.id: one for one in known.values() if not one.is_done}
        for name, twin_of in asked.items():
            if name not in known or (name not in due and name in published):
                due[name] = Takedown(id=name, time=self._now().strftime(TIME), reason=reason, twin_of=twin_of)
        if published and published.keys() <= due.keys():
            raise CorpusError(
                f"{self._folder.root}: nothing would be left of it; remove the folder instead (nothing was changed)"
            )
        rows = count_rows(self._folder, ledger, {published[name] for name in due if name in published}, due)
        due = {name: one.model_copy(update={"rows": one.rows or rows.get(name, {})}) for name, one in due.items()}
        report = TakedownReport(already=tuple(name for name in asked if name not in due))
        if due:
            self._take_down(due, places, ledger, report, likes.keys())
        return report

    def _take_down(
        self,
        due: Mapping[str, Takedown],
        places: Mapping[str, int],
        ledger: Ledger | None,
        report: TakedownReport,
        twins: Collection[str],
    ) -> None:
        root, shards = self._folder.root, {places[name] for name in due if name in places}
        withdrawal = Withdrawal(self._folder, self._lock, self._plan)
        eraser = Eraser(self._folder, self._lock, self._readings_lock, due)
        claims = self._find_claims(withdrawal, ledger)
        write_takedowns(root, due.values(), self._lock)
        state = UnderWay(epoch=self._lock.epoch, packed=tuple(claims.packed), scored=tuple(claims.scored))
        write_json(self._path, state.model_dump(mode="json"), self._lock.check)
        eraser.erase_stages(shards, self._plan, twins)
        eraser.erase_readings()
        if ledger is not None:
            withdrawal.publish(ledger, due.keys(), claims)
        # The plan last of all that a run reads: what it says of topics, the other files are searched for.
        report.topics = eraser.erase_plan(self._plan)
        eraser.erase_journals(shards)
        TokenFiles(self._folder).forget(shards)
        remove_files(Collector(self._folder, self._readings_lock).find_leftovers())
        report.pages = tuple(self._remove_pages(due))
        report.dialogues = {name: one.model_copy(update={"is_done": True}) for name, one in due.items()}
        listed = ((ledger.manifest.get("topics") or {}) if ledger else {}).get("list") or ()
        report.listed = tuple(sorted(report.topics.intersection(listed)))
        write_takedowns(root, report.dialogues.values(), self._lock)
        self._path.unlink(missing_ok=True)

    def _find_claims(self, withdrawal: Withdrawal, ledger: Ledger | None) -> Claims:
        """Say what is true of shards; where an earlier call was stopped, what was true before it."""
        if ledger is None:
            return Claims()
        try:
            state = UnderWay.model_validate(read_json(self._path))
        except (CorpusError, ValidationError):
            return withdrawal.find_claims(ledger)
        if state.epoch != self._lock.epoch - 1:
            return withdrawal.find_claims(ledger)
        return Claims(frozenset(state.packed), frozenset(state.scored))

    def _remove_pages(self, due: Mapping[str, Takedown]) -> list[str]:
        pages = find_pages(self._folder.root, due.keys())
        for page in pages:
            page.unlink(missing_ok=True)
        return [page.name for page in pages]


def _check_known(ids: Sequence[str], known: Collection[str]) -> None:
    unknown = [name for name in ids if name not in known]
    if unknown:
        told = [f"{name!r:.60}: the corpus has no such dialogue; {suggest(name, known)}" for name in unknown]
        raise CorpusError("\n".join([*told, "nothing was changed"]))


def _find_twins(ids: Sequence[str], likes: Mapping[str, str]) -> dict[str, str]:
    """Return those that were rejected for saying what one of the dialogues says, each with the one it is a twin of.

    They hold the same words, and a run would publish the first of them in place of what is gone.
    """
    found: dict[str, str] = {}
    while new := {a: b for a, b in likes.items() if (b in ids or b in found) and a not in ids and a not in found}:
        found |= new
    return found
