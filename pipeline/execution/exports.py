"""An export: a finished corpus, shard by shard, into the form that a trainer reads.

A shard's parts are written into a staging folder and moved into place whole, then a receipt names them. Whoever runs
the same export again writes only what the corpus has changed since, and takes away the files of parts that are gone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pipeline
from pipeline.adapters.export_receipts import ExportReceipt, read_receipt, receipt_path, receipt_shards
from pipeline.adapters.files import STAGING, sha256_file, sync_folder, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import PublishedCorpus, PublishedShard
from pipeline.adapters.samples import read_samples
from pipeline.contracts.export import ExportedFile, ExportOptions, ExportPart, ExportPlugin, ExportSummary
from pipeline.contracts.plugins import choose_plugin, find_plugin, known_plugins
from pipeline.contracts.storage import Row
from pipeline.contracts.watch import Drained, Watch
from pipeline.execution.audits import Workers
from pipeline.execution.driver import Silence
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key
from pipeline.work.export_card import write_export_card
from pipeline.work.exporting import Selection, Splits, check_id

ENTRY_POINTS = "anyinstruct.exports"
STATE = ".export"
"""In the output folder: receipts, staging folders, lock. Readers of the export do not look at names with a dot."""
INDEX = "export.json"
ORDERED = "ordered.json"
"""Beside the receipts: all that the export was ordered with, so that it can be made anew without its command."""


@dataclass(frozen=True)
class ExportSetting:
    """What is to be exported, how and where to.

    Attributes:
        to: Name of the export.
        chosen_ids: Dialogues that a query found; None for all.
        beside: Folder of the corpus for receipts and what else is no result, where the output lies in the corpus
            itself; files are then hashed, for `verify`. None for one in the output folder.
    """

    corpus: Path
    out: Path
    to: str
    options: Mapping[str, Any] = field(default_factory=dict)
    splits: Splits = field(default_factory=Splits)
    selection: Selection = field(default_factory=Selection)
    chosen_ids: frozenset[str] | None = None
    beside: Path | None = None

    @property
    def state(self) -> Path:
        """Folder of receipts, staging folders and lock, in the same file system as the output."""
        return self.out / STATE if self.beside is None else self.beside

    def choose(self) -> tuple[ExportPlugin, ExportOptions]:
        """Return the plug-in with its checked options.

        Raises:
            ManifestError: it is not installed or cannot run here, or an option is wrong.
        """
        known = known_exports()
        found = find_plugin("export", known, self.to).options.found_beside(self.corpus)
        return choose_plugin("export", known, self.to, {**found, **self.options})


def known_exports() -> dict[str, ExportPlugin]:
    """Return all installed exports by name."""
    return known_plugins(ENTRY_POINTS)


class ExportWork:
    """A worker's part: exports shards one after another. Knows no Ray."""

    def __init__(self, setting: ExportSetting, epoch: int, watch: Watch) -> None:
        self._setting = setting
        self._state = setting.state
        self._lock = CorpusLock(self._state, epoch)
        self._plugin, self._options = setting.choose()
        self._watch = watch
        self.corpus = PublishedCorpus(setting.corpus)

    @cached_property
    def fingerprint(self) -> str:
        """Hash over all that a part depends on, the shard's own tables apart."""
        setting = self._setting
        chosen = None if setting.chosen_ids is None else sorted(setting.chosen_ids)
        rules = [setting.splits.model_dump(mode="json"), setting.selection.model_dump(mode="json"), chosen]
        return content_key(self._plugin.name, self._plugin.version, self._options.identity(), rules)

    def parts(self, shard: PublishedShard) -> list[ExportPart] | None:
        """Return a shard's parts where they are there and up to date, else None."""
        receipt = self._receipt(shard.number)
        if receipt is None or receipt.key != self._key(shard):
            return None
        is_whole = all(_is_whole(self._setting.out / file.path, file) for file in receipt.files)
        return list(receipt.parts) if is_whole else None

    def export(self, number: int) -> None:
        """Write one shard's parts and its receipt, and take away the files that it had before and has no more."""
        shard = next(shard for shard in self.corpus.shards if shard.number == number)
        staging = self._state / f"{STAGING}{number:05d}"
        shutil.rmtree(staging, ignore_errors=True)
        parts = self._write(shard, staging)
        before = self.written(number)
        self._lock.check()
        for part in parts:
            self._move(staging / part.split, part)
        receipt = ExportReceipt(key=self._key(shard), parts=tuple(parts))
        write_json(receipt_path(self._state, number), receipt.model_dump(mode="json"), self._lock.check)
        shutil.rmtree(staging, ignore_errors=True)
        self._remove(before - {file.path for part in parts for file in part.files})

    def written(self, number: int) -> set[str]:
        """Return the files that a shard's last receipt names, by their paths below the output folder."""
        receipt = self._receipt(number)
        return set() if receipt is None else {file.path for file in receipt.files}

    def forget(self, number: int) -> None:
        """Take away all that was written for a shard that the corpus no longer has."""
        self._remove(self.written(number))
        receipt_path(self._state, number).unlink()

    def receipts(self) -> set[int]:
        """Return the shards that something was written for."""
        return receipt_shards(self._state)

    def _move(self, staging: Path, part: ExportPart) -> None:
        for file in part.files:
            target = self._setting.out / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / file.path, target)
        for folder in {(self._setting.out / file.path).parent for file in part.files}:
            sync_folder(folder)

    def _remove(self, paths: set[str]) -> None:
        out = self._setting.out.resolve()
        for path in paths:
            target = out / path
            # A receipt is a file like any other, and what it says must not reach beyond the output folder.
            if target.resolve().is_relative_to(out):
                target.unlink(missing_ok=True)

    def _write(self, shard: PublishedShard, staging: Path) -> list[ExportPart]:
        wanted: dict[str, dict[str, Row]] = {name: {} for name in self._setting.splits.shares}
        for row in shard.rows("dialogue"):
            if self._takes(row):
                wanted[self._setting.splits.of(row)][check_id(row["id"])] = row
        return [self._write_part(shard, staging / split, split, rows) for split, rows in wanted.items() if rows]

    def _takes(self, row: Row) -> bool:
        chosen = self._setting.chosen_ids
        return (chosen is None or row["id"] in chosen) and self._setting.selection.takes(row)

    def _write_part(self, shard: PublishedShard, staging: Path, split: str, rows: Mapping[str, Row]) -> ExportPart:
        staging.mkdir(parents=True)
        writer = self._plugin.open(self._options, staging, split, shard.number)
        kinds: Counter[str] = Counter()
        for sample in read_samples(shard, rows):
            self._watch.check()
            writer.add(sample)
            kinds.update(medium.kind for medium in sample.media.values())
            self._watch.note("exported", count=1)
        counts = writer.close()
        files = [
            ExportedFile(
                path=name,
                num_bytes=path.stat().st_size,
                num_rows=counts.get(name, 0),
                sha256=None if self._setting.beside is None else sha256_file(path),
            )
            for path in sorted(staging.rglob("*"))
            if path.is_file() and (name := path.relative_to(staging).as_posix())
        ]
        return ExportPart(
            split=split, shard=shard.number, num_dialogues=len(rows), num_media=dict(kinds), files=tuple(files)
        )

    def _receipt(self, number: int) -> ExportReceipt | None:
        try:
            return read_receipt(self._state, number)
        except CorpusError:
            return None  # what a damaged one named is written anew

    def _key(self, shard: PublishedShard) -> str:
        # Ours are named after their content. A stranger's are not, and the time tells one from what took its place.
        is_ours = self.corpus.ledger is not None
        tables = [[subject, *_state_of(path)[: 2 if is_ours else 3]] for subject, path in shard.files.items()]
        return content_key(self.fingerprint, tables)


def _is_whole(path: Path, file: ExportedFile) -> bool:
    try:
        return path.stat().st_size == file.num_bytes
    except OSError:
        return False


def _state_of(path: Path) -> tuple[str, int, int]:
    """Return a table's name, size and time of its last change."""
    stat = path.stat()
    return path.name, stat.st_size, stat.st_mtime_ns


class ExportRun:
    """One export, over a pool of workers that is opened only where something is to be written.

    Args:
        open_pool: Starts the workers.
        on_progress: Told how many dialogues are written of how many.
    """

    def __init__(
        self,
        setting: ExportSetting,
        lock: CorpusLock,
        open_pool: Callable[[], Workers],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._setting = setting
        self._look = ExportWork(setting, lock.epoch, Silence())
        self._lock = lock
        self._open_pool = open_pool
        self.on_progress = on_progress
        self._pool: Workers | None = None
        self._is_draining = False

    async def execute(self) -> ExportSummary:
        """Write what is missing or stale, and what stands beside it.

        Raises:
            Drained: it was asked to end early; whole shards are kept.
        """
        self._note_order()
        shards = self._look.corpus.shards
        due = [shard for shard in shards if self._look.parts(shard) is None]
        if due:
            await self._export(due)
        for number in self._look.receipts() - {shard.number for shard in shards}:
            self._look.forget(number)
        parts = [part for shard in shards for part in self._look.parts(shard) or ()]
        summary = ExportSummary(corpus=self._name(), parts=tuple(parts), licences=self._licences())
        return self._finish(summary)

    def _note_order(self) -> None:
        setting = self._setting
        ordered = {
            "to": setting.to,
            "options": dict(setting.options),
            "splits": setting.splits.model_dump(mode="json"),
            "selection": setting.selection.model_dump(mode="json"),
            "chosen_ids": None if setting.chosen_ids is None else sorted(setting.chosen_ids),
        }
        write_json(setting.state / ORDERED, ordered, self._lock.check)

    async def drain(self) -> None:
        """End at the next dialogue; a shard that was begun is begun anew another time."""
        self._is_draining = True
        if self._pool is not None:
            await self._pool.drain()

    async def _export(self, due: list[PublishedShard]) -> None:
        if self._is_draining:
            raise Drained("the export is ending")
        total = sum(len(shard.index("dialogue")) for shard in due)
        self._pool = self._open_pool()
        watching = asyncio.create_task(self._watch_pool(total))
        try:
            await asyncio.gather(*[self._pool.call("export", shard.number) for shard in due])
        finally:
            watching.cancel()
            await self._pool.close()

    async def _watch_pool(self, total: int) -> None:
        done = 0
        while self._pool is not None:
            done += sum(note["count"] for note in await self._pool.collect() if note["event"] == "exported")
            self.on_progress(done, total)
            await asyncio.sleep(0.5)

    def _name(self) -> str:
        ledger = self._look.corpus.ledger
        return self._setting.corpus.resolve().name if ledger is None else ledger.name

    def _licences(self) -> dict[str, str]:
        ledger = self._look.corpus.ledger
        facts = [] if ledger is None else ledger.renderers.values()
        return {str(name): str(licence) for fact in facts for name, licence in fact.get("licences", {}).items()}

    def _finish(self, summary: ExportSummary) -> ExportSummary:
        plugin, options = self._setting.choose()
        out = self._setting.out
        summary = summary.model_copy(update={"remarks": tuple(plugin.finish(options, out, summary))})
        card = write_export_card(summary, plugin.name, plugin.summary, plugin.usage, plugin.configs(summary))
        (out / "README.md").write_text(card, encoding="utf-8")
        index = {
            "format": plugin.name,
            "version": plugin.version,
            "generator": f"anyinstruct {pipeline.__version__}",
            "options": options.as_published(),
            "splits": self._setting.splits.model_dump(mode="json"),
            "selection": self._setting.selection.model_dump(mode="json"),
            **summary.model_dump(mode="json"),
        }
        write_json(out / INDEX, index, self._lock.check)
        return summary
