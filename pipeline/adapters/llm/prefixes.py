"""Which sequence of the engine's memory holds which tokens, so that common beginnings are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class PrefixMemory:
    """The sequences of one context, each with a cache of its own.

    A sequence keeps what it held when its answer is done. A new prompt takes over the longest beginning that any
    sequence, idle or busy, shares with it.

    Args:
        context: A ``cyllama.llama.llama_cpp.LlamaContext`` whose cache is not unified.
        num_sequences: Its ``n_seq_max``.
        reuses: False to compute every prompt from its first token.
    """

    def __init__(self, context: Any, num_sequences: int, *, reuses: bool = True) -> None:
        self._context = context
        self._reuses = reuses
        self._held: list[list[int]] = [[] for _ in range(num_sequences)]
        self._idle = list(range(num_sequences))

    def find(self, prompt: Sequence[int]) -> tuple[int, int]:
        """Return the sequence that shares the longest beginning with a prompt, and how many tokens that is.

        At least the last token of the prompt is left out: its logits are wanted, so it must be computed. Among equals
        an idle sequence is named, since nothing needs to be copied out of it.
        """
        wanted = prompt[:-1] if self._reuses else []
        shared = [_common_length(held, wanted) for held in self._held]
        best = max(range(len(shared)), key=lambda number: (shared[number], number in self._idle))
        return best, shared[best]

    def take(self, prompt: Sequence[int]) -> tuple[int, int]:
        """Reserve an idle sequence for a prompt; return its number and how many tokens of the prompt it holds."""
        source, shared = self.find(prompt)
        number = source if source in self._idle and shared else self._idle[0]
        if number != source:
            # Between caches of their own only whole sequences can be copied; what is too much goes below.
            self._context.memory_seq_rm(number, -1, -1)
            if shared:
                self._context.memory_seq_cp(source, number, -1, -1)
        self._context.memory_seq_rm(number, shared, -1)
        self._idle.remove(number)
        self._held[number] = list(prompt[:shared])
        return number, shared

    def append(self, number: int, tokens: Sequence[int]) -> None:
        """Record tokens that were computed."""
        self._held[number].extend(tokens)

    def release(self, number: int) -> None:
        """Give a sequence back; it keeps what it holds until it is taken again, the longest idle first."""
        self._idle.append(number)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning of two lists, by bisection: slices compare faster than a loop."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
