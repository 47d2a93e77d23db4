"""The ledger: what a corpus consists of and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa
from pydantic import Field

from pipeline.contracts.storage import Rows
from pipeline.values.records import Record
from pipeline.values.units import Bytes
from pipeline.values.words import say_count


def _is_empty(value: object) -> bool:
    return not value


class FileEntry(Record):
    """A published file: its path inside the corpus, with forward slashes."""

    table: str
    path: str
    sha256: str
    num_bytes: Bytes
    num_rows: int


class ShardLedger(Record):
    """What one shard publishes.

    Attributes:
        order_key: Hash over all that it was packed from; equal means nothing to do.
        counts: ``planned``, ``kept``, ``rejected``, ``failed``.
        reasons: Rejections and failures by ``stage/code``.
        shortfalls: Of the rejections, those for a limit, by measure.
        scores_key: Hash over the scores in its tables and what is stated of them; empty where nothing was audited.
        measures: Names that those scores may have.
        cells: Kept dialogues by cell of the mix.
        features: Kept dialogues by ``cell/feature``, of cells that ask for features.
        edits: Kept pictures that change an earlier one: made ``from_picture``, or ``from_words`` alone.
        repairs: Kept ``assets`` that took more than one attempt to pass the limits, and ``dialogues`` with such.
        voices: Clips by voice.
        stages: The facts of the stage receipts behind it: spend, render seconds, failures.
        origin: Of a shard that no run of a manifest made, where its rows were taken from: an imported ``file`` with its
            ``sha256``, or the ``corpus`` and ``shard`` that were merged, and ``renamed`` dialogues by their ids before.
    """

    shard: int
    order_key: str
    files: tuple[FileEntry, ...]
    counts: Mapping[str, int]
    reasons: Mapping[str, int]
    cells: Mapping[str, int]
    features: Mapping[str, int] = {}
    edits: Mapping[str, int] = {}
    repairs: Mapping[str, int] = {}
    voices: Mapping[str, int]
    shortfalls: Mapping[str, int] = {}
    scores_key: str = ""
    measures: tuple[str, ...] = ()
    stages: Mapping[str, Mapping[str, Any]]
    # Left out where unstated, so that ledgers of runs are hashed as they were before there was such a field.
    origin: Mapping[str, Any] = Field(default={}, exclude_if=_is_empty)


class ShardEntry(Record):
    """A shard in the root ledger."""

    shard: int
    path: str
    sha256: str
    order_key: str


class Passing(Record):
    """Dialogues that pass the screen's limits.

    Attributes:
        before: Those that passed with the first attempts at all of their assets.
        now: All that are kept.
        judged: Kept or rejected for a limit.
        num_assets: Kept assets that took more than one attempt.
    """

    before: int
    now: int
    judged: int
    num_assets: int

    def say(self) -> str:
        """Return a sentence."""
        shares = [f" ({count / self.judged:.0%})" if self.judged else "" for count in (self.before, self.now)]
        return (
            f"Repairs put {say_count(self.num_assets, 'asset')} right: {self.before:,} of "
            f"{say_count(self.judged, 'dialogue')}{shares[0]} passed the limits before, {self.now:,}{shares[1]} now."
        )


class Ledger(Record):
    """The root ledger, written last: what it does not name is not part of the corpus.

    Attributes:
        matrix: By cell: ``share`` wanted, dialogues ``planned`` and ``kept``.
        features: The same by ``cell/feature``, of cells that ask for features.
        edits, repairs, shortfalls: As in :class:`ShardLedger`.
        texts: By source of taken dialogues: ``rows`` read, ``kept``, ``rejected/<rule>``, ``shape/<name>``.
        audits: Those whose scores stand in the tables: name, version, and measures with the limits that held.
        origins: What a corpus that no manifest makes was imported or merged from; empty for one that a run made.
    """

    schema_version: int
    name: str
    description: str
    generator: str
    manifest: Mapping[str, Any]
    counts: Mapping[str, int]
    reasons: Mapping[str, int]
    matrix: Mapping[str, Mapping[str, float]]
    features: Mapping[str, Mapping[str, float]] = {}
    edits: Mapping[str, int] = {}
    repairs: Mapping[str, int] = {}
    shortfalls: Mapping[str, int] = {}
    audits: tuple[Mapping[str, Any], ...] = ()
    topics: Mapping[str, int] = {}
    texts: Mapping[str, Mapping[str, int]] = {}
    tables: Mapping[str, int]
    voices: Mapping[str, int]
    spend: Mapping[str, Mapping[str, Mapping[str, float]]]
    num_lost_calls: int
    writer: Mapping[str, Any]
    renderers: Mapping[str, Mapping[str, Any]]
    prompts: Mapping[str, str]
    versions: Mapping[str, str]
    card_sha256: str
    shards: tuple[ShardEntry, ...]
    origins: tuple[Mapping[str, Any], ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def passing(self) -> Passing:
        """What repairs have done to the dialogues that the screen's limits judge."""
        kept, rescued = self.counts.get("kept", 0), self.repairs.get("dialogues", 0)
        judged = kept + sum(self.shortfalls.values())
        return Passing(before=kept - rescued, now=kept, judged=judged, num_assets=self.repairs.get("assets", 0))


class Publisher(Protocol):
    """Writes published tables and shard ledgers under content-derived names; nothing counts before the root ledger."""

    def write_table(self, table: str, shard: int, schema: pa.Schema, rows: Rows) -> FileEntry | None:
        """Write one file; None, and no file, where there is no row, or no table."""
        ...

    def write_shard_ledger(self, ledger: ShardLedger) -> ShardEntry:
        """Write a shard's ledger."""
        ...
