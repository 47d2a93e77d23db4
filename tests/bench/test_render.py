from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.render import weights
from bench.render.__main__ import describe, is_met
from bench.render.cases import Case, small_cases
from bench.render.measuring import Figures, Pace, find_batch, measure
from pipeline.values.records import Modality

SMALLEST = small_cases(16)


@pytest.mark.parametrize("case", SMALLEST, ids=[case.name for case in SMALLEST])
@pytest.mark.filterwarnings("ignore")  # of libraries about each other
def test_all_three_ways_render_every_modality(case: Case, tmp_path: Path) -> None:
    figures = measure(case, 1, tmp_path)
    assert figures.batch in case.batches
    assert figures.num_failed == 0
    assert min(figures.ours.rate, figures.bare.rate, figures.single.rate) > 0
    assert figures.ratio == pytest.approx(figures.ours.rate / figures.bare.rate)
    assert list(tmp_path.iterdir()) == []


def test_a_goal_is_missed_by_pace_by_refusals_and_by_no_gain_over_single_calls() -> None:
    def figures(ratio: float = 0.98, single: float = 1.0, num_failed: int = 0) -> Figures:
        ours, bare = Pace(9.8), Pace(10.0, busy=97.0, gigabytes=3.5)
        return Figures("SD", Modality.IMAGE, 8, ours, bare, Pace(single), ratio, num_failed)

    assert is_met(figures(), 0.97)
    assert not is_met(figures(ratio=0.96), 0.97)
    assert not is_met(figures(single=9.9), 0.97)
    assert not is_met(figures(num_failed=1), 0.97)
    assert "10.00 images/s, GPU busy 97 %, peak 3.5 GB" in describe(figures(), 0.97)


def test_a_batch_that_fits_in_no_size_is_said(tmp_path: Path) -> None:
    class Full:
        extension = "webp"

        def make(self, texts: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    loaded = type("Loaded", (), {"bare": Full()})()
    case = Case("huge", lambda folder: loaded, (4, 8), 8)
    with pytest.raises(MemoryError, match="a batch of 4 does not fit"):
        find_batch(case, loaded, ["a kite"] * 8, tmp_path)


@pytest.mark.parametrize(
    ("make", "billions"),
    [
        (weights.make_sd15_unet, 0.860),
        (weights.make_sdxl_unet, 2.567),
        (weights.make_flux_transformer, 11.901),
        (lambda: weights.make_musicgen("small").decoder, 0.420),
        (lambda: weights.make_musicgen("large").decoder, 3.2),
    ],
    ids=["sd15", "sdxl", "flux", "musicgen-small", "musicgen-large"],
)
@pytest.mark.filterwarnings("ignore")
def test_full_sizes_are_those_of_the_published_models(make: Callable[[], Any], billions: float) -> None:
    with torch.device("meta"):
        model = make()
    assert sum(one.numel() for one in model.parameters()) / 1e9 == pytest.approx(billions, rel=0.03)
