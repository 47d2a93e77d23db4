"""Sampling MusicGen's codes, so that a piece depends on its own seed and not on what else is in the batch.

A token is drawn by the Gumbel-max method: with noise G = -log(-log(U)), the largest of logits + G is a draw from
softmax(logits). The noise of an item comes out of a generator of its own, step by step, so it is the same in any
batch; what still differs there is the rounding of the logits, which turns a draw only where two candidates are equal
to that precision.

This module imports torch and is itself imported only where weights are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

NOISE_STEPS = 16
"""Steps of noise drawn at once: a launch an item and step would cost as much as a layer. A CUDA generator's numbers
depend on how many are drawn at once, so this is part of the renderer's version."""


class Sampling(NamedTuple):
    """How tokens are drawn.

    Attributes:
        guidance: Classifier-free guidance; 1 is none, and saves half of the work.
        top_k: Candidates a draw, 0 for all.
        top_p: Share of the probability that candidates make up together, 1 for all.
    """

    guidance: float
    temperature: float
    top_k: int
    top_p: float


class Layout(NamedTuple):
    """How a model lays out its codes.

    Attributes:
        delays: Steps by which each codebook comes later than the first, rising.
        padding: The code that stands before a codebook's first frame and after its last.
    """

    delays: Sequence[int]
    padding: int


Step = Callable[[torch.Tensor], torch.Tensor]
"""Takes (rows, num_codebooks) codes, the next of each row, and returns (rows, num_codebooks, vocabulary) logits. It
keeps what came before. With guidance there are two rows an item: all with their description, then all without."""


class Noise:
    """Gumbel noise for each item of a batch, out of the item's own generator."""

    def __init__(self, generators: Sequence[torch.Generator], num_codebooks: int, vocabulary: int) -> None:
        self.device = generators[0].device
        self._generators = generators
        self._shape = (NOISE_STEPS, num_codebooks, vocabulary)
        self._drawn: torch.Tensor | None = None

    def at(self, step: int) -> torch.Tensor:
        """Return (num_items, num_codebooks, vocabulary); to be called with 0, 1, 2, … in order."""
        place = step % NOISE_STEPS
        if place == 0 or self._drawn is None:
            uniform = [torch.rand(self._shape, generator=one, device=self.device) for one in self._generators]
            # A uniform number can be 0, never 1: the noise can be -inf, which no draw takes, never +inf.
            self._drawn = torch.stack(uniform).log_().neg_().log_().neg_()
        return self._drawn[:, place]


def generate_codes(
    advance: Step, layout: Layout, num_frames: Sequence[int], noise: Noise, sampling: Sampling
) -> list[torch.Tensor]:
    """Generate each item's codes, all of them step by step together until the longest is done.

    The padding after an item's own last frame is set by its own length, so a longer neighbour changes nothing.

    Args:
        num_frames: Frames wanted, an item each.

    Returns:
        (num_codebooks, num_frames) of code numbers an item.
    """
    num_items, num_codebooks = len(num_frames), len(layout.delays)
    num_steps = max(num_frames) + max(layout.delays)
    is_wanted = _mark_wanted(layout.delays, num_frames, num_steps).to(noise.device)
    rows = 1 if sampling.guidance == 1.0 else 2
    candidates = _choose_warpers(sampling)
    codes = torch.full((num_items, num_codebooks, num_steps + 1), layout.padding, device=noise.device)
    for step in range(num_steps):
        # In float32, whatever the model computes in.
        logits = _guide(advance(codes[:, :, step].repeat(rows, 1)).float(), sampling.guidance)
        for warp in candidates:
            # They work on (rows, vocabulary), and look at no codes.
            logits = warp(None, logits.flatten(0, 1)).view_as(logits)
        drawn = (logits + noise.at(step)).argmax(dim=-1)
        codes[:, :, step + 1] = drawn.where(is_wanted[:, :, step], layout.padding)
    return [
        torch.stack([codes[item, book, 1 + delay : 1 + delay + count] for book, delay in enumerate(layout.delays)])
        for item, count in enumerate(num_frames)
    ]


def _mark_wanted(delays: Sequence[int], num_frames: Sequence[int], num_steps: int) -> torch.Tensor:
    """(num_items, num_codebooks, num_steps): whether a step draws a frame, and not padding."""
    steps = torch.arange(num_steps)
    begins = torch.tensor(delays)[None, :, None]
    ends = begins + torch.tensor(num_frames)[:, None, None]
    return (steps >= begins) & (steps < ends)


def _guide(logits: torch.Tensor, guidance: float) -> torch.Tensor:
    """Move away from what no description would give (Ho and Salimans 2022)."""
    if guidance == 1.0:
        return logits
    described, null = logits.chunk(2)
    return null + guidance * (described - null)


def _choose_warpers(sampling: Sampling) -> list[Any]:
    warpers: list[Any] = []
    if sampling.temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k > 0:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
