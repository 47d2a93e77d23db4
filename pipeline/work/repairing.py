"""Repairs among a render stage's orders: the same parts, at the attempts that are wanted of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.contracts.storage import Row
from pipeline.values.repairs import Repair, Repairs
from pipeline.work.briefs import PlacedBrief, key_brief, key_source
from pipeline.work.orders import Order
from pipeline.work.render_loop import at_attempt


def take_repairs(
    orders: Sequence[Order[PlacedBrief]], repairs: Repairs, corpus_seed: int, edit_key: str | None
) -> dict[str, Order[PlacedBrief]]:
    """Return the orders by the input key of their first attempts, which repairs go by.

    A picture that starts from a repaired one is made from that, so it is an order of its own with its own repairs.

    Args:
        orders: First attempts, each source before what starts from it.
        edit_key: Fingerprint of how the renderer changes pictures; None for one that cannot.
    """
    taken: dict[str, Order[PlacedBrief]] = {}
    by_part: dict[str, Order[PlacedBrief]] = {}
    for given in orders:
        order, placed = given, given.payload
        if placed.source is not None and edit_key is not None:
            order = replace(order, inputs={**order.inputs, "source": key_source(by_part[placed.source], edit_key)})
        first = order.input_key
        repair = repairs.get(first)
        if repair is not None and repair.wanted != placed.brief.attempt:
            placed = _at_wanted(placed, repair, corpus_seed)
            order = replace(order, inputs={**order.inputs, "brief": key_brief(placed.brief)}, payload=placed)
        taken[first] = by_part[order.record_id] = order
    return taken


def _at_wanted(placed: PlacedBrief, repair: Repair, corpus_seed: int) -> PlacedBrief:
    brief = at_attempt(placed.brief, corpus_seed, repair.wanted)
    if not repair.text:
        return replace(placed, brief=brief)
    return replace(placed, brief=brief.model_copy(update={"text": repair.text}), text=repair.text)


def publish_history(repair: Repair) -> list[Row]:
    """Return what an asset's row states of the attempts that were set aside for it, in their order."""
    return [
        {
            "attempt": one.made,
            "description": one.text or None,
            "failure": one.failure or None,
            "missed": [miss.model_dump(include={"measure", "limit", "value"}) for miss in one.misses],
        }
        for one in repair.lost
    ]
