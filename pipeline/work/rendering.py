"""The one render stage: orders in, rows with encoded media out, whatever the renderer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.contracts.remote import RemoteRenderer
from pipeline.contracts.render import Brief, Renderer, RenderFailure
from pipeline.contracts.storage import Journal, Receipt, Row, ShardStore
from pipeline.contracts.watch import Watch
from pipeline.values.errors import CorpusError
from pipeline.values.ids import asset_id
from pipeline.values.records import Modality
from pipeline.values.render_sections import RendererChoice
from pipeline.work import tables
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import PlacedBrief
from pipeline.work.call_loop import CallLoop, Paying, sum_up_calls
from pipeline.work.media_calls import MediaCaller, calls_journal
from pipeline.work.orders import Order, base_row, order_key
from pipeline.work.render_loop import Made, RenderLoop
from pipeline.work.replaced import SPENT, keep_replaced
from pipeline.work.sources import SourceShelf, split_waves


@dataclass(frozen=True)
class RenderJob:
    """What a shard's rendering of one modality is given.

    Attributes:
        size: The batch size, which a worker's shards find together.
        load: Loads the weights at its first call.
        paying: For a renderer that calls an endpoint: what it pays from. The others have none.
        tried: Keys of the orders that repairs may come back to; such renders outlive what replaces them.
    """

    modality: Modality
    corpus_seed: int
    choice: RendererChoice
    version: str
    is_draft: bool
    size: BatchSize
    load: Callable[[], Renderer]
    watch: Watch
    paying: Paying | None = None
    tried: frozenset[str] = frozenset()


@dataclass
class _Sums:
    """What a shard's rows add up to; whole once all of them are written."""

    num_ok: int = 0
    num_failed: int = 0
    seconds: float = 0.0
    paid: list[Row] = field(default_factory=list)

    def count(self, row: Row) -> Row:
        if row["status"] == "ok":
            self.num_ok += 1
        else:
            self.num_failed += 1
        self.seconds += row["render_seconds"]
        if row.get("model") is not None:
            self.paid.append({name: row[name] for name in SPENT})
        return row


def render_assets(orders: Sequence[Order[PlacedBrief]], store: ShardStore, job: RenderJob) -> Receipt:
    """Bring a shard's assets of one modality up to date.

    Rows that hold are copied a row group at a time, new media go from the journal's file into the table one by one:
    memory holds a batch and a row group, however large the shard is.

    Raises:
        Drained: the run is ending; the journal holds what was rendered.
        RenderError: the renderer cannot work.
        EndpointError: no call of a remote renderer can succeed.
    """
    stage = str(job.modality)
    wanted = order_key(orders)
    receipt = store.receipt(stage)
    if receipt is not None and receipt.order_key == wanted:
        return receipt
    ordered = {order.record_id for order in orders}
    journal = store.journal(stage)
    shelf = SourceShelf(store, stage, journal)
    kept: set[str] = set()
    made: dict[str, Row] = {}
    for wave in split_waves(orders):
        kept |= shelf.find_kept(wave)
        made |= _make([order for order in wave if order.record_id not in kept], shelf, store, job)
        shelf.learn(wave, made)
    if job.tried:
        keep_replaced(store, stage, journal, job.tried, kept)
    sums = _Sums()

    def rows() -> Iterator[Row]:
        for row in store.rows(stage):
            if row["record_id"] not in ordered:
                yield row
            elif row["record_id"] in kept:
                yield sums.count(row)
        for order in orders:
            if order.record_id not in kept:
                yield sums.count(_row_of(order, made[order.record_id], journal, job))

    # The counts are whole only once all rows are written, so the receipt is restated with them.
    draft = store.commit(stage, tables.RENDERS, rows(), order_key="", num_ok=0, num_failed=0)
    if sums.num_ok + sums.num_failed < len(orders):
        # The former file was damaged and set aside while it was copied: make the rest, mostly from the journal.
        return render_assets(orders, store, job)
    facts = _facts(sums, _provenance(journal, receipt), store, job)
    update = {"order_key": wanted, "num_ok": sums.num_ok, "num_failed": sums.num_failed, "facts": facts}
    return store.restate(draft.model_copy(update=update))


def _facts(sums: _Sums, provenance: list[Row], store: ShardStore, job: RenderJob) -> Row:
    """What a shard's receipt says of its renders."""
    return {
        "render_seconds": round(sums.seconds, 3),
        "renderer": job.choice.renderer,
        "is_draft": job.is_draft,
        "num_made": sums.num_ok,
        "num_failed": sums.num_failed,
        "provenance": provenance,
        **sum_up_calls(store.journal(calls_journal(str(job.modality))), sums.paid),
    }


def _make(
    wanted: Sequence[Order[PlacedBrief]], shelf: SourceShelf, store: ShardStore, job: RenderJob
) -> dict[str, Row]:
    """Return an outcome, as journals have them, for each order: from the journal, or made now."""
    orphans = shelf.fail_orphans(wanted)
    for name, entry in orphans.items():
        job.watch.note("render", stage=shelf.stage, record=name, seconds=0.0, code=entry["code"])
    keys = {order.record_id: shelf.key(order) for order in wanted if order.record_id not in orphans}
    made = _journalled(shelf.journal, keys)
    if missing := [order for order in wanted if order.record_id in keys and order.record_id not in made]:
        made |= _render([shelf.brief(order) for order in missing], keys, shelf.journal, store, job)
    return {**made, **orphans}


def _journalled(journal: Journal, keys: Mapping[str, str]) -> dict[str, Row]:
    """Outcomes in the journal that hold for what is ordered now and whose bytes are whole.

    Args:
        keys: What each is journalled under, by record.
    """
    found: dict[str, Row] = {}
    for entry in journal.entries():
        if entry.get("record", "") not in keys or entry["input_key"] != keys[entry["record"]]:
            continue
        if entry["event"] == "failure" or journal.blob(entry) is not None:
            found[entry["record"]] = entry
    return found


def _provenance(journal: Journal, former: Receipt | None) -> list[Row]:
    """What made the media of a shard, once each: a shard can be begun on one machine and ended on another."""
    stated = list(former.facts.get("provenance", [])) if former else []
    for entry in journal.entries("provenance"):
        if entry["made_by"] not in stated:
            stated.append(entry["made_by"])
    return stated


def _render(
    briefs: Sequence[Brief], keys: Mapping[str, str], journal: Journal, shard: ShardStore, job: RenderJob
) -> dict[str, Row]:
    """Render what is missing; each outcome is journalled once it is final, and returned as the journal has it.

    Their bytes are checked when they are packed.

    Args:
        keys: What each is journalled under, by the brief's id.
        shard: Has the journal of what is paid for, before anything is made of it.
    """
    renderer = job.load()
    journalled: dict[str, Row] = {}
    journal.append({"event": "provenance", "made_by": dict(renderer.provenance())})

    def store(made: Made) -> None:
        brief = made.brief
        about = {"record": brief.id, "input_key": keys[brief.id], "attempt": brief.attempt, "seed": brief.seed}
        source = {"source_sha256": brief.source.sha256} if brief.source else {}
        spent = {"spent": dict(made.spent)} if made.spent else {}
        journalled[brief.id] = _journal_outcome(
            journal, {**about, **source, "seconds": round(made.seconds, 4), **spent}, made
        )
        code = made.outcome.code if isinstance(made.outcome, RenderFailure) else None
        job.watch.note("render", stage=str(job.modality), record=brief.id, seconds=made.seconds, code=code)

    seed, attempts, paying = job.corpus_seed, job.choice.attempts, job.paying
    if paying is not None and isinstance(renderer, RemoteRenderer):
        calls = shard.journal(calls_journal(str(job.modality)))
        caller = MediaCaller(renderer, calls, job.watch, paying.purse)
        paying.wait(CallLoop(renderer, caller, paying, keys, seed, attempts, store).run(briefs))
    else:
        RenderLoop(renderer, job.size, seed, attempts, job.watch, store).run(briefs)
    return journalled


def _journal_outcome(journal: Journal, about: Row, made: Made) -> Row:
    outcome = made.outcome
    if isinstance(outcome, RenderFailure):
        return journal.append({"event": "failure", **about, "code": outcome.code, "message": outcome.message})
    facts = {
        "extension": outcome.extension,
        "facts": outcome.facts.model_dump(mode="json"),
        "notes": dict(outcome.notes),
    }
    if made.brief.source is not None and outcome.is_edit:
        facts["edited_from"] = made.brief.source.asset
    return journal.append({"event": "render", **about, **facts}, outcome.data)


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
        "emotion": brief.emotion,
        "renderer": job.choice.renderer,
        "renderer_version": job.version,
        "is_draft": job.is_draft,
        "seed": entry["seed"],
        "attempt": entry["attempt"],
        "edited_from": entry.get("edited_from"),
        "source_sha256": entry.get("source_sha256"),
        "render_seconds": entry["seconds"],
        **entry.get("spent", {}),
    }
    if entry["event"] == "failure":
        return {**row, "status": "failed", "code": entry["code"], "message": entry["message"]}
    data = journal.blob(entry)
    if data is None:
        raise CorpusError(f"{order.record_id}: its bytes vanished from the journal while they were packed; run again")
    return {
        **row,
        "data": data,
        "sha256": entry["blob"]["sha256"],  # which the journal has just compared
        "extension": entry["extension"],
        "notes": json.dumps(entry["notes"], ensure_ascii=False, sort_keys=True),
        **entry["facts"],
    }


def asset_name(row: Row) -> str:
    """Id of a rendered row's asset."""
    return asset_id(row["part_id"], row["attempt"])
