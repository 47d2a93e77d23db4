"""What lies beside a corpus's tables, looked at from outside: codes of its media, people's verdicts, takedowns.

Receipts under ``work/tokens/`` name the tables in ``tokens/codes/``. Without receipts, as where a corpus came without
its work folder, nobody can tell one table from another, and none is garbage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.export_receipts import ExportReceipt, read_receipt, receipt_path, receipt_shards
from pipeline.adapters.exports.token_tables import CODES, INDEX, TOKENS, KeptIndex
from pipeline.adapters.published import MEDIUM_OF, PublishedCorpus, PublishedShard
from pipeline.adapters.takedown_book import FILE as TAKEDOWNS
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.adapters.verdicts import FOLDER as REVIEWS
from pipeline.adapters.verdicts import VerdictBook
from pipeline.contracts.export import ExportedFile
from pipeline.values.errors import CorpusError
from pipeline.values.words import say_count
from pipeline.work.verifying import Finding, error, note

Found = tuple[Finding, Path | None]
"""A finding, and the file that is encoded anew once it is set aside."""

Media = frozenset[tuple[str, str]]
"""Id and SHA-256 of some media."""

CheckHash = Callable[[Path, str, int, str], Finding | None]
"""Holds a file against its size and SHA-256: path, name in the corpus, size and hash."""


@dataclass(frozen=True)
class CodeCount:
    """How many media have codes, and of which tokenizers, by kind.

    Attributes:
        num_shards: Whose codes are there.
    """

    num_media: int
    num_shards: int
    models: dict[str, str]


class TokenFiles:
    """The codes of one corpus."""

    def __init__(self, folder: CorpusFolder) -> None:
        self._root = folder.root
        self._folder = folder.root / TOKENS
        self._state = folder.work / TOKENS

    def count(self) -> CodeCount | None:
        """Return how many there are; None where there are none, or nobody can tell.

        Raises:
            CorpusError: a receipt or the index is damaged.
        """
        receipts = [receipt for shard in sorted(receipt_shards(self._state)) if (receipt := self._read(shard))]
        if not receipts:
            return None
        index = self._folder / INDEX
        models = {kind: fact.model for kind, fact in KeptIndex(self._folder).facts.items()} if index.is_file() else {}
        num_media = sum(file.num_rows for receipt in receipts for file in receipt.files)
        return CodeCount(num_media, len(receipts), models)

    def find_unneeded(self, shards: Collection[int] | None) -> list[Path]:
        """Return tables that no receipt names, or whose shard the corpus no longer has.

        Args:
            shards: Of the corpus; None where that is not known.
        """
        there = sorted((self._folder / CODES).glob("*.parquet"))
        named: set[Path] = set()
        try:
            for shard in receipt_shards(self._state):
                receipt = self._read(shard)
                if receipt is not None and (shards is None or shard in shards):
                    named |= {self._folder / file.path for file in receipt.files}
        except CorpusError:
            return []  # a damaged receipt may have named any of them
        return [path for path in there if path not in named] if receipt_shards(self._state) else []

    def forget(self, shards: Collection[int]) -> None:
        """Remove the codes of some shards; a run encodes anew what is there by then."""
        out = self._folder.resolve()
        for shard in shards:
            receipt = self._read(shard)
            for file in receipt.files if receipt else ():
                path = (out / file.path).resolve()
                if path.is_relative_to(out):
                    path.unlink(missing_ok=True)
            receipt_path(self._state, shard).unlink(missing_ok=True)

    def check(self, check_hash: CheckHash) -> Iterator[Found]:
        """Read all tables that receipts name, and hold them against the media that are published."""
        yield from self._check_index()
        shards, numbers = self._published(), receipt_shards(self._state)
        for number in sorted(numbers):
            path = receipt_path(self._state, number)
            try:
                receipt = self._read(number)
            except CorpusError as exc:
                yield error("receipt_damaged", self._name(path), str(exc)), path
                continue
            media = None if shards is None else _read_media(shards.get(number))
            for file in receipt.files if receipt else ():
                yield from self._check_file(file, media, check_hash)
        if numbers and shards and (lacking := shards.keys() - numbers):
            message = f"{say_count(len(lacking), 'shard')} without codes; `run` goes on"
            yield note("codes_missing", TOKENS, message), None
        for path in self.find_unneeded(None):
            yield note("unreferenced", self._name(path), "no receipt names it; `gc` removes it"), None

    def _read(self, shard: int) -> ExportReceipt | None:
        return read_receipt(self._state, shard)

    def _check_index(self) -> Iterator[Found]:
        path = self._folder / INDEX
        if not path.is_file():
            return  # written last: the codes are still being made
        try:
            KeptIndex(self._folder)
        except CorpusError as exc:
            yield error("index_damaged", self._name(path), str(exc)), path

    def _check_file(self, file: ExportedFile, media: Media | None, check_hash: CheckHash) -> Iterator[Found]:
        path = (self._folder / file.path).resolve()
        where = f"{TOKENS}/{file.path}"
        if not path.is_relative_to(self._folder.resolve()):
            yield error("path_outside", where, "a receipt names it, and it lies outside of the codes"), None
            return
        found = None if file.sha256 is None else check_hash(path, where, file.num_bytes, file.sha256)
        if found is not None:
            yield found, path
            return
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as table:
                rows = table.read(columns=["asset", "sha256"], use_threads=False)
            pairs = list(zip(rows["asset"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
        except (OSError, KeyError, pa.ArrowException) as exc:
            yield error("file_unreadable", where, str(exc)), path
            return
        if len(pairs) != file.num_rows:
            message = f"has {say_count(len(pairs), 'row')}, its receipt says {file.num_rows:,}"
            yield error("count_wrong", where, message), path
        elif media is not None and (stale := sum(pair not in media for pair in pairs)):
            message = f"{say_count(stale, 'medium', 'media')} of it changed or went since; `run` encodes anew"
            yield note("codes_stale", where, message), None

    def _published(self) -> dict[int, PublishedShard] | None:
        """Return the corpus's shards; None where it has none, or a ledger is damaged, which is told elsewhere."""
        try:
            return {shard.number: shard for shard in PublishedCorpus(self._root).shards}
        except CorpusError:
            return None

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def check_takedowns(root: Path) -> tuple[Collection[str], list[Finding]]:
    """Return the dialogues that were taken down, and what is wrong: such as that nobody knows, or is done with it."""
    try:
        found = read_takedowns(root)
    except CorpusError as exc:
        return (), [error("takedowns_damaged", TAKEDOWNS, str(exc))]
    unfinished = (one.id for one in found.values() if not one.is_done)
    return found, [
        error("takedown_unfinished", TAKEDOWNS, f"{name}: was stopped midway; give its command again")
        for name in unfinished
    ]


def check_verdicts(root: Path) -> Iterator[Finding]:
    """Look for lines of people's verdicts that cannot be read: what one of them said does not hold."""
    try:
        book = VerdictBook(root)
        for name in book.reviewers():
            where = f"{REVIEWS}/{name}.jsonl"
            try:
                book.file(name).latest()
            except CorpusError as exc:
                yield error("file_unreadable", where, str(exc))
                continue
            if number := book.file(name).num_damaged:
                yield note("verdicts_damaged", where, f"{say_count(number, 'line')} no verdict can be read from")
    except CorpusError as exc:
        yield error("path_outside", REVIEWS, str(exc))


def _read_media(shard: PublishedShard | None) -> Media | None:
    """Return the media of a shard, none where the corpus has no such shard; None where they cannot be read."""
    try:
        rows = [row for kind in MEDIUM_OF for row in shard.index(kind)] if shard is not None else []
    except CorpusError:
        return None
    return frozenset((name, sha256) for name, _, sha256 in rows)
