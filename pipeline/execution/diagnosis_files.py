"""`doctor` on model files: which are here, how much is to be fetched, and whether there is room for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pipeline.adapters.hub_weights import WeightsFound, find_weights
from pipeline.adapters.model_files import ModelCache, load_lock
from pipeline.adapters.weights import WeightOptions, is_folder, name_source
from pipeline.execution.fact import Fact
from pipeline.values.errors import ModelFileError
from pipeline.values.units import Bytes


def look_at_weights(options: WeightOptions) -> Fact | None:
    """Say how weights can come that a renderer's options name and that are not here; None where they are, or may be."""
    weights = find_weights(options)
    if weights is None or weights.is_here:
        return None
    size = f"about {weights.num_bytes / 1e9:.1f} GB" if weights.num_bytes else "size unknown"
    text = f"{name_source(options.model)} is not here, {size}"
    problem = _find_problem(weights, options)
    if problem is not None:
        return Fact(area="renderers", name=options.model, state="problem", text=text, advice=problem)
    now = f", or do it now: {weights.command}" if weights.command else ""
    free = f"{_free_at(weights.place) / 1e9:.1f} GB are free at {weights.place}"
    advice = f"the first render fetches it{now}; {free}"
    return Fact(area="renderers", name=options.model, state="note", text=text, advice=advice)


def _find_problem(weights: WeightsFound, options: WeightOptions) -> str | None:
    if is_folder(options.model):
        return f"{weights.place} is no folder; correct it, or name a hub id"
    free = _free_at(weights.place)
    if weights.num_bytes is not None and weights.num_bytes > free:
        need = f"{weights.num_bytes / 1e9:.1f} GB are to be fetched, {free / 1e9:.1f} GB are free"
        return f"make room at {weights.place}: {need}"
    if options.offline:
        now = f", or fetch it yourself: {weights.command}" if weights.command else ""
        return f"state offline: false, so that the first render fetches it{now}"
    return None


def look_at_room(names: Sequence[str], cache: ModelCache, state: Literal["note", "problem"]) -> Iterator[Fact]:
    """Hold what locked models need that are to be fetched against what is free."""
    try:
        sizes = [cache.size(name) for name in cache.missing(names)]
    except ModelFileError:
        return  # told where the model is
    if not sizes:
        return
    # The pieces of the largest one stand beside it while it is put together.
    needed, free = sum(sizes) + max(sizes), _free_at(cache.root)
    text = (
        f"{sum(sizes) / 1e9:.1f} GB are to be fetched and {needed / 1e9:.1f} GB wanted meanwhile, "
        f"{free / 1e9:.1f} GB are free at {cache.root}"
    )
    if needed <= free:
        yield Fact(area="models", name="room", state="ok", text=text)
    else:
        advice = "make room, or set $ANYINSTRUCT_CACHE to a folder on a larger disk"
        yield Fact(area="models", name="room", state=state, text=text, advice=advice)


def look_at_model(name: str, cache: ModelCache, state: Literal["note", "problem"]) -> Fact:
    """Say whether a locked model is here."""
    try:
        model = load_lock().model(name)
        problem = cache.check(name)
    except ModelFileError as exc:
        return Fact(area="models", name=name, state="problem", text="not usable", advice=str(exc))
    kind = "language model, " if model.is_language_model else ""
    text = f"{kind}{model.bytes / 1e6:,.0f} MB, {model.licence}"
    if problem is None:
        return Fact(area="models", name=name, state="ok", text=text)
    advice = f"anyinstruct doctor --fetch ({problem})"
    return Fact(area="models", name=name, state=state, text=f"{text}; not here", advice=advice)


def nearest(folder: Path) -> Path:
    """Return a folder, or the one in which it will come to be."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _free_at(folder: Path) -> Bytes:
    return shutil.disk_usage(nearest(folder)).free
