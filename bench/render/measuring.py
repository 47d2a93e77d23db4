"""Three ways of rendering the same, one after the other and again; times, GPU share and memory of each."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bench.render.bare import run_bare, run_single
from bench.render.cases import Case, Loaded
from bench.render.stage import Yield, order_all, run_stage
from pipeline.values.records import Modality

DESCRIPTIONS = ("a lighthouse in fog", "slow piano and rain over the harbour", "two foxes by a small red boat at night")
LINES = (
    "Good morning. I would like to paint the old harbour before the boats go out.",
    "Then begin with the sky, while it is still grey; the water will borrow its colour from there, whatever you do.",
    "Could you play me something slow that sounds like rain on a wooden roof?",
    "Here it is: a piano far away, a cello that comes in late, and nothing in a hurry, so that you can hear the rain "
    "between the notes.",
)
"""As long as spoken turns are."""

ROUNDS_SECONDS = 240.0
"""Rounds of a case end once they took this long, after two of them at least, so that one case ends in ten minutes."""

TRIALS = 2
"""Batches timed a size; the faster counts."""


@dataclass(frozen=True)
class Pace:
    """What a way of rendering came to.

    Attributes:
        rate: Items a second in the fastest round: silence that is cut or added at ends makes seconds of sound count
            otherwise in each way.
        busy: Percent of the time in which the GPU computed, or None where none was asked.
        gigabytes: Most that tensors took on the GPU.
    """

    rate: float
    busy: float | None = None
    gigabytes: float | None = None


@dataclass(frozen=True)
class Figures:
    """A case's result.

    Attributes:
        item: Seconds of sound that the bare loop makes an item; 1 for pictures.
        ratio: Ours to the bare loop, each in its fastest round: whatever else the machine does can only slow a round
            down, and slows one way or the other.
        num_rounds: Fewer than asked for where they took too long.
        num_failed: What the gates refused.
    """

    case: str
    modality: Modality
    batch: int
    item: float
    ours: Pace
    bare: Pace
    single: Pace
    ratio: float
    num_rounds: int
    num_failed: int


def measure(case: Case, most_rounds: int, scratch: Path) -> Figures:
    """Load, find the bare loop's best batch size, warm up, and time the three ways in turn."""
    with case.loaded() as loaded:
        words = LINES if loaded.modality is Modality.SPEECH else DESCRIPTIONS
        texts = [f"{words[number % len(words)]} Number {number}." for number in range(case.count)]
        batch = find_batch(case, loaded, texts, scratch)
        orders = order_all(loaded.modality, texts, **loaded.brief)
        ways: dict[str, Callable[[Path], Yield]] = {
            "bare": lambda folder: run_bare(loaded.bare, texts, batch, folder),
            "ours": lambda folder: run_stage(loaded.renderer, orders, batch, folder),
            "single": lambda folder: run_single(loaded.bare, texts[: case.singles], folder),
        }
        item = loaded.bare.make(texts[:batch])[1] / batch
        timed(lambda folder: run_stage(loaded.renderer, orders[:batch], batch, folder), scratch)  # kernels are chosen
        rounds: list[dict[str, tuple[Pace, Yield]]] = []
        started = time.perf_counter()
        while len(rounds) < most_rounds and (len(rounds) < 2 or time.perf_counter() - started < ROUNDS_SECONDS):
            # Whoever is first meets a machine that has cooled down: it is another one each time.
            names = ("bare", "ours", "single") if len(rounds) % 2 == 0 else ("ours", "bare", "single")
            rounds.append({name: timed(ways[name], scratch) for name in names})
    paces = {name: _fastest([made[name][0] for made in rounds]) for name in ways}
    return Figures(
        case=case.name,
        modality=loaded.modality,
        batch=batch,
        item=item,
        **paces,
        ratio=paces["ours"].rate / paces["bare"].rate,
        num_rounds=len(rounds),
        num_failed=sum(made["ours"][1].num_failed for made in rounds),
    )


def find_batch(case: Case, loaded: Loaded, texts: list[str], scratch: Path) -> int:
    """Return the size at which the bare loop is fastest, of those that fit; each is warmed up by one batch."""
    rates: dict[int, float] = {}
    for size in case.batches:
        one_batch = partial(run_bare, loaded.bare, texts[:size], size)
        try:
            timed(one_batch, scratch)
            if len(case.batches) == 1:
                return size
            rates[size] = max(timed(one_batch, scratch)[0].rate for _ in range(TRIALS))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    if not rates:
        raise MemoryError(f"{case.name}: a batch of {case.batches[0]} does not fit on this GPU")
    return max(rates, key=rates.__getitem__)


def timed(way: Callable[[Path], Yield], scratch: Path) -> tuple[Pace, Yield]:
    """Run a way into a folder that is removed after it."""
    folder, has_gpu = scratch / "run", torch.cuda.is_available()
    if has_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        with watching_gpu() as shares:
            started = time.perf_counter()
            came = way(folder)
            seconds = time.perf_counter() - started
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    busy = statistics.mean(shares) if shares else None
    peak = torch.cuda.max_memory_allocated() / 1e9 if has_gpu else None
    return Pace(came.num_made / seconds, busy, peak), came


@contextmanager
def watching_gpu() -> Iterator[list[float]]:
    """Sample how busy the GPU is, in percent, five times a second; the list is filled at the end."""
    shares: list[float] = []
    if not torch.cuda.is_available() or shutil.which("nvidia-smi") is None:
        yield shares
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
    watcher = subprocess.Popen([*command, "--id=0"], stdout=subprocess.PIPE, text=True)
    try:
        yield shares
    finally:
        watcher.terminate()
        lines = watcher.communicate()[0].split()
        shares.extend(float(line) for line in lines if line.isdigit())


def _fastest(paces: list[Pace]) -> Pace:
    shares = [pace.busy for pace in paces if pace.busy is not None]
    peaks = [pace.gigabytes for pace in paces if pace.gigabytes is not None]
    return Pace(
        max(pace.rate for pace in paces),
        statistics.median(shares) if shares else None,
        max(peaks) if peaks else None,
    )
