"""The one render stage: orders in, rows with encoded media out, whatever the renderer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.contracts.render import Renderer, RenderFailure
from pipeline.contracts.storage import Journal, Receipt, Row, ShardStore
from pipeline.contracts.watch import Watch
from pipeline.values.errors import CorpusError
from pipeline.values.ids import asset_id, sha256_hex
from pipeline.values.manifest import RendererChoice
from pipeline.values.records import Modality
from pipeline.work import tables
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import PlacedBrief
from pipeline.work.orders import Order, base_row, order_key
from pipeline.work.render_loop import Made, RenderLoop


@dataclass(frozen=True)
class RenderJob:
    """What a shard's rendering of one modality is given.

    Attributes:
        size: The batch size, which a worker's shards find together.
        load: Loads the weights at its first call.
    """

    modality: Modality
    corpus_seed: int
    choice: RendererChoice
    version: str
    is_draft: bool
    size: BatchSize
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
        _render(missing, journal, job)
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
        "provenance": _provenance(journal, receipt),
    }
    update = {"order_key": wanted, "num_ok": counts["ok"], "num_failed": counts["failed"], "facts": facts}
    return store.restate(draft.model_copy(update=update))


def _journalled(journal: Journal, by_id: dict[str, Order[PlacedBrief]]) -> dict[str, Row]:
    """Outcomes in the journal that hold for what is ordered now and whose bytes are whole."""
    found: dict[str, Row] = {}
    for entry in journal.entries():
        order = by_id.get(entry.get("record", ""))
        if order is None or entry["input_key"] != order.input_key:
            continue
        if entry["event"] == "failure" or journal.blob(entry) is not None:
            found[entry["record"]] = entry
    return found


def _provenance(journal: Journal, former: Receipt | None) -> list[Row]:
    """What made the media of a shard, once each: a shard can be begun on one machine and ended on another."""
    stated = list(former.facts.get("provenance", [])) if former else []
    for entry in journal.entries():
        if entry["event"] == "provenance" and entry["made_by"] not in stated:
            stated.append(entry["made_by"])
    return stated


def _render(missing: Sequence[Order[PlacedBrief]], journal: Journal, job: RenderJob) -> None:
    """Render what is missing; each outcome is journalled once it is final."""
    keys = {order.payload.brief.id: (order.record_id, order.input_key) for order in missing}
    renderer = job.load()
    journal.append({"event": "provenance", "made_by": dict(renderer.provenance())})

    def store(made: Made) -> None:
        record_id, input_key = keys[made.brief.id]
        about = {"record": record_id, "input_key": input_key, "attempt": made.brief.attempt, "seed": made.brief.seed}
        _journal_outcome(journal, {**about, "seconds": round(made.seconds, 4)}, made)
        code = made.outcome.code if isinstance(made.outcome, RenderFailure) else None
        job.watch.note("render", stage=str(job.modality), seconds=made.seconds, code=code)

    loop = RenderLoop(renderer, job.size, job.corpus_seed, job.choice.attempts, job.watch, store)
    loop.run([order.payload.brief for order in missing])


def _journal_outcome(journal: Journal, about: Row, made: Made) -> None:
    outcome = made.outcome
    if isinstance(outcome, RenderFailure):
        journal.append({"event": "failure", **about, "code": outcome.code, "message": outcome.message})
        return
    facts = {
        "extension": outcome.extension,
        "facts": outcome.facts.model_dump(mode="json"),
        "notes": dict(outcome.notes),
    }
    journal.append({"event": "render", **about, **facts}, outcome.data)


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
