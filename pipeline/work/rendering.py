"""The one render stage: orders in, rows with encoded media out, whatever the renderer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from pipeline.contracts.render import Brief, Render, Renderer, RenderFailure
from pipeline.contracts.storage import Journal, Receipt, Row, ShardStore
from pipeline.contracts.watch import Watch
from pipeline.values.errors import CorpusError
from pipeline.values.ids import asset_id, derive_seed, sha256_hex
from pipeline.values.manifest import RendererChoice
from pipeline.values.records import Modality
from pipeline.work import tables
from pipeline.work.briefs import PlacedBrief
from pipeline.work.orders import Order, base_row, order_key


@dataclass(frozen=True)
class RenderJob:
    """What a shard's rendering of one modality is given."""

    modality: Modality
    corpus_seed: int
    choice: RendererChoice
    version: str
    is_draft: bool
    load: Callable[[], Renderer]
    watch: Watch


def render_assets(orders: Sequence[Order[PlacedBrief]], store: ShardStore, job: RenderJob) -> Receipt:
    """Bring a shard's assets of one modality up to date.

    Rows that hold are copied a row group at a time, new media go from the journal's file into the table one by one:
    memory holds a batch and a row group, however large the shard is.

    Raises:
        Drained: the run is ending; the journal holds what was rendered.
        RenderError: the renderer cannot work.
    """
    stage = str(job.modality)
    wanted = order_key(orders)
    receipt = store.receipt(stage)
    if receipt is not None and receipt.order_key == wanted:
        return receipt
    by_id = {order.record_id: order for order in orders}
    kept = {
        row["record_id"]
        for row in store.rows(stage, ["record_id", "inputs"])
        if row["record_id"] in by_id and json.loads(row["inputs"]) == dict(by_id[row["record_id"]].inputs)
    }
    journal = store.journal(stage)
    made = _journalled(journal, by_id)
    missing = [order for order in orders if order.record_id not in kept and order.record_id not in made]
    if missing:
        _render_missing(missing, journal, job)
        made = _journalled(journal, by_id)
    counts = {"ok": 0, "failed": 0}
    seconds = 0.0

    def rows() -> Iterator[Row]:
        nonlocal seconds
        for row in store.rows(stage):
            if row["record_id"] not in by_id:
                yield row
            elif row["record_id"] in kept:
                counts[row["status"]] += 1
                seconds += row["render_seconds"]
                yield row
        for order in orders:
            if order.record_id not in kept:
                row = _row_of(order, made[order.record_id], journal, job)
                counts[row["status"]] += 1
                seconds += row["render_seconds"]
                yield row

    # The counts are whole only once all rows are written, so the receipt is restated with them.
    draft = store.commit(stage, tables.RENDERS, rows(), order_key="", num_ok=0, num_failed=0)
    if sum(counts.values()) < len(orders):
        # The former file was damaged and set aside while it was copied: make the rest, mostly from the journal.
        return render_assets(orders, store, job)
    facts = {
        "render_seconds": round(seconds, 3),
        "renderer": job.choice.renderer,
        "is_draft": job.is_draft,
        "num_made": counts["ok"],
        "num_failed": counts["failed"],
    }
    update = {"order_key": wanted, "num_ok": counts["ok"], "num_failed": counts["failed"], "facts": facts}
    return store.restate(draft.model_copy(update=update))


def _journalled(journal: Journal, by_id: dict[str, Order[PlacedBrief]]) -> dict[str, Row]:
    """Outcomes in the journal that hold for what is ordered now and whose bytes are whole."""
    found: dict[str, Row] = {}
    for entry in journal.entries():
        order = by_id.get(entry["record"])
        if order is None or entry["input_key"] != order.input_key:
            continue
        if entry["event"] == "failure" or journal.blob(entry) is not None:
            found[entry["record"]] = entry
    return found


def _render_missing(missing: Sequence[Order[PlacedBrief]], journal: Journal, job: RenderJob) -> None:
    """Render in batches; what fails its gates is tried again with the next attempt's seed."""
    renderer = job.load()
    # Briefs of about one size share a batch, since the longest decides what a batch costs.
    waiting = [(order, 0) for order in sorted(missing, key=lambda o: (_size(o.payload.brief), o.record_id))]
    while waiting:
        job.watch.check()
        batch, waiting = waiting[: job.choice.batch], waiting[job.choice.batch :]
        briefs = [_attempt(order.payload.brief, attempt, job.corpus_seed) for order, attempt in batch]
        started = perf_counter()
        outcomes = renderer.render(briefs)
        seconds = (perf_counter() - started) / len(batch)
        for (order, attempt), brief, outcome in zip(batch, briefs, outcomes, strict=True):
            is_last = attempt + 1 >= job.choice.attempts
            if isinstance(outcome, RenderFailure) and not is_last:
                waiting.append((order, attempt + 1))
            else:
                _journal_outcome(journal, order, brief, outcome, seconds)
                code = outcome.code if isinstance(outcome, RenderFailure) else None
                job.watch.note("render", stage=str(job.modality), seconds=seconds, code=code)


def _journal_outcome(
    journal: Journal, order: Order[PlacedBrief], brief: Brief, outcome: Render | RenderFailure, seconds: float
) -> None:
    entry = {
        "record": order.record_id,
        "input_key": order.input_key,
        "attempt": brief.attempt,
        "seed": brief.seed,
        "seconds": round(seconds, 4),
    }
    if isinstance(outcome, RenderFailure):
        journal.append({"event": "failure", **entry, "code": outcome.code, "message": outcome.message})
        return
    made = {
        "extension": outcome.extension,
        "facts": outcome.facts.model_dump(mode="json"),
        "notes": dict(outcome.notes),
    }
    journal.append({"event": "render", **entry, **made}, outcome.data)


def _attempt(brief: Brief, attempt: int, corpus_seed: int) -> Brief:
    if attempt == 0:
        return brief
    return brief.model_copy(
        update={"attempt": attempt, "seed": derive_seed(corpus_seed, brief.id, brief.modality, attempt)}
    )


def _size(brief: Brief) -> float:
    return brief.duration or len(brief.text)


def _row_of(order: Order[PlacedBrief], entry: Row, journal: Journal, job: RenderJob) -> Row:
    placed, brief = order.payload, order.payload.brief
    row = {
        **base_row(order),
        "dialogue_id": placed.dialogue_id,
        "part_id": brief.id,
        "turn": placed.turn,
        "part": placed.part,
        "role": placed.role,
        "text": placed.text,
        "spoken": brief.text if brief.modality is Modality.SPEECH else None,
        "voice": brief.voice.name if brief.voice else None,
        "rate": brief.rate if brief.voice else None,
        "renderer": job.choice.renderer,
        "renderer_version": job.version,
        "is_draft": job.is_draft,
        "seed": entry["seed"],
        "attempt": entry["attempt"],
        "render_seconds": entry["seconds"],
    }
    if entry["event"] == "failure":
        return {**row, "status": "failed", "code": entry["code"], "message": entry["message"]}
    data = journal.blob(entry)
    if data is None:
        raise CorpusError(f"{order.record_id}: its bytes vanished from the journal while they were packed; run again")
    return {
        **row,
        "data": data,
        "sha256": sha256_hex(data),
        "extension": entry["extension"],
        "notes": json.dumps(entry["notes"], ensure_ascii=False, sort_keys=True),
        **entry["facts"],
    }


def asset_name(row: Row) -> str:
    """Id of a rendered row's asset."""
    return asset_id(row["part_id"], row["attempt"])
