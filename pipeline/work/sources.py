"""Pictures that others start from: which come first, and how their bytes reach whoever changes them.

A picture that changes another is made after it. Its row holds as long as its inputs do and the bytes that it was made
from are still those of its source: a source that is rendered again takes its changed versions with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pipeline.contracts.render import Brief, Source
from pipeline.contracts.storage import Journal, Row, ShardStore
from pipeline.values.errors import CorpusError
from pipeline.values.ids import asset_id, content_key, sha256_hex
from pipeline.work.briefs import PlacedBrief
from pipeline.work.orders import Order

SOURCE_FAILED = "source_failed"
"""Code of a picture whose source could not be made."""

_COLUMNS = ("record_id", "inputs", "status", "sha256", "seed", "attempt", "source_sha256")


def split_waves(orders: Sequence[Order[PlacedBrief]]) -> list[list[Order[PlacedBrief]]]:
    """Part orders so that every source lies in a wave before those that start from it.

    Args:
        orders: Each source before what starts from it, as the turns of a dialogue have them.
    """
    waves: list[list[Order[PlacedBrief]]] = []
    depths: dict[str, int] = {}
    for order in orders:
        source = order.payload.source
        depths[order.record_id] = depth = 0 if source is None else depths[source] + 1
        if depth == len(waves):
            waves.append([])
        waves[depth].append(order)
    return waves


@dataclass(frozen=True)
class _Picture:
    """A picture that is there: where its bytes lie, and what it says of itself."""

    asset: str
    sha256: str
    text: str
    origin_seed: int
    entry: Row | None


@dataclass
class SourceShelf:
    """What a shard's pictures came to, wave by wave. Bytes stay on disk until a renderer asks for them."""

    store: ShardStore
    stage: str
    journal: Journal
    _have: dict[str, Row] = field(default_factory=dict)
    _pictures: dict[str, _Picture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._have = {row["record_id"]: row for row in self.store.rows(self.stage, _COLUMNS)}

    def key(self, order: Order[PlacedBrief]) -> str:
        """Return what an order's outcome is journalled under: its inputs, and its source's bytes where it has one."""
        return content_key(order.input_key, self._sha256(order)) if order.payload.source else order.input_key

    def find_kept(self, orders: Sequence[Order[PlacedBrief]]) -> set[str]:
        """Return the orders whose committed rows still hold."""
        return {
            order.record_id
            for order in orders
            if (row := self._have.get(order.record_id)) is not None
            and json.loads(row["inputs"]) == dict(order.inputs)
            and row.get("source_sha256") == self._sha256(order)
        }

    def fail_orphans(self, orders: Sequence[Order[PlacedBrief]]) -> dict[str, Row]:
        """Return a failure, as journals have them, for each order whose source could not be made."""
        return {
            order.record_id: {
                "event": "failure",
                "code": SOURCE_FAILED,
                "message": f"the picture that it changes, {order.payload.source}, could not be made",
                "attempt": 0,
                "seed": order.payload.brief.seed,
                "seconds": 0.0,
            }
            for order in orders
            if order.payload.source is not None and order.payload.source not in self._pictures
        }

    def brief(self, order: Order[PlacedBrief]) -> Brief:
        """Return an order's brief, with its source where it has one."""
        if order.payload.source is None:
            return order.payload.brief
        found = self._pictures[order.payload.source]
        source = Source(
            asset=found.asset,
            sha256=found.sha256,
            text=found.text,
            seed=found.origin_seed,
            load=partial(self._load, order.payload.source, found),
        )
        return order.payload.brief.model_copy(update={"source": source})

    def learn(self, orders: Sequence[Order[PlacedBrief]], made: Mapping[str, Row]) -> None:
        """Take in a wave that is done: what was made of its orders, and committed rows for the rest."""
        for order in orders:
            entry = made.get(order.record_id)
            row = self._have[order.record_id] if entry is None else entry
            digest = row["sha256"] if entry is None else entry.get("blob", {}).get("sha256")
            if digest is None:
                continue
            source = order.payload.source
            seed = self._pictures[source].origin_seed if source else row["seed"]
            asset = asset_id(order.record_id, row["attempt"])
            self._pictures[order.record_id] = _Picture(asset, digest, order.payload.text, seed, entry)

    def _sha256(self, order: Order[PlacedBrief]) -> str | None:
        found = self._pictures.get(order.payload.source or "")
        return found.sha256 if found else None

    def _load(self, name: str, picture: _Picture) -> bytes:
        if picture.entry is not None:
            data = self.journal.blob(picture.entry)
        else:
            row = self.store.row(self.stage, name, ["data"])
            data = row["data"] if row else None
        if data is None or sha256_hex(data) != picture.sha256:
            raise CorpusError(f"{name}: its bytes are gone or damaged, and another picture starts from it; run again")
        return data
