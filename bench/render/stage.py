"""Ours: the render stage as a worker runs it, orders to committed stage file, in one process without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.store import ShardFolder
from pipeline.contracts.render import Brief, Renderer
from pipeline.values.ids import derive_seed
from pipeline.values.records import Modality
from pipeline.values.render_sections import RendererChoice
from pipeline.work.batching import BatchSize
from pipeline.work.briefs import PlacedBrief
from pipeline.work.orders import Order
from pipeline.work.rendering import RenderJob, render_assets

SEED = 7


class Silent:
    """A watch that nobody watches."""

    def note(self, event: str, **facts: Any) -> None:
        """Take a note and forget it."""

    def check(self) -> None:
        """Let the run go on."""


@dataclass(frozen=True)
class Yield:
    """What a run came to.

    Attributes:
        num_failed: What the gates refused; a bare loop refuses nothing.
    """

    num_made: int
    num_failed: int = 0


def order_all(modality: Modality, texts: Sequence[str], **brief: Any) -> list[Order[PlacedBrief]]:
    """Return an order for each text; keyword arguments are a brief's other fields."""
    orders = []
    for number, text in enumerate(texts):
        name = f"d{number:05d}-01-00"
        made = Brief(id=name, modality=modality, text=text, seed=derive_seed(SEED, name, modality, 0), **brief)
        placed = PlacedBrief(made, f"d{number:05d}", 1, 0, "assistant", text)
        orders.append(Order(name, {"text": text, "renderer": "bench"}, placed))
    return orders


def run_stage(renderer: Renderer, orders: Sequence[Order[PlacedBrief]], batch: int, folder: Path) -> Yield:
    """Render a shard into a folder that is not there yet.

    Args:
        batch: As a manifest states it, which is what a person does once a size was found.
    """
    modality = orders[0].payload.brief.modality
    job = RenderJob(
        modality=modality,
        corpus_seed=SEED,
        choice=RendererChoice.model_validate({"renderer": "bench", "batch": batch, "attempts": 1}),
        version="1",
        is_draft=False,
        size=BatchSize(batch),
        load=lambda: renderer,
        watch=Silent(),
    )
    receipt = render_assets(orders, ShardFolder(folder), job)
    return Yield(receipt.num_ok, receipt.num_failed)
