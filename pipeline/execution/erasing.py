"""Erasing dialogues from what lies behind a corpus's tables: plan, stage files, journals, books, readings, verdicts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.adapters.corpus import FORMER, CorpusFolder
from pipeline.adapters.files import replacing
from pipeline.adapters.journal_erasing import erase_entries
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER as READINGS
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.retry_book import RetryBook
from pipeline.adapters.store import ShardFolder
from pipeline.adapters.verdicts import erase_verdicts
from pipeline.contracts.storage import Receipt, Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key
from pipeline.values.records import PlannedDialogue
from pipeline.work import taking, topics
from pipeline.work.redacting import TopicRedactor, belongs_to, redact_entry
from pipeline.work.taking import blank_text
from pipeline.work.topic_screening import TopicScreen


class Eraser:
    """Erases dialogues. Whatever is done already is found to be so and left alone.

    Args:
        folder: Of the corpus, with the lock on its work.
        lock: The same.
        readings_lock: On its readings; None where it has none.
        dialogues: Their ids.
    """

    def __init__(
        self, folder: CorpusFolder, lock: CorpusLock, readings_lock: CorpusLock | None, dialogues: Collection[str]
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._readings_lock = readings_lock
        self._ids = frozenset(dialogues)

    def erase_stages(
        self, shards: Collection[int], plan: Sequence[PlannedDialogue], twins: Collection[str] = frozenset()
    ) -> None:
        """Write stage files of shards anew without what belongs to the dialogues, and their repairs and retries.

        Args:
            twins: Dialogues that were rejected for being like another, for which no media are asked.
        """
        repairs = RepairBook(self._folder.work, self._lock)
        retries = RetryBook(self._folder.work, self._lock)
        for shard in sorted(shards):
            store = self._folder.shard(shard)
            planned = [row.id for row in plan if row.shard == shard]
            order = (planned, [name for name in planned if name not in twins])
            for stage in _stages_of(store):
                self._erase_rows(store, stage, order)
            mended = repairs.read(shard)
            left = {key: one for key, one in mended.items() if not belongs_to(one.part_id, self._ids)}
            if left != mended:
                repairs.write(shard, left)
            again = retries.read(shard)
            some = {stage: {k: n for k, n in of.items() if k not in self._ids} for stage, of in again.items()}
            if some != again:
                retries.write(shard, some)

    def erase_plan(self, plan: Sequence[PlannedDialogue]) -> set[str]:
        """Blank topics that nothing else is about, in the plan and wherever else they stand; return their texts.

        The rows stay: they say that the dialogues were planned, so that none of that id is planned again.
        """
        shared = {row.topic.id for row in plan if row.id not in self._ids}
        gone = {row.topic.id: row.topic.text for row in plan if row.topic.id not in shared and row.topic.text}
        texts = set(gone.values())
        self._erase_topics(texts)
        self._erase_texts(gone)
        if gone:
            blank = {row.topic.id: row.topic.model_copy(update={"text": ""}) for row in plan if row.topic.id in gone}
            self._folder.write_plan([replace(row, topic=blank.get(row.topic.id, row.topic)) for row in plan])
        path = self._folder.work / "plan.parquet"
        former = path.with_name(path.name + FORMER)
        if former.is_file() and former.read_bytes() != path.read_bytes():
            with replacing(former, self._lock.check) as partial:
                shutil.copyfile(path, partial)
        return texts

    def erase_readings(self) -> bool:
        """Write files of readings anew without those of the dialogues; return whether there were any."""
        found = False
        for store in self._readings():
            for stage in _stages_of(store):
                found |= self._erase_rows(store, stage, ())
        return found

    def erase_journals(self, shards: Collection[int]) -> None:
        """Take what was asked, answered and made out of journals, and verdicts out of reviews."""
        erase = redact_entry(self._ids)
        for store in (*map(self._folder.shard, sorted(shards)), *self._readings()):
            erase_entries(store.folder, erase)
        erase_verdicts(self._folder.root, self._ids)

    def _readings(self) -> Iterator[ShardFolder]:
        for path in sorted((self._folder.root / READINGS).glob("*")):
            if path.is_dir() and not path.is_symlink():
                yield ShardFolder(path, self._readings_lock)

    def _erase_rows(self, store: ShardFolder, stage: str, order: Sequence[Sequence[str]]) -> bool:
        """Write a stage file anew without rows of the dialogues.

        Args:
            order: Lists of planned dialogues; for one of them, and in its order, rows may have been asked for.
        """
        receipt, listed = store.receipt(stage), store.table(stage, ["record_id", "inputs", "status"])
        if receipt is None or listed is None:
            return False
        rows = listed.to_pylist()
        left = [row for row in rows if not self._is_gone(row)]
        if len(left) == len(rows) or not store.is_sound(stage):
            return False  # what is damaged was set aside, and is taken away with all that was
        num_ok = sum(row["status"] == "ok" for row in rows) - sum(row["status"] == "ok" for row in left)
        num_failed = len(rows) - len(left) - num_ok
        store.commit(
            stage,
            pq.read_schema(store.folder / receipt.file),
            (row for row in store.rows(stage) if not self._is_gone(row)),
            order_key=_order_key(receipt, rows, order, self._is_gone),
            num_ok=max(0, receipt.num_ok - num_ok),
            num_failed=max(0, receipt.num_failed - num_failed),
            facts=receipt.facts,
        )
        return True

    def _is_gone(self, row: Row) -> bool:
        return belongs_to(row["record_id"], self._ids)

    def _erase_topics(self, texts: Collection[str]) -> None:
        store, decided = self._folder.topics(), self._folder.read_topic_screen()
        receipt = store.receipt(topics.STAGE)
        if not texts or (receipt is None and decided is None):
            return
        redactor = TopicRedactor(texts, TopicScreen.model_validate(decided or {}))
        erase_entries(store.folder, redactor.redact_entry)
        if receipt is not None and store.is_sound(topics.STAGE):
            _replace_rows(store, receipt, redactor.redact_row)
        if decided is not None:
            self._folder.write_topic_screen(redactor.screen.model_dump(mode="json"))

    def _erase_texts(self, gone: Mapping[str, str]) -> None:
        """Blank what the dialogues were taken from; that a row was taken there stays."""
        store = self._folder.texts()
        receipt = store.receipt(taking.STAGE)
        if gone and receipt is not None and store.is_sound(taking.STAGE):
            _replace_rows(store, receipt, lambda row: blank_text(row) if row["record_id"] in gone else row)


def _stages_of(store: ShardFolder) -> list[str]:
    """Return the stages that committed: in such a folder every JSON file is a receipt."""
    return sorted(path.stem for path in store.folder.glob("*.json") if path.stem != "epoch")


def _replace_rows(store: ShardFolder, receipt: Receipt, change: Callable[[Row], Row]) -> None:
    rows = list(store.rows(receipt.stage))
    changed = [change(row) for row in rows]
    if changed != rows:
        schema = pq.read_schema(store.folder / receipt.file)
        store.commit(
            receipt.stage, schema, changed, **receipt.model_dump(include={"order_key", "num_ok", "num_failed", "facts"})
        )


def _order_key(
    receipt: Receipt, rows: Sequence[Row], order: Sequence[Sequence[str]], is_gone: Callable[[Row], bool]
) -> str:
    """Return the key over what is asked for once rows are gone, so that a run finds nothing to do.

    A receipt keeps the hash alone. Rows stand in the order in which they were asked for, as a rule, and else in that
    of the plan; behind them those that nobody asks for. Where none of this gives the key as it was, it stays as it was,
    and the next run compares row by row.
    """
    candidates = [rows[: receipt.num_ok + receipt.num_failed]]
    for ids in order:
        places = {name: place for place, name in enumerate(ids)}
        planned = [(row["record_id"].partition("-")[0], row) for row in rows]
        asked = [(places[name], row["record_id"], row) for name, row in planned if name in places]
        by_plan = sorted(asked, key=lambda one: one[:2])
        candidates += [[row for _, _, row in asked], [row for _, _, row in by_plan]]
    for some in candidates:
        if _key_of(some) == receipt.order_key:
            return _key_of([row for row in some if not is_gone(row)])
    return receipt.order_key


def _key_of(rows: Sequence[Row]) -> str:
    return content_key([[row["record_id"], content_key(json.loads(row["inputs"]))] for row in rows])


def find_pages(root: Path, dialogues: Collection[str]) -> list[Path]:
    """Return pages beside the tables that show a dialogue: reports are made anew by whoever wants them.

    Raises:
        CorpusError: one cannot be read.
    """
    found = []
    for path in sorted(root.glob("*.html")):
        try:
            page = path.read_text(encoding="utf-8", errors="replace")
        except OSError as exc:
            raise CorpusError(f"{path}: cannot be read: {exc.strerror}") from exc
        if any(name in page for name in dialogues):
            found.append(path)
    return found
