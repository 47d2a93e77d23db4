"""What the writer's calls cost, and the key that they want."""

from __future__ import annotations

from typing import Any

from pipeline.adapters.calling.keys import say_missing_key
from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import load_yaml
from pipeline.values.writer import Price, Writer
from pipeline.work.asking import FREE

BATCH_SHARE = 0.5
"""Of the list price that a call in a batch costs, at all providers of the Batch API that are known."""


def find_prices(writer: Writer) -> dict[str, Price]:
    """Return prices by model: the writer's own, else the shipped list's, else nothing for an embedded model."""
    listed = load_prices()
    own = {entry.model: entry.price or writer.price for entry in writer.blend}
    if writer.engine != "openai":
        return {model: price or FREE for model, price in own.items()}
    share = BATCH_SHARE if writer.mode == "batch" else 1.0
    return {model: found.times(share) for model, price in own.items() if (found := price or listed.get(model))}


def find_missing_key(writer: Writer) -> str | None:
    """Say which key a writer's endpoint wants and the environment lacks, or None; servers of one's own want none."""
    problem = say_missing_key(writer.base_url, writer.api_key_env) if writer.engine == "openai" else None
    return problem and f"writer.{problem}"


def load_prices() -> dict[str, Price]:
    """Return the reviewed price list, by model name."""
    data: dict[str, Any] = load_yaml(shipped("manifests", "prices.yaml"), dict[str, Any])
    return {name: Price.model_validate(price) for name, price in data["models"].items()}
