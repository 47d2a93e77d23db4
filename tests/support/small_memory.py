"""A device whose memory is as small as a test wants it: torch's modules refuse what is too big for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Memory:
    """Counts numbers in tensors; what one module is given at once has to fit.

    Attributes:
        room: Most numbers that fit, None for no bound.
        most: Most numbers that a module was given so far.
        num_refused: Batches that did not fit.
    """

    room: int | None = None
    most: int = 0
    num_refused: int = 0

    def take(self, num_numbers: int) -> None:
        """Let a module have so many, or raise what a GPU's allocator raises."""
        import torch

        if self.room is not None and num_numbers > self.room:
            self.num_refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        self.most = max(self.most, num_numbers)


@contextmanager
def small_memory() -> Iterator[Memory]:
    """Have every call of every module take its tensors out of one memory, until the block ends."""
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    memory = Memory()

    def count(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        memory.take(sum(one.numel() for one in inputs if isinstance(one, torch.Tensor)))

    hook = register_module_forward_pre_hook(count)
    try:
        yield memory
    finally:
        hook.remove()
