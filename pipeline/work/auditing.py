"""The one audit stage: a shard's records in, one row of readings a record and audit out, whatever the audit.

Rows are kept by record like those of every other stage: a record that was measured before, by the same version with
the same options, is not measured again, so a larger sample or a repaired asset costs only what is new. Media are
decoded once for all audits that look at them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from pipeline.contracts.audit import (
    SUBJECTS,
    UNDECODABLE,
    AuditItem,
    Auditor,
    Comparer,
    Inquirer,
    Sketch,
    Subject,
    as_rows,
)
from pipeline.contracts.storage import Journal, Row, ShardStore
from pipeline.contracts.watch import Watch
from pipeline.values.ids import content_key
from pipeline.work.orders import Order, base_row, order_key

ITEMS_AT_A_TIME = 16
"""Records with decoded media held in memory at once; 16 pictures of 2,048 pixels a side are 200 MB."""

_READING = pa.struct([("measure", pa.string()), ("value", pa.float64()), ("detail", pa.string())])
SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("inputs", pa.string()),
        ("status", pa.string()),
        ("code", pa.string()),
        ("message", pa.string()),
        ("dialogue_id", pa.string()),
        ("readings", pa.list_(_READING)),
        ("sketch", pa.binary()),
    ]
)
"""A record that could not be measured has the status ``failed``: its media cannot be decoded (:data:`UNDECODABLE`), or
a call about it came to nothing (that call's own code)."""


class AuditSource(Protocol):
    """A shard's records, published or not."""

    def index(self, subject: Subject) -> Sequence[tuple[str, str, str]]:
        """Return id, dialogue id and content hash of every record, in the order of the table."""
        ...

    def items(self, subject: Subject, wanted: set[str]) -> Iterator[AuditItem]:
        """Yield the wanted records with their media, in the same order."""
        ...


@dataclass(frozen=True)
class AuditJob:
    """One audit over one shard.

    Attributes:
        name: Of the audit; its stage file has it too.
        fingerprint: Hash over version, options and models.
        compares: True where :attr:`load` returns a comparer.
        load: Loads the weights at its first call.
        reads_assets: True where readings of a dialogue rest on its assets too.
    """

    name: str
    about: Subject
    fingerprint: str
    compares: bool
    load: Callable[[], Auditor | Comparer | Inquirer]
    reads_assets: bool = False


@dataclass
class Due:
    """An audit's part of a shard.

    Attributes:
        held: Ids of the committed rows that hold.
        made: These rows, those that the journal has, and what comes to be measured.
        missing: Ids of what is to be measured.
    """

    job: AuditJob
    orders: dict[str, Order[str]]
    held: frozenset[str]
    journal: Journal
    made: dict[str, Row]
    missing: set[str]


def audit_shard(
    jobs: Sequence[AuditJob], source: AuditSource, store: ShardStore, watch: Watch, sample: frozenset[str] | None
) -> None:
    """Bring some audits of a shard up to date.

    Args:
        sample: Dialogues to look at; None for all. Rows of others that are there already stay.

    Raises:
        Drained: the run is ending; the journals hold what was measured.
        AuditError: an audit cannot work.
    """
    for subject in dict.fromkeys(job.about for job in jobs):
        some = [job for job in jobs if job.about == subject]
        wanted = {reads: index_records(subject, source, sample, reads) for reads in {job.reads_assets for job in some}}
        due = [found for job in some if (found := find_due(job, wanted[job.reads_assets], store)) is not None]
        _measure(due, source, subject, watch)
        for one in due:
            commit(one, store)


def find_stale(
    job: AuditJob, source: AuditSource, store: ShardStore, sample: frozenset[str] | None
) -> list[Order[str]]:
    """Return what of an audit of a shard is not committed, reading neither media nor weights.

    After a kill some of it may lie in the journal, and will be committed without being measured again.
    """
    due = find_due(job, index_records(job.about, source, sample, job.reads_assets), store)
    return [] if due is None else [due.orders[name] for name in sorted(due.orders.keys() - due.held)]


def index_records(
    about: Subject, source: AuditSource, sample: frozenset[str] | None, reads_assets: bool
) -> list[tuple[str, str, str]]:
    """Return the records that an audit looks at, each with the hash of all that its readings rest on."""
    index = [entry for entry in source.index(about) if sample is None or entry[1] in sample]
    if not reads_assets:
        return index
    assets: dict[str, list[tuple[str, str, str]]] = {}
    for subject in SUBJECTS:
        for name, dialogue, content in source.index(subject) if subject != "dialogue" else ():
            assets.setdefault(dialogue, []).append((subject, name, content))
    return [(name, dialogue, content_key(content, assets.get(name, []))) for name, dialogue, content in index]


def find_due(job: AuditJob, index: Sequence[tuple[str, str, str]], store: ShardStore) -> Due | None:
    """Return what an audit has to do on the records of an index; None where it is committed for exactly these."""
    orders = {
        name: Order(name, {"content": content, "audit": job.fingerprint}, dialogue) for name, dialogue, content in index
    }
    receipt = store.receipt(job.name)
    if receipt is not None and receipt.order_key == order_key(orders.values()):
        return None
    held = {
        row["record_id"]: row
        for row in store.rows(job.name)
        if row["record_id"] in orders and json.loads(row["inputs"]) == dict(orders[row["record_id"]].inputs)
    }
    journal = store.journal(job.name)
    made = held | _journalled(journal, orders)
    return Due(job, orders, frozenset(held), journal, made, orders.keys() - made.keys())


def _journalled(journal: Journal, orders: Mapping[str, Order[str]]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for entry in journal.entries():
        order = orders.get(entry.get("record", ""))
        if order is None or entry["input_key"] != order.input_key:
            continue
        sketch = journal.blob(entry) if "blob" in entry else None
        if "blob" in entry and sketch is None:
            continue
        found[order.record_id] = {**_row(order), **entry["row"], "sketch": sketch}
    return found


def _row(order: Order[str]) -> Row:
    return {**base_row(order), "dialogue_id": order.payload, "readings": [], "sketch": None}


def _measure(due: Sequence[Due], source: AuditSource, subject: Subject, watch: Watch) -> None:
    wanted = {name for one in due for name in one.missing}
    if not wanted:
        return
    items = source.items(subject, wanted)
    while batch := list(islice(items, ITEMS_AT_A_TIME)):
        watch.check()
        whole, broken = _decode(batch)
        for one in due:
            for item, reason in broken:
                if item.id in one.missing:
                    keep(one, item.id, {"status": "failed", "code": UNDECODABLE, "message": reason})
            some = [item for item in whole if item.id in one.missing]
            if some:
                _measure_some(one, some)
        names = {item.id for item in batch}
        watch.note("audited", about=subject, count=sum(len(names & one.missing) for one in due))


def _decode(batch: Iterable[AuditItem]) -> tuple[list[AuditItem], list[tuple[AuditItem, str]]]:
    whole: list[AuditItem] = []
    broken: list[tuple[AuditItem, str]] = []
    for item in batch:
        try:
            if item.decode is not None:
                item.media  # noqa: B018  decoded here, so that no audit has to handle what cannot be
            whole.append(item)
        except ValueError as exc:
            broken.append((item, str(exc)))
    return whole, broken


def _measure_some(one: Due, items: Sequence[AuditItem]) -> None:
    auditor: Any = one.job.load()
    if one.job.compares:
        for item, sketch in zip(items, auditor.sketch(items), strict=True):
            keep(one, item.id, {}, sketch)
        return
    for item, readings in zip(items, auditor.measure(items), strict=True):
        keep(one, item.id, {"readings": as_rows(readings)})


def keep(one: Due, name: str, row: Row, sketch: bytes | None = None) -> None:
    """Journal what a record came to, and take it in."""
    order = one.orders[name]
    one.journal.append({"record": name, "input_key": order.input_key, "row": row}, sketch)
    one.made[name] = {**_row(order), **row, "sketch": sketch}


def commit(one: Due, store: ShardStore, facts: Mapping[str, Any] | None = None) -> None:
    """Put what was measured beside what is there already, when nothing is missing.

    Rows of other records stay: of a larger sample, or of dialogues that the screen has rejected and that may come back.
    In the order of their ids, so that the same readings make the same file whoever asked for them.

    Args:
        facts: For the receipt, beside the fingerprint.
    """
    carried = [row for row in store.rows(one.job.name) if row["record_id"] not in one.orders]
    rows = [one.made[name] for name in one.orders]
    failed = sum(row["status"] == "failed" for row in rows)
    store.commit(
        one.job.name,
        SCHEMA,
        sorted([*rows, *carried], key=lambda row: str(row["record_id"])),
        order_key=order_key(one.orders.values()),
        num_ok=len(rows) - failed,
        num_failed=failed,
        facts={"fingerprint": one.job.fingerprint, **(facts or {})},
    )


def compare_all(
    job: AuditJob,
    shards: Sequence[tuple[AuditSource, ShardStore]],
    corpus_store: ShardStore,
    sample: frozenset[str] | None,
) -> None:
    """Compare the sketches of all shards' records, and commit one row a record into the corpus's own audit folder."""
    orders: dict[str, Order[str]] = {}
    for source, store in shards:
        for row in _sketched(job, source, store, sample):
            inputs = json.loads(row["inputs"])
            orders[row["record_id"]] = Order(row["record_id"], inputs, row["dialogue_id"])
    # Each reading rests on all the others' sketches, so the rows hold for exactly this set.
    wanted = order_key(orders.values())
    receipt = corpus_store.receipt(job.name)
    if receipt is not None and receipt.order_key == wanted:
        return

    def sketches() -> Iterator[Sketch]:
        for source, store in shards:
            for row in _sketched(job, source, store, sample):
                if row["sketch"] is not None:
                    yield Sketch(row["record_id"], row["dialogue_id"], row["sketch"])

    comparer: Any = job.load()
    made = {name: {"readings": as_rows(readings)} for name, readings in comparer.compare(sketches())}
    rows = [{**_row(order), **made.get(name, {})} for name, order in orders.items()]
    corpus_store.commit(
        job.name, SCHEMA, rows, order_key=wanted, num_ok=len(rows), num_failed=0, facts={"fingerprint": job.fingerprint}
    )


def _sketched(job: AuditJob, source: AuditSource, store: ShardStore, sample: frozenset[str] | None) -> Iterator[Row]:
    there = {name for name, dialogue, _ in source.index(job.about) if sample is None or dialogue in sample}
    for row in store.rows(job.name):
        if row["record_id"] not in there or row["status"] != "ok":
            continue
        if json.loads(row["inputs"])["audit"] == job.fingerprint:
            yield row
