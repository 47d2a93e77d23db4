from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.render import __main__ as bench
from bench.render import weights
from bench.render.cases import Case, cpu_cases, full_cases, small_cases
from bench.render.measuring import Figures, Pace, find_batch, measure
from pipeline.values.records import Modality

SMALLEST = small_cases(16)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads that wait for each other are many times slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", SMALLEST, ids=[case.key for case in SMALLEST])
@pytest.mark.filterwarnings("ignore")  # of libraries about each other
@pytest.mark.usefixtures("one_thread")
def test_all_three_ways_render_every_modality(case: Case, tmp_path: Path) -> None:
    figures = measure(case, 1, tmp_path)
    assert figures.batch in case.batches
    assert (figures.num_rounds, figures.num_failed) == (1, 0)
    assert min(figures.ours.rate, figures.bare.rate, figures.single.rate) > 0
    assert figures.ratio == pytest.approx(figures.ours.rate / figures.bare.rate)
    assert (figures.item == 1.0) == (figures.modality is Modality.IMAGE)
    assert list(tmp_path.iterdir()) == []


def figures(ratio: float = 0.98, single: float = 1.0, num_failed: int = 0, item: float = 1.0) -> Figures:
    ours, bare = Pace(9.8), Pace(10.0, busy=97.0, gigabytes=3.5)
    return Figures("SD", Modality.IMAGE, 8, item, ours, bare, Pace(single), ratio, 7, num_failed)


def test_a_goal_is_missed_by_pace_by_refusals_and_by_no_gain_over_single_calls() -> None:
    assert bench.is_met(figures(), 0.97)
    assert not bench.is_met(figures(ratio=0.96), 0.97)
    assert not bench.is_met(figures(single=9.9), 0.97)
    assert not bench.is_met(figures(num_failed=1), 0.97)


def test_paces_are_told_in_what_was_made() -> None:
    assert "10.00 images/s, GPU busy 97 %, peak 3.5 GB" in bench.describe(figures(), 0.97)
    assert "25.00 images/s" in bench.describe(figures(item=2.5), 0.97)


def test_one_case_is_measured_and_the_last_line_is_the_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, int]] = []

    def answer(case: Case, rounds: int, scratch: Path) -> Figures:
        asked.append((case.key, rounds))
        return figures(ratio=0.5)

    monkeypatch.setattr(bench, "measure", answer)
    assert bench.main(["--quick", "--case", "tiny-vits"]) == 1
    assert asked == [("tiny-vits", 3)]
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 1 goals met; of the bare loop's rate: SD 0.500"


def test_a_case_that_cannot_run_here_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--quick", "--case", "sdxl"])
    assert "must be one of tiny-sd, tiny-musicgen, tiny-vits here; full sizes need a GPU" in capsys.readouterr().err


def test_a_batch_that_fits_in_no_size_is_said(tmp_path: Path) -> None:
    class Full:
        extension = "webp"

        def make(self, texts: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    loaded = type("Loaded", (), {"bare": Full()})()
    case = Case("huge", "huge", lambda folder: loaded, (4, 8), 8)
    with pytest.raises(MemoryError, match="a batch of 4 does not fit"):
        find_batch(case, loaded, ["a kite"] * 8, tmp_path)


def test_full_cases_have_names_of_their_own_and_whole_batches() -> None:
    cases = [*cpu_cases(), *full_cases()]
    assert len({case.key for case in cases}) == len(cases)
    assert all(case.count % size == 0 for case in cases for size in case.batches)


def count_weights(model: Any) -> float:
    return float(sum(one.numel() for one in model.parameters()))


@pytest.mark.parametrize(
    "make", [weights.make_sd15, weights.make_sdxl, weights.make_flux], ids=["sd15", "sdxl", "flux"]
)
@pytest.mark.filterwarnings("ignore")
def test_whole_pipelines_are_built_on_their_device_in_their_dtype(make: Callable[[], Any]) -> None:
    pipe = weights.make_on("meta", torch.bfloat16, make)
    denoiser = getattr(pipe, "transformer", None) or pipe.unet
    parts = [denoiser, pipe.vae, *filter(None, (pipe.text_encoder, getattr(pipe, "text_encoder_2", None)))]
    assert {(one.device.type, one.dtype) for part in parts for one in part.parameters()} == {("meta", torch.bfloat16)}
    published = {
        "StableDiffusionPipeline": 859_520_964,
        "StableDiffusionXLPipeline": 2_567_463_684,
        "FluxPipeline": 11_901_408_320,
    }
    assert count_weights(denoiser) == published[type(pipe).__name__]
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("size", "billions"), [("small", 0.420), ("medium", 1.838), ("large", 3.255)], ids=["small", "medium", "large"]
)
@pytest.mark.filterwarnings("ignore")
def test_decoders_of_musicgen_have_the_published_sizes(size: str, billions: float) -> None:
    model = weights.make_on("meta", torch.float32, lambda: weights.make_musicgen(size))
    assert count_weights(model.decoder) / 1e9 == pytest.approx(billions, rel=0.01)
