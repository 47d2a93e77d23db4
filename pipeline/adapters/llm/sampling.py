"""One token out of the engine's logits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pipeline.adapters.llm.grammar import Grammar
from pipeline.adapters.llm.vocabulary import Place, Vocabulary
from pipeline.contracts.chat import ChatRequest
from pipeline.values.errors import ChatFailure

TOP_K = 40
"""llama.cpp's default; it also spares sorting the whole vocabulary."""

PENALTY_WINDOW = 64
"""Sampled tokens that the repeat penalty looks back over; llama.cpp's default."""

MOST_BANS = 8
"""Misfits of one place that are banned before the answer is steered to the end of its string."""

MOST_TRIES = 16
BANNED = -1e9
PREFERRED = 1e3
"""Added to logits, which lie within ±100: outweighs any of them and leaves 1e-4 of float32 precision."""


class Sampler:
    """Draws the tokens of one answer.

    Every draw has a generator of its own, seeded by the request's seed, the draw's place in the answer and the try:
    what was drawn before, or for whom else, plays no part.
    """

    def __init__(self, vocabulary: Vocabulary, grammar: Grammar, request: ChatRequest) -> None:
        self._vocabulary = vocabulary
        self._grammar = grammar
        self._request = request
        self._history: list[int] = []

    def draw(self, context: Any, row: int, place: Place) -> tuple[int, Place | None]:
        """Draw a token that the grammar allows.

        Args:
            context: A ``LlamaContext`` that has just decoded.
            row: Place in the batch of the token whose logits are wanted.

        Returns:
            The token and the place after it; None for the place where the model ended its answer.

        Raises:
            ChatFailure: ``invalid_answer``: the model wants nothing that the grammar allows.
        """
        biases: list[tuple[int, float]] = []
        for attempt in range(MOST_TRIES):
            token = self._draw(context, row, attempt, biases)
            is_end = self._vocabulary.ends_answer(token)
            if is_end and place.state.is_complete and not place.pending:
                return token, None
            following = None if is_end else self._vocabulary.advance(self._grammar, place, token)
            if following is not None:
                self._history.append(token)
                return token, following
            fitting = self._vocabulary.fitting(self._grammar, place)
            if fitting is None and attempt >= MOST_BANS:
                # Mostly a string near its greatest length, where every likely word is too long.
                fitting = self._vocabulary.closing(self._grammar, place)
            if fitting is None:
                biases.append((token, BANNED))
            else:
                biases = [(one, PREFERRED) for one in fitting]
        raise ChatFailure("invalid_answer", f"the model offers nothing that the schema allows in {MOST_TRIES} tries")

    def _draw(self, context: Any, row: int, attempt: int, biases: Sequence[tuple[int, float]]) -> int:
        from cyllama.llama.llama_cpp import LlamaSampler, LlamaSamplerChainParams

        request = self._request
        recent = self._history[-PENALTY_WINDOW:]
        chain = LlamaSampler(LlamaSamplerChainParams())
        try:
            if request.repeat_penalty != 1.0 and recent:
                chain.add_penalties(PENALTY_WINDOW, request.repeat_penalty, 0.0, 0.0)
                # The other links keep no history, so it is only the penalties that hear of it.
                for token in recent:
                    chain.accept(token)
            if biases:
                chain.add_logit_bias(self._vocabulary.size, list(biases))
            chain.add_top_k(TOP_K)
            chain.add_top_p(request.top_p, 1)
            chain.add_temp(request.temperature)
            chain.add_dist(_draw_seed(request.seed, len(self._history), attempt))
            return int(chain.sample(context, row))
        finally:
            chain.close()


def _draw_seed(seed: int, step: int, attempt: int) -> int:
    """Return 31 bits; the engine takes 32 and reads all ones as a wish for a random seed."""
    digest = hashlib.sha256(f"{seed}/{step}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
