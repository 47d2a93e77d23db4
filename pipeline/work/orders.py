"""A stage's work on one shard: what is there and still holds, what is stale and why, what is missing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import pyarrow as pa

from pipeline.contracts.storage import Receipt, Row, ShardStore
from pipeline.contracts.watch import Drained
from pipeline.values.ids import content_key

P = TypeVar("P")


@dataclass(frozen=True)
class Order(Generic[P]):
    """A row that is wanted.

    Attributes:
        inputs: Hash of each thing that the row is made from, by a name that a person understands.
        payload: What the stage needs to make it.
        retry: How often it was taken again after it had failed.
    """

    record_id: str
    inputs: Mapping[str, str]
    payload: P
    retry: int = 0

    @cached_property
    def input_key(self) -> str:
        """One hash over all inputs; a row that carries it still holds."""
        return content_key(dict(self.inputs))


def take_retries(orders: Iterable[Order[P]], retries: Mapping[str, int]) -> list[Order[P]]:
    """Return the orders, with a further input where a record is taken again.

    Args:
        retries: By record, how often.
    """
    return [
        replace(order, inputs={**order.inputs, "retry": content_key(count)}, retry=count)
        if (count := retries.get(order.record_id, 0))
        else order
        for order in orders
    ]


@dataclass
class Inventory:
    """What of the orders is there: counts, and which inputs changed for how many rows."""

    current: int = 0
    missing: int = 0
    stale: int = 0
    changed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Inventory) -> None:
        """Sum up."""
        self.current += other.current
        self.missing += other.missing
        self.stale += other.stale
        self.changed += other.changed


def order_key(orders: Iterable[Order[Any]]) -> str:
    """Hash over all that is wanted; equal to a receipt's where nothing is to do."""
    return content_key([[order.record_id, order.input_key] for order in orders])


def take_inventory(orders: Sequence[Order[Any]], store: ShardStore, stage: str) -> Inventory:
    """Compare orders with the committed rows, reading only ids and inputs."""
    found = Inventory()
    receipt = store.receipt(stage)
    if receipt is not None and receipt.order_key == order_key(orders):
        found.current = len(orders)
        return found
    have = {row["record_id"]: json.loads(row["inputs"]) for row in store.rows(stage, ["record_id", "inputs"])}
    for order in orders:
        inputs = have.get(order.record_id)
        if inputs is None:
            found.missing += 1
        elif inputs == dict(order.inputs):
            found.current += 1
        else:
            found.stale += 1
            found.changed.update(name for name, key in order.inputs.items() if inputs.get(name) != key)
    return found


@dataclass(frozen=True)
class Recipe(Generic[P]):
    """How a stage of text rows is made.

    Attributes:
        make: Makes one row; raises Drained or EndpointError, and nothing else.
        gate: Bounds the rows that are in the making.
        facts: Sums up the rows for the receipt.
    """

    stage: str
    schema: pa.Schema
    make: Callable[[Order[P]], Awaitable[Row]]
    gate: asyncio.Semaphore
    facts: Callable[[list[Row]], dict[str, Any]]


async def fill_rows(store: ShardStore, orders: Sequence[Order[P]], recipe: Recipe[P]) -> Receipt:
    """Bring a stage of text rows up to date: keep what holds, make the rest at once, commit one file.

    Rows of records that nobody orders now (a topic taken out) are carried along.

    Raises:
        Drained: the run is ending; nothing is committed, the journal holds what was answered.
        EndpointError: no call can succeed.
    """
    wanted = order_key(orders)
    receipt = store.receipt(recipe.stage)
    if receipt is not None and receipt.order_key == wanted:
        return receipt
    have = {row["record_id"]: row for row in store.rows(recipe.stage)}
    kept = {o.record_id: have[o.record_id] for o in orders if _holds(have.get(o.record_id), o)}
    missing = [order for order in orders if order.record_id not in kept]

    async def make_in_turn(order: Order[P]) -> Row:
        async with recipe.gate:
            return await recipe.make(order)

    outcomes = await asyncio.gather(*[make_in_turn(order) for order in missing], return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if errors:
        raise next((error for error in errors if not isinstance(error, Drained)), errors[0])
    made = {row["record_id"]: row for row in outcomes if not isinstance(row, BaseException)}
    rows = [kept.get(order.record_id) or made[order.record_id] for order in orders]
    ordered = {order.record_id for order in orders}
    carried = [row for record, row in have.items() if record not in ordered]
    counts = {
        "order_key": wanted,
        "num_ok": sum(row["status"] == "ok" for row in rows),
        "num_failed": sum(row["status"] == "failed" for row in rows),
        "facts": recipe.facts(rows),
    }
    if receipt is not None and not made and len(rows) + len(carried) == receipt.num_rows:
        return store.restate(receipt.model_copy(update=counts))
    return store.commit(recipe.stage, recipe.schema, [*rows, *carried], **counts)


def _holds(row: Row | None, order: Order[Any]) -> bool:
    return row is not None and json.loads(row["inputs"]) == dict(order.inputs)


def base_row(order: Order[Any]) -> Row:
    """The columns that every stage's row starts with."""
    return {
        "record_id": order.record_id,
        # Readers look for inputs in this text, spaces and all.
        "inputs": json.dumps(dict(order.inputs), sort_keys=True),
        "status": "ok",
        "code": None,
        "message": None,
    }
