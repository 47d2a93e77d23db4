"""Which sequence of the engine's memory holds which tokens, so that common beginnings are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class PrefixMemory:
    """The sequences of one context with a unified key-value cache.

    There are more sequences than answers in flight; the idle ones keep what they last held. A new prompt takes over
    the longest beginning that any sequence shares with it. Shared tokens are stored once, however many share them.

    Args:
        context: A ``cyllama.llama.llama_cpp.LlamaContext``.
        num_sequences: Its ``n_seq_max``.
        reuses: False to compute every prompt from its first token.
    """

    def __init__(self, context: Any, num_sequences: int, *, reuses: bool = True) -> None:
        self._context = context
        self._reuses = reuses
        self._held: list[list[int]] = [[] for _ in range(num_sequences)]
        self._idle = list(range(num_sequences))

    def take(self, prompt: Sequence[int]) -> tuple[int, int]:
        """Reserve a sequence for a prompt; return its number and how many tokens of the prompt it holds already.

        At least the last token is left to be computed, for its logits.
        """
        source, shared = 0, 0
        for number, held in enumerate(self._held):
            length = _common_length(held, prompt[:-1]) if self._reuses else 0
            if length > shared:
                source, shared = number, length
        # The idle sequence that loses least: the source itself if all it holds is wanted, else the longest idle.
        is_consumed = source in self._idle and shared > 0 and shared == len(self._held[source])
        number = source if is_consumed else self._idle[0]
        if number == source:
            self._context.memory_seq_rm(number, shared, -1)
        else:
            self._context.memory_seq_rm(number, -1, -1)
            if shared:
                self._context.memory_seq_cp(source, number, 0, shared)
        self._idle.remove(number)
        self._held[number] = list(prompt[:shared])
        return number, shared

    def append(self, number: int, tokens: Sequence[int]) -> None:
        """Record tokens that were computed."""
        self._held[number].extend(tokens)

    def release(self, number: int) -> None:
        """Give a sequence back; what it holds is kept until the room is needed."""
        self._idle.append(number)

    def forget_idle(self) -> bool:
        """Free the room of all idle sequences; False where they held nothing."""
        held = [number for number in self._idle if self._held[number]]
        for number in held:
            self._context.memory_seq_rm(number, -1, -1)
            self._held[number] = []
        return bool(held)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
